//! The border to the control plane: bounded queues of plain data. We never call it; it asks for batches and answers.
//!
//! | queue | when full |
//! |---|---|
//! | certificates to admit | the connection is refused with ADMISSION_QUEUE_FULL |
//! | live connections to re-examine | never full: at most one ticket per certificate with a connection |
//! | requests to services | one is dropped and counted; its client gets no answer |
//! | awaited certificates that have connected | it is said when they connect again |
//! | failed accepts | never full: those that were not taken yet are one event |
//! | refusals to report | one is dropped and counted; the counters in the statistics still have it |
//!
//! Each serves accounts in turn and has a bound for each account ([`FairQueue`]): what one account fills delays and
//! refuses nothing of another. Any peer may name any account's endpoint, so within an account peers' networks take
//! turns, and for requests certificates.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::admission::Refused;
use crate::fair_queue::{Bounds, FairQueue};
use crate::principals::{Epoch, Key, Principal};
use crate::refusal::Refusal;

/// What is asked about a certificate.
#[derive(Debug)]
pub struct Question {
    /// Whose, and where it was shown.
    pub key: Key,
    /// Account and region of the endpoint; none where the client sent no SNI.
    pub realm: Option<(Arc<str>, Arc<str>)>,
    /// The certificate's id, lower-case hex.
    pub certificate_id: Arc<str>,
    /// The leaf and what followed it, DER.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The client id of whoever asked first.
    pub client_id: Arc<str>,
    /// In whose share it waits.
    pub owner: Owner,
}

/// In whose share of a queue something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account of the endpoint, or of a live connection's certificate; none without SNI.
    pub account_id: Option<Arc<str>>,
    /// Where the client comes from.
    pub network: Network,
}

/// The networks that have a share of their own: an IPv4 address, or the 64 bits of an IPv6 address that a site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of a peer.
    pub fn of(peer: IpAddr) -> Self {
        Self(match peer.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a connection that waits for an answer gets.
pub type Outcome = Result<Arc<Principal>, Refused>;

/// One question under way. However many connections wait for the answer, it is asked once.
#[derive(Debug)]
struct Ticket {
    question: Arc<Question>,
    waiters: Vec<oneshot::Sender<Outcome>>,
    /// Live connections wait for the answer too.
    reexamination: bool,
    raised: Instant,
    /// The epoch at which the control plane took it, and when; none while it waits in the queue.
    taken: Option<(Epoch, Instant)>,
    /// Its answer is being worked on.
    answered: bool,
}

/// The operation of an open connection that its client ended with a TLS alert.
pub const LOST: &str = "connection";

/// A refusal, for the log and the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedEvent {
    /// When, Unix seconds.
    pub time: f64,
    /// Account and region, where they were known.
    pub realm: Option<(Arc<str>, Arc<str>)>,
    /// Lower-case hex, where the client showed a certificate.
    pub certificate_id: Option<Arc<str>>,
    /// The client id, where there was one.
    pub client_id: Option<Arc<str>>,
    /// `ip:port`.
    pub peer: String,
    /// The name the client asked for.
    pub sni: Option<Arc<str>>,
    /// The name of the reason.
    pub reason: &'static str,
    /// A sentence for an operator.
    pub detail: String,
    /// What was refused: the name of a [`sekisho_broker::Operation`]; or [`LOST`].
    pub operation: &'static str,
}

/// What a client asks of a service, by publishing on one of its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEvent {
    /// Account and region.
    pub realm: (Arc<str>, Arc<str>),
    /// Whom to answer.
    pub connection: u64,
    /// The client id.
    pub client_id: Arc<str>,
    /// The certificate it speaks with, lower-case hex.
    pub certificate_id: Arc<str>,
    /// Where it was published.
    pub topic: String,
    /// What was published.
    pub payload: Vec<u8>,
}

/// A certificate that the control plane waits for has a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedEvent {
    /// Account and region.
    pub realm: (Arc<str>, Arc<str>),
    /// Lower-case hex.
    pub certificate_id: Arc<str>,
    /// The client id.
    pub client_id: Arc<str>,
}

/// What the control plane takes.
#[derive(Debug)]
pub enum Event {
    /// A certificate to admit.
    Admit {
        /// To answer with.
        ticket: u64,
        /// About whom.
        question: Arc<Question>,
        /// Whether it is about live connections.
        reexamination: bool,
    },
    /// A client asks something of a service.
    Request(Box<RequestEvent>),
    /// A certificate that is waited for has connected.
    Connected(Box<ConnectedEvent>),
    /// Somebody was refused.
    Refused(Box<RefusedEvent>),
    /// Connections could not be accepted, for want of descriptors or memory.
    AcceptFailed {
        /// What the system said last.
        cause: String,
        /// How many attempts failed since the last time this was said.
        count: u64,
    },
    /// A queue was full.
    Dropped {
        /// Which.
        queue: &'static str,
        /// Of which account; none where it is of several.
        account_id: Option<Arc<str>>,
        /// How many events of it were dropped since the last time this was said.
        count: u64,
    },
}

type ByNetwork<T> = FairQueue<Option<Arc<str>>, Network, T>;
type ByCertificate<T> = FairQueue<Arc<str>, Arc<str>, T>;

#[derive(Debug)]
struct State {
    last_ticket: u64,
    tickets: HashMap<u64, Ticket, RandomState>,
    /// More than one only where clients send different chains after the same leaf.
    by_key: HashMap<Key, Vec<u64>, RandomState>,
    admissions: ByNetwork<u64>,
    reexaminations: ByNetwork<u64>,
    requests: ByCertificate<Box<RequestEvent>>,
    dropped_requests: HashMap<Arc<str>, u64, RandomState>,
    connected: ByCertificate<Box<ConnectedEvent>>,
    refusals: ByNetwork<Box<RefusedEvent>>,
    dropped_refusals: u64,
    accept_failures: Option<(String, u64)>,
    last_answer: Option<Instant>,
    closed: bool,
    counted: Counted,
}

/// How many events were dropped or refused since the start.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    dropped_requests: u64,
    dropped_refusals: u64,
}

/// How long the queues are, and what was dropped since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Certificates that are asked about, taken ones included.
    pub tickets: usize,
    /// Requests to services.
    pub requests: usize,
    /// Requests to services that were dropped.
    pub dropped_requests: u64,
    /// Refusals to report.
    pub refusals: usize,
    /// Refusals that were not reported.
    pub dropped_refusals: u64,
}

/// The queues.
#[derive(Debug)]
pub struct Bridge {
    state: Mutex<State>,
    arrived: Condvar,
}

/// Chains behind one leaf that are asked about at a time. A device sends one; who sends a new one with each connection
/// would only make the search among them long.
const MOST_CHAINS: usize = 8;

/// Refusals kept for the control plane: in all, of one account, and of one network at its endpoints.
const MAX_REFUSALS: Bounds = Bounds { total: 10_000, account: 5_000, source: 2_500 };

/// Bytes of requests kept for the control plane: in all, of one account, of one certificate. Those of a connection are
/// bounded by the control plane, which answers what has no place there.
const MAX_REQUEST_BYTES: Bounds =
    Bounds { total: 16 * 1024 * 1024, account: 8 * 1024 * 1024, source: 8 * 1024 * 1024 };

/// What a request counts beside its payload, in bytes.
const REQUEST_BYTES: usize = 1024;

/// Awaited certificates that have connected, kept for the control plane: in all, and of one account.
const MAX_CONNECTED: usize = 40_000;
const MAX_CONNECTED_PER_ACCOUNT: usize = 10_000;

/// Re-examinations wait longer for their turn while the control plane answers others, since a change of one policy may
/// bring up a hundred thousand of them, and to cut these off would be worse than to let them wait; but never longer
/// than this many times the deadline. One that was taken has the deadline and no more.
const PATIENCE: u32 = 60;

/// How soon live connections are to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// In turn: a change of one policy may concern a hundred thousand of them.
    Ordinary,
    /// At once: a certificate itself has changed, which may mean that it was revoked.
    Urgent,
}

/// A ticket whose answer can be worked on.
#[derive(Debug)]
pub struct Taken {
    /// Its number.
    pub ticket: u64,
    /// What was asked.
    pub question: Arc<Question>,
    /// When it was taken.
    pub epoch: Epoch,
}

/// Everybody who waited for one answer.
#[derive(Debug)]
pub struct Audience {
    /// Connections before their CONNACK.
    pub waiters: Vec<oneshot::Sender<Outcome>>,
    /// Live connections too.
    pub reexamination: bool,
}

impl Bridge {
    /// Empty queues; at most this many certificates wait, and half as many of one account.
    pub fn new(max_admissions: usize) -> Self {
        let share = max_admissions.div_ceil(2);
        let state = State {
            last_ticket: 0,
            tickets: HashMap::default(),
            by_key: HashMap::default(),
            admissions: FairQueue::new(Bounds { total: max_admissions, account: share, source: share }),
            reexaminations: FairQueue::new(Bounds::NONE),
            requests: FairQueue::new(MAX_REQUEST_BYTES),
            dropped_requests: HashMap::default(),
            connected: FairQueue::new(Bounds::NONE),
            refusals: FairQueue::new(MAX_REFUSALS),
            dropped_refusals: 0,
            accept_failures: None,
            last_answer: None,
            closed: false,
            counted: Counted::default(),
        };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Ask about a certificate for a new connection. `None` when the queue is full.
    pub fn ask(
        &self,
        question: impl FnOnce() -> Question,
        key: &Key,
        chain: &[CertificateDer<'static>],
    ) -> Option<oneshot::Receiver<Outcome>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if let Some((_, ticket)) = state.find(key, chain) {
            ticket.waiters.push(sender);
            return Some(receiver);
        }
        if state.by_key.get(key).map_or(0, Vec::len) >= MOST_CHAINS {
            return None;
        }
        let question = Arc::new(question());
        let Owner { account_id, network } = question.owner.clone();
        let number = state.raise(question, vec![sender], false);
        match state.admissions.push(account_id, network, number, 1) {
            Ok(gave_way) => gave_way.into_iter().for_each(|number| state.give_way(number)),
            Err(number) => {
                state.remove(number);
                return None;
            }
        }
        drop(state);
        self.arrived.notify_one();
        Some(receiver)
    }

    /// Ask about certificates for their live connections. What is urgent goes ahead of what waits.
    pub fn reexamine(&self, questions: impl IntoIterator<Item = Question>, urgency: Urgency) {
        let mut state = self.lock();
        for question in questions {
            // A question that has not been taken yet will be answered from the registry as it is by then. One that
            // has been taken is asked again when its answer proves stale.
            let waits = state.find(&question.key, &question.chain).map(|(number, ticket)| {
                ticket.reexamination = true;
                (number, ticket.taken.is_none())
            });
            let Owner { account_id, network } = question.owner.clone();
            match (waits, urgency) {
                (None, Urgency::Ordinary) => {
                    let number = state.raise(Arc::new(question), Vec::new(), true);
                    state.examine_again(account_id, network, number);
                }
                (None, Urgency::Urgent) => {
                    let number = state.raise(Arc::new(question), Vec::new(), true);
                    state.reexaminations.push_front(account_id, network, number, 1);
                }
                // Its former place in the queue is passed over when its turn comes.
                (Some((number, true)), Urgency::Urgent) => {
                    state.reexaminations.push_front(account_id, network, number, 1);
                }
                (Some(_), _) => {}
            }
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Report a refusal of a peer at this address.
    pub fn refused(&self, event: RefusedEvent, peer: IpAddr) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let account_id = event.realm.as_ref().map(|(account_id, _)| account_id.clone());
        let dropped = match state.refusals.push(account_id, Network::of(peer), Box::new(event), 1) {
            Ok(gave_way) => gave_way.len() as u64,
            Err(_) => 1,
        };
        state.dropped_refusals += dropped;
        state.counted.dropped_refusals += dropped;
        drop(state);
        self.arrived.notify_one();
    }

    /// Report failed attempts to accept a connection. Those that were not taken yet become one event.
    pub fn accept_failed(&self, cause: String, count: u64) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let before = state.accept_failures.as_ref().map_or(0, |(_, count)| *count);
        state.accept_failures = Some((cause, before + count));
        drop(state);
        self.arrived.notify_one();
    }

    /// A client asks something of a service.
    pub fn request(&self, event: RequestEvent) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let (account_id, size) = (event.realm.0.clone(), REQUEST_BYTES + event.payload.len());
        let dropped = state
            .requests
            .push(account_id, event.certificate_id.clone(), Box::new(event), size)
            .unwrap_or_else(|refused| vec![refused]);
        for event in dropped {
            state.counted.dropped_requests += 1;
            *state.dropped_requests.entry(event.realm.0).or_default() += 1;
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// A certificate that is waited for has connected. `false` when there is no room to say so now.
    pub fn connected(&self, event: ConnectedEvent) -> bool {
        let mut state = self.lock();
        let account_id = event.realm.0.clone();
        if state.closed
            || state.connected.len() >= MAX_CONNECTED
            || state.connected.size_of(&account_id) >= MAX_CONNECTED_PER_ACCOUNT
        {
            return false;
        }
        let certificate_id = event.certificate_id.clone();
        let has_place = state.connected.push(account_id, certificate_id, Box::new(event), 1).is_ok();
        drop(state);
        self.arrived.notify_one();
        has_place
    }

    /// Up to `limit` events, waiting at most `timeout` for the first. `epoch` is read as tickets are handed over.
    pub fn next_batch(&self, limit: usize, timeout: Duration, epoch: impl Fn() -> Epoch) -> Vec<Event> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        while !state.closed && state.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Vec::new();
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            return Vec::new();
        }
        state.take(limit, epoch())
    }

    /// The tickets among these that can be answered, marked as being so. Unknown and late ones are left out.
    pub fn answering(&self, tickets: impl Iterator<Item = u64>) -> Vec<Option<Taken>> {
        let mut state = self.lock();
        state.last_answer = Some(Instant::now());
        tickets
            .map(|number| {
                let ticket = state.tickets.get_mut(&number)?;
                let (epoch, _) = ticket.taken.filter(|_| !ticket.answered)?;
                ticket.answered = true;
                Some(Taken { ticket: number, question: ticket.question.clone(), epoch })
            })
            .collect()
    }

    /// Its answer was out of date: ask again, for the same audience and with the same deadline.
    pub fn ask_again(&self, number: u64) {
        let mut state = self.lock();
        let Some(ticket) = state.tickets.get_mut(&number) else { return };
        ticket.taken = None;
        ticket.answered = false;
        let Owner { account_id, network } = ticket.question.owner.clone();
        if ticket.reexamination {
            state.reexaminations.push_front(account_id, network, number, 1);
        } else {
            state.admissions.push_front(account_id, network, number, 1);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// It is answered: who waited for it? `None` when it ran out of time meanwhile.
    pub fn close_ticket(&self, number: u64) -> Option<Audience> {
        self.lock()
            .remove(number)
            .map(|ticket| Audience { waiters: ticket.waiters, reexamination: ticket.reexamination })
    }

    /// Give up what has waited for longer than `patience`: returns the keys whose live connections got no answer.
    /// Connections before their CONNACK watch the clock themselves.
    pub fn expire(&self, patience: Duration, now: Instant) -> Vec<Key> {
        let mut state = self.lock();
        let progress = state.last_answer.is_some_and(|at| now.saturating_duration_since(at) < patience);
        let late: Vec<u64> = state
            .tickets
            .iter()
            .filter(|(_, ticket)| {
                let (since, limit) = match ticket.taken {
                    _ if !ticket.reexamination => (ticket.raised, patience),
                    Some((_, at)) => (at, patience),
                    None if progress => (ticket.raised, patience * PATIENCE),
                    None => (ticket.raised, patience),
                };
                !ticket.answered && now.saturating_duration_since(since) > limit
            })
            .map(|(number, _)| *number)
            .collect();
        let mut keys = Vec::new();
        for number in late {
            if let Some(ticket) = state.remove(number)
                && ticket.reexamination
            {
                keys.push(ticket.question.key);
            }
        }
        if !state.tickets.is_empty() {
            return keys;
        }
        // Numbers of tickets that are gone are skipped when taken; with none left the queues are just that.
        state.admissions.clear();
        state.reexaminations.clear();
        keys
    }

    /// Nobody will take anything any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.refusals.clear();
        state.requests.clear();
        state.connected.clear();
        state.tickets.clear();
        state.by_key.clear();
        drop(state);
        self.arrived.notify_all();
    }

    /// How long the queues are.
    pub fn lengths(&self) -> Lengths {
        let state = self.lock();
        Lengths {
            tickets: state.tickets.len(),
            requests: state.requests.len(),
            dropped_requests: state.counted.dropped_requests,
            refusals: state.refusals.len(),
            dropped_refusals: state.counted.dropped_refusals,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.admissions.is_empty()
            && self.reexaminations.is_empty()
            && self.requests.is_empty()
            && self.dropped_requests.is_empty()
            && self.connected.is_empty()
            && self.refusals.is_empty()
            && self.dropped_refusals == 0
            && self.accept_failures.is_none()
    }

    fn find(&mut self, key: &Key, chain: &[CertificateDer<'static>]) -> Option<(u64, &mut Ticket)> {
        let numbers = self.by_key.get(key)?;
        let number = *numbers.iter().find(|number| {
            // Whether the CA is in the chain decides about automatic registration, so chains must agree.
            self.tickets.get(number).is_some_and(|ticket| *ticket.question.chain == *chain)
        })?;
        Some((number, self.tickets.get_mut(&number)?))
    }

    /// Have live connections examined anew, in turn.
    fn examine_again(&mut self, account_id: Option<Arc<str>>, network: Network, number: u64) {
        // It has no bound, so nothing gives way.
        let _ = self.reexaminations.push(account_id, network, number, 1);
    }

    /// A certificate that waited for its turn has none any more: others have a better right to the place.
    fn give_way(&mut self, number: u64) {
        let Some(ticket) = self.tickets.get(&number).filter(|ticket| ticket.taken.is_none()) else { return };
        if ticket.reexamination {
            // Live connections are not refused for that.
            let Owner { account_id, network } = ticket.question.owner.clone();
            self.examine_again(account_id, network, number);
            return;
        }
        for waiter in self.remove(number).into_iter().flat_map(|ticket| ticket.waiters) {
            // A connection that gave up meanwhile has dropped its end.
            let _ = waiter.send(Err(Refused::because(Refusal::AdmissionQueueFull)));
        }
    }

    fn raise(
        &mut self,
        question: Arc<Question>,
        waiters: Vec<oneshot::Sender<Outcome>>,
        reexamination: bool,
    ) -> u64 {
        self.last_ticket += 1;
        self.by_key.entry(question.key).or_default().push(self.last_ticket);
        let ticket =
            Ticket { question, waiters, reexamination, raised: Instant::now(), taken: None, answered: false };
        self.tickets.insert(self.last_ticket, ticket);
        self.last_ticket
    }

    fn remove(&mut self, number: u64) -> Option<Ticket> {
        let ticket = self.tickets.remove(&number)?;
        if let Some(numbers) = self.by_key.get_mut(&ticket.question.key) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_key.remove(&ticket.question.key);
            }
        }
        Some(ticket)
    }

    fn take(&mut self, limit: usize, epoch: Epoch) -> Vec<Event> {
        let mut events = Vec::with_capacity(limit.min(256));
        if self.dropped_refusals > 0 {
            let count = std::mem::take(&mut self.dropped_refusals);
            events.push(Event::Dropped { queue: "refused", account_id: None, count });
        }
        // A batch may be too short to say it of every account.
        while events.len() < limit.div_ceil(2)
            && let Some(account_id) = self.dropped_requests.keys().next().cloned()
        {
            let count = self.dropped_requests.remove(&account_id).unwrap_or_default();
            events.push(Event::Dropped { queue: "request", account_id: Some(account_id), count });
        }
        if let Some((cause, count)) = self.accept_failures.take() {
            events.push(Event::AcceptFailed { cause, count });
        }
        // Neither a crowd at the gate nor a change of policy may starve the other, nor both the rest.
        let for_refusals = self.refusals.len().min(limit / 4);
        let for_requests = self.requests.len().min(limit / 8);
        let for_connected = self.connected.len().min(limit / 8);
        let for_tickets = limit.saturating_sub(for_refusals + for_requests + for_connected);
        let mut from_reexaminations = true;
        while events.len() < for_tickets {
            let (first, second) = if from_reexaminations {
                (&mut self.reexaminations, &mut self.admissions)
            } else {
                (&mut self.admissions, &mut self.reexaminations)
            };
            let Some(number) = first.pop().or_else(|| second.pop()) else { break };
            from_reexaminations = !from_reexaminations;
            if let Some(ticket) = self.tickets.get_mut(&number).filter(|ticket| ticket.taken.is_none()) {
                ticket.taken = Some((epoch, Instant::now()));
                let question = ticket.question.clone();
                events.push(Event::Admit { ticket: number, question, reexamination: ticket.reexamination });
            }
        }
        let left = limit.saturating_sub(events.len() + for_refusals + for_connected);
        let requests = std::iter::from_fn(|| self.requests.pop()).take(left.max(for_requests));
        events.extend(requests.map(Event::Request));
        let left = limit.saturating_sub(events.len() + for_refusals);
        let connected = std::iter::from_fn(|| self.connected.pop()).take(left.max(for_connected));
        events.extend(connected.map(Event::Connected));
        let reports = limit.saturating_sub(events.len());
        events.extend(std::iter::from_fn(|| self.refusals.pop()).take(reports).map(Event::Refused));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key { realm: None, certificate_id: sekisho_certificate::certificate_id(&[number]) }
    }

    fn question(number: u8) -> Question {
        let certificate_id = key(number).certificate_id.to_string().into();
        Question {
            key: key(number),
            realm: None,
            certificate_id,
            chain: Arc::new([]),
            client_id: "c".into(),
            owner: owner("A", 1),
        }
    }

    fn owner(account_id: &str, host: u8) -> Owner {
        Owner { account_id: Some(account_id.into()), network: Network::of(peer(host)) }
    }

    fn peer(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    /// A question about a certificate of its own for each number.
    fn question_of(account_id: &str, host: u8, number: u32) -> Question {
        let certificate_id = sekisho_certificate::certificate_id(&number.to_be_bytes());
        let key = Key { realm: None, certificate_id };
        Question { key, owner: owner(account_id, host), ..question(0) }
    }

    fn ask_of(
        bridge: &Bridge,
        account_id: &str,
        host: u8,
        number: u32,
    ) -> Option<oneshot::Receiver<Outcome>> {
        let question = question_of(account_id, host, number);
        let key = question.key;
        bridge.ask(|| question, &key, &[])
    }

    /// The accounts of the certificates in a batch.
    fn accounts(events: &[Event]) -> Vec<&str> {
        events
            .iter()
            .filter_map(|event| match event {
                Event::Admit { question, .. } => question.owner.account_id.as_deref(),
                Event::Request(request) => Some(&*request.realm.0),
                Event::Connected(connected) => Some(&*connected.realm.0),
                Event::Refused(refused) => refused.realm.as_ref().map(|(account_id, _)| &**account_id),
                Event::AcceptFailed { .. } | Event::Dropped { .. } => None,
            })
            .collect()
    }

    fn refused() -> RefusedEvent {
        RefusedEvent {
            time: 0.0,
            realm: None,
            certificate_id: None,
            client_id: None,
            peer: "127.0.0.1:1".to_owned(),
            sni: None,
            reason: "NOT_TLS",
            detail: String::new(),
            operation: "connect",
        }
    }

    fn request(bytes: usize) -> RequestEvent {
        request_of("1", bytes)
    }

    fn request_of(account_id: &str, bytes: usize) -> RequestEvent {
        RequestEvent {
            realm: (account_id.into(), "r".into()),
            connection: 1,
            client_id: "c".into(),
            certificate_id: "id".into(),
            topic: "$aws/certificates/create/json".to_owned(),
            payload: vec![0; bytes],
        }
    }

    #[test]
    fn requests_are_bounded_by_what_they_weigh_and_go_on_once_some_are_taken() {
        let bridge = Bridge::new(10);
        let large = MAX_REQUEST_BYTES.account / 2 - REQUEST_BYTES;
        (0..3).for_each(|_| bridge.request(request(large)));
        assert!(matches!(
            take(&bridge, 10)[..],
            [Event::Dropped { queue: "request", count: 1, .. }, Event::Request(_), Event::Request(_)]
        ));
        bridge.request(request(large));
        assert!(matches!(take(&bridge, 10)[..], [Event::Request(_)]));
    }

    #[test]
    fn a_crowd_of_requests_starves_nobody() {
        let bridge = Bridge::new(100);
        let waiters: Vec<_> = (0..50).map(|n| bridge.ask(|| question(n), &key(n), &[])).collect();
        (0..50).for_each(|_| bridge.request(request(1)));
        (0..50).for_each(|_| bridge.refused(refused(), peer(1)));
        let (mut admissions, mut requests, mut refusals) = (0, 0, 0);
        for event in take(&bridge, 40) {
            match event {
                Event::Admit { .. } => admissions += 1,
                Event::Request(_) => requests += 1,
                _ => refusals += 1,
            }
        }
        assert_eq!((admissions, requests, refusals), (25, 5, 10));
        drop(waiters);
    }

    fn take(bridge: &Bridge, limit: usize) -> Vec<Event> {
        bridge.next_batch(limit, Duration::ZERO, || 7)
    }

    #[test]
    fn refusals_beyond_the_bound_are_dropped_and_counted_once() {
        let bridge = Bridge::new(10);
        (0..MAX_REFUSALS.source + 5).for_each(|_| bridge.refused(refused(), peer(1)));
        assert!(matches!(take(&bridge, 2)[..], [Event::Dropped { count: 5, .. }, Event::Refused(_)]));
        assert!(matches!(take(&bridge, 1)[..], [Event::Refused(_)]));
    }

    #[test]
    fn an_account_waits_for_one_certificate_of_each_other_account_per_turn() {
        let bridge = Bridge::new(10_000);
        let waiters: Vec<_> = (0..4_000).map(|number| ask_of(&bridge, "A", 1, number)).collect();
        let other = ask_of(&bridge, "B", 2, 4_000);
        let unnamed = bridge.ask(
            || Question { owner: Owner { account_id: None, network: Network::of(peer(3)) }, ..question(9) },
            &key(9),
            &[],
        );
        assert!(waiters.iter().all(Option::is_some) && other.is_some() && unnamed.is_some());
        let events = take(&bridge, 4);
        assert_eq!(accounts(&events), ["A", "B", "A"], "and one without an account");
    }

    #[test]
    fn an_account_that_fills_the_queue_is_refused_alone_and_gives_way_to_others() {
        let bridge = Bridge::new(10);
        let mut waiters: Vec<_> = (0..8).map(|number| ask_of(&bridge, "A", 1, number)).collect();
        assert_eq!(waiters.iter().flatten().count(), 5, "half of the queue");
        waiters.extend((100..105).map(|number| ask_of(&bridge, "B", 2, number)));
        assert_eq!(waiters.iter().flatten().count(), 10);
        assert!(ask_of(&bridge, "C", 3, 200).is_some(), "who holds less than the others has a place");
        let is_refused = |waiter: &mut oneshot::Receiver<Outcome>| {
            let outcome = waiter.try_recv().ok();
            outcome.and_then(Result::err).is_some_and(|told| told.refusal == Refusal::AdmissionQueueFull)
        };
        let refused = waiters.iter_mut().flatten().map(is_refused).filter(|refused| *refused).count();
        assert_eq!((bridge.lengths().tickets, refused), (10, 1), "one gave way, and was told");
    }

    #[test]
    fn a_peer_that_floods_the_endpoint_of_an_account_gives_way_to_its_devices() {
        let bridge = Bridge::new(20);
        let mut flood: Vec<_> = (0..50).filter_map(|number| ask_of(&bridge, "A", 66, number)).collect();
        assert_eq!(flood.len(), 10);
        assert!(ask_of(&bridge, "A", 1, 100).is_some());
        assert!(matches!(flood.last_mut().unwrap().try_recv(), Ok(Err(_))), "its newest is refused");
        let _same_site = ask_of(&bridge, "A", 1, 101).unwrap();
        let events = take(&bridge, 4);
        let hosts: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Admit { question, .. } => question.owner.network,
                _ => panic!("{event:?}"),
            })
            .collect();
        assert_eq!(hosts, [66, 1, 66, 1].map(|host| Network::of(peer(host))));
    }

    #[test]
    fn a_live_connection_whose_question_gives_way_is_examined_all_the_same() {
        let bridge = Bridge::new(4);
        let _waiters = [1, 2].map(|number| ask_of(&bridge, "A", 1, number));
        bridge.reexamine([question_of("A", 1, 2)], Urgency::Ordinary);
        assert!(ask_of(&bridge, "A", 2, 3).is_some(), "of another network: 2 gives way");
        let events = take(&bridge, 10);
        assert_eq!(events.len(), 3);
        assert!(events.iter().any(|event| matches!(event, Event::Admit { reexamination: true, .. })));
    }

    #[test]
    fn reexaminations_of_accounts_take_turns_also_where_they_are_urgent() {
        let bridge = Bridge::new(10);
        for urgency in [Urgency::Ordinary, Urgency::Urgent] {
            bridge.reexamine((0..1000).map(|number| question_of("A", 1, number)), urgency);
            bridge.reexamine([question_of("B", 2, 1000)], urgency);
            assert_eq!(accounts(&take(&bridge, 2)), ["A", "B"]);
            while !take(&bridge, 1000).is_empty() {}
            bridge.expire(Duration::ZERO, Instant::now() + Duration::from_secs(1));
        }
    }

    #[test]
    fn requests_and_refusals_of_one_account_neither_delay_nor_displace_those_of_another() {
        let bridge = Bridge::new(10);
        (0..50_000).for_each(|_| bridge.request(request_of("A", 0)));
        bridge.request(request_of("B", 0));
        let events = take(&bridge, 3);
        let dropped = 50_000 - MAX_REQUEST_BYTES.account / REQUEST_BYTES;
        assert!(
            matches!(&events[0], Event::Dropped { queue: "request", account_id: Some(account_id), count }
                if &**account_id == "A" && *count == dropped as u64),
            "{:?}",
            events[0]
        );
        assert_eq!(accounts(&events), ["A", "B"]);
        assert_eq!(bridge.lengths().dropped_requests, dropped as u64);

        let bridge = Bridge::new(10);
        let of =
            |account_id: &str| RefusedEvent { realm: Some((account_id.into(), "r".into())), ..refused() };
        for host in 0..8 {
            (0..MAX_REFUSALS.source).for_each(|_| bridge.refused(of("A"), peer(host)));
        }
        bridge.refused(of("B"), peer(9));
        assert_eq!(bridge.lengths().refusals, MAX_REFUSALS.account + 1);
        assert_eq!(accounts(&take(&bridge, 4))[..2], ["A", "B"]);
    }

    #[test]
    fn connected_certificates_of_accounts_take_turns_and_have_a_bound_each() {
        let bridge = Bridge::new(10);
        let connected = |account_id: &str| ConnectedEvent {
            realm: (account_id.into(), "r".into()),
            certificate_id: "id".into(),
            client_id: "c".into(),
        };
        let said = (0..=MAX_CONNECTED_PER_ACCOUNT).filter(|_| bridge.connected(connected("A"))).count();
        assert_eq!(said, MAX_CONNECTED_PER_ACCOUNT);
        assert!(bridge.connected(connected("B")));
        assert_eq!(accounts(&take(&bridge, 3)), ["A", "B", "A"]);
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_the_site_of_an_ipv6_address() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8::1").to_string(), "2001:db8::");
    }

    #[test]
    fn failed_accepts_that_were_not_taken_yet_are_one_event() {
        let bridge = Bridge::new(10);
        bridge.accept_failed("first".to_owned(), 1);
        bridge.accept_failed("last".to_owned(), 41);
        assert!(
            matches!(&take(&bridge, 2)[..], [Event::AcceptFailed { cause, count: 42 }] if cause == "last")
        );
        assert!(take(&bridge, 2).is_empty());
    }

    #[test]
    fn neither_queue_starves_the_others() {
        let bridge = Bridge::new(100);
        let waiters: Vec<_> = (0..50).map(|n| bridge.ask(|| question(n), &key(n), &[])).collect();
        bridge.reexamine((100..150).map(question), Urgency::Ordinary);
        (0..50).for_each(|_| bridge.refused(refused(), peer(1)));
        let (mut admissions, mut reexaminations, mut refusals) = (0, 0, 0);
        for event in take(&bridge, 40) {
            match event {
                Event::Admit { reexamination: false, .. } => admissions += 1,
                Event::Admit { .. } => reexaminations += 1,
                _ => refusals += 1,
            }
        }
        assert_eq!((admissions, reexaminations, refusals), (15, 15, 10));
        drop(waiters);
    }

    #[test]
    fn a_full_queue_takes_no_new_certificate_but_more_waiters_for_a_known_one() {
        let bridge = Bridge::new(1);
        let first = bridge.ask(|| question(1), &key(1), &[]);
        assert!(first.is_some());
        assert!(bridge.ask(|| question(2), &key(2), &[]).is_none());
        assert!(bridge.ask(|| question(1), &key(1), &[]).is_some());
        assert_eq!(take(&bridge, 10).len(), 1);
    }

    #[test]
    fn what_is_urgent_goes_ahead_whether_or_not_it_waits_already() {
        let bridge = Bridge::new(10);
        bridge.reexamine((0..100).map(question), Urgency::Ordinary);
        for number in [50, 200] {
            bridge.reexamine([question(number)], Urgency::Urgent);
            let events = take(&bridge, 1);
            let [Event::Admit { question, .. }] = &events[..] else { panic!("{events:?}") };
            assert_eq!(question.key, key(number));
        }
        assert_eq!(take(&bridge, 1000).len(), 99, "and is asked once");
    }

    #[test]
    fn one_certificate_is_asked_about_with_few_chains_at_a_time() {
        let bridge = Bridge::new(100);
        let chain = |number: u8| vec![CertificateDer::from(vec![number])];
        let ask = |number: u8| {
            let question = || Question { chain: chain(number).into(), ..question(1) };
            bridge.ask(question, &key(1), &chain(number))
        };
        let waiters: Vec<_> = (0..=u8::MAX).map(ask).collect();
        assert_eq!(waiters.iter().flatten().count(), MOST_CHAINS);
        assert!(ask(0).is_some(), "what is asked already may be waited for");
        assert!(bridge.ask(|| question(2), &key(2), &[]).is_some(), "others are not concerned");
    }

    #[test]
    fn tickets_are_answered_once_and_only_after_they_were_taken() {
        let bridge = Bridge::new(10);
        let _waiter = bridge.ask(|| question(1), &key(1), &[]);
        assert!(bridge.answering([1].into_iter())[0].is_none(), "nobody has seen it yet");
        let events = take(&bridge, 10);
        let [Event::Admit { ticket, .. }] = events[..] else { panic!("{events:?}") };
        let taken = bridge.answering([ticket, 99].into_iter());
        assert_eq!(taken[0].as_ref().map(|taken| taken.epoch), Some(7));
        assert!(taken[1].is_none(), "there is no such ticket");
        assert!(bridge.answering([ticket].into_iter())[0].is_none(), "it is being answered");
        assert_eq!(bridge.close_ticket(ticket).map(|audience| audience.waiters.len()), Some(1));
        assert!(bridge.close_ticket(ticket).is_none());
    }

    #[test]
    fn a_question_asked_again_keeps_its_audience() {
        let bridge = Bridge::new(10);
        let _waiter = bridge.ask(|| question(1), &key(1), &[]);
        let events = take(&bridge, 10);
        let [Event::Admit { ticket, .. }] = events[..] else { panic!("{events:?}") };
        assert!(bridge.answering([ticket].into_iter())[0].is_some());
        bridge.ask_again(ticket);
        assert_eq!(take(&bridge, 10).len(), 1);
        assert!(bridge.answering([ticket].into_iter())[0].is_some());
        assert_eq!(bridge.close_ticket(ticket).map(|audience| audience.waiters.len()), Some(1));
    }

    #[test]
    fn who_waits_for_a_ticket_that_expires_is_let_go() {
        let bridge = Bridge::new(10);
        let mut waiter = bridge.ask(|| question(1), &key(1), &[]).unwrap();
        bridge.reexamine([question(2)], Urgency::Ordinary);
        let patience = Duration::from_secs(60);
        assert_eq!(bridge.expire(patience, Instant::now()), []);
        assert_eq!(bridge.expire(patience, Instant::now() + 2 * patience), [key(2)]);
        assert!(waiter.try_recv().is_err());
        assert!(take(&bridge, 10).is_empty());
        assert_eq!(bridge.lengths().tickets, 0);
    }

    #[test]
    fn live_connections_wait_for_their_turn_while_the_queue_moves_and_not_for_a_lost_answer() {
        let (bridge, patience) = (Bridge::new(10), Duration::from_secs(5));
        bridge.reexamine([question(1), question(2)], Urgency::Ordinary);
        assert_eq!(take(&bridge, 1).len(), 1);
        let answers_until = |at| bridge.lock().last_answer = Some(at);
        let later = Instant::now() + 2 * patience;
        answers_until(later);
        assert_eq!(bridge.expire(patience, later), [key(1)], "it was taken, and others were answered");
        let much_later = later + PATIENCE * patience;
        answers_until(much_later);
        assert_eq!(bridge.expire(patience, much_later), [key(2)]);

        bridge.reexamine([question(3)], Urgency::Ordinary);
        bridge.lock().last_answer = None;
        assert_eq!(bridge.expire(patience, later), [key(3)], "nothing moves");
    }

    #[test]
    fn closing_ends_all_waiting() {
        let bridge = Bridge::new(10);
        let mut waiter = bridge.ask(|| question(1), &key(1), &[]).unwrap();
        bridge.close();
        assert!(bridge.next_batch(1, Duration::from_secs(60), || 0).is_empty());
        assert!(waiter.try_recv().is_err());
    }
}
