//! PUBLISH, section 3.3, with the quick way to write one for fan-out.

use std::ops::{Deref, DerefMut};

use bytes::{Bytes, BytesMut};

use crate::{EncodeError, PacketId, QoS, UserProperties, Utf8, Version};

/// A message on its way in or out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// A resend. Only with QoS above 0.
    pub dup: bool,
    /// How it is to be acknowledged.
    pub qos: QoS,
    /// To be kept (from a client), or kept earlier (from a server).
    pub retain: bool,
    /// The topic as received: checked to be a topic name, or empty when an MQTT 5 topic alias stands for it.
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
    /// Seconds the message is worth delivering.
    pub message_expiry_interval: Option<u32>,
    /// Stands for a topic on this connection. 0 is decoded, so that the broker can answer 0x94.
    pub topic_alias: Option<u16>,
    /// Where an answer is expected. A topic name, without wildcards.
    pub response_topic: Option<Utf8>,
    /// Given back with the answer.
    pub correlation_data: Option<Bytes>,
    /// In the order they came; a receiver gets them in that order.
    pub user_properties: UserProperties,
    /// Of the subscriptions that matched. From a server only.
    pub subscription_identifiers: Vec<u32>,
    /// What the payload is, often a MIME type.
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
    /// No properties.
    pub const fn new() -> PublishProperties {
        PublishProperties(None)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        **self == NO_FIELDS
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
    /// A box of nothing equals no box.
    fn eq(&self, other: &PublishProperties) -> bool {
        **self == **other
    }
}

impl Eq for PublishProperties {}

/// What differs from one receiver of a message to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishHead {
    /// A resend.
    pub dup: bool,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// Kept earlier.
    pub retain: bool,
    /// Present exactly when QoS is above 0.
    pub packet_id: Option<PacketId>,
}

/// Appends a PUBLISH without building a [`Publish`]: the way out for a message with many receivers.
///
/// `message_expiry_interval` replaces the one in `properties`: the seconds that are left for this receiver
/// (section 3.3.2.3.3). A 3.1.1 receiver gets no properties.
///
/// # Errors
///
/// The topic is empty with no alias for it, has a wildcard or is too long; QoS and packet identifier do not
/// go together; or the packet is larger than MQTT can say. Then `out` is as it was.
pub fn encode_publish(
    out: &mut BytesMut,
    version: Version,
    head: PublishHead,
    topic: &str,
    payload: &[u8],
    properties: &PublishProperties,
    message_expiry_interval: Option<u32>,
) -> Result<(), EncodeError> {
    let _ = (out, version, head, topic, payload, properties, message_expiry_interval);
    unimplemented!()
}

/// Bytes that [`encode_publish`] would append, fixed header included: to be compared with the receiver's
/// maximum packet size.
pub fn publish_len(
    version: Version,
    qos: QoS,
    topic: &str,
    payload_len: usize,
    properties: &PublishProperties,
    message_expiry_interval: Option<u32>,
) -> usize {
    let _ = (version, qos, topic, payload_len, properties, message_expiry_interval);
    unimplemented!()
}
