//! One stored message per topic, for those who subscribe later.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use sekisho_mqtt::TopicName;

use crate::input::Now;
use crate::limits::Limits;
use crate::message::Message;

/// The retained messages of a realm.
#[derive(Debug, Default)]
pub struct Retained {
    messages: HashMap<TopicName, Arc<Message>, ahash::RandomState>,
    /// What they take together.
    bytes: u64,
    /// Those that expire, soonest first.
    expiring: BTreeSet<(u64, TopicName)>,
}

impl Retained {
    /// Whether a message may be retained on the topic. Replacing is possible however many there are; bytes are judged
    /// without the message that is replaced and before adding, so that one larger than the bound still gets in.
    pub fn has_room(&mut self, now: Now, topic: &TopicName, limits: &Limits) -> bool {
        self.expire(now);
        let (others, bytes) = match self.messages.get(topic) {
            Some(old) => (0, self.bytes - u64::from(old.cost())),
            None => (self.messages.len(), self.bytes),
        };
        others < limits.retained_messages && bytes < limits.retained_bytes
    }

    /// Keeps a message in place of an older one of its topic. An empty payload deletes [MQTT-3.3.1-6] and is not kept
    /// [MQTT-3.3.1-7].
    pub fn set(&mut self, message: &Arc<Message>) {
        if let Some(old) = self.remove(&message.topic)
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
        self.bytes += u64::from(message.cost());
        self.messages.insert(message.topic.clone(), Arc::clone(message));
    }

    fn remove(&mut self, topic: &TopicName) -> Option<Arc<Message>> {
        let message = self.messages.remove(topic)?;
        self.bytes -= u64::from(message.cost());
        Some(message)
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
                self.remove(&topic);
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
        let limits = Limits { retained_messages: 1, ..Limits::default() };
        assert!(!retained.has_room(at(49), &new, &limits));
        assert!(retained.has_room(at(49), &old, &limits), "replacing needs no room");
        assert!(retained.get(at(50), &old).is_none());
        assert!(retained.has_room(at(50), &new, &limits));
    }

    #[test]
    fn bytes_are_bounded_too_and_come_back() {
        let mut retained = Retained::default();
        let (first, second) = (message("t", "1", Some(50)), message("u", "2", None));
        let both = u64::from(first.cost() + second.cost());
        let limits = Limits { retained_bytes: both, ..Limits::default() };
        let third = TopicName::new("v").unwrap();
        retained.set(&first);
        assert!(retained.has_room(at(0), &third, &limits));
        retained.set(&second);
        assert!(!retained.has_room(at(0), &third, &limits));
        assert!(retained.has_room(at(0), &second.topic, &limits), "what it replaces does not count");
        assert!(retained.has_room(at(50), &third, &limits), "one has expired");
        retained.set(&message("u", "", None));
        assert_eq!(retained.bytes, 0);
    }
}
