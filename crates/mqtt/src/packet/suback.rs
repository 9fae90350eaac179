//! SUBACK, section 3.9.

use crate::{PacketId, ReasonCode, UserProperties, Utf8};

/// The server's answer to a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in the order of the filters. To a 3.1.1 client every failure is 0x80.
    pub codes: Vec<ReasonCode>,
    /// MQTT 5: for people to read.
    pub reason_string: Option<Utf8>,
    /// MQTT 5: in the order they came.
    pub user_properties: UserProperties,
}
