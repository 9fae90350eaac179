//! SUBACK, section 3.9.

use crate::packet_type::PacketType;
use crate::property::Carrier;
use crate::wire::{Reader, Sink, reason_string_and_user_properties};
use crate::{DecodeError, EncodeError, PacketId, ReasonCode, UserProperties, Utf8, Version};

/// The server's answer to a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in the order of the filters. To a 3.1.1 client every failure is 0x80.
    pub codes: Vec<ReasonCode>,
    /// MQTT 5: for people.
    pub reason_string: Option<Utf8>,
    /// MQTT 5: in the order of the packet.
    pub user_properties: UserProperties,
}

impl SubAck {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<SubAck, DecodeError> {
        let packet_id = reader.packet_id()?;
        let (reason_string, user_properties) = match version {
            Version::V311 => (None, UserProperties::new()),
            Version::V5 => reader.properties(Carrier::SubAck)?.reason_string_and_user_properties()?,
        };
        if reader.remaining() == 0 {
            return Err(DecodeError::NoReasonCodes(PacketType::SubAck)); // [MQTT-3.8.4-6]
        }
        let mut codes = Vec::with_capacity(reader.remaining());
        while reader.remaining() > 0 {
            let reason = reader.reason_code()?;
            // 3.1.1 has 0, 1, 2 and 0x80 only [MQTT-3.9.3-2 of 3.1.1].
            if version == Version::V311 && reason > ReasonCode::UnspecifiedError {
                return Err(DecodeError::ReasonCode { packet: PacketType::SubAck, code: reason.byte() });
            }
            codes.push(reason);
        }
        Ok(SubAck { packet_id, codes, reason_string, user_properties })
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if self.codes.is_empty() {
            return Err(EncodeError::Forbidden(
                PacketType::SubAck,
                "one code for each topic filter is needed",
            ));
        }
        out.u16(self.packet_id.get());
        if version == Version::V5 {
            reason_string_and_user_properties(
                PacketType::SubAck,
                out,
                self.reason_string.as_ref(),
                &self.user_properties,
            )?;
        }
        for code in &self.codes {
            match version {
                Version::V311 if code.is_failure() => out.u8(ReasonCode::UnspecifiedError.byte()),
                _ => out.reason_code(PacketType::SubAck, *code)?,
            }
        }
        Ok(())
    }
}
