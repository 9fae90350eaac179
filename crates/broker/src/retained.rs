//! One stored message per topic, for those who subscribe later.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use sekisho_mqtt::TopicName;

use crate::input::Now;
use crate::message::Message;

/// The retained messages of a realm.
#[derive(Debug, Default)]
pub struct Retained {
    messages: HashMap<TopicName, Arc<Message>, ahash::RandomState>,
    /// Those that expire, soonest first.
    expiring: BTreeSet<(u64, TopicName)>,
}

impl Retained {
    /// Whether a message may be retained on the topic without having more than `most`: replacing is always possible.
    pub fn has_room(&mut self, now: Now, topic: &TopicName, most: usize) -> bool {
        self.expire(now);
        self.messages.len() < most || self.messages.contains_key(topic)
    }

    /// Keeps a message in place of an older one of its topic. An empty payload deletes [MQTT-3.3.1-6] and is not kept
    /// [MQTT-3.3.1-7].
    pub fn set(&mut self, message: &Arc<Message>) {
        if let Some(old) = self.messages.remove(&message.topic)
            && let Some(moment) = old.expires_at
        {
            self.expiring.remove(&(moment, old.topic.clone()));
        }
        if message.payload.is_empty() {
            return;
        }
        if let Some(moment) = message.expires_at {
            self.expiring.insert((moment, message.topic.clone()));
        }
        self.messages.insert(message.topic.clone(), Arc::clone(message));
    }

    /// The message of a topic.
    pub fn get(&self, now: Now, topic: &TopicName) -> Option<&Arc<Message>> {
        self.messages.get(topic).filter(|message| !message.is_expired(now))
    }

    /// All messages, in no particular order.
    pub fn iter(&self, now: Now) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values().filter(move |message| !message.is_expired(now))
    }

    /// Drops what has expired.
    pub fn expire(&mut self, now: Now) {
        while self.expiring.first().is_some_and(|(moment, _)| *moment <= now.unix_ms) {
            if let Some((_, topic)) = self.expiring.pop_first() {
                self.messages.remove(&topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sekisho_mqtt::{PublishProperties, QoS};

    use super::*;
    use crate::message::Source;

    fn message(topic: &str, payload: &'static str, expires_at: Option<u64>) -> Arc<Message> {
        Arc::new(Message {
            topic: TopicName::new(topic).unwrap(),
            payload: Bytes::from_static(payload.as_bytes()),
            qos: QoS::AtMostOnce,
            retain: true,
            properties: PublishProperties::new(),
            expires_at,
            published_at: 0,
            source: Arc::new(Source { client_id: None, principal: None }),
        })
    }

    fn at(unix_ms: u64) -> Now {
        Now::from_unix_ms(unix_ms)
    }

    #[test]
    fn a_later_message_replaces_and_an_empty_one_deletes() {
        let mut retained = Retained::default();
        let topic = TopicName::new("t").unwrap();
        retained.set(&message("t", "1", Some(50)));
        retained.set(&message("t", "2", None));
        retained.expire(at(60));
        assert_eq!(retained.get(at(60), &topic).unwrap().payload, "2");
        retained.set(&message("t", "", None));
        assert!(retained.get(at(60), &topic).is_none());
        assert_eq!(retained.iter(at(60)).count(), 0);
    }

    #[test]
    fn expired_messages_are_not_found_and_make_room() {
        let mut retained = Retained::default();
        let (old, new) = (TopicName::new("t").unwrap(), TopicName::new("u").unwrap());
        retained.set(&message("t", "1", Some(50)));
        assert!(!retained.has_room(at(49), &new, 1));
        assert!(retained.has_room(at(49), &old, 1), "replacing needs no room");
        assert!(retained.get(at(50), &old).is_none());
        assert!(retained.has_room(at(50), &new, 1));
    }
}
