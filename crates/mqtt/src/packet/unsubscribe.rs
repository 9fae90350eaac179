//! UNSUBSCRIBE, section 3.10.

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::wire::{Reader, Sink, property_block};
use crate::{DecodeError, EncodeError, PacketId, UserProperties, Utf8, Version};

/// Topic filters that a client unsubscribes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// UNSUBACK repeats it.
    pub packet_id: PacketId,
    /// At least one; compared with the subscriptions character by character.
    pub filters: Vec<Utf8>,
    /// MQTT 5: in the order of the packet.
    pub user_properties: UserProperties,
}

impl Unsubscribe {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Unsubscribe, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut user_properties = UserProperties::new();
        if version == Version::V5 {
            let mut block = reader.properties(Carrier::Unsubscribe)?;
            while let Some(property) = block.next()? {
                match property {
                    PropertyId::UserProperty => user_properties.push(block.user_property()?),
                    other => return Err(block.not_allowed(other)),
                }
            }
        }
        if reader.remaining() == 0 {
            return Err(DecodeError::NoTopicFilter(PacketType::Unsubscribe)); // [MQTT-3.10.3-2]
        }
        let mut filters = Vec::new();
        while reader.remaining() > 0 {
            filters.push(reader.utf8()?); // [MQTT-3.10.3-1]
        }
        Ok(Unsubscribe { packet_id, filters, user_properties })
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::Forbidden(
                PacketType::Unsubscribe,
                "at least one topic filter is needed",
            ));
        }
        out.u16(self.packet_id.get());
        if version == Version::V5 {
            property_block(PacketType::Unsubscribe, out, |out| {
                out.user_properties(&self.user_properties);
                Ok(())
            })?;
        }
        for filter in &self.filters {
            out.text(filter);
        }
        Ok(())
    }
}
