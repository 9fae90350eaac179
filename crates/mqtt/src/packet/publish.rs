//! PUBLISH, section 3.3, with a fast function that writes one for many receivers.

use std::ops::{Deref, DerefMut};

use bytes::{Bytes, BytesMut};

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::protocol::Sender;
use crate::wire::{Length, PropertyReader, Reader, Sink, length_prefix, variable_byte_integer_len};
use crate::{DecodeError, EncodeError, PacketId, QoS, TopicError, TopicName, UserProperties, Utf8, Version};

const RETAIN: u8 = 0b0001;
const QOS: u8 = 0b0110;
const DUP: u8 = 0b1000;

/// A message, received or to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// It is sent again. Only with QoS above 0.
    pub dup: bool,
    /// The QoS.
    pub qos: QoS,
    /// From a client: the message is to be retained. From a server: it was retained.
    pub retain: bool,
    /// The topic as received: a valid topic name, or empty when an MQTT 5 topic alias replaces it.
    pub topic: Utf8,
    /// Present exactly when QoS is above 0.
    pub packet_id: Option<PacketId>,
    /// A slice of the read buffer.
    pub payload: Bytes,
    /// MQTT 5; empty in 3.1.1.
    pub properties: PublishProperties,
}

/// Properties of a PUBLISH or a will (sections 3.3.2.3 and 3.1.3.2), on the heap only when there are any.
///
/// Reads through to [`PublishFields`]; the first write through it makes the box. Build one with
/// `PublishProperties::from(PublishFields { .. })`.
#[derive(Debug, Clone, Default)]
pub struct PublishProperties(Option<Box<PublishFields>>);

/// The fields of [`PublishProperties`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishFields {
    /// True: the payload is UTF-8. False or absent: bytes.
    pub payload_format_indicator: Option<bool>,
    /// Seconds after which the message expires.
    pub message_expiry_interval: Option<u32>,
    /// Replaces the topic on this connection. 0 is decoded, so that the broker can answer 0x94.
    pub topic_alias: Option<u16>,
    /// The topic for the answer. A topic name, without wildcards.
    pub response_topic: Option<Utf8>,
    /// Data that the answer repeats.
    pub correlation_data: Option<Bytes>,
    /// In the order of the packet; a receiver gets them in that order.
    pub user_properties: UserProperties,
    /// Of the subscriptions that matched. From a server only.
    pub subscription_identifiers: Vec<u32>,
    /// Describes the payload, often a MIME type.
    pub content_type: Option<Utf8>,
}

static NO_FIELDS: PublishFields = PublishFields {
    payload_format_indicator: None,
    message_expiry_interval: None,
    topic_alias: None,
    response_topic: None,
    correlation_data: None,
    user_properties: Vec::new(),
    subscription_identifiers: Vec::new(),
    content_type: None,
};

impl PublishProperties {
    /// Returns no properties.
    pub const fn new() -> PublishProperties {
        PublishProperties(None)
    }

    /// Returns whether there are no properties.
    pub fn is_empty(&self) -> bool {
        self.0.as_deref().is_none_or(|fields| *fields == NO_FIELDS)
    }
}

impl From<PublishFields> for PublishProperties {
    fn from(fields: PublishFields) -> PublishProperties {
        if fields == NO_FIELDS { PublishProperties(None) } else { PublishProperties(Some(Box::new(fields))) }
    }
}

impl Deref for PublishProperties {
    type Target = PublishFields;

    fn deref(&self) -> &PublishFields {
        self.0.as_deref().unwrap_or(&NO_FIELDS)
    }
}

impl DerefMut for PublishProperties {
    fn deref_mut(&mut self) -> &mut PublishFields {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for PublishProperties {
    /// An empty box equals no box.
    fn eq(&self, other: &PublishProperties) -> bool {
        **self == **other
    }
}

impl Eq for PublishProperties {}

/// What differs from one receiver of a message to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishHead {
    /// It is sent again.
    pub dup: bool,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// The message was retained.
    pub retain: bool,
    /// Present exactly when QoS is above 0.
    pub packet_id: Option<PacketId>,
}

impl Publish {
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        flags: u8,
        version: Version,
        sender: Sender,
    ) -> Result<Publish, DecodeError> {
        let qos = QoS::from_bits((flags & QOS) >> 1).ok_or(DecodeError::PublishQoS)?; // [MQTT-3.3.1-4]
        let dup = flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::DupWithoutQoS); // [MQTT-3.3.1-2]
        }
        let topic = reader.utf8()?; // [MQTT-3.3.2-1]
        // [MQTT-2.2.1-2]: absent with QoS 0.
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let mut properties = PublishProperties::new();
        if version == Version::V5 {
            let mut block = reader.properties(Carrier::Publish)?;
            while let Some(property) = block.next()? {
                properties.read(property, &mut block)?;
            }
        }
        match TopicName::check(&topic) {
            // An alias may replace the topic (section 3.3.2.3.4).
            Err(TopicError::Empty) if version == Version::V5 => {
                if properties.topic_alias.is_none() {
                    return Err(DecodeError::TopicMissing); // section 3.3.2.1
                }
            }
            checked => checked.map_err(DecodeError::TopicName)?, // [MQTT-3.3.2-2, MQTT-4.7.3-1]
        }
        if sender == Sender::Client && !properties.subscription_identifiers.is_empty() {
            return Err(DecodeError::SubscriptionIdentifierFromClient); // [MQTT-3.3.4-6]
        }
        Ok(Publish {
            dup,
            qos,
            retain: flags & RETAIN != 0,
            topic,
            packet_id,
            payload: reader.rest(),
            properties,
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        match TopicName::check(&self.topic) {
            Err(TopicError::Empty) if version == Version::V5 && self.properties.topic_alias.is_some() => {}
            Err(TopicError::Empty) => {
                return Err(EncodeError::Forbidden(PacketType::Publish, "the topic is empty"));
            }
            Err(_) => return Err(EncodeError::Forbidden(PacketType::Publish, "the topic has a wildcard")),
            Ok(()) => {}
        }
        let head =
            PublishHead { dup: self.dup, qos: self.qos, retain: self.retain, packet_id: self.packet_id };
        encode_publish(out, version, head, &self.topic, &self.payload, &self.properties, None)
    }
}

impl PublishProperties {
    /// Reads the value of one property of a PUBLISH or a will.
    pub(super) fn read(
        &mut self,
        property: PropertyId,
        block: &mut PropertyReader<'_>,
    ) -> Result<(), DecodeError> {
        match property {
            PropertyId::PayloadFormatIndicator => self.payload_format_indicator = Some(block.bool(property)?),
            PropertyId::MessageExpiryInterval => self.message_expiry_interval = Some(block.u32()?),
            PropertyId::TopicAlias => self.topic_alias = Some(block.u16()?),
            PropertyId::ResponseTopic => {
                let topic = block.utf8()?; // [MQTT-3.3.2-13]
                TopicName::check(&topic).map_err(DecodeError::ResponseTopic)?; // [MQTT-3.3.2-14]
                self.response_topic = Some(topic);
            }
            PropertyId::CorrelationData => self.correlation_data = Some(block.binary()?),
            PropertyId::UserProperty => self.user_properties.push(block.user_property()?),
            PropertyId::SubscriptionIdentifier => {
                self.subscription_identifiers.push(block.subscription_identifier()?);
            }
            PropertyId::ContentType => self.content_type = Some(block.utf8()?), // [MQTT-3.3.2-19]
            other => return Err(block.not_allowed(other)),
        }
        Ok(())
    }

    pub(super) fn write<S: Sink + ?Sized>(
        &self,
        packet: PacketType,
        message_expiry_interval: Option<u32>,
        out: &mut S,
    ) -> Result<(), EncodeError> {
        if let Some(seconds) = message_expiry_interval.or(self.message_expiry_interval) {
            out.u32_property(PropertyId::MessageExpiryInterval, seconds);
        }
        let Some(fields) = self.0.as_deref() else { return Ok(()) };
        if let Some(utf8) = fields.payload_format_indicator {
            out.bool_property(PropertyId::PayloadFormatIndicator, utf8);
        }
        if let Some(alias) = fields.topic_alias {
            out.u16_property(PropertyId::TopicAlias, alias);
        }
        if fields.response_topic.as_ref().is_some_and(|topic| TopicName::check(topic).is_err()) {
            return Err(EncodeError::Forbidden(packet, "the response topic is empty or has a wildcard"));
        }
        out.text_property(PropertyId::ResponseTopic, fields.response_topic.as_ref());
        out.binary_property(packet, PropertyId::CorrelationData, fields.correlation_data.as_ref())?;
        for identifier in &fields.subscription_identifiers {
            out.subscription_identifier(packet, *identifier)?;
        }
        out.text_property(PropertyId::ContentType, fields.content_type.as_ref());
        out.user_properties(&fields.user_properties);
        Ok(())
    }

    fn len(&self, message_expiry_interval: Option<u32>) -> Result<usize, EncodeError> {
        let mut length = Length::default();
        self.write(PacketType::Publish, message_expiry_interval, &mut length)?;
        Ok(length.0)
    }
}

/// Returns the bytes after the fixed header.
fn remaining_len(
    version: Version,
    qos: QoS,
    topic_len: usize,
    payload_len: usize,
    properties_len: usize,
) -> usize {
    let packet_id = if qos == QoS::AtMostOnce { 0 } else { 2 };
    let properties = match version {
        Version::V311 => 0,
        Version::V5 => prefix_len(properties_len) + properties_len,
    };
    2 + topic_len + packet_id + properties + payload_len
}

/// Returns the bytes of a length that is written as a variable byte integer.
fn prefix_len(len: usize) -> usize {
    variable_byte_integer_len(u32::try_from(len).unwrap_or(u32::MAX))
}

/// Appends a PUBLISH without building a [`Publish`], for a message with many receivers.
///
/// `topic` must be the text of a [`TopicName`], or empty when `properties` have an alias for it.
/// `message_expiry_interval` replaces the one in `properties`: the seconds that remain for this receiver
/// (section 3.3.2.3.3). A 3.1.1 receiver gets no properties.
///
/// # Errors
///
/// QoS, DUP and packet identifier do not fit together, a field has a value that MQTT forbids, or something is
/// longer than MQTT can express. `out` is unchanged.
pub fn encode_publish(
    out: &mut BytesMut,
    version: Version,
    head: PublishHead,
    topic: &str,
    payload: &[u8],
    properties: &PublishProperties,
    message_expiry_interval: Option<u32>,
) -> Result<(), EncodeError> {
    if head.packet_id.is_some() != (head.qos > QoS::AtMostOnce) {
        return Err(EncodeError::Forbidden(
            PacketType::Publish,
            "a packet identifier goes with QoS 1 and 2 only [MQTT-2.2.1-2]",
        ));
    }
    if head.dup && head.qos == QoS::AtMostOnce {
        return Err(EncodeError::Forbidden(PacketType::Publish, "QoS 0 has no DUP [MQTT-3.3.1-2]"));
    }
    if topic.len() > Utf8::MAX_LEN {
        return Err(EncodeError::TooLong(PacketType::Publish, topic.len()));
    }
    let properties_len = match version {
        Version::V311 => 0,
        Version::V5 => properties.len(message_expiry_interval)?,
    };
    let remaining = remaining_len(version, head.qos, topic.len(), payload.len(), properties_len);
    let prefix = length_prefix(PacketType::Publish, remaining)?;

    out.reserve(1 + prefix_len(remaining) + remaining);
    let mut flags = (head.qos as u8) << 1;
    if head.dup {
        flags |= DUP;
    }
    if head.retain {
        flags |= RETAIN;
    }
    out.u8((PacketType::Publish as u8) << 4 | flags);
    out.variable_byte_integer(prefix);
    out.text(topic);
    if let Some(packet_id) = head.packet_id {
        out.u16(packet_id.get());
    }
    if version == Version::V5 {
        out.variable_byte_integer(length_prefix(PacketType::Publish, properties_len)?);
        properties.write(PacketType::Publish, message_expiry_interval, out)?;
    }
    out.put(payload);
    Ok(())
}

/// Returns the bytes that [`encode_publish`] would append, fixed header included, to compare with the receiver's
/// maximum packet size [MQTT-3.1.2-24]. `usize::MAX` when the properties cannot be encoded.
pub fn publish_len(
    version: Version,
    qos: QoS,
    topic: &str,
    payload_len: usize,
    properties: &PublishProperties,
    message_expiry_interval: Option<u32>,
) -> usize {
    let properties_len = match version {
        Version::V311 => 0,
        Version::V5 => match properties.len(message_expiry_interval) {
            Ok(len) => len,
            Err(_) => return usize::MAX,
        },
    };
    let remaining = remaining_len(version, qos, topic.len(), payload_len, properties_len);
    1 + prefix_len(remaining) + remaining
}
