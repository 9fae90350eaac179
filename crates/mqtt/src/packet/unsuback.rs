//! UNSUBACK, section 3.11.

use crate::{PacketId, ReasonCode, UserProperties, Utf8};

/// The server's answer to an UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// MQTT 5: one for each filter, in the order of the filters. Not sent to a 3.1.1 client.
    pub codes: Vec<ReasonCode>,
    /// MQTT 5: for people to read.
    pub reason_string: Option<Utf8>,
    /// MQTT 5: in the order they came.
    pub user_properties: UserProperties,
}
