//! The session of a client id: subscriptions and QoS 1 messages, connected or not.

use std::sync::Arc;

use sekisho_mqtt::{QoS, TopicFilter, Version};

use crate::budget::{AccountBudget, Charge, LEVEL_BYTES, PersistenceCharge, SUBSCRIPTION_BYTES};
use crate::connection::Connection;
use crate::inflight::Inflight;
use crate::input::ConnectionId;
use crate::keys::GroupKey;
use crate::owed::OwedQueue;
use crate::record::{SessionRecord, SubscriptionRecord};
use crate::topic_tree::Slot;
use crate::will::Will;

/// The session of a client id. Every connection has one; a persistent one outlives it.
#[derive(Debug)]
pub struct Session {
    pub client_id: Arc<str>,
    pub version: Version,
    /// Whether it outlives its connection.
    pub persistent: bool,
    /// Its charge while it is persistent.
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
    /// The publication that last matched this session, and its place among the hits; see `deliver.rs`.
    pub mark: (u64, u32),
    pub expiry_timer: Option<u64>,
    pub will_timer: Option<u64>,
    pub unacknowledged_timer: Option<u64>,
}

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    pub filter: TopicFilter,
    pub options: SubscriptionOptions,
    pub place: SubscriptionPlace,
    /// The charge of its memory.
    pub _charge: Charge,
}

/// The options that were granted.
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

    /// Returns whether a QoS 1 message can be sent now over its connection.
    pub fn is_ready(&self, connection: &Connection) -> bool {
        self.queue.is_empty() && self.inflight.len() < connection.window && connection.outbox.has_room()
    }

    pub fn subscription(&self, filter: &str) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.filter.as_str() == filter)
    }

    /// Returns the groups that this session is a member of.
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
    /// Returns the size of a subscription with this filter in memory, in bytes: its text here, in the topic tree and
    /// in records.
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
