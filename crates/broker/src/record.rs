//! What must outlive the process, as plain data. The broker decides what to keep; a log decides how.

use std::sync::Arc;

use sekisho_mqtt::{QoS, Version};

use crate::message::Message;

/// One record to store. Records are replayed in the order in which they were made.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A persistent session began or changed. Replaces the earlier record of it; subscriptions and messages stay.
    Session(SessionRecord),
    /// The session ended, and with it its subscriptions and messages.
    SessionEnded {
        /// The session's client id.
        client_id: Arc<str>,
    },
    /// Subscriptions of a persistent session, new or replaced.
    Subscribed {
        /// The session's client id.
        client_id: Arc<str>,
        /// All of one SUBSCRIBE that were granted.
        subscriptions: Vec<SubscriptionRecord>,
    },
    /// Subscriptions of a persistent session were removed.
    Unsubscribed {
        /// The session's client id.
        client_id: Arc<str>,
        /// Filters as subscribed to, `$share/<name>/` included.
        filters: Vec<Arc<str>>,
    },
    /// A message that persistent sessions, a shared group or the retained store must not lose. One record, however
    /// many they are.
    Message {
        /// Rises by one for each; sessions and groups refer to it.
        id: MessageId,
        /// The message.
        message: Arc<Message>,
        /// Whether it is now the retained message of its topic; an empty payload deletes that.
        retained: bool,
        /// The persistent sessions and shared groups that have to deliver it.
        owners: Vec<Owner>,
    },
    /// A message was acknowledged or given up.
    Settled {
        /// The owner of the message.
        owner: Owner,
        /// The message.
        message: MessageId,
    },
    /// The last member left a shared group; its messages are dropped.
    GroupEnded {
        /// `<share name>/<filter>`.
        group: Arc<str>,
    },
}

/// A session or group that has to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The persistent session of a client id.
    Session(Arc<str>),
    /// A shared group, until some member has acknowledged the message: `<share name>/<filter>`.
    Group(Arc<str>),
}

/// The number of a message in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// A persistent session, without its subscriptions and messages.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// Its client id.
    pub client_id: Arc<str>,
    /// Only this version can resume it (MQTT page).
    pub version: Version,
    /// Seconds it outlives a connection.
    pub expiry_seconds: u32,
    /// When its connection ended, in milliseconds since the Unix epoch; `None` while connected.
    pub disconnected_at: Option<u64>,
    /// The message to publish when the connection ends. After a crash it has ended.
    pub will: Option<WillRecord>,
}

/// A will that is not sent yet.
#[derive(Debug, Clone, PartialEq)]
pub struct WillRecord {
    /// What to publish; its expiry counts from the moment of publication.
    pub message: Arc<Message>,
    /// Seconds its message is worth delivering once published.
    pub message_expiry: Option<u32>,
    /// Seconds between the end of the connection and the publication.
    pub delay_seconds: u32,
}

/// One subscription of a persistent session.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRecord {
    /// As subscribed to, `$share/<name>/` included.
    pub filter: Arc<str>,
    /// Granted.
    pub qos: QoS,
    /// MQTT 5 option.
    pub no_local: bool,
    /// MQTT 5 option.
    pub retain_as_published: bool,
}
