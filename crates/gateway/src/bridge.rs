//! The border to the control plane: bounded queues of plain data. We never call it; it asks for batches and answers.
//!
//! | queue | when full |
//! |---|---|
//! | certificates to admit | the connection is refused with ADMISSION_QUEUE_FULL |
//! | live connections to re-examine | never full: at most one ticket per certificate with a connection |
//! | requests to services | the newest is dropped and counted; its client gets no answer |
//! | awaited certificates that have connected | it is said when they connect again |
//! | refusals to report | the newest is dropped and counted; the counters in the statistics still have it |

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::admission::Refused;
use crate::principals::{Epoch, Key, Principal};

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
    /// What was refused: the name of a [`sekisho_broker::Operation`].
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
    /// A queue was full.
    Dropped {
        /// Which.
        queue: &'static str,
        /// How many events of it were dropped since the last time this was said.
        count: u64,
    },
}

#[derive(Debug, Default)]
struct State {
    last_ticket: u64,
    tickets: HashMap<u64, Ticket, RandomState>,
    /// More than one only where clients send different chains after the same leaf.
    by_key: HashMap<Key, Vec<u64>, RandomState>,
    admissions: VecDeque<u64>,
    reexaminations: VecDeque<u64>,
    requests: VecDeque<Box<RequestEvent>>,
    request_bytes: usize,
    dropped_requests: u64,
    connected: VecDeque<Box<ConnectedEvent>>,
    refusals: VecDeque<Box<RefusedEvent>>,
    dropped_refusals: u64,
    last_answer: Option<Instant>,
    closed: bool,
}

/// The queues.
#[derive(Debug)]
pub struct Bridge {
    state: Mutex<State>,
    arrived: Condvar,
    most_admissions: usize,
}

/// Chains behind one leaf that are asked about at a time. A device sends one; who sends a new one with each connection
/// would only make the search among them long.
const MOST_CHAINS: usize = 8;

/// Refusals kept for the control plane.
const MOST_REFUSALS: usize = 10_000;

/// Requests kept for the control plane, and the bytes of their payloads.
const MOST_REQUESTS: usize = 10_000;
const MOST_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Awaited certificates that have connected, kept for the control plane.
const MOST_CONNECTED: usize = 10_000;

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
    /// Empty queues; at most this many certificates wait.
    pub fn new(most_admissions: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), most_admissions }
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
        let chains = state.by_key.get(key).map_or(0, Vec::len);
        if state.admissions.len() >= self.most_admissions || chains >= MOST_CHAINS {
            return None;
        }
        let number = state.raise(Arc::new(question()), vec![sender], false);
        state.admissions.push_back(number);
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
            match (waits, urgency) {
                (None, Urgency::Ordinary) => {
                    let number = state.raise(Arc::new(question), Vec::new(), true);
                    state.reexaminations.push_back(number);
                }
                (None, Urgency::Urgent) => {
                    let number = state.raise(Arc::new(question), Vec::new(), true);
                    state.reexaminations.push_front(number);
                }
                // Its former place in the queue is passed over when its turn comes.
                (Some((number, true)), Urgency::Urgent) => state.reexaminations.push_front(number),
                (Some(_), _) => {}
            }
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Report a refusal.
    pub fn refused(&self, event: RefusedEvent) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.refusals.len() >= MOST_REFUSALS {
            state.dropped_refusals += 1;
            return;
        }
        state.refusals.push_back(Box::new(event));
        drop(state);
        self.arrived.notify_one();
    }

    /// A client asks something of a service.
    pub fn request(&self, event: RequestEvent) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let bytes = state.request_bytes + event.payload.len();
        if state.requests.len() >= MOST_REQUESTS || bytes > MOST_REQUEST_BYTES {
            state.dropped_requests += 1;
            return;
        }
        state.request_bytes = bytes;
        state.requests.push_back(Box::new(event));
        drop(state);
        self.arrived.notify_one();
    }

    /// A certificate that is waited for has connected. `false` when there is no room to say so now.
    pub fn connected(&self, event: ConnectedEvent) -> bool {
        let mut state = self.lock();
        if state.closed || state.connected.len() >= MOST_CONNECTED {
            return false;
        }
        state.connected.push_back(Box::new(event));
        drop(state);
        self.arrived.notify_one();
        true
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
        if ticket.reexamination {
            state.reexaminations.push_front(number);
        } else {
            state.admissions.push_front(number);
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

    /// (certificates waiting, refusals waiting, refusals dropped and not yet said).
    pub fn lengths(&self) -> (usize, usize, u64) {
        let state = self.lock();
        (state.tickets.len(), state.refusals.len(), state.dropped_refusals)
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
            && self.dropped_requests == 0
            && self.connected.is_empty()
            && self.refusals.is_empty()
            && self.dropped_refusals == 0
    }

    fn find(&mut self, key: &Key, chain: &[CertificateDer<'static>]) -> Option<(u64, &mut Ticket)> {
        let numbers = self.by_key.get(key)?;
        let number = *numbers.iter().find(|number| {
            // Whether the CA is in the chain decides about automatic registration, so chains must agree.
            self.tickets.get(number).is_some_and(|ticket| *ticket.question.chain == *chain)
        })?;
        Some((number, self.tickets.get_mut(&number)?))
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
            events
                .push(Event::Dropped { queue: "refused", count: std::mem::take(&mut self.dropped_refusals) });
        }
        if self.dropped_requests > 0 {
            events
                .push(Event::Dropped { queue: "request", count: std::mem::take(&mut self.dropped_requests) });
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
            let Some(number) = first.pop_front().or_else(|| second.pop_front()) else { break };
            from_reexaminations = !from_reexaminations;
            if let Some(ticket) = self.tickets.get_mut(&number).filter(|ticket| ticket.taken.is_none()) {
                ticket.taken = Some((epoch, Instant::now()));
                let question = ticket.question.clone();
                events.push(Event::Admit { ticket: number, question, reexamination: ticket.reexamination });
            }
        }
        let left = limit.saturating_sub(events.len() + for_refusals + for_connected);
        let requests = left.max(for_requests).min(self.requests.len());
        let request_bytes = &mut self.request_bytes;
        events.extend(self.requests.drain(..requests).map(|request| {
            *request_bytes -= request.payload.len();
            Event::Request(request)
        }));
        let left = limit.saturating_sub(events.len() + for_refusals);
        let connected = left.max(for_connected).min(self.connected.len());
        events.extend(self.connected.drain(..connected).map(Event::Connected));
        let reports = limit.saturating_sub(events.len()).min(self.refusals.len());
        events.extend(self.refusals.drain(..reports).map(Event::Refused));
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
        Question { key: key(number), realm: None, certificate_id, chain: Arc::new([]), client_id: "c".into() }
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
        RequestEvent {
            realm: ("1".into(), "r".into()),
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
        let large = MOST_REQUEST_BYTES / 2;
        (0..3).for_each(|_| bridge.request(request(large)));
        assert!(matches!(
            take(&bridge, 10)[..],
            [Event::Dropped { queue: "request", count: 1 }, Event::Request(_), Event::Request(_)]
        ));
        bridge.request(request(large));
        assert!(matches!(take(&bridge, 10)[..], [Event::Request(_)]));
    }

    #[test]
    fn a_crowd_of_requests_starves_nobody() {
        let bridge = Bridge::new(100);
        let waiters: Vec<_> = (0..50).map(|n| bridge.ask(|| question(n), &key(n), &[])).collect();
        (0..50).for_each(|_| bridge.request(request(1)));
        (0..50).for_each(|_| bridge.refused(refused()));
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
        (0..MOST_REFUSALS + 5).for_each(|_| bridge.refused(refused()));
        assert!(matches!(take(&bridge, 2)[..], [Event::Dropped { count: 5, .. }, Event::Refused(_)]));
        assert!(matches!(take(&bridge, 1)[..], [Event::Refused(_)]));
    }

    #[test]
    fn neither_queue_starves_the_others() {
        let bridge = Bridge::new(100);
        let waiters: Vec<_> = (0..50).map(|n| bridge.ask(|| question(n), &key(n), &[])).collect();
        bridge.reexamine((100..150).map(question), Urgency::Ordinary);
        (0..50).for_each(|_| bridge.refused(refused()));
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
        assert_eq!(bridge.lengths().0, 0);
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
