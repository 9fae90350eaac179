//! An account in a region: its broker, its live connections, and the table of all realms.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Waker;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use sekisho_broker::{
    AccountBudget, Broker, Budget, BudgetLimits, ConnectionId, Counters, DisconnectReason, Effect, Effects,
    Limits, Now, Operation, Peer, Published, ServerPublish, StoreTicket, TapId,
};
use sekisho_mqtt::{Connect, DecodeError, Packet, TopicFilter};
use tokio::sync::Notify;

use crate::admission::{Admitted, Refused};
use crate::authority::{ConnectionAuthority, associated_thing};
use crate::bridge::{Bridge, ConnectedEvent, LOST, RefusedEvent, RequestEvent};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::outlet::{News, Outlet};
use crate::principals::Principal;

/// Effects after which a connection's turn ends, whatever it has left. One read may hold thousands of publications, and
/// each may go to thousands of subscribers: without a bound, one client could fill the memory with its effects, and keep
/// everybody else of the realm waiting, for a product of the two.
pub(crate) const TURN_EFFECTS: usize = 4096;

/// A realm's number in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmId(u32);

/// One account in one region. Two realms share nothing: no topic, no session, no client id.
pub struct Realm {
    id: RealmId,
    account_id: Arc<str>,
    region: Arc<str>,
    arn_prefix: Arc<str>,
    reports: Reports,
    budget: Arc<AccountBudget>,
    state: Mutex<State>,
    live: Live,
    alarm: Alarm,
}

/// What clients ask of services: the one tap of each broker.
const REQUESTS: TapId = TapId(1);

/// Where refusals and numbers go.
#[derive(Debug, Clone)]
pub struct Reports {
    /// Refusals.
    pub bridge: Arc<Bridge>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

struct State {
    broker: Broker,
    effects: Effects,
    /// Until their [`Effect::Close`], or until their socket is gone.
    outlets: Outlets,
}

/// By whole id rather than by its index: within one turn an index can pass from a closed connection to a new one.
type Outlets = HashMap<ConnectionId, Arc<Outlet>, RandomState>;

/// A rare piece of news for a connection.
type Change = Box<dyn FnOnce(&mut News)>;

/// When the broker wants to be woken; the task that does so sleeps on `moved`.
#[derive(Debug, Default)]
struct Alarm {
    at: Mutex<Option<Now>>,
    moved: Notify,
    /// Somebody keeps it.
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
        f.debug_struct("Realm").field("account_id", &self.account_id).field("region", &self.region).finish()
    }
}

impl Realm {
    fn new(
        id: RealmId,
        account_id: &str,
        region: &str,
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
            id,
            account_id: account_id.into(),
            region: region.into(),
            arn_prefix: format!("arn:aws:iot:{region}:{account_id}:").into(),
            reports,
            budget,
            state: Mutex::new(State { broker, effects: Effects::new(), outlets: Outlets::default() }),
            live: Live::default(),
            alarm: Alarm::default(),
        }
    }

    /// A realm that serves nobody: for decisions about data that came with no connection.
    pub fn detached(account_id: &str, region: &str) -> Arc<Realm> {
        let reports =
            Reports { bridge: Arc::new(Bridge::new(0)), metrics: Arc::default(), clock: Clock::system() };
        let budget = AccountBudget::new(Budget::new(&BudgetLimits::default()));
        Arc::new(Self::new(RealmId(0), account_id, region, Limits::default(), budget, &[], reports))
    }

    /// Its number.
    pub fn id(&self) -> RealmId {
        self.id
    }

    /// The account, twelve digits.
    pub fn account_id(&self) -> &Arc<str> {
        &self.account_id
    }

    /// The region.
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    /// What every ARN of this realm begins with.
    pub fn arn_prefix(&self) -> &Arc<str> {
        &self.arn_prefix
    }

    /// What its account may make the server hold.
    pub fn budget(&self) -> &Arc<AccountBudget> {
        &self.budget
    }

    /// Its live connections by certificate.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What its broker has counted, and how many connections it has.
    pub fn counters(&self) -> (Counters, usize) {
        let state = self.lock();
        (state.broker.counters(), state.broker.connection_count())
    }

    /// Hand a CONNECT to the broker. What comes of it waits in the outlet.
    pub fn connect(&self, admitted: &Admitted, outlet: &Arc<Outlet>, packet: Connect) {
        let principal = admitted.principal();
        let presented = &outlet.presented;
        let authority = |client_id: &Arc<str>| -> Arc<dyn sekisho_broker::Authority> {
            let authority = Arc::new(ConnectionAuthority::new(
                principal,
                client_id.clone(),
                presented.peer.ip(),
                presented.sni.clone(),
            ));
            outlet.set_authority(principal.clone(), authority.clone());
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
        let State { broker, effects, outlets } = &mut *state;
        let id = broker.connect(now, packet, &peer, effects);
        outlet.set_id(id);
        outlets.insert(id, outlet.clone());
        self.finish(now, state);
    }

    /// Hand in what a connection has read: packets, and the error that ended them. What a turn does not get to is left
    /// in `packets`, to be handed in again.
    pub fn packets(&self, outlet: &Outlet, packets: &mut VecDeque<Packet>, error: Option<&DecodeError>) {
        let Some(id) = outlet.id() else { return packets.clear() };
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
    pub fn closed(&self, outlet: &Outlet, reason: DisconnectReason) {
        let Some(id) = outlet.id() else { return };
        self.turn(|broker, now, effects| broker.closed(now, id, reason, effects));
        self.lock().outlets.remove(&id);
    }

    /// End a connection from our side.
    pub fn disconnect(&self, outlet: &Outlet, reason: DisconnectReason) {
        let Some(id) = outlet.id() else { return };
        self.turn(|broker, now, effects| broker.disconnect(now, id, reason, effects));
    }

    /// There is room again in a connection's outbox.
    pub fn drained(&self, outlet: &Outlet) {
        let Some(id) = outlet.id() else { return };
        self.turn(|broker, now, effects| broker.drained(now, id, effects));
    }

    /// Put another authority in place of a live connection's.
    pub fn replace_authority(
        &self,
        outlet: &Outlet,
        principal: Arc<Principal>,
        authority: Arc<ConnectionAuthority>,
    ) {
        let Some(id) = outlet.id() else { return };
        self.reports.metrics.authorities_replaced.increment();
        outlet.set_authority(principal, authority.clone());
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

    /// This principal has a connection: tell the control plane, if it waits for that.
    pub fn tell_of_connected(&self, principal: &Principal, client_id: &Arc<str>) {
        if !principal.is_to_be_told() {
            return;
        }
        let told = self.reports.bridge.connected(ConnectedEvent {
            realm: (self.account_id.clone(), self.region.clone()),
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

    /// Wakes the broker whenever it asks to be. Does not return, unless somebody does so already.
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

    /// Carry out what the broker asked for, then let go of it and wake whom it concerns.
    ///
    /// Effects are queued under the broker's lock, so that each connection sees them in the broker's order. Nothing is
    /// written here, and nobody is woken before the lock is free.
    fn finish(&self, now: Now, mut state: MutexGuard<'_, State>) {
        let mut wakers = Vec::new();
        let mut stored: Vec<StoreTicket> = Vec::new();
        loop {
            let State { broker, effects, outlets } = &mut *state;
            for effect in effects.drain() {
                self.carry_out(effect, outlets, &mut wakers, &mut stored);
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
        outlets: &mut Outlets,
        wakers: &mut Vec<Waker>,
        stored: &mut Vec<StoreTicket>,
    ) {
        let is_last = matches!(effect, Effect::Close { .. });
        let (connection, change): (_, Change) = match effect {
            Effect::Send { connection, outgoing } => {
                // The path of a message: no box.
                if let Some(outlet) = outlets.get(&connection) {
                    wakers.extend(outlet.add(|news| news.outgoing.push(outgoing)));
                }
                return;
            }
            Effect::Accepted(accepted) => {
                if let Some(outlet) = outlets.get(&accepted.connection) {
                    self.tell_of_connected(&outlet.principal(), &accepted.client_id);
                }
                (accepted.connection, Box::new(move |news| news.accepted = Some(accepted)))
            }
            Effect::Close { connection, reason, .. } => {
                (connection, Box::new(move |news| news.close = Some(reason)))
            }
            Effect::Reading { connection, paused } => {
                (connection, Box::new(move |news| news.paused = Some(paused)))
            }
            Effect::Store { ticket, .. } => {
                stored.push(ticket);
                return;
            }
            Effect::Refused { connection, operation, refusal, about } => {
                if let Some(outlet) = outlets.get(&connection) {
                    self.report(outlet, operation, refusal, &about);
                }
                return;
            }
            // What came over no connection has nobody to answer.
            Effect::Tapped { from: Some(connection), message, .. } => {
                self.request(connection, &message);
                return;
            }
            // Lifecycle events are published on their topics by the broker itself.
            Effect::Lifecycle(_) | Effect::Tapped { from: None, .. } => return,
        };
        if let Some(outlet) = outlets.get(&connection) {
            wakers.extend(outlet.add(change));
        }
        if is_last {
            outlets.remove(&connection);
        }
    }

    fn request(&self, connection: ConnectionId, message: &sekisho_broker::Message) {
        let source = &message.source;
        let (Some(client_id), Some(principal)) = (&source.client_id, &source.principal) else { return };
        self.reports.bridge.request(RequestEvent {
            realm: (self.account_id.clone(), self.region.clone()),
            connection: connection.number(),
            client_id: client_id.clone(),
            certificate_id: principal.clone(),
            topic: message.topic.as_str().to_owned(),
            payload: message.payload.to_vec(),
        });
    }

    /// Count and log that a client ended its connection with a TLS alert.
    pub fn report_lost(&self, outlet: &Outlet, refused: Refused) {
        self.reports.metrics.refused(refused.refusal);
        self.tell(outlet, LOST, refused.refusal.name(), refused.detail);
    }

    fn report(&self, outlet: &Outlet, operation: Operation, refusal: sekisho_broker::Refusal, about: &str) {
        self.reports.metrics.broker_refused(refusal);
        if !outlet.is_news(refusal, Clock::unix_seconds()) {
            return;
        }
        let detail = if about.is_empty() {
            refusal.sentence().to_owned()
        } else {
            format!("{about}: {}", refusal.sentence())
        };
        self.tell(outlet, operation.as_str(), refusal.as_str(), detail);
    }

    fn tell(&self, outlet: &Outlet, operation: &'static str, reason: &'static str, detail: String) {
        let client_id =
            outlet.authority().map_or_else(|| outlet.presented.client_id.clone(), |a| a.client_id().clone());
        let event = RefusedEvent {
            time: Clock::unix_time(),
            realm: Some((self.account_id.clone(), self.region.clone())),
            certificate_id: Some(outlet.principal().certificate_id.clone()),
            client_id: Some(client_id).filter(|client_id| !client_id.is_empty()),
            peer: outlet.presented.peer.to_string(),
            sni: outlet.presented.sni.clone(),
            reason,
            detail,
            operation,
        };
        self.reports.bridge.refused(event, outlet.presented.peer.ip());
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
        // A later time needs no word: whoever sleeps looks again when it wakes.
        if earlier {
            self.moved.notify_one();
        }
    }
}

/// Live connections by certificate id, so that a change in the registry finds them.
#[derive(Debug, Default)]
pub struct Live {
    by_certificate: Mutex<HashMap<Arc<str>, Vec<Arc<Outlet>>, RandomState>>,
}

impl Live {
    /// A connection was accepted.
    pub fn add(&self, outlet: &Arc<Outlet>) {
        let certificate_id = outlet.principal().certificate_id.clone();
        self.lock().entry(certificate_id).or_default().push(outlet.clone());
    }

    /// A connection has ended.
    pub fn remove(&self, outlet: &Arc<Outlet>) {
        let certificate_id = outlet.principal().certificate_id.clone();
        let mut live = self.lock();
        if let Some(outlets) = live.get_mut(&certificate_id) {
            outlets.retain(|other| !Arc::ptr_eq(other, outlet));
            if outlets.is_empty() {
                live.remove(&certificate_id);
            }
        }
    }

    /// Those of one certificate.
    pub fn of_certificate(&self, certificate_id: &str) -> Vec<Arc<Outlet>> {
        self.lock().get(certificate_id).cloned().unwrap_or_default()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Outlet>> {
        self.lock().values().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Arc<Outlet>>, RandomState>> {
        self.by_certificate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All realms, and which endpoint speaks for which.
pub struct Realms {
    by_name: RwLock<HashMap<RealmName, Arc<Realm>>>,
    budget: Arc<Budget>,
    /// Those of the accounts whose realms there are.
    account_budgets: Mutex<HashMap<Arc<str>, Arc<AccountBudget>>>,
    endpoints: ArcSwap<HashMap<String, Arc<Realm>>>,
    limits: Limits,
    requests: Vec<TopicFilter>,
    reports: Reports,
    /// Tells of each new realm, so that somebody keeps its time.
    created: Created,
}

/// Account and region.
type RealmName = (Arc<str>, Arc<str>);

/// Called with each new realm.
pub type Created = Box<dyn Fn(&Arc<Realm>) + Send + Sync>;

impl std::fmt::Debug for Realms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Realms").field("realms", &self.all()).finish_non_exhaustive()
    }
}

impl Realms {
    /// No realms yet. `requests` are the topic filters of the services; `created` is told of each realm that comes to be.
    pub fn new(
        limits: Limits,
        budget: Arc<Budget>,
        requests: Vec<TopicFilter>,
        reports: Reports,
        created: Created,
    ) -> Self {
        Self {
            by_name: RwLock::default(),
            budget,
            account_budgets: Mutex::default(),
            endpoints: ArcSwap::default(),
            limits,
            requests,
            reports,
            created,
        }
    }

    /// The realm, if it has been heard of.
    pub fn get(&self, account_id: &str, region: &str) -> Option<Arc<Realm>> {
        let name = (account_id.into(), region.into());
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    /// The realm; made when it is heard of for the first time.
    pub fn get_or_create(&self, account_id: &str, region: &str) -> Arc<Realm> {
        if let Some(realm) = self.get(account_id, region) {
            return realm;
        }
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let id = RealmId(u32::try_from(by_name.len()).expect("fewer than four thousand million realms"));
        let realm = match by_name.entry((account_id.into(), region.into())) {
            Entry::Occupied(entry) => return entry.get().clone(),
            Entry::Vacant(entry) => {
                let (limits, reports) = (self.limits.clone(), self.reports.clone());
                let budget = self.account_budget(account_id);
                let realm = Realm::new(id, account_id, region, limits, budget, &self.requests, reports);
                entry.insert(Arc::new(realm)).clone()
            }
        };
        // Whoever is told may have locks of its own, and may be looking at our table behind them.
        drop(by_name);
        (self.created)(&realm);
        realm
    }

    /// What the process may hold for all accounts together.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The budget that the realms of an account share.
    fn account_budget(&self, account_id: &str) -> Arc<AccountBudget> {
        let mut budgets = self.account_budgets.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.entry(account_id.into()).or_insert_with(|| AccountBudget::new(self.budget.clone())).clone()
    }

    /// Every realm.
    pub fn all(&self) -> Vec<Arc<Realm>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Replace the table of (server name, account id, region). Names are compared without regard to case.
    pub fn set_endpoints(&self, endpoints: &[(String, String, String)]) {
        let table = endpoints
            .iter()
            .map(|(name, account_id, region)| {
                (name.to_ascii_lowercase(), self.get_or_create(account_id, region))
            })
            .collect();
        self.endpoints.store(Arc::new(table));
    }

    /// The realm that this server name speaks for. rustls gives names in lower case.
    pub fn of_endpoint(&self, name: &str) -> Option<Arc<Realm>> {
        self.endpoints.load().get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroU16;
    use std::sync::Weak;

    use sekisho_mqtt::{
        ConnectProperties, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter, Utf8, Version,
    };

    use super::*;
    use crate::admission::Presented;

    fn join(admitted: &Admitted, client_id: &str) -> Arc<Outlet> {
        let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let presented = Presented { chain: Arc::new([]), sni: None, peer, client_id: client_id.into() };
        let outlet = Arc::new(Outlet::new(admitted, presented));
        let connect = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 60,
            client_id: Utf8::try_from(client_id).unwrap(),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        admitted.principal().realm.connect(admitted, &outlet, connect);
        outlet
    }

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
    fn who_is_told_of_a_new_realm_may_look_at_the_others() {
        let reports =
            Reports { bridge: Arc::new(Bridge::new(0)), metrics: Arc::default(), clock: Clock::system() };
        let (told, hears) = std::sync::mpsc::channel();
        let created = move |realms: &Weak<Realms>| {
            let _ = told.send(realms.upgrade().map_or(0, |realms| realms.all().len()));
        };
        let realms = Arc::new_cyclic(|realms: &Weak<Realms>| {
            let realms = realms.clone();
            let budget = Budget::new(&BudgetLimits::default());
            Realms::new(Limits::default(), budget, Vec::new(), reports, Box::new(move |_| created(&realms)))
        });
        std::thread::spawn(move || {
            realms.get_or_create("123456789012", "eu-central-1");
            realms.get_or_create("123456789012", "eu-central-1");
            realms.get_or_create("123456789012", "us-east-1");
        });
        let deadline = Duration::from_secs(10);
        assert_eq!(hears.recv_timeout(deadline), Ok(1));
        assert_eq!(hears.recv_timeout(deadline), Ok(2));
        assert!(hears.recv_timeout(deadline).is_err(), "nobody is told twice");
    }

    #[test]
    fn one_turn_of_a_publisher_is_bounded_however_many_receive_what_it_sends() {
        let (admitted, _) = Admitted::for_test();
        let realm = &admitted.principal().realm;
        let subscribers: Vec<_> = (0..100).map(|n| join(&admitted, &format!("s{n}"))).collect();
        for subscriber in &subscribers {
            realm.packets(subscriber, &mut [subscribe("t")].into(), None);
        }
        let publisher = join(&admitted, "p");
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
