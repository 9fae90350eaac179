//! What the broker owes one client: subscriptions and QoS 1 messages, connected or not.

use std::collections::VecDeque;
use std::sync::Arc;

use sekisho_mqtt::{QoS, TopicFilter, Version};

use crate::budget::{AccountBudget, Charge, LEVEL_BYTES, PersistenceCharge, Resource, SUBSCRIPTION_BYTES};
use crate::connection::Connection;
use crate::inflight::Inflight;
use crate::input::{ConnectionId, Now};
use crate::message::Message;
use crate::record::{MessageId, SessionRecord, SubscriptionRecord};
use crate::shared::GroupKey;
use crate::topic_tree::Slot;
use crate::will::Will;

slotmap::new_key_type! {
    /// A session in memory.
    pub struct SessionKey;
}

/// The session of a client id. Every connection has one; a persistent one outlives it.
#[derive(Debug)]
pub struct Session {
    pub client_id: Arc<str>,
    pub version: Version,
    /// Whether it outlives its connection.
    pub persistent: bool,
    /// What it takes while it is persistent.
    pub persistence: Option<PersistenceCharge>,
    /// For how many seconds.
    pub expiry_seconds: u32,
    pub connection: Option<ConnectionId>,
    pub subscriptions: Vec<Subscription>,
    pub inflight: Inflight,
    /// QoS 1 messages to send when there is room, oldest first.
    pub queue: OwedQueue,
    /// A will that waits for its delay; only while offline.
    pub delayed_will: Option<Box<Will>>,
    /// When the connection ended, in milliseconds since the Unix epoch.
    pub disconnected_at: Option<u64>,
    /// The publication that last met this session, and where it is among the hits; see `deliver.rs`.
    pub mark: (u64, u32),
    pub expiry_timer: Option<u64>,
    pub will_timer: Option<u64>,
    pub unacknowledged_timer: Option<u64>,
}

/// A QoS 1 message for a client.
#[derive(Debug, Clone)]
pub struct Owed {
    pub message: Arc<Message>,
    /// RETAIN as it is to be sent.
    pub retain: bool,
    /// Its record, if it has one that is to be settled.
    pub stored: Option<MessageId>,
    /// The shared group it was taken from, which gets it back should the session end.
    pub group: Option<GroupKey>,
    /// When it is not worth keeping any longer, whatever the message itself says; in a group's queue.
    pub until: Option<u64>,
}

impl Owed {
    /// Whether it is too late to send it.
    pub fn is_expired(&self, now: Now) -> bool {
        self.message.is_expired(now) || self.until.is_some_and(|moment| moment <= now.unix_ms)
    }
}

/// Messages that wait, oldest first, and what they take together.
///
/// The [cost](Message::cost) of a message is counted for each queue it waits in, although all share it: what one of
/// them holds would stay if the others let go.
///
/// The memory of its entries is charged here, that of the messages where they are held ([`Message::charged`]).
#[derive(Debug)]
pub struct OwedQueue {
    owed: VecDeque<Owed>,
    bytes: u64,
    entries: Charge,
}

/// What an entry takes in memory, in bytes: a queue that has grown is at most half empty.
const ENTRY_BYTES: u64 = 2 * size_of::<Owed>() as u64;

/// A queue with room for more entries than this gives memory back when it is mostly empty.
const KEPT_ENTRIES: usize = 64;

impl OwedQueue {
    /// An empty queue of an account.
    pub fn new(budget: &Arc<AccountBudget>) -> OwedQueue {
        OwedQueue { owed: VecDeque::new(), bytes: 0, entries: budget.nothing(Resource::Messages) }
    }

    /// Whether one more may wait. Judged before adding, so that one message larger than the bound still gets in.
    pub fn has_room(&self, most_messages: usize, most_bytes: u64) -> bool {
        self.owed.len() < most_messages && self.bytes < most_bytes
    }

    pub fn len(&self) -> usize {
        self.owed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    pub fn front(&self) -> Option<&Owed> {
        self.owed.front()
    }

    pub fn iter(&self) -> std::collections::vec_deque::Iter<'_, Owed> {
        self.owed.iter()
    }

    /// Those that wait for their own sake get no record any more.
    pub fn forget_records(&mut self) {
        self.owed.iter_mut().filter(|owed| owed.group.is_none()).for_each(|owed| owed.stored = None);
    }

    /// Adds a message. Gives it back when the account's budget has no room for it.
    pub fn push_back(&mut self, owed: Owed) -> Result<(), Owed> {
        if !self.entries.resize(self.entries.amount() + ENTRY_BYTES) {
            return Err(owed);
        }
        self.bytes += u64::from(owed.message.cost());
        self.owed.push_back(owed);
        Ok(())
    }

    /// Takes a message back that was under way, before all others. It is not refused: at most a window of them comes,
    /// and where the budget has no room for their entries these are not charged.
    pub fn push_front(&mut self, owed: Owed) {
        self.entries.resize(self.entries.amount() + ENTRY_BYTES);
        self.bytes += u64::from(owed.message.cost());
        self.owed.push_front(owed);
    }

    pub fn pop_front(&mut self) -> Option<Owed> {
        let owed = self.owed.pop_front();
        self.taken(owed)
    }

    pub fn remove(&mut self, position: usize) -> Option<Owed> {
        let owed = self.owed.remove(position);
        self.taken(owed)
    }

    fn taken(&mut self, owed: Option<Owed>) -> Option<Owed> {
        self.bytes -= owed.as_ref().map_or(0, |owed| u64::from(owed.message.cost()));
        let taken = self.owed.len() as u64 * ENTRY_BYTES;
        if self.entries.amount() > taken {
            self.entries.resize(taken);
        }
        if self.owed.capacity() > KEPT_ENTRIES && self.owed.len() < self.owed.capacity() / 4 {
            self.owed.shrink_to(self.owed.capacity() / 2);
        }
        owed
    }
}

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    pub filter: TopicFilter,
    pub options: SubscriptionOptions,
    pub place: SubscriptionPlace,
    /// What it takes in memory.
    pub _charge: Charge,
}

/// What was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionOptions {
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
}

/// Where the subscription is registered.
#[derive(Debug, Clone, Copy)]
pub enum SubscriptionPlace {
    Own(Slot),
    Shared(GroupKey),
}

impl Session {
    pub fn new(client_id: Arc<str>, version: Version, budget: &Arc<AccountBudget>) -> Session {
        Session {
            client_id,
            version,
            persistent: false,
            persistence: None,
            expiry_seconds: 0,
            connection: None,
            subscriptions: Vec::new(),
            inflight: Inflight::default(),
            queue: OwedQueue::new(budget),
            delayed_will: None,
            disconnected_at: None,
            mark: (0, 0),
            expiry_timer: None,
            will_timer: None,
            unacknowledged_timer: None,
        }
    }

    /// Whether a QoS 1 message can be sent now, over its connection.
    pub fn is_ready(&self, connection: &Connection) -> bool {
        self.queue.is_empty() && self.inflight.len() < connection.window && connection.outbox.has_room()
    }

    pub fn subscription(&self, filter: &str) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.filter.as_str() == filter)
    }

    /// The groups this session is a member of.
    pub fn groups(&self) -> impl Iterator<Item = GroupKey> + '_ {
        self.subscriptions.iter().filter_map(|subscription| match subscription.place {
            SubscriptionPlace::Shared(group) => Some(group),
            SubscriptionPlace::Own(_) => None,
        })
    }

    pub fn record(&self, will: Option<&Will>) -> SessionRecord {
        SessionRecord {
            client_id: Arc::clone(&self.client_id),
            version: self.version,
            expiry_seconds: self.expiry_seconds,
            disconnected_at: self.disconnected_at,
            will: will.map(Will::record),
        }
    }
}

impl Subscription {
    /// What a subscription with this filter takes in memory, in bytes: its text here, in the topic tree and in records.
    pub fn held_bytes(filter: &TopicFilter) -> u64 {
        SUBSCRIPTION_BYTES + 3 * filter.as_str().len() as u64 + LEVEL_BYTES * filter.levels().count() as u64
    }

    pub fn record(&self) -> SubscriptionRecord {
        SubscriptionRecord {
            filter: self.filter.as_str().into(),
            qos: self.options.qos,
            no_local: self.options.no_local,
            retain_as_published: self.options.retain_as_published,
        }
    }
}
