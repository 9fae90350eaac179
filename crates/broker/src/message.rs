//! A message in the broker, shared by all its receivers.

use std::sync::Arc;

use bytes::Bytes;
use sekisho_mqtt::{PublishFields, PublishProperties, QoS, TopicName, Utf8};

use crate::budget::{Charged, MESSAGE_BYTES};
use crate::input::Now;
use crate::limits::{CONTENT_TYPE_BYTES, MESSAGE_EXPIRY_SECONDS, PROPERTY_BYTES};

/// The origin of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The client that published it; `None` for the HTTPS API and for services.
    pub client_id: Option<Arc<str>>,
    /// The principal that published it: a certificate id, or the principal of the API caller. `None` for the broker
    /// itself.
    pub principal: Option<Arc<str>>,
}

/// A published message. One per PUBLISH, however many receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: TopicName,
    /// Its payload.
    pub payload: Bytes,
    /// The QoS it was published with.
    pub qos: QoS,
    /// Whether it was published with RETAIN.
    pub retain: bool,
    /// MQTT 5 properties to forward, without topic alias and message expiry.
    pub properties: PublishProperties,
    /// The moment after which it is delivered no more, in [`Now::unix_ms`]; `None` is never.
    pub expires_at: Option<u64>,
    /// When the broker received it, in [`Now::unix_ms`].
    pub published_at: u64,
    /// Its publisher.
    pub source: Arc<Source>,
    /// The charge for its memory, while it has receivers or the broker keeps it.
    pub charged: Charged,
}

impl Message {
    /// Returns the bytes that one delivery counts in an [`crate::Outbox`] and in queues: an upper bound of its size on
    /// the wire and of its user properties in memory, where an empty one is thirteen times as large.
    pub fn cost(&self) -> u32 {
        // Two length fields, packet identifier, fixed header; 5 bytes for a message expiry, 4 for lengths.
        const FRAME: usize = 20;
        let properties = if self.properties.is_empty() { 0 } else { properties_len(&self.properties) };
        u32::try_from(self.topic.len() + self.payload.len() + properties + FRAME).unwrap_or(u32::MAX)
    }

    /// Returns whether it is too late to deliver it.
    pub fn is_expired(&self, now: Now) -> bool {
        self.expires_at.is_some_and(|moment| moment <= now.unix_ms)
    }

    /// Returns the Message Expiry Interval to forward: the seconds that are left, rounded up, so that a message which
    /// is delivered in time does not have an interval of 0.
    pub fn remaining_expiry(&self, now: Now) -> Option<u32> {
        let left = self.expires_at?.saturating_sub(now.unix_ms).div_ceil(1000);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// Returns its size in memory, in bytes.
    pub(crate) fn held_bytes(&self) -> u64 {
        u64::from(self.cost()) + MESSAGE_BYTES
    }

    /// Moves the message into memory of its own, to be kept for longer than a turn: a payload of a few bytes would keep
    /// the whole buffer that it was read into.
    pub(crate) fn detach(&mut self) {
        self.topic = self.topic.detached();
        self.payload = Bytes::copy_from_slice(&self.payload);
        if !self.properties.is_empty() {
            detach_properties(&mut self.properties);
        }
    }
}

/// Returns the moment when a Message Expiry Interval ends, in [`Now::unix_ms`], after clamping it to AWS's range.
pub(crate) fn expiry_moment(now: Now, interval: Option<u32>) -> Option<u64> {
    let seconds = interval?.clamp(*MESSAGE_EXPIRY_SECONDS.start(), *MESSAGE_EXPIRY_SECONDS.end());
    Some(now.unix_ms + u64::from(seconds) * 1000)
}

/// Returns the bytes of the user properties of one packet, names and values.
pub(crate) fn user_properties_len(properties: &sekisho_mqtt::UserProperties) -> usize {
    properties.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Returns whether the properties are within AWS's limits on user properties, correlation data and content type.
pub(crate) fn properties_fit(properties: &PublishProperties) -> bool {
    properties.is_empty()
        || (user_properties_len(&properties.user_properties) <= PROPERTY_BYTES
            && properties.correlation_data.as_ref().is_none_or(|data| data.len() <= PROPERTY_BYTES)
            && properties.content_type.as_ref().is_none_or(|text| text.len() <= CONTENT_TYPE_BYTES))
}

fn properties_len(properties: &PublishProperties) -> usize {
    // An identifier and up to four length bytes for each.
    user_properties_len(&properties.user_properties)
        + properties.user_properties.len() * (5 + size_of::<(Utf8, Utf8)>())
        + properties.content_type.as_ref().map_or(0, |text| text.len() + 3)
        + properties.response_topic.as_ref().map_or(0, |text| text.len() + 3)
        + properties.correlation_data.as_ref().map_or(0, |data| data.len() + 3)
        + 2
}

fn detach_properties(properties: &mut PublishProperties) {
    let PublishFields { response_topic, content_type, correlation_data, user_properties, .. } =
        &mut **properties;
    for text in [response_topic, content_type] {
        *text = text.as_ref().map(Utf8::detached);
    }
    *correlation_data = correlation_data.as_ref().map(|data| Bytes::copy_from_slice(data));
    for (name, value) in user_properties {
        *name = name.detached();
        *value = value.detached();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_empty_user_properties_cost_what_they_take_in_memory() {
        let empty = || (Utf8::from_static("").unwrap(), Utf8::from_static("").unwrap());
        let user_properties: Vec<_> = std::iter::repeat_with(empty).take(1000).collect();
        let taken = size_of_val(&user_properties[..]);
        let message = Message {
            topic: TopicName::new("t").unwrap(),
            payload: Bytes::new(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PublishProperties::from(PublishFields {
                user_properties,
                ..PublishFields::default()
            }),
            expires_at: None,
            published_at: 0,
            source: Arc::new(Source { client_id: None, principal: None }),
            charged: Charged::default(),
        };
        assert!(message.cost() as usize >= taken);
    }
}
