//! What must outlive the process, as plain data. The broker says what to keep; a log decides how.

use std::sync::Arc;

use sekisho_mqtt::{QoS, Version};

use crate::message::Message;

/// One fact to write down. Facts are to be replayed in the order they were given.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A persistent session began, or what it says of itself changed. Replaces what was said before; subscriptions
    /// and messages stay.
    Session(SessionRecord),
    /// The session ended, and with it its subscriptions and messages.
    SessionEnded {
        /// Whose.
        client_id: Arc<str>,
    },
    /// Subscriptions of a persistent session, new or replaced.
    Subscribed {
        /// Whose.
        client_id: Arc<str>,
        /// All of one SUBSCRIBE that were granted.
        subscriptions: Vec<SubscriptionRecord>,
    },
    /// Subscriptions of a persistent session are gone.
    Unsubscribed {
        /// Whose.
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
        /// The persistent sessions and shared groups that owe it.
        owners: Vec<Owner>,
    },
    /// A message was acknowledged, or given up: it is owed no more.
    Settled {
        /// By whom it was owed.
        owner: Owner,
        /// Which.
        message: MessageId,
    },
    /// The last member left a shared group, and what it kept is gone.
    GroupEnded {
        /// `<share name>/<filter>`.
        group: Arc<str>,
    },
}

/// Who owes a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The persistent session of a client id.
    Session(Arc<str>),
    /// A shared group, until some member has acknowledged the message: `<share name>/<filter>`.
    Group(Arc<str>),
}

/// Names a message among the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// A persistent session, without its subscriptions and messages.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// Whose.
    pub client_id: Arc<str>,
    /// Only this version can resume it (MQTT page).
    pub version: Version,
    /// Seconds it outlives a connection.
    pub expiry_seconds: u32,
    /// When its connection ended, in milliseconds since the Unix epoch; `None` while connected.
    pub disconnected_at: Option<u64>,
    /// What is to be published when the client is gone. After a crash, the client is.
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
