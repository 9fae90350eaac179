//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): four packets of one shape.

use crate::{PacketId, ReasonCode, UserProperties, Utf8};

/// The answer to a PUBLISH, or to the answer before it in the QoS 2 exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Of the PUBLISH.
    pub packet_id: PacketId,
    /// MQTT 5; [`ReasonCode::Success`] in 3.1.1, which has no other.
    pub reason: ReasonCode,
    /// MQTT 5: for people to read.
    pub reason_string: Option<Utf8>,
    /// MQTT 5: in the order they came.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An answer without properties.
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Ack {
        Ack { packet_id, reason, reason_string: None, user_properties: UserProperties::new() }
    }
}
