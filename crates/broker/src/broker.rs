//! The façade: everything that a caller can do with a broker.

use std::sync::Arc;

use sekisho_mqtt::{Connect, DecodeError, Packet, QoS, TopicFilter, Version};

use crate::authority::Authority;
use crate::effect::{Effects, StoreTicket};
use crate::input::{ConnectionId, DisconnectClient, Now, Peer, ServerPublish, TapId};
use crate::limits::Limits;
use crate::message::Message;
use crate::refusal::{DisconnectReason, Refusal};

/// One realm's broker. See the [crate] for the idea.
///
/// Every call that can have consequences takes the time and appends to the [`Effects`] given; effects of earlier calls
/// in the same turn may still wait there.
pub struct Broker {
    limits: Limits,
}

/// What has been counted since the broker began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// PUBLISH packets and server publications that were taken.
    pub published: u64,
    /// Messages handed to connections, resends included.
    pub delivered: u64,
    /// QoS 0 messages dropped because a subscriber does not read.
    pub dropped_outbox_full: u64,
    /// QoS 1 messages dropped because a session's or group's queue is full.
    pub dropped_queue_full: u64,
    /// Messages not delivered because they expired.
    pub dropped_expired: u64,
    /// Messages not delivered because the subscriber lacks `iot:Receive`.
    pub dropped_not_authorized: u64,
    /// Messages larger than the receiver's Maximum Packet Size.
    pub dropped_too_large: u64,
    /// Messages beyond the publish rate, when that quota is on.
    pub dropped_rate: u64,
    /// QoS 1 messages that a connected client never acknowledged.
    pub dropped_unacknowledged: u64,
}

/// What became of a [`ServerPublish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Published {
    /// Set when the message must be durable before the caller hears that all is well: wait for this record.
    pub wait_for: Option<StoreTicket>,
}

/// A session as GetConnection and ListSubscriptions show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// The connection, while there is one.
    pub connection: Option<ConnectionId>,
    /// The protocol version that made it, the only one that can resume it.
    pub version: Version,
    /// Whether it outlives the connection.
    pub persistent: bool,
    /// For how many seconds.
    pub expiry_seconds: u32,
    /// Filters as subscribed to, with the QoS granted.
    pub subscriptions: Vec<(Arc<str>, QoS)>,
    /// QoS 1 messages it owes its client.
    pub queued: usize,
}

impl Broker {
    /// A broker without clients. Client ids it assigns, session identifiers and the choice among the members of a
    /// shared subscription come from `seed`: take it from the operating system's generator.
    pub fn new(limits: Limits, seed: [u8; 32]) -> Broker {
        Broker { limits }
    }

    /// The CONNECT of an admitted connection. Checks it in the order of the AWS pages, takes over from an older
    /// connection of the client id, finds or makes the session.
    ///
    /// The answer names the connection in all that follows. Among the effects is either
    /// [`Accepted`](crate::Effect::Accepted) or [`Close`](crate::Effect::Close) for it.
    pub fn connect(
        &mut self,
        now: Now,
        packet: Connect,
        peer: &Peer<'_>,
        effects: &mut Effects,
    ) -> ConnectionId {
        ConnectionId { index: 0, generation: 0 }
    }

    /// One packet that came after CONNECT.
    pub fn packet(&mut self, now: Now, connection: ConnectionId, packet: Packet, effects: &mut Effects) {}

    /// Bytes came that are no packet. Tells an MQTT 5 client why, closes, sends the will.
    pub fn decode_error(
        &mut self,
        now: Now,
        connection: ConnectionId,
        error: &DecodeError,
        effects: &mut Effects,
    ) {
    }

    /// The socket of a connection is gone already: no DISCONNECT, no [`Close`](crate::Effect::Close).
    pub fn closed(
        &mut self,
        now: Now,
        connection: ConnectionId,
        reason: DisconnectReason,
        effects: &mut Effects,
    ) {
    }

    /// Ends a connection: keep alive timeout, revoked certificate, and so on. An MQTT 5 client gets DISCONNECT with the
    /// code that [goes with the reason](DisconnectReason::reason_code).
    pub fn disconnect(
        &mut self,
        now: Now,
        connection: ConnectionId,
        reason: DisconnectReason,
        effects: &mut Effects,
    ) {
    }

    /// Ends the connection of a client id, and its session when asked to: DeleteConnection. `false` when there is
    /// neither a connection nor a session.
    pub fn disconnect_client(
        &mut self,
        now: Now,
        client_id: &str,
        how: DisconnectClient,
        effects: &mut Effects,
    ) -> bool {
        false
    }

    /// Ends every connection because the server stops.
    pub fn shutdown(&mut self, now: Now, effects: &mut Effects) {}

    /// Publishes a message that came over no MQTT connection. Whether its origin may is decided before.
    ///
    /// # Errors
    ///
    /// The topic is invalid or reserved, the payload or a property too large, the QoS 2, the retained store full.
    pub fn publish(
        &mut self,
        now: Now,
        publish: ServerPublish,
        effects: &mut Effects,
    ) -> Result<Published, Refusal> {
        Ok(Published { wait_for: None })
    }

    /// The record of this ticket is durable: what waited for it goes out.
    pub fn stored(&mut self, now: Now, ticket: StoreTicket, effects: &mut Effects) {}

    /// There is room in the outbox of a connection again, said because [`crate::Outbox::written`] asked for it.
    pub fn drained(&mut self, now: Now, connection: ConnectionId, effects: &mut Effects) {}

    /// Does what time brings: sessions expire, delayed wills go out, 3.1.1 clients get unacknowledged messages again.
    pub fn wake(&mut self, now: Now, effects: &mut Effects) {}

    /// When [`wake`](Broker::wake) is due next; `None` while nothing waits for a time. Ask after every turn.
    pub fn next_wake(&self) -> Option<Now> {
        None
    }

    /// Puts another authority in place: policies changed. It decides all that comes after; `iot:Connect` is not asked
    /// again, and subscriptions stay.
    pub fn replace_authority(&mut self, connection: ConnectionId, authority: Arc<dyn Authority>) {}

    /// Lets a service listen: messages that match come out as [`Tapped`](crate::Effect::Tapped). A tap may have
    /// several filters; a message that matches more than one comes once. Leading wildcards do not see `$` topics.
    pub fn add_tap(&mut self, tap: TapId, filter: &TopicFilter) {}

    /// Ends a tap with all its filters.
    pub fn remove_tap(&mut self, tap: TapId) {}

    /// The session of a client id, if there is one.
    pub fn session(&self, client_id: &str) -> Option<SessionView> {
        None
    }

    /// The retained message of a topic.
    pub fn retained(&self, now: Now, topic: &str) -> Option<&Arc<Message>> {
        None
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Connections at this moment.
    pub fn connection_count(&self) -> usize {
        0
    }
}
