//! SUBSCRIBE, section 3.8.

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::wire::{Reader, Sink, property_block};
use crate::{DecodeError, EncodeError, PacketId, QoS, TopicFilter, UserProperties, Utf8, Version};

const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;

/// Topic filters that a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// SUBACK repeats it.
    pub packet_id: PacketId,
    /// At least one.
    pub filters: Vec<SubscribeFilter>,
    /// MQTT 5: 1 to 268 435 455; every matching PUBLISH has it.
    pub subscription_identifier: Option<u32>,
    /// MQTT 5: in the order of the packet.
    pub user_properties: UserProperties,
}

/// One filter of a SUBSCRIBE with its options, section 3.8.3.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// The text as received. A filter that breaks the rules of section 4.7 does not make the packet invalid: the
    /// server answers 0x8F for this filter only.
    pub raw: Utf8,
    /// The text as a filter; `None` where it is not valid.
    pub filter: Option<TopicFilter>,
    /// The highest QoS that the client accepts.
    pub qos: QoS,
    /// MQTT 5: do not send the client its own messages.
    pub no_local: bool,
    /// MQTT 5: keep the RETAIN flag as published.
    pub retain_as_published: bool,
    /// MQTT 5: how retained messages are sent now.
    pub retain_handling: RetainHandling,
}

impl SubscribeFilter {
    /// Makes a filter with the options of 3.1.1.
    pub fn new(raw: Utf8, qos: QoS) -> SubscribeFilter {
        let filter = TopicFilter::new(raw.clone()).ok();
        SubscribeFilter {
            raw,
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// Retain Handling, section 3.8.3.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send retained messages at the time of the subscribe.
    #[default]
    Send = 0,
    /// Send them only if the subscription is new.
    SendIfNew = 1,
    /// Send none.
    DoNotSend = 2,
}

impl Subscribe {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Subscribe, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut subscription_identifier = None;
        let mut user_properties = UserProperties::new();
        if version == Version::V5 {
            let mut block = reader.properties(Carrier::Subscribe)?;
            while let Some(property) = block.next()? {
                match property {
                    PropertyId::SubscriptionIdentifier => {
                        subscription_identifier = Some(block.subscription_identifier()?);
                    }
                    PropertyId::UserProperty => user_properties.push(block.user_property()?),
                    other => return Err(block.not_allowed(other)),
                }
            }
        }
        if reader.remaining() == 0 {
            return Err(DecodeError::NoTopicFilter(PacketType::Subscribe)); // [MQTT-3.8.3-2]
        }
        let mut filters = Vec::new();
        while reader.remaining() > 0 {
            filters.push(SubscribeFilter::decode(reader, version)?);
        }
        Ok(Subscribe { packet_id, filters, subscription_identifier, user_properties })
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::Forbidden(PacketType::Subscribe, "at least one topic filter is needed"));
        }
        out.u16(self.packet_id.get());
        if version == Version::V5 {
            property_block(PacketType::Subscribe, out, |out| {
                if let Some(identifier) = self.subscription_identifier {
                    out.subscription_identifier(PacketType::Subscribe, identifier)?;
                }
                out.user_properties(&self.user_properties);
                Ok(())
            })?;
        }
        for filter in &self.filters {
            if filter.no_local && version == Version::V5 && filter.raw.starts_with("$share/") {
                return Err(EncodeError::Forbidden(
                    PacketType::Subscribe,
                    "a shared subscription has no No Local [MQTT-3.8.3-4]",
                ));
            }
            out.text(&filter.raw);
            out.u8(filter.options(version));
        }
        Ok(())
    }
}

impl SubscribeFilter {
    fn decode(reader: &mut Reader<'_>, version: Version) -> Result<SubscribeFilter, DecodeError> {
        let raw = reader.utf8()?;
        let options = reader.u8()?;
        let malformed = DecodeError::SubscriptionOptions(options);
        let mut filter = SubscribeFilter::new(raw, QoS::from_bits(options & QOS).ok_or(malformed)?);
        match version {
            Version::V311 if options & !QOS != 0 => return Err(malformed), // [MQTT-3-8.3-4 of 3.1.1]
            Version::V311 => {}
            Version::V5 => {
                filter.no_local = options & NO_LOCAL != 0;
                filter.retain_as_published = options & RETAIN_AS_PUBLISHED != 0;
                // Bits 6 and 7 are reserved [MQTT-3.8.3-5]; shifted down they match only the last case.
                filter.retain_handling = match options >> 4 {
                    0 => RetainHandling::Send,
                    1 => RetainHandling::SendIfNew,
                    2 => RetainHandling::DoNotSend,
                    _ => return Err(malformed),
                };
                if filter.no_local && filter.raw.starts_with("$share/") {
                    return Err(DecodeError::NoLocalShared); // [MQTT-3.8.3-4]
                }
            }
        }
        Ok(filter)
    }

    fn options(&self, version: Version) -> u8 {
        let mut options = self.qos as u8;
        if version == Version::V5 {
            if self.no_local {
                options |= NO_LOCAL;
            }
            if self.retain_as_published {
                options |= RETAIN_AS_PUBLISHED;
            }
            options |= (self.retain_handling as u8) << 4;
        }
        options
    }
}
