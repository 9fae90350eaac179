//! The outputs of a broker. Its caller carries the effects out, in their order.

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

/// Bytes of the topic, filter or client id that a refusal names: more than the longest topic of AWS IoT.
pub const ABOUT_BYTES: usize = 512;

/// The number of a record that is to be stored, for [`crate::Broker::stored`]. Tickets rise; none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTicket(pub u64);

/// One output.
#[derive(Debug)]
pub enum Effect {
    /// The CONNECT of this connection was accepted; comes before its CONNACK.
    Accepted(Box<Accepted>),
    /// Write to a connection.
    Send {
        /// The receiver.
        connection: ConnectionId,
        /// The packet.
        outgoing: Outgoing,
    },
    /// Write what was sent before, then close the connection. The broker has removed it.
    Close {
        /// The connection to close.
        connection: ConnectionId,
        /// The reason, as in events and in the API. For a refused CONNECT, the reason that an event would have.
        reason: DisconnectReason,
        /// The refusal, if one is the cause.
        refusal: Option<Refusal>,
    },
    /// Read no more packets from a connection (or go on): an MQTT 3.1.1 client has too many unacknowledged messages
    /// under way. What was read already may still be handed in.
    Reading {
        /// The connection.
        connection: ConnectionId,
        /// Whether to stop.
        paused: bool,
    },
    /// Store this record, then call [`crate::Broker::stored`]. Records are to be kept in the order of their effects.
    Store {
        /// The number to call it with.
        ticket: StoreTicket,
        /// The record.
        record: Record,
    },
    /// A message for a service.
    Tapped {
        /// The tap that matched.
        tap: TapId,
        /// The message.
        message: Arc<Message>,
        /// Its connection, which can be [answered](crate::Broker::reply); `None` if it came over no connection.
        from: Option<ConnectionId>,
    },
    /// A lifecycle event, which is published on its `$aws/events` topic already.
    Lifecycle(Arc<LifecycleEvent>),
    /// A refusal, for the log, metrics and the journal. Comes with every refusal on an open connection, and before the
    /// `Close` of a connection that ends because of it.
    Refused {
        /// The connection of the request.
        connection: ConnectionId,
        /// The kind of request.
        operation: Operation,
        /// The reason.
        refusal: Refusal,
        /// The topic, topic filter or client id of the request; empty if it has none. At most [`ABOUT_BYTES`], because
        /// a client decides how long it is and a log keeps it.
        about: String,
    },
}

/// The parameters of an accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// Its id.
    pub connection: ConnectionId,
    /// The client id in use, also when the broker assigned it.
    pub client_id: Arc<str>,
    /// Unique for the life of the connection; the `sessionIdentifier` of its events.
    pub session_identifier: Arc<str>,
    /// Seconds. After 1.5 times this without a packet, call [`crate::Broker::disconnect`] with
    /// [`DisconnectReason::MqttKeepAliveTimeout`].
    pub keep_alive: u16,
    /// Seconds that the client asked for, as logs and GetConnection show them (MQTT page).
    pub requested_keep_alive: u16,
    /// The client's address.
    pub remote: SocketAddr,
    /// Counts messages that are not written yet; see [`Outbox`].
    pub outbox: Arc<Outbox>,
}

/// The effects of a turn, in a buffer to be reused.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Makes an empty buffer.
    pub fn new() -> Effects {
        Effects::default()
    }

    /// Takes the effects out, first to last, and keeps the buffer's memory.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.0.drain(..)
    }

    /// Returns whether there are no effects.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of effects.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the effects, first to last.
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
