//! Retained messages: one for each topic, for later subscribers.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use sekisho_mqtt::TopicName;

use crate::budget::{AccountBudget, Charge, Resource};
use crate::input::Now;
use crate::limits::Limits;
use crate::message::Message;

/// What an entry of the store takes besides its message, in bytes: the topic's place in the table and among those that
/// expire.
const ENTRY_BYTES: u64 = 256;

/// The retained messages of a realm.
#[derive(Debug, Default)]
pub struct Retained {
    messages: HashMap<TopicName, Kept, RandomState>,
    /// What they take together.
    bytes: u64,
    /// Those that expire, soonest first.
    expiring: BTreeSet<(u64, TopicName)>,
}

/// A message in the store, with what its memory is charged for.
#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    charge: Charge,
}

impl Retained {
    /// Returns whether a message may be retained on the topic. A message can always be replaced as far as the number
    /// goes; bytes are compared before adding and without the replaced message, so one larger than the bound is kept.
    pub fn has_room(&mut self, now: Now, topic: &TopicName, limits: &Limits) -> bool {
        self.expire(now);
        let (others, bytes) = match self.messages.get(topic) {
            Some(old) => (0, self.bytes - u64::from(old.message.cost())),
            None => (self.messages.len(), self.bytes),
        };
        others < limits.retained_messages && bytes < limits.retained_bytes
    }

    /// Takes room for a message. Returns the charge to [set](Retained::set) it with. The charge of the message that
    /// it replaces passes to it. `None` where the store is full or the account's budget has no more.
    pub fn reserve(
        &mut self,
        now: Now,
        message: &Message,
        limits: &Limits,
        budget: &Arc<AccountBudget>,
    ) -> Option<Charge> {
        if !self.has_room(now, &message.topic, limits) {
            return None;
        }
        let bytes = message.held_bytes() + ENTRY_BYTES;
        let Some(old) = self.messages.get_mut(&message.topic) else {
            return budget.take(Resource::Retained, bytes);
        };
        // What the old one does not need any more comes back when it is replaced.
        if bytes > old.charge.amount() && !old.charge.resize(bytes) {
            return None;
        }
        let mut charge = budget.nothing(Resource::Retained);
        std::mem::swap(&mut charge, &mut old.charge);
        Some(charge)
    }

    /// Retains a message in place of an older one of its topic. An empty payload deletes [MQTT-3.3.1-6] and is not kept
    /// [MQTT-3.3.1-7]; nor is one without a charge.
    pub fn set(&mut self, message: &Arc<Message>, charge: Option<Charge>) {
        if let Some(old) = self.remove(&message.topic)
            && let Some(moment) = old.expires_at
        {
            self.expiring.remove(&(moment, old.topic.clone()));
        }
        let Some(mut charge) = charge.filter(|_| !message.payload.is_empty()) else { return };
        charge.resize(message.held_bytes() + ENTRY_BYTES);
        if let Some(moment) = message.expires_at {
            self.expiring.insert((moment, message.topic.clone()));
        }
        self.bytes += u64::from(message.cost());
        // A copy of the structure, which shares topic and payload: what waits for clients is charged apart.
        let message = Arc::new(Message::clone(message));
        self.messages.insert(message.topic.clone(), Kept { message, charge });
    }

    fn remove(&mut self, topic: &TopicName) -> Option<Arc<Message>> {
        let kept = self.messages.remove(topic)?;
        self.bytes -= u64::from(kept.message.cost());
        Some(kept.message)
    }

    /// Returns the message of a topic.
    pub fn get(&self, now: Now, topic: &TopicName) -> Option<&Arc<Message>> {
        self.messages.get(topic).map(|kept| &kept.message).filter(|message| !message.is_expired(now))
    }

    /// Returns all messages, in no particular order.
    pub fn iter(&self, now: Now) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values().map(|kept| &kept.message).filter(move |message| !message.is_expired(now))
    }

    /// Drops expired messages.
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
    use crate::budget::{Budget, BudgetLimits, Charged};
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
            charged: Charged::default(),
        })
    }

    fn budget(retained_bytes: u64) -> Arc<AccountBudget> {
        let limits = BudgetLimits { retained_bytes, account_share_percent: 100, ..BudgetLimits::default() };
        AccountBudget::new(Budget::new(&limits))
    }

    /// Keeps a message if there is room.
    fn keep(retained: &mut Retained, message: &Arc<Message>, budget: &Arc<AccountBudget>) -> bool {
        let charge = retained.reserve(at(0), message, &Limits::default(), budget);
        let is_kept = charge.is_some();
        if is_kept {
            retained.set(message, charge);
        }
        is_kept
    }

    #[test]
    fn the_budget_bounds_what_is_kept_and_a_message_that_is_replaced_makes_room() {
        let one = message("t", "1", None).held_bytes() + ENTRY_BYTES;
        let budget = budget(2 * one + 1);
        let mut retained = Retained::default();
        assert!(keep(&mut retained, &message("t", "1", None), &budget));
        assert!(keep(&mut retained, &message("u", "1", None), &budget));
        assert!(!keep(&mut retained, &message("v", "1", None), &budget));
        assert!(keep(&mut retained, &message("t", "22", None), &budget));
        assert!(!keep(&mut retained, &message("t", "333", None), &budget), "it would be one byte too much");
        assert_eq!(retained.get(at(0), &TopicName::new("t").unwrap()).unwrap().payload, "22");
        assert_eq!(budget.used(Resource::Retained), 2 * one + 1);
        assert!(keep(&mut retained, &message("t", "1", None), &budget));
        assert_eq!(budget.used(Resource::Retained), 2 * one);
        retained.set(&message("t", "", None), None);
        assert_eq!(budget.used(Resource::Retained), one);
        drop(retained);
        assert_eq!(budget.used(Resource::Retained), 0);
    }

    fn at(unix_ms: u64) -> Now {
        Now::from_unix_ms(unix_ms)
    }

    #[test]
    fn a_later_message_replaces_and_an_empty_one_deletes() {
        let (mut retained, budget) = (Retained::default(), budget(1_000_000));
        let topic = TopicName::new("t").unwrap();
        keep(&mut retained, &message("t", "1", Some(50)), &budget);
        keep(&mut retained, &message("t", "2", None), &budget);
        retained.expire(at(60));
        assert_eq!(retained.get(at(60), &topic).unwrap().payload, "2");
        keep(&mut retained, &message("t", "", None), &budget);
        assert!(retained.get(at(60), &topic).is_none());
        assert_eq!(retained.iter(at(60)).count(), 0);
    }

    #[test]
    fn expired_messages_are_not_found_and_make_room() {
        let (mut retained, budget) = (Retained::default(), budget(1_000_000));
        let (old, new) = (TopicName::new("t").unwrap(), TopicName::new("u").unwrap());
        keep(&mut retained, &message("t", "1", Some(50)), &budget);
        let limits = Limits { retained_messages: 1, ..Limits::default() };
        assert!(!retained.has_room(at(49), &new, &limits));
        assert!(retained.has_room(at(49), &old, &limits), "replacing needs no room");
        assert!(retained.get(at(50), &old).is_none());
        assert!(retained.has_room(at(50), &new, &limits));
    }

    #[test]
    fn bytes_are_bounded_too_and_come_back() {
        let (mut retained, budget) = (Retained::default(), budget(1_000_000));
        let (first, second) = (message("t", "1", Some(50)), message("u", "2", None));
        let both = u64::from(first.cost() + second.cost());
        let limits = Limits { retained_bytes: both, ..Limits::default() };
        let third = TopicName::new("v").unwrap();
        keep(&mut retained, &first, &budget);
        assert!(retained.has_room(at(0), &third, &limits));
        keep(&mut retained, &second, &budget);
        assert!(!retained.has_room(at(0), &third, &limits));
        assert!(retained.has_room(at(0), &second.topic, &limits), "what it replaces does not count");
        assert!(retained.has_room(at(50), &third, &limits), "one has expired");
        keep(&mut retained, &message("u", "", None), &budget);
        assert_eq!(retained.bytes, 0);
    }
}
