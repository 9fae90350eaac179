//! [`Broker`]: everything that a caller can do with it.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sekisho_mqtt::{Connect, DecodeError, Packet, QoS, ReasonCode, TopicFilter, TopicName, Version};
use slotmap::SlotMap;

use crate::authority::Authority;
use crate::budget::{AccountBudget, Budget, BudgetLimits, Charged};
use crate::connection::{Connection, Permissions};
use crate::effect::{Effect, Effects, StoreTicket};
use crate::end::End;
use crate::input::{ConnectionId, DisconnectClient, Now, Peer, ServerPublish, TapId};
use crate::keys::SessionKey;
use crate::lifecycle::{Identity, LifecycleEvent, LifecycleKind};
use crate::limits::{LONGEST_SESSION_EXPIRY_SECONDS, Limits};
use crate::matches::{Matches, Target};
use crate::message::{Message, Source};
use crate::outgoing::Outgoing;
use crate::presence::Presence;
use crate::record::Record;
use crate::refusal::{DisconnectReason, Operation, Refusal};
use crate::retained::Retained;
use crate::session::Session;
use crate::shared::Groups;
use crate::timers::{Timer, Timers};
use crate::topic_tree::TopicTree;
use crate::waiting::Waiting;

/// One realm's broker. See the [crate] for the idea.
///
/// Every call that can have consequences takes the time and appends to the [`Effects`] given; effects of earlier calls
/// in the same turn may still wait there.
pub struct Broker {
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<AccountBudget>,
    pub(crate) random: StdRng,
    /// `None` only while a CONNECT is checked.
    pub(crate) connections: SlotMap<ConnectionId, Option<Connection>>,
    pub(crate) sessions: SlotMap<SessionKey, Session>,
    pub(crate) by_client_id: HashMap<Arc<str>, SessionKey, RandomState>,
    pub(crate) tree: TopicTree<Target>,
    pub(crate) groups: Groups,
    pub(crate) retained: Retained,
    pub(crate) timers: Timers,
    pub(crate) presence: Presence,
    /// Answers to clients that wait for a record to be durable.
    pub(crate) waiting: HashMap<StoreTicket, Waiting, RandomState>,
    pub(crate) counters: Counters,
    pub(crate) matches: Matches,
    /// Counts publications: a session notes the last one that matched it.
    pub(crate) publication: u64,
    pub(crate) next_message: u64,
    next_ticket: u64,
    /// The source of lifecycle events.
    own_source: Arc<Source>,
}

/// Counters since the broker was made.
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
    /// Messages dropped for a receiver, a will among them, because the account's [budget](crate::budget) has no room.
    pub dropped_budget: u64,
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

/// The outcome of a [`ServerPublish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Published {
    /// Set if the message must be durable before the caller reports success: wait for this record.
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
    /// QoS 1 messages sent and not acknowledged.
    pub inflight: usize,
    /// QoS 1 messages that wait behind them.
    pub queued: usize,
}

impl Broker {
    /// Makes a broker without clients. Client ids that it assigns, session identifiers and the choice among the
    /// members of a shared subscription come from `seed`: take it from the operating system's generator.
    pub fn new(limits: Limits, seed: [u8; 32]) -> Broker {
        Broker::with_budget(limits, seed, AccountBudget::new(Budget::new(&BudgetLimits::default())))
    }

    /// Makes a broker that shares the budget of its account with the account's other realms.
    pub fn with_budget(limits: Limits, seed: [u8; 32], budget: Arc<AccountBudget>) -> Broker {
        let session_expiry_seconds = limits.session_expiry_seconds.min(LONGEST_SESSION_EXPIRY_SECONDS);
        Broker {
            limits: Limits { session_expiry_seconds, ..limits },
            random: StdRng::from_seed(seed),
            connections: SlotMap::with_key(),
            sessions: SlotMap::with_key(),
            by_client_id: HashMap::default(),
            tree: TopicTree::default(),
            groups: Groups::new(Arc::clone(&budget)),
            retained: Retained::default(),
            timers: Timers::default(),
            presence: Presence::new(Arc::clone(&budget)),
            budget,
            waiting: HashMap::default(),
            counters: Counters::default(),
            matches: Matches::default(),
            publication: 0,
            next_message: 0,
            next_ticket: 0,
            own_source: Arc::new(Source { client_id: None, principal: None }),
        }
    }

    /// Handles the CONNECT of an admitted connection: checks it, ends an older connection of the client id, finds or
    /// makes the session.
    ///
    /// Returns the id of the connection for all later calls. Among the effects is either
    /// [`Accepted`](crate::Effect::Accepted) or [`Close`](crate::Effect::Close) for it.
    pub fn connect(
        &mut self,
        now: Now,
        packet: Connect,
        peer: &Peer<'_>,
        effects: &mut Effects,
    ) -> ConnectionId {
        self.on_connect(now, packet, peer, effects)
    }

    /// Handles one packet after CONNECT. Ignored if the connection has ended.
    pub fn packet(&mut self, now: Now, connection: ConnectionId, packet: Packet, effects: &mut Effects) {
        if !self.connections.contains_key(connection) {
            return;
        }
        match packet {
            Packet::Publish(packet) => self.on_publish(now, connection, packet, effects),
            Packet::PubAck(packet) => self.on_puback(now, connection, &packet, effects),
            Packet::Subscribe(packet) => self.on_subscribe(now, connection, &packet, effects),
            Packet::Unsubscribe(packet) => self.on_unsubscribe(now, connection, &packet, effects),
            Packet::PingReq => effects.send(connection, Outgoing::PingResp),
            Packet::Disconnect(packet) => self.on_disconnect(now, connection, &packet, effects),
            Packet::Connect(_) => {
                self.refuse_and_end(now, connection, Operation::Packet, Refusal::SecondConnect, "", effects)
            }
            Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Auth(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => {
                let about = packet.packet_type().name();
                self.refuse_and_end(
                    now,
                    connection,
                    Operation::Packet,
                    Refusal::UnexpectedPacket,
                    about,
                    effects,
                );
            }
        }
    }

    /// Handles bytes that are not a packet: sends an MQTT 5 client the reason, closes, sends the will.
    pub fn decode_error(
        &mut self,
        now: Now,
        connection: ConnectionId,
        error: &DecodeError,
        effects: &mut Effects,
    ) {
        let refusal = match error.reason() {
            // 0x95 is not among the codes AWS lists; the refusal says 0x97.
            ReasonCode::PacketTooLarge => Refusal::PacketTooLarge,
            ReasonCode::TopicNameInvalid => Refusal::TopicInvalid,
            ReasonCode::ProtocolError => Refusal::ProtocolError,
            ReasonCode::UnsupportedProtocolVersion => Refusal::UnsupportedVersion,
            _ => Refusal::MalformedPacket,
        };
        if self.connections.contains_key(connection) {
            self.refuse_and_end(now, connection, Operation::Packet, refusal, &error.to_string(), effects);
        }
    }

    /// Handles the end of a connection whose socket is closed already: no DISCONNECT, no
    /// [`Close`](crate::Effect::Close).
    pub fn closed(
        &mut self,
        now: Now,
        connection: ConnectionId,
        reason: DisconnectReason,
        effects: &mut Effects,
    ) {
        self.end(now, connection, End::lost(reason), effects);
    }

    /// Ends a connection for a reason such as a keep alive timeout or a revoked certificate. An MQTT 5 client gets
    /// DISCONNECT with the [code of the reason](DisconnectReason::reason_code).
    pub fn disconnect(
        &mut self,
        now: Now,
        connection: ConnectionId,
        reason: DisconnectReason,
        effects: &mut Effects,
    ) {
        self.end(now, connection, End::because(reason), effects);
    }

    /// Ends the connection of a client id, and its session if `how` says so: DeleteConnection. Returns `false` if there
    /// is neither a connection nor a session.
    pub fn disconnect_client(
        &mut self,
        now: Now,
        client_id: &str,
        how: DisconnectClient,
        effects: &mut Effects,
    ) -> bool {
        let Some(key) = self.by_client_id.get(client_id).copied() else { return false };
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if how.prevent_will {
            self.timers.cancel(&mut session.will_timer, Timer::Will(key));
            session.delayed_will = None;
        }
        if let Some(connection) = session.connection {
            let end = End { sends_will: !how.prevent_will, ..End::because(how.reason) };
            self.end(now, connection, end, effects);
        }
        if how.clean_session {
            self.end_session(now, key, effects);
        }
        true
    }

    /// Ends every connection because the server stops.
    pub fn shutdown(&mut self, now: Now, effects: &mut Effects) {
        let connections: Vec<ConnectionId> = self.connections.keys().collect();
        for connection in connections {
            self.end(now, connection, End::because(DisconnectReason::ServerInitiatedDisconnect), effects);
        }
    }

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
        self.on_server_publish(now, publish, effects)
    }

    /// Notes that the record of this ticket is durable, and sends the answer that waited for it.
    pub fn stored(&mut self, now: Now, ticket: StoreTicket, effects: &mut Effects) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        let (connection, packet_id) = match &waiting {
            Waiting::Publish { connection, packet_id } => (*connection, *packet_id),
            Waiting::Subscribe { connection, suback, .. } => (*connection, suback.packet_id),
            Waiting::Unsubscribe { connection, unsuback } => (*connection, unsuback.packet_id),
        };
        if !self.answered(connection, packet_id, effects) {
            return;
        }
        match waiting {
            Waiting::Publish { .. } => {
                effects.send(connection, Outgoing::PubAck { packet_id, reason: ReasonCode::Success });
            }
            Waiting::Subscribe { suback, retained, .. } => {
                self.finish_subscribe(now, connection, suback, retained, effects);
            }
            Waiting::Unsubscribe { unsuback, .. } => self.finish_unsubscribe(connection, unsuback, effects),
        }
    }

    /// Notes that the outbox of a connection has room again; called when [`crate::Outbox::written`] returns `true`.
    pub fn drained(&mut self, now: Now, connection: ConnectionId, effects: &mut Effects) {
        if let Some(connection) = self.connections.get(connection).and_then(Option::as_ref) {
            self.pump(now, connection.session, effects);
        }
    }

    /// Does what is due: ends expired sessions, sends delayed wills, sends unacknowledged messages again.
    pub fn wake(&mut self, now: Now, effects: &mut Effects) {
        while let Some(timer) = self.timers.pop_due(now.unix_ms) {
            match timer {
                Timer::SessionExpiry(key) => {
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.expiry_timer = None;
                        self.end_session(now, key, effects);
                    }
                }
                Timer::Will(key) => self.send_delayed_will(now, key, effects),
                Timer::Unacknowledged(key) => self.unacknowledged(now, key, effects),
            }
        }
    }

    /// Returns when [`wake`](Broker::wake) is due next; `None` if nothing waits for a time. Call it after every turn.
    pub fn next_wake(&self) -> Option<Now> {
        self.timers.next().map(Now::from_unix_ms)
    }

    /// Replaces the authority of a connection after a change of policies. It decides all later requests;
    /// `iot:Connect` is not asked again, and subscriptions stay.
    pub fn replace_authority(&mut self, connection: ConnectionId, authority: Arc<dyn Authority>) {
        if let Some(connection) = self.connections.get_mut(connection).and_then(Option::as_mut) {
            connection.permissions = Permissions::new(authority);
        }
    }

    /// Adds a filter of a service: messages that match come out as [`Tapped`](crate::Effect::Tapped). A tap may have
    /// several filters; a message that matches more than one comes once. Leading wildcards do not see `$` topics.
    pub fn add_tap(&mut self, tap: TapId, filter: &TopicFilter) {
        self.tree.insert(filter.filter(), Target::Tap(tap));
    }

    /// Answers a request that came out as [`Tapped`](crate::Effect::Tapped): sends the message to the connection of the
    /// request alone, if it has subscribed to the topic and may receive it. Returns `false` if it has ended or has not
    /// subscribed. Nothing is retained.
    ///
    /// # Errors
    ///
    /// As [`publish`](Broker::publish).
    pub fn reply(
        &mut self,
        now: Now,
        connection: ConnectionId,
        reply: ServerPublish,
        effects: &mut Effects,
    ) -> Result<bool, Refusal> {
        let message = self.server_message(now, ServerPublish { retain: false, ..reply })?;
        self.on_reply(now, connection, message, effects)
    }

    /// Returns the session of a client id, if there is one.
    pub fn session(&self, client_id: &str) -> Option<SessionView> {
        let session = self.sessions.get(*self.by_client_id.get(client_id)?)?;
        Some(SessionView {
            connection: session.connection,
            version: session.version,
            persistent: session.persistent,
            expiry_seconds: session.expiry_seconds,
            subscriptions: session
                .subscriptions
                .iter()
                .map(|subscription| (subscription.filter.as_str().into(), subscription.options.qos))
                .collect(),
            inflight: session.inflight.len(),
            queued: session.queue.len(),
        })
    }

    /// Returns the retained message of a topic.
    pub fn retained(&self, now: Now, topic: &TopicName) -> Option<&Arc<Message>> {
        self.retained.get(now, topic)
    }

    /// Returns all retained messages, in no particular order.
    pub fn retained_messages(&self, now: Now) -> impl Iterator<Item = &Arc<Message>> {
        self.retained.iter(now)
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the number of connections.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn identity(&self, connection: ConnectionId) -> Option<Arc<Identity>> {
        self.connections.get(connection)?.as_ref().map(|connection| Arc::clone(&connection.identity))
    }

    pub(crate) fn store(&mut self, record: Record, effects: &mut Effects) -> StoreTicket {
        let ticket = StoreTicket(self.next_ticket);
        self.next_ticket += 1;
        effects.push(Effect::Store { ticket, record });
        ticket
    }

    /// Publishes a lifecycle event, and adds it to the effects.
    pub(crate) fn lifecycle(
        &mut self,
        now: Now,
        identity: &Arc<Identity>,
        kind: LifecycleKind,
        effects: &mut Effects,
    ) {
        let event = Arc::new(LifecycleEvent { identity: Arc::clone(identity), at: now, kind });
        // JSON is made only if there are receivers.
        if let Some(topic) = event.topic().and_then(|topic| TopicName::new(topic).ok())
            && self.has_receivers(topic.as_str())
        {
            let message = Message {
                topic,
                payload: event.payload().into(),
                qos: QoS::AtLeastOnce,
                retain: false,
                properties: sekisho_mqtt::PublishProperties::new(),
                expires_at: None,
                published_at: now.unix_ms,
                source: Arc::clone(&self.own_source),
                charged: Charged::default(),
            };
            self.route_or_drop(now, message, effects);
        }
        effects.push(Effect::Lifecycle(event));
    }

    fn send_delayed_will(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.will_timer = None;
        let Some(will) = session.delayed_will.take() else { return };
        let record = session.persistent.then(|| Record::Session(session.record(None)));
        if let Some(record) = record {
            self.store(record, effects);
        }
        self.route_or_drop(now, will.into_message(now), effects);
    }
}
