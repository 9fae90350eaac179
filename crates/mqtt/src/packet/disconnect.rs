//! DISCONNECT, section 3.14.

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::protocol::Sender;
use crate::wire::{Reader, Sink, property_block};
use crate::{DecodeError, EncodeError, ReasonCode, UserProperties, Utf8, Version};

/// The last packet of a connection. In 3.1.1 only the client sends it, without a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// MQTT 5; [`ReasonCode::NORMAL_DISCONNECTION`] in 3.1.1.
    pub reason: ReasonCode,
    /// MQTT 5, from a client: seconds; replaces the value of its CONNECT.
    pub session_expiry_interval: Option<u32>,
    /// MQTT 5: for people.
    pub reason_string: Option<Utf8>,
    /// MQTT 5, from a server: another server to use.
    pub server_reference: Option<Utf8>,
    /// MQTT 5: in the order of the packet.
    pub user_properties: UserProperties,
}

impl Disconnect {
    /// Makes a DISCONNECT without properties.
    pub fn new(reason: ReasonCode) -> Disconnect {
        Disconnect { reason, ..Disconnect::default() }
    }
}

impl Disconnect {
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        version: Version,
        sender: Sender,
    ) -> Result<Disconnect, DecodeError> {
        let mut disconnect = Disconnect::default();
        // Sections 3.14.2.1 and 3.14.2.2.1: reason and property length may be left out from the end.
        if version == Version::V311 || reader.remaining() == 0 {
            return Ok(disconnect);
        }
        disconnect.reason = reader.reason_code()?;
        if reader.remaining() == 0 {
            return Ok(disconnect);
        }
        let mut block = reader.properties(Carrier::Disconnect)?;
        while let Some(property) = block.next()? {
            match property {
                PropertyId::SessionExpiryInterval if sender == Sender::Server => {
                    return Err(DecodeError::SessionExpiryFromServer); // [MQTT-3.14.2-2]
                }
                PropertyId::SessionExpiryInterval => disconnect.session_expiry_interval = Some(block.u32()?),
                PropertyId::ReasonString => disconnect.reason_string = Some(block.utf8()?),
                PropertyId::ServerReference => disconnect.server_reference = Some(block.utf8()?),
                PropertyId::UserProperty => disconnect.user_properties.push(block.user_property()?),
                other => return Err(block.not_allowed(other)),
            }
        }
        Ok(disconnect)
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        let properties = self.session_expiry_interval.is_some()
            || self.reason_string.is_some()
            || self.server_reference.is_some()
            || !self.user_properties.is_empty();
        if version == Version::V311 || (!properties && self.reason == ReasonCode::NORMAL_DISCONNECTION) {
            return Ok(());
        }
        out.reason_code(PacketType::Disconnect, self.reason)?;
        if !properties {
            return Ok(());
        }
        property_block(PacketType::Disconnect, out, |out| {
            if let Some(seconds) = self.session_expiry_interval {
                out.u32_property(PropertyId::SessionExpiryInterval, seconds);
            }
            out.text_property(PropertyId::ReasonString, self.reason_string.as_ref());
            out.text_property(PropertyId::ServerReference, self.server_reference.as_ref());
            out.user_properties(&self.user_properties);
            Ok(())
        })
    }
}
