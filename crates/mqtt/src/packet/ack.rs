//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): four packets of one shape.

use crate::packet_type::PacketType;
use crate::property::Carrier;
use crate::wire::{Reader, Sink, reason_string_and_user_properties};
use crate::{DecodeError, EncodeError, PacketId, ReasonCode, UserProperties, Utf8, Version};

/// The answer to a PUBLISH, or to the answer before it in the QoS 2 exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The identifier of the PUBLISH.
    pub packet_id: PacketId,
    /// MQTT 5; [`ReasonCode::Success`] in 3.1.1, which has no other.
    pub reason: ReasonCode,
    /// MQTT 5: for people.
    pub reason_string: Option<Utf8>,
    /// MQTT 5: in the order of the packet.
    pub user_properties: UserProperties,
}

impl Ack {
    /// Makes an answer without properties.
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Ack {
        Ack { packet_id, reason, reason_string: None, user_properties: UserProperties::new() }
    }
}

impl Ack {
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        carrier: Carrier,
        version: Version,
    ) -> Result<Ack, DecodeError> {
        let mut ack = Ack::new(reader.packet_id()?, ReasonCode::Success);
        // Sections 3.4.2.1 and 3.4.2.2.1: reason and property length may be left out from the end.
        if version == Version::V5 && reader.remaining() > 0 {
            ack.reason = reader.reason_code()?;
            if reader.remaining() > 0 {
                (ack.reason_string, ack.user_properties) =
                    reader.properties(carrier)?.reason_string_and_user_properties()?;
            }
        }
        Ok(ack)
    }

    pub(crate) fn write(
        &self,
        packet: PacketType,
        version: Version,
        out: &mut dyn Sink,
    ) -> Result<(), EncodeError> {
        out.u16(self.packet_id.get());
        let properties = self.reason_string.is_some() || !self.user_properties.is_empty();
        if version == Version::V5 && (properties || self.reason != ReasonCode::Success) {
            out.reason_code(packet, self.reason)?;
            if properties {
                reason_string_and_user_properties(
                    packet,
                    out,
                    self.reason_string.as_ref(),
                    &self.user_properties,
                )?;
            }
        }
        Ok(())
    }
}
