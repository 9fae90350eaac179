//! The gateway's side of the boundary to the control plane: bounded queues of plain data. The gateway never calls the
//! control plane; the control plane takes batches and answers.
//!
//! | queue | when full |
//! |---|---|
//! | certificates of new connections | the connection is refused with ADMISSION_QUEUE_FULL |
//! | live connections to re-examine | never full: at most one request per certificate with a connection |
//! | requests to services | one is dropped and counted; its client gets no answer |
//! | awaited certificates that have connected | it is said when they connect again |
//! | failed accepts | never full: those that were not taken yet are one event |
//! | refusals to report | one is dropped and counted; the counters in the statistics still have it |
//!
//! Each serves accounts in turn and has a bound for each account ([`FairQueue`]): what one account fills delays and
//! refuses nothing of another. Any peer may name any account's endpoint, so within an account peers' networks take
//! turns, and for requests certificates.

pub mod admissions;
pub mod events;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use self::admissions::{Admissions, Answered, Outcome, Recipients, Urgency};
use self::events::{AdmissionRequest, ConnectedEvent, Event, RefusedEvent, RequestEvent};
use crate::credential::Key;
use crate::fair_queue::{Bounds, FairQueue};
use crate::network::Network;
use crate::principal::Epoch;

/// Refusals kept for the control plane: in all, of one account, and of one network at its endpoints.
const MAX_REFUSALS: Bounds = Bounds { total: 10_000, account: 5_000, source: 2_500 };

/// Bytes of requests kept for the control plane: in all, of one account, of one certificate. Those of a connection are
/// bounded by the control plane, which answers those beyond its own bound.
const MAX_REQUEST_BYTES: Bounds =
    Bounds { total: 16 * 1024 * 1024, account: 8 * 1024 * 1024, source: 8 * 1024 * 1024 };

/// What a request counts beside its payload, in bytes.
const REQUEST_BYTES: usize = 1024;

/// Awaited certificates that have connected, kept for the control plane: in all, and of one account.
const MAX_CONNECTED: usize = 40_000;
const MAX_CONNECTED_PER_ACCOUNT: usize = 10_000;

type ByNetwork<T> = FairQueue<Option<Arc<str>>, Network, T>;
type ByCertificate<T> = FairQueue<Arc<str>, Arc<str>, T>;

#[derive(Debug)]
struct State {
    admissions: Admissions,
    requests: ByCertificate<Box<RequestEvent>>,
    dropped_requests: HashMap<Arc<str>, u64, RandomState>,
    connected: ByCertificate<Box<ConnectedEvent>>,
    refusals: ByNetwork<Box<RefusedEvent>>,
    dropped_refusals: u64,
    accept_failures: Option<(String, u64)>,
    closed: bool,
    counted: Counted,
}

/// How many events were dropped since the start.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    dropped_requests: u64,
    dropped_refusals: u64,
}

/// How long the queues are, and what was dropped since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Certificates that are asked about, taken ones included.
    pub admissions: usize,
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

impl Bridge {
    /// Empty queues; at most this many certificates of new connections wait, and half as many of one account.
    pub fn new(max_admissions: usize) -> Self {
        let state = State {
            admissions: Admissions::new(max_admissions),
            requests: FairQueue::new(MAX_REQUEST_BYTES),
            dropped_requests: HashMap::default(),
            connected: FairQueue::new(Bounds::NONE),
            refusals: FairQueue::new(MAX_REFUSALS),
            dropped_refusals: 0,
            accept_failures: None,
            closed: false,
            counted: Counted::default(),
        };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Ask about a certificate for a new connection. `None` when the queue is full.
    pub fn ask(
        &self,
        request: impl FnOnce() -> AdmissionRequest,
        key: &Key,
        chain: &[CertificateDer<'static>],
    ) -> Option<oneshot::Receiver<Outcome>> {
        let receiver = self.lock().admissions.ask(request, key, chain)?;
        self.arrived.notify_one();
        Some(receiver)
    }

    /// Ask about certificates for their live connections. Urgent requests go ahead of those that wait.
    pub fn reexamine(&self, requests: impl IntoIterator<Item = AdmissionRequest>, urgency: Urgency) {
        let mut state = self.lock();
        requests.into_iter().for_each(|request| state.admissions.reexamine(request, urgency));
        drop(state);
        self.arrived.notify_one();
    }

    /// Report a refusal of a peer at this address.
    pub fn refused(&self, event: RefusedEvent, peer: IpAddr) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let account_id = event.realm.as_ref().map(|realm| realm.account_id.clone());
        let dropped = match state.refusals.push(account_id, Network::of(peer), Box::new(event), 1) {
            Ok(displaced) => displaced.len() as u64,
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

    /// Hand on what a client asks of a service.
    pub fn request(&self, event: RequestEvent) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let (account_id, size) = (event.realm.account_id.clone(), REQUEST_BYTES + event.payload.len());
        let dropped = state
            .requests
            .push(account_id, event.certificate_id.clone(), Box::new(event), size)
            .unwrap_or_else(|refused| vec![refused]);
        for event in dropped {
            state.counted.dropped_requests += 1;
            *state.dropped_requests.entry(event.realm.account_id.clone()).or_default() += 1;
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Say that a certificate which is waited for has connected. `false` when there is no room to say so now.
    pub fn connected(&self, event: ConnectedEvent) -> bool {
        let mut state = self.lock();
        let account_id = event.realm.account_id.clone();
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

    /// Up to `limit` events, waiting at most `timeout` for the first. `epoch` is read as admission requests are handed
    /// over.
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

    /// The requests that these answers are for, marked as answered; none for unknown and late answers.
    pub fn answer(&self, ids: impl Iterator<Item = u64>) -> Vec<Option<Answered>> {
        let mut state = self.lock();
        ids.map(|id| state.admissions.answer(id)).collect()
    }

    /// Its answer was out of date: ask again, for the same recipients and with the same deadline.
    pub fn ask_again(&self, id: u64) {
        self.lock().admissions.ask_again(id);
        self.arrived.notify_one();
    }

    /// Its answer is final: take all that waited for it. `None` when it ran out of time meanwhile.
    pub fn finish(&self, id: u64) -> Option<Recipients> {
        self.lock().admissions.finish(id)
    }

    /// Drop requests that have waited for longer than `deadline`: returns the keys whose live connections got no answer.
    pub fn expire(&self, deadline: Duration, now: Instant) -> Vec<Key> {
        self.lock().admissions.expire(deadline, now)
    }

    /// Drop everything: the control plane takes nothing any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.refusals.clear();
        state.requests.clear();
        state.connected.clear();
        state.admissions.clear();
        drop(state);
        self.arrived.notify_all();
    }

    /// How long the queues are.
    pub fn lengths(&self) -> Lengths {
        let state = self.lock();
        Lengths {
            admissions: state.admissions.len(),
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
            && self.requests.is_empty()
            && self.dropped_requests.is_empty()
            && self.connected.is_empty()
            && self.refusals.is_empty()
            && self.dropped_refusals == 0
            && self.accept_failures.is_none()
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
        // Each queue has a share of the batch, so that none starves another.
        let for_refusals = self.refusals.len().min(limit / 4);
        let for_requests = self.requests.len().min(limit / 8);
        let for_connected = self.connected.len().min(limit / 8);
        let for_admissions = limit.saturating_sub(for_refusals + for_requests + for_connected);
        let admissions = for_admissions.saturating_sub(events.len());
        events.extend(std::iter::from_fn(|| self.admissions.next(epoch)).take(admissions));
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
