//! What a broker asks for. Its caller carries the effects out, in their order.

use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_mqtt::{Packet, Version};

use crate::input::{ConnectionId, TapId};
use crate::lifecycle::LifecycleEvent;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::outgoing::Outgoing;
use crate::record::Record;
use crate::refusal::{DisconnectReason, Operation, Refusal};

/// The most that is said of what a refusal was about: more than any topic AWS IoT takes.
pub const ABOUT_BYTES: usize = 512;

/// A promise to say when a record is safe: [`crate::Broker::stored`]. Tickets rise; no ticket is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTicket(pub u64);

/// Something to do.
#[derive(Debug)]
pub enum Effect {
    /// The CONNECT of this connection was accepted; comes before its CONNACK.
    Accepted(Box<Accepted>),
    /// Write to a connection.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// What.
        outgoing: Outgoing,
    },
    /// Write what was sent before, then close the connection. The broker has forgotten it.
    Close {
        /// Whose socket.
        connection: ConnectionId,
        /// Why, as events and the API say it. For a CONNECT that was refused: what would be said.
        reason: DisconnectReason,
        /// Why exactly, when the broker refused something.
        refusal: Option<Refusal>,
    },
    /// Read no more packets from a connection (or go on): an MQTT 3.1.1 client has too many unacknowledged messages
    /// under way. What was read already may still be handed in.
    Reading {
        /// From whom.
        connection: ConnectionId,
        /// Whether to stop.
        paused: bool,
    },
    /// Write this down, then call [`crate::Broker::stored`]. Records are to be kept in the order of their effects.
    Store {
        /// To give back.
        ticket: StoreTicket,
        /// What.
        record: Record,
    },
    /// A service listens here.
    Tapped {
        /// With this filter.
        tap: TapId,
        /// And this came.
        message: Arc<Message>,
        /// From this connection, which can be [answered](crate::Broker::reply); none for what came over no connection.
        from: Option<ConnectionId>,
    },
    /// Something happened to a connection that others want to know. It is published on its `$aws/events` topic
    /// already.
    Lifecycle(Arc<LifecycleEvent>),
    /// Something was refused: for the log, metrics and the journal. Comes with every refusal on an open connection and
    /// before the `Close` of one that ends for it.
    Refused {
        /// Whose request.
        connection: ConnectionId,
        /// What.
        operation: Operation,
        /// Why.
        refusal: Refusal,
        /// The topic, topic filter or client id it was about; empty when about none. At most [`ABOUT_BYTES`], since a
        /// client decides how long it is and a log keeps it.
        about: String,
    },
}

/// What the network has to know of an accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// Which.
    pub connection: ConnectionId,
    /// The client id in use, also when the broker assigned it.
    pub client_id: Arc<str>,
    /// Unique for the life of the connection; the `sessionIdentifier` of its events.
    pub session_identifier: Arc<str>,
    /// Seconds. After 1.5 times this without a packet, call [`crate::Broker::disconnect`] with
    /// [`DisconnectReason::MqttKeepAliveTimeout`].
    pub keep_alive: u16,
    /// Seconds, as the client asked: what logs and GetConnection show (MQTT page).
    pub requested_keep_alive: u16,
    /// Where the client is.
    pub remote: SocketAddr,
    /// Counts what is under way to the client; see [`Outbox`].
    pub outbox: Arc<Outbox>,
}

/// The effects of a turn: a buffer to use again and again.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// An empty buffer.
    pub fn new() -> Effects {
        Effects::default()
    }

    /// Takes the effects out, first to last, and keeps the room.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.0.drain(..)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many effects wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The effects, first to last.
    pub fn iter(&self) -> std::slice::Iter<'_, Effect> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    pub(crate) fn refused(
        &mut self,
        connection: ConnectionId,
        operation: Operation,
        refusal: Refusal,
        about: &str,
    ) {
        let mut end = about.len().min(ABOUT_BYTES);
        while !about.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push(Effect::Refused { connection, operation, refusal, about: about[..end].to_owned() });
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, outgoing: Outgoing) {
        self.0.push(Effect::Send { connection, outgoing });
    }

    /// Sends a packet in a form that a client with this Maximum Packet Size takes, if there is one.
    pub(crate) fn packet(
        &mut self,
        connection: ConnectionId,
        version: Version,
        maximum_packet_size: Option<u32>,
        packet: impl Into<Packet>,
    ) {
        if let Some(packet) = packet.into().fitted(version, maximum_packet_size) {
            self.send(connection, Outgoing::Packet(Box::new(packet)));
        }
    }
}
