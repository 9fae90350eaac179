//! A realm at work: its broker, and the handles that the broker's effects go to.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use foldhash::fast::RandomState;
use sekisho_broker::{
    AccountBudget, Broker, ConnectionId, Counters, DisconnectReason, Effect, Effects, Limits, Now, Operation,
    Peer, Published, ServerPublish, StoreTicket, TapId,
};
use sekisho_mqtt::{Connect, DecodeError, Packet, TopicFilter};
use tokio::sync::Notify;

use crate::authority::{ConnectionAuthority, associated_thing};
use crate::bridge::events::{ConnectedEvent, LOST, RefusedEvent, RequestEvent};
use crate::clock::Clock;
use crate::handle::{ConnectionHandle, Instructions};
use crate::live::Live;
use crate::principal::Principal;
use crate::realm_name::RealmName;
use crate::refusal::Refused;
use crate::reports::Reports;

/// Effects after which a connection's turn ends, whatever it has left. One read may hold thousands of publications, and
/// each may go to thousands of subscribers: without a bound, one client could fill the memory with its effects, and make
/// the other connections of the realm wait, for a product of the two.
pub(crate) const TURN_EFFECTS: usize = 4096;

/// One account in one region. Two realms share nothing: no topic, no session, no client id.
pub struct Realm {
    name: Arc<RealmName>,
    reports: Reports,
    budget: Arc<AccountBudget>,
    state: Mutex<State>,
    live: Live,
    alarm: Alarm,
}

/// What clients ask of services: the one tap of each broker.
const REQUESTS: TapId = TapId(1);

struct State {
    broker: Broker,
    effects: Effects,
    /// Until their [`Effect::Close`], or until their socket is gone.
    handles: Handles,
}

/// By whole id rather than by its index: within one turn an index can pass from a closed connection to a new one.
type Handles = HashMap<ConnectionId, Arc<ConnectionHandle>, RandomState>;

/// A rare instruction to a connection.
type Instruct = Box<dyn FnOnce(&mut Instructions)>;

/// When the broker wants to be woken; the task that does so sleeps on `moved`.
#[derive(Debug, Default)]
struct Alarm {
    at: Mutex<Option<Now>>,
    moved: Notify,
    /// A task waits for it.
    is_kept: AtomicBool,
}

/// Held by the task that keeps the time.
struct Kept<'a>(&'a AtomicBool);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Realm").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Realm {
    /// A realm with a broker of its own. `requests` are the topic filters of the services.
    pub fn new(
        name: Arc<RealmName>,
        limits: Limits,
        budget: Arc<AccountBudget>,
        requests: &[TopicFilter],
        reports: Reports,
    ) -> Self {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed)
            .expect("the operating system's generator does not fail once it is seeded");
        let mut broker = Broker::with_budget(limits, seed, budget.clone());
        requests.iter().for_each(|filter| broker.add_tap(REQUESTS, filter));
        Self {
            name,
            reports,
            budget,
            state: Mutex::new(State { broker, effects: Effects::new(), handles: Handles::default() }),
            live: Live::default(),
            alarm: Alarm::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<RealmName> {
        &self.name
    }

    /// What its account may make the server hold.
    pub fn budget(&self) -> &Arc<AccountBudget> {
        &self.budget
    }

    /// Its live connections.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What its broker has counted, and how many connections it has.
    pub fn counters(&self) -> (Counters, usize) {
        let state = self.lock();
        (state.broker.counters(), state.broker.connection_count())
    }

    /// Hand a CONNECT to the broker. What comes of it is in the handle's instructions.
    pub fn connect(&self, handle: &Arc<ConnectionHandle>, packet: Connect) {
        let principal = &handle.principal();
        let presented = &handle.presented;
        let authority = |client_id: &Arc<str>| -> Arc<dyn sekisho_broker::Authority> {
            let authority = Arc::new(ConnectionAuthority::new(
                principal,
                client_id.clone(),
                presented.peer.ip(),
                presented.sni.clone(),
            ));
            handle.set_authority(principal.clone(), authority.clone());
            authority
        };
        let peer = Peer {
            principal: principal.certificate_id.clone(),
            remote: presented.peer,
            // Only an exclusive thing, whatever the client id: the events' rule, not the policies'.
            thing_name: associated_thing(&principal.things, &packet.client_id)
                .filter(|thing| thing.exclusive)
                .map(|thing| thing.facts.name.as_str().into()),
            authority: &authority,
        };
        let now = self.reports.clock.now();
        let mut state = self.lock();
        let State { broker, effects, handles } = &mut *state;
        let id = broker.connect(now, packet, &peer, effects);
        handle.set_id(id);
        handles.insert(id, handle.clone());
        self.finish(now, state);
    }

    /// Hand in what a connection has read: packets, and the error that ended them. What a turn does not get to is left
    /// in `packets`, to be handed in again.
    pub fn packets(
        &self,
        handle: &ConnectionHandle,
        packets: &mut VecDeque<Packet>,
        error: Option<&DecodeError>,
    ) {
        let Some(id) = handle.id() else { return packets.clear() };
        self.turn(|broker, now, effects| {
            while effects.len() < TURN_EFFECTS
                && let Some(packet) = packets.pop_front()
            {
                broker.packet(now, id, packet, effects);
            }
            if let Some(error) = error.filter(|_| packets.is_empty()) {
                broker.decode_error(now, id, error, effects);
            }
        });
    }

    /// The socket is gone.
    pub fn closed(&self, handle: &ConnectionHandle, reason: DisconnectReason) {
        let Some(id) = handle.id() else { return };
        self.turn(|broker, now, effects| broker.closed(now, id, reason, effects));
        self.lock().handles.remove(&id);
    }

    /// End a connection from the server's side.
    pub fn disconnect(&self, handle: &ConnectionHandle, reason: DisconnectReason) {
        let Some(id) = handle.id() else { return };
        self.turn(|broker, now, effects| broker.disconnect(now, id, reason, effects));
    }

    /// There is room again in a connection's outbox.
    pub fn drained(&self, handle: &ConnectionHandle) {
        let Some(id) = handle.id() else { return };
        self.turn(|broker, now, effects| broker.drained(now, id, effects));
    }

    /// Put another authority in place of a live connection's.
    pub fn replace_authority(
        &self,
        handle: &Arc<ConnectionHandle>,
        principal: Arc<Principal>,
        authority: Arc<ConnectionAuthority>,
    ) {
        let Some(id) = handle.id() else { return };
        self.reports.metrics.authorities_replaced.increment();
        handle.set_authority(principal, authority.clone());
        self.live.refresh(handle);
        self.turn(|broker, _, _| broker.replace_authority(id, authority));
    }

    /// Publish with no connection.
    ///
    /// # Errors
    /// The broker's reason.
    pub fn publish(&self, message: ServerPublish) -> Result<Published, sekisho_broker::Refusal> {
        self.turn(|broker, now, effects| broker.publish(now, message, effects))
    }

    /// Answer a request, to the connection that made it. `false` when it has gone, or has not subscribed to the answer.
    ///
    /// # Errors
    /// The broker's reason.
    pub fn reply(&self, connection: u64, message: ServerPublish) -> Result<bool, sekisho_broker::Refusal> {
        let connection = ConnectionId::from_number(connection);
        self.turn(|broker, now, effects| broker.reply(now, connection, message, effects))
    }

    /// Tell the control plane that this principal has a connection, if it waits for that.
    pub fn tell_of_connected(&self, principal: &Principal, client_id: &Arc<str>) {
        if !principal.is_to_be_told() {
            return;
        }
        let told = self.reports.bridge.connected(ConnectedEvent {
            realm: self.name.clone(),
            certificate_id: principal.certificate_id.clone(),
            client_id: client_id.clone(),
        });
        if !told {
            principal.tell_again();
        }
    }

    /// End all connections because the server stops.
    pub fn shutdown(&self) {
        self.turn(|broker, now, effects| broker.shutdown(now, effects));
    }

    /// Wake the broker whenever it asks to be. Does not return, unless another task does so already.
    pub async fn keep_time(self: Arc<Self>) {
        if self.alarm.is_kept.swap(true, Ordering::SeqCst) {
            return;
        }
        // However it ends, by a panic too, another may keep the time.
        let _kept = Kept(&self.alarm.is_kept);
        loop {
            let at = *self.alarm.at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.reports.clock.now();
            match at {
                Some(at) if at <= now => self.turn(|broker, now, effects| broker.wake(now, effects)),
                Some(at) => {
                    let wait = Duration::from_millis(at.unix_ms - now.unix_ms);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.alarm.moved.notified() => {}
                    }
                }
                None => self.alarm.moved.notified().await,
            }
        }
    }

    fn turn<R>(&self, act: impl FnOnce(&mut Broker, Now, &mut Effects) -> R) -> R {
        let now = self.reports.clock.now();
        let mut state = self.lock();
        let State { broker, effects, .. } = &mut *state;
        let result = act(broker, now, effects);
        self.finish(now, state);
        result
    }

    /// Carry out what the broker asked for, then release its lock and wake the tasks concerned.
    ///
    /// Effects are queued under the broker's lock, so that each connection sees them in the broker's order. Nothing is
    /// written here, and no task is woken before the lock is free.
    fn finish(&self, now: Now, mut state: MutexGuard<'_, State>) {
        let mut wakers = Vec::new();
        let mut stored: Vec<StoreTicket> = Vec::new();
        loop {
            let State { broker, effects, handles } = &mut *state;
            for effect in effects.drain() {
                self.carry_out(effect, handles, &mut wakers, &mut stored);
            }
            if stored.is_empty() {
                break;
            }
            // Sessions and retained messages are kept in memory, where a record is safe as soon as it is there.
            for ticket in stored.drain(..) {
                broker.stored(now, ticket, effects);
            }
        }
        let next = state.broker.next_wake();
        drop(state);
        self.alarm.set(next);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn carry_out(
        &self,
        effect: Effect,
        handles: &mut Handles,
        wakers: &mut Vec<Waker>,
        stored: &mut Vec<StoreTicket>,
    ) {
        let is_last = matches!(effect, Effect::Close { .. });
        let (connection, instruct): (_, Instruct) = match effect {
            Effect::Send { connection, outgoing } => {
                // The path of a message: no box.
                if let Some(handle) = handles.get(&connection) {
                    wakers.extend(handle.instruct(|instructions| instructions.outgoing.push(outgoing)));
                }
                return;
            }
            Effect::Accepted(accepted) => {
                if let Some(handle) = handles.get(&accepted.connection) {
                    self.tell_of_connected(&handle.principal(), &accepted.client_id);
                }
                (accepted.connection, Box::new(move |instructions| instructions.accepted = Some(accepted)))
            }
            Effect::Close { connection, reason, .. } => {
                (connection, Box::new(move |instructions| instructions.close = Some(reason)))
            }
            Effect::Reading { connection, paused } => {
                (connection, Box::new(move |instructions| instructions.paused = Some(paused)))
            }
            Effect::Store { ticket, .. } => {
                stored.push(ticket);
                return;
            }
            Effect::Refused { connection, operation, refusal, about } => {
                if let Some(handle) = handles.get(&connection) {
                    self.report(handle, operation, refusal, &about);
                }
                return;
            }
            // What came over no connection has no connection to answer.
            Effect::Tapped { from: Some(connection), message, .. } => {
                self.request(connection, &message);
                return;
            }
            // Lifecycle events are published on their topics by the broker itself.
            Effect::Lifecycle(_) | Effect::Tapped { from: None, .. } => return,
        };
        if let Some(handle) = handles.get(&connection) {
            wakers.extend(handle.instruct(instruct));
        }
        if is_last {
            handles.remove(&connection);
        }
    }

    fn request(&self, connection: ConnectionId, message: &sekisho_broker::Message) {
        let source = &message.source;
        let (Some(client_id), Some(principal)) = (&source.client_id, &source.principal) else { return };
        self.reports.bridge.request(RequestEvent {
            realm: self.name.clone(),
            connection: connection.number(),
            client_id: client_id.clone(),
            certificate_id: principal.clone(),
            topic: message.topic.as_str().to_owned(),
            payload: message.payload.to_vec(),
        });
    }

    /// Count and log that a client ended its connection with a TLS alert.
    pub fn report_lost(&self, handle: &ConnectionHandle, refused: Refused) {
        self.reports.metrics.refused(refused.refusal);
        self.tell(handle, LOST, refused.refusal.name(), refused.detail);
    }

    fn report(
        &self,
        handle: &ConnectionHandle,
        operation: Operation,
        refusal: sekisho_broker::Refusal,
        about: &str,
    ) {
        self.reports.metrics.broker_refused(refusal);
        if !handle.is_first_in_second(refusal, Clock::unix_seconds()) {
            return;
        }
        let detail = if about.is_empty() {
            refusal.sentence().to_owned()
        } else {
            format!("{about}: {}", refusal.sentence())
        };
        self.tell(handle, operation.as_str(), refusal.as_str(), detail);
    }

    fn tell(&self, handle: &ConnectionHandle, operation: &'static str, reason: &'static str, detail: String) {
        let client_id =
            handle.authority().map_or_else(|| handle.presented.client_id.clone(), |a| a.client_id().clone());
        let event = RefusedEvent {
            time: Clock::unix_time(),
            realm: Some(self.name.clone()),
            certificate_id: Some(handle.principal().certificate_id.clone()),
            client_id: Some(client_id).filter(|client_id| !client_id.is_empty()),
            peer: handle.presented.peer.to_string(),
            sni: handle.presented.sni.clone(),
            reason,
            detail,
            operation,
        };
        self.reports.bridge.refused(event, handle.presented.peer.ip());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic within the broker ends the turn of one connection; the others are served on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarm {
    fn set(&self, next: Option<Now>) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = match (next, *at) {
            (Some(next), Some(at)) => next < at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        *at = next;
        drop(at);
        // A later time needs no notice: the task that sleeps reads the time again when it wakes.
        if earlier {
            self.moved.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use sekisho_mqtt::{Publish, PublishProperties, QoS, Subscribe, SubscribeFilter, Utf8, Version};

    use super::*;
    use crate::testing::{self, Plane};

    fn subscribe(filter: &str) -> Packet {
        Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MIN,
            filters: vec![SubscribeFilter::new(Utf8::try_from(filter).unwrap(), QoS::AtMostOnce)],
            subscription_identifier: None,
            user_properties: Vec::new(),
        })
    }

    fn publish(topic: &str) -> Packet {
        Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Utf8::try_from(topic).unwrap(),
            packet_id: None,
            properties: PublishProperties::new(),
            payload: bytes::Bytes::new(),
        })
    }

    #[test]
    fn one_turn_of_a_publisher_is_bounded_however_many_receive_what_it_sends() {
        let plane = Plane::new();
        let (realm, admitted) = (plane.realm(), plane.admit(1, &testing::identity()));
        let join = |client_id: &str| plane.connect(&admitted, client_id, Version::V311);
        let subscribers: Vec<_> = (0..100).map(|n| join(&format!("s{n}"))).collect();
        for subscriber in &subscribers {
            realm.packets(subscriber, &mut [subscribe("t")].into(), None);
        }
        let publisher = join("p");
        let mut packets: VecDeque<Packet> = (0..1000).map(|_| publish("t")).collect();
        let delivered = || usize::try_from(realm.counters().0.delivered).unwrap();
        while !packets.is_empty() {
            let before = delivered();
            realm.packets(&publisher, &mut packets, None);
            let turn = delivered() - before;
            assert!(turn > 0 && turn < TURN_EFFECTS + subscribers.len(), "{turn} deliveries in one turn");
        }
        assert_eq!(delivered(), 1000 * subscribers.len());
    }
}
