//! AUTH, section 3.15: enhanced authentication, MQTT 5 only. Decoded here, refused by the broker as AWS IoT does.

use bytes::Bytes;

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::wire::{Reader, Sink, property_block};
use crate::{DecodeError, EncodeError, ReasonCode, UserProperties, Utf8, Version};

/// One step of an enhanced authentication exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// The method of the CONNECT. Absent only in the shortest form, which means success.
    pub authentication_method: Option<Utf8>,
    /// Data of the method.
    pub authentication_data: Option<Bytes>,
    /// For people.
    pub reason_string: Option<Utf8>,
    /// In the order of the packet.
    pub user_properties: UserProperties,
}

impl Auth {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Auth, DecodeError> {
        let mut auth = Auth::default();
        // Section 3.15.2.1: success without properties may be omitted completely.
        if reader.remaining() == 0 {
            return Ok(auth);
        }
        auth.reason = reader.reason_code()?;
        let mut block = reader.properties(Carrier::Auth)?;
        while let Some(property) = block.next()? {
            match property {
                PropertyId::AuthenticationMethod => auth.authentication_method = Some(block.utf8()?),
                PropertyId::AuthenticationData => auth.authentication_data = Some(block.binary()?),
                PropertyId::ReasonString => auth.reason_string = Some(block.utf8()?),
                PropertyId::UserProperty => auth.user_properties.push(block.user_property()?),
                other => return Err(block.not_allowed(other)),
            }
        }
        if auth.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing); // section 3.15.2.2.2
        }
        Ok(auth)
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if version == Version::V311 {
            return Err(EncodeError::NotInVersion(PacketType::Auth, "AUTH came with MQTT 5"));
        }
        if *self == Auth::default() {
            return Ok(());
        }
        if self.authentication_method.is_none() {
            return Err(EncodeError::Forbidden(PacketType::Auth, "an authentication method is needed"));
        }
        out.reason_code(PacketType::Auth, self.reason)?;
        property_block(PacketType::Auth, out, |out| {
            out.authentication(
                PacketType::Auth,
                self.authentication_method.as_ref(),
                self.authentication_data.as_ref(),
            )?;
            out.text_property(PropertyId::ReasonString, self.reason_string.as_ref());
            out.user_properties(&self.user_properties);
            Ok(())
        })
    }
}
