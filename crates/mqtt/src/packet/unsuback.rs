//! UNSUBACK, section 3.11.

use crate::packet_type::PacketType;
use crate::property::Carrier;
use crate::wire::{Reader, Sink, reason_string_and_user_properties};
use crate::{DecodeError, EncodeError, PacketId, ReasonCode, UserProperties, Utf8, Version};

/// The server's answer to an UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// MQTT 5: one for each filter, in the order of the filters. Not sent to a 3.1.1 client.
    pub codes: Vec<ReasonCode>,
    /// MQTT 5: for people.
    pub reason_string: Option<Utf8>,
    /// MQTT 5: in the order of the packet.
    pub user_properties: UserProperties,
}

impl UnsubAck {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<UnsubAck, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut answer = UnsubAck {
            packet_id,
            codes: Vec::new(),
            reason_string: None,
            user_properties: UserProperties::new(),
        };
        if version == Version::V5 {
            (answer.reason_string, answer.user_properties) =
                reader.properties(Carrier::UnsubAck)?.reason_string_and_user_properties()?;
            if reader.remaining() == 0 {
                return Err(DecodeError::NoReasonCodes(PacketType::UnsubAck)); // [MQTT-3.11.3-1]
            }
            answer.codes.reserve_exact(reader.remaining());
            while reader.remaining() > 0 {
                answer.codes.push(reader.reason_code()?);
            }
        }
        Ok(answer)
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        out.u16(self.packet_id.get());
        if version == Version::V5 {
            if self.codes.is_empty() {
                return Err(EncodeError::Forbidden(
                    PacketType::UnsubAck,
                    "one code for each topic filter is needed",
                ));
            }
            reason_string_and_user_properties(
                PacketType::UnsubAck,
                out,
                self.reason_string.as_ref(),
                &self.user_properties,
            )?;
            for code in &self.codes {
                out.reason_code(PacketType::UnsubAck, *code)?;
            }
        }
        Ok(())
    }
}
