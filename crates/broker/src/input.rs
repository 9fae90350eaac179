//! The inputs of a broker, besides the packets of [`sekisho_mqtt`].

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_mqtt::{PublishProperties, QoS, TopicName};

use crate::authority::Authority;
use crate::refusal::DisconnectReason;

/// The time of a turn. The broker has no clock; its caller reads one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// Milliseconds since the Unix epoch. Must never go back from one call to the next, so a server takes the epoch
    /// time once, at its start, and adds what a monotonic clock has counted since.
    pub unix_ms: u64,
}

impl Now {
    /// Makes a moment from milliseconds since the Unix epoch.
    pub fn from_unix_ms(unix_ms: u64) -> Now {
        Now { unix_ms }
    }
}

slotmap::new_key_type! {
    /// A connection the broker knows, from the answer to [`crate::Broker::connect`] until its
    /// [`Close`](crate::Effect::Close) or [`closed`](crate::Broker::closed). Inputs about
    /// a connection that has ended are ignored.
    pub struct ConnectionId;
}

impl ConnectionId {
    /// Returns a small number, unique among the open connections: an index into a table. It is used again after the
    /// connection has ended; compare whole ids to notice that.
    pub fn index(self) -> usize {
        // Documented by slotmap: the lower 32 bits are the index.
        (slotmap::Key::data(&self).as_ffi() & 0xffff_ffff) as usize
    }

    /// Returns a number that can leave the process; [`from_number`](Self::from_number) is its inverse.
    pub fn number(self) -> u64 {
        slotmap::Key::data(&self).as_ffi()
    }

    /// Returns the connection of a [`number`](Self::number); for any other number, a connection that does not exist.
    pub fn from_number(number: u64) -> ConnectionId {
        slotmap::KeyData::from_ffi(number).into()
    }
}

/// An admitted connection whose CONNECT has come.
pub struct Peer<'a> {
    /// The principal it has authenticated with: a certificate id for mutual TLS. Part of lifecycle events.
    pub principal: Arc<str>,
    /// Its address. Part of lifecycle events.
    pub remote: SocketAddr,
    /// The thing it is attached to EXCLUSIVELY, if any. Part of lifecycle events; other attachments are not
    /// (lifecycle events page).
    pub thing_name: Option<Arc<str>>,
    /// Makes the authority of the connection, given the client id it will have: that of the CONNECT, or the one the
    /// broker assigned in place of an empty one. Called at most once.
    pub authority: &'a dyn Fn(&Arc<str>) -> Arc<dyn Authority>,
}

/// The origin of a publication that comes over no MQTT connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A caller of the `iot-data` API, under the same rules for reserved topics as a device. Whether the caller
    /// may publish is decided before.
    Api {
        /// The caller's principal.
        principal: Arc<str>,
    },
    /// A service of the server itself, free to publish on reserved topics.
    Service,
}

/// A message to publish that comes over no MQTT connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPublish {
    /// Its topic.
    pub topic: TopicName,
    /// Its payload.
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// MQTT 5 properties; a message expiry interval counts from now.
    pub properties: PublishProperties,
    /// Its origin.
    pub origin: Origin,
}

/// How to end the connection of a client by its id: DeleteConnection of the `iot-data` API, and the server's own
/// reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisconnectClient {
    /// The reason in the `disconnected` event.
    pub reason: DisconnectReason,
    /// Remove the session too, subscriptions and stored messages with it.
    pub clean_session: bool,
    /// Drop the will instead of sending it.
    pub prevent_will: bool,
}

impl DisconnectClient {
    /// Ends the connection, keeps the session, sends the will.
    pub fn because(reason: DisconnectReason) -> DisconnectClient {
        DisconnectClient { reason, clean_session: false, prevent_will: false }
    }
}

/// A subscription of a service. The caller assigns the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapId(pub u32);
