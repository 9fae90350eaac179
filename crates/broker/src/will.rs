//! The will: a message that is published when a connection ends without DISCONNECT.

use std::sync::Arc;

use sekisho_mqtt::TopicName;

use crate::budget::{AccountBudget, Charged, Resource};
use crate::input::Now;
use crate::limits::{PAYLOAD_BYTES, TOPIC_BYTES, TOPIC_SLASHES};
use crate::message::{Message, Source, expiry_moment};
use crate::record::WillRecord;
use crate::refusal::Refusal;
use crate::reserved;

/// A will, kept with the connection, then with the session while it waits for its delay.
#[derive(Debug)]
pub struct Will {
    /// Without an expiry moment: that counts from the publication (MQTT page).
    message: Arc<Message>,
    message_expiry: Option<u32>,
    pub delay_seconds: u32,
}

impl Will {
    /// Checks what can be checked without policies.
    ///
    /// # Errors
    ///
    /// QoS 2, a topic that is too long, too deep or reserved, a payload or property that is too large, or the account
    /// has no memory left for it.
    pub fn new(
        will: sekisho_mqtt::Will,
        source: Arc<Source>,
        budget: &Arc<AccountBudget>,
    ) -> Result<Will, Refusal> {
        if will.qos == sekisho_mqtt::QoS::ExactlyOnce {
            return Err(Refusal::WillQosNotSupported);
        }
        check_topic(&will.topic)?;
        let mut properties = will.properties;
        if will.payload.len() > PAYLOAD_BYTES || !crate::message::properties_fit(&properties) {
            return Err(Refusal::WillTooLarge);
        }
        let message_expiry = properties.message_expiry_interval;
        if message_expiry.is_some() {
            properties.message_expiry_interval = None;
        }
        let mut message = Message {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties,
            expires_at: None,
            published_at: 0,
            source,
            charged: Charged::default(),
        };
        let charge =
            budget.take(Resource::Sessions, message.held_bytes()).ok_or(Refusal::SessionMemoryFull)?;
        message.charged = Charged(Some(charge));
        // Kept as long as the connection: it must not keep the buffer that CONNECT was read into.
        message.detach();
        Ok(Will { message: Arc::new(message), message_expiry, delay_seconds: will.delay_interval })
    }

    pub fn topic(&self) -> &str {
        self.message.topic.as_str()
    }

    pub fn retain(&self) -> bool {
        self.message.retain
    }

    /// Returns the message to publish now.
    pub fn into_message(self, now: Now) -> Message {
        let expires_at = expiry_moment(now, self.message_expiry);
        let message = Arc::unwrap_or_clone(self.message);
        Message { expires_at, published_at: now.unix_ms, ..message }
    }

    pub fn record(&self) -> WillRecord {
        WillRecord {
            message: Arc::clone(&self.message),
            message_expiry: self.message_expiry,
            delay_seconds: self.delay_seconds,
        }
    }
}

fn check_topic(topic: &TopicName) -> Result<(), Refusal> {
    // No will reaches a reserved topic (developer guide, shadow MQTT topics).
    if reserved::is_reserved(topic.as_str()) {
        return Err(Refusal::WillTopicReserved);
    }
    if topic.counted().len() > TOPIC_BYTES || topic.slash_count() > TOPIC_SLASHES {
        return Err(Refusal::WillTopicInvalid);
    }
    Ok(())
}
