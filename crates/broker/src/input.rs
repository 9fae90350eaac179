//! What can happen to a broker, besides the packets of [`sekisho_mqtt`].

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_mqtt::{PublishProperties, QoS, TopicName};

use crate::authority::Authority;
use crate::refusal::DisconnectReason;

/// The time of a turn. The broker has no clock: whoever calls it reads one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// Milliseconds since the Unix epoch. Must never go back from one call to the next, so a server takes the epoch
    /// time once, at its start, and adds what a monotonic clock has counted since.
    pub unix_ms: u64,
}

impl Now {
    /// A moment, in milliseconds since the Unix epoch.
    pub fn from_unix_ms(unix_ms: u64) -> Now {
        Now { unix_ms }
    }
}

slotmap::new_key_type! {
    /// A connection the broker knows, from the answer to [`crate::Broker::connect`] until its
    /// [`Close`](crate::Effect::Close) or [`closed`](crate::Broker::closed). What is said of one that is gone is
    /// ignored.
    pub struct ConnectionId;
}

impl ConnectionId {
    /// A small number, unique among the connections alive: good as an index into a table. Used again when the
    /// connection is gone; compare whole ids to notice.
    pub fn index(self) -> usize {
        // Documented by slotmap: the lower 32 bits are the index.
        (slotmap::Key::data(&self).as_ffi() & 0xffff_ffff) as usize
    }

    /// As a number that can leave the process and come back.
    pub fn number(self) -> u64 {
        slotmap::Key::data(&self).as_ffi()
    }

    /// The connection of a [`number`](Self::number). Of a number that never was one: a connection that is not alive.
    pub fn from_number(number: u64) -> ConnectionId {
        slotmap::KeyData::from_ffi(number).into()
    }
}

/// An admitted connection whose CONNECT has come.
pub struct Peer<'a> {
    /// The principal it speaks with: a certificate id for mutual TLS. Said in lifecycle events.
    pub principal: Arc<str>,
    /// Where it comes from. Said in lifecycle events.
    pub remote: SocketAddr,
    /// The thing it is attached to EXCLUSIVELY, if any. Said in lifecycle events; other attachments are not (lifecycle
    /// events page).
    pub thing_name: Option<Arc<str>>,
    /// Makes the authority of the connection, given the client id it will have: that of the CONNECT, or the one the
    /// broker assigned in place of an empty one. Called at most once.
    pub authority: &'a dyn Fn(&Arc<str>) -> Arc<dyn Authority>,
}

/// Who asks for a publication that comes over no MQTT connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A caller of the `iot-data` API, held to the same reserved topics as a device. Whether the caller may is
    /// decided before.
    Api {
        /// What the caller is known by.
        principal: Arc<str>,
    },
    /// A service of the server itself, free to publish on reserved topics.
    Service,
}

/// A message to publish that comes over no MQTT connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPublish {
    /// Where.
    pub topic: TopicName,
    /// What.
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// MQTT 5 properties; a message expiry interval counts from now.
    pub properties: PublishProperties,
    /// Who asks.
    pub origin: Origin,
}

/// How to end the connection of a client by its id: DeleteConnection of the `iot-data` API, and the server's own
/// reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisconnectClient {
    /// What the `disconnected` event says.
    pub reason: DisconnectReason,
    /// Remove the session too, subscriptions and stored messages with it.
    pub clean_session: bool,
    /// Forget the will instead of sending it.
    pub prevent_will: bool,
}

impl DisconnectClient {
    /// Ends the connection, keeps the session, sends the will.
    pub fn because(reason: DisconnectReason) -> DisconnectClient {
        DisconnectClient { reason, clean_session: false, prevent_will: false }
    }
}

/// A filter that a service listens with. Numbers are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapId(pub u32);
