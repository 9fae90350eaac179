//! Admission requests under way: which connections wait for which answer, and in which order they are asked.
//!
//! However many connections wait for the answer about a certificate, it is asked once. New connections and live ones
//! have a queue each; both serve accounts in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::bridge::events::{AdmissionRequest, Event, Owner};
use crate::credential::Key;
use crate::fair_queue::{Bounds, FairQueue};
use crate::network::Network;
use crate::principal::{Epoch, Principal};
use crate::refusal::{Refusal, Refused};

/// Chains behind one leaf that are asked about at a time. A device sends one; a client that sends a new one with each
/// connection would only make the search among them long.
pub(crate) const MAX_CHAINS: usize = 8;

/// A re-examination that the control plane has not taken may wait this many times the deadline, as long as the control
/// plane answers others: a change of one policy may bring a hundred thousand of them, and to close those connections
/// would be worse than to let them wait. One that was taken has the deadline and no more.
pub(crate) const MAX_TURN_DEADLINES: u32 = 60;

/// What a connection that waits for an answer gets.
pub type Outcome = Result<Arc<Principal>, Refused>;

/// How soon live connections are to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// In turn: a change of one policy may concern a hundred thousand of them.
    Ordinary,
    /// At once: the certificate itself has changed.
    Urgent,
}

/// A request that the control plane has taken and answered.
#[derive(Debug)]
pub struct Answered {
    /// What was asked.
    pub request: Arc<AdmissionRequest>,
    /// The epoch at which it was taken.
    pub epoch: Epoch,
}

/// All that waited for one answer.
#[derive(Debug)]
pub struct Recipients {
    /// Connections before their CONNACK.
    pub connecting: Vec<oneshot::Sender<Outcome>>,
    /// Live connections wait too.
    pub live: bool,
}

/// One request, from the first connection that asks until its answer was applied.
#[derive(Debug)]
struct Pending {
    request: Arc<AdmissionRequest>,
    connecting: Vec<oneshot::Sender<Outcome>>,
    /// Live connections wait for the answer too.
    reexamination: bool,
    asked: Instant,
    /// The epoch at which the control plane took it, and when; none while it waits in the queue.
    taken: Option<(Epoch, Instant)>,
    /// Its answer is being worked on.
    answered: bool,
}

type Queue = FairQueue<Option<Arc<str>>, Network, u64>;

/// All requests under way. Numbers in the queues whose request is gone or was taken are passed over.
#[derive(Debug)]
pub(crate) struct Admissions {
    last_id: u64,
    pending: HashMap<u64, Pending, RandomState>,
    /// More than one only where clients send different chains after the same leaf.
    by_key: HashMap<Key, Vec<u64>, RandomState>,
    connecting: Queue,
    reexaminations: Queue,
    /// Which of the two queues is served next.
    reexaminations_next: bool,
    last_answer: Option<Instant>,
}

impl Admissions {
    /// At most this many certificates of new connections wait, and half as many of one account.
    pub(crate) fn new(max_connecting: usize) -> Self {
        let share = max_connecting.div_ceil(2);
        Self {
            last_id: 0,
            pending: HashMap::default(),
            by_key: HashMap::default(),
            connecting: FairQueue::new(Bounds { total: max_connecting, account: share, source: share }),
            reexaminations: FairQueue::new(Bounds::NONE),
            reexaminations_next: true,
            last_answer: None,
        }
    }

    /// Nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.connecting.is_empty() && self.reexaminations.is_empty()
    }

    /// How many requests are under way, taken ones included.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Ask about a certificate for a new connection. `None` when the queue is full.
    pub(crate) fn ask(
        &mut self,
        request: impl FnOnce() -> AdmissionRequest,
        key: &Key,
        chain: &[CertificateDer<'static>],
    ) -> Option<oneshot::Receiver<Outcome>> {
        let (sender, receiver) = oneshot::channel();
        if let Some((_, pending)) = self.find(key, chain) {
            pending.connecting.push(sender);
            return Some(receiver);
        }
        if self.by_key.get(key).map_or(0, Vec::len) >= MAX_CHAINS {
            return None;
        }
        let request = Arc::new(request());
        let Owner { account_id, network } = request.owner.clone();
        let id = self.add(request, vec![sender], false);
        match self.connecting.push(account_id, network, id, 1) {
            Ok(displaced) => displaced.into_iter().for_each(|id| self.displace(id)),
            Err(id) => {
                self.remove(id);
                return None;
            }
        }
        Some(receiver)
    }

    /// Ask about a certificate for its live connections. An urgent request goes ahead of those that wait.
    pub(crate) fn reexamine(&mut self, request: AdmissionRequest, urgency: Urgency) {
        // A request that has not been taken yet will be answered from the registry as it is by then. One that has been
        // taken is asked again when its answer proves stale.
        let waits = self.find(&request.key, &request.chain).map(|(id, pending)| {
            pending.reexamination = true;
            (id, pending.taken.is_none())
        });
        let Owner { account_id, network } = request.owner.clone();
        match (waits, urgency) {
            (None, Urgency::Ordinary) => {
                let id = self.add(Arc::new(request), Vec::new(), true);
                self.queue_reexamination(account_id, network, id);
            }
            (None, Urgency::Urgent) => {
                let id = self.add(Arc::new(request), Vec::new(), true);
                self.reexaminations.push_front(account_id, network, id, 1);
            }
            // Its earlier entry in the queue is passed over when its turn comes.
            (Some((id, true)), Urgency::Urgent) => {
                self.reexaminations.push_front(account_id, network, id, 1);
            }
            (Some(_), _) => {}
        }
    }

    /// Hand over the next request, from the two queues in turn. `epoch` is that of the changes until now.
    pub(crate) fn next(&mut self, epoch: Epoch) -> Option<Event> {
        loop {
            let (first, second) = if self.reexaminations_next {
                (&mut self.reexaminations, &mut self.connecting)
            } else {
                (&mut self.connecting, &mut self.reexaminations)
            };
            let id = first.pop().or_else(|| second.pop())?;
            self.reexaminations_next = !self.reexaminations_next;
            if let Some(pending) = self.pending.get_mut(&id).filter(|pending| pending.taken.is_none()) {
                pending.taken = Some((epoch, Instant::now()));
                let request = pending.request.clone();
                return Some(Event::Admit { id, request, reexamination: pending.reexamination });
            }
        }
    }

    /// The request that this answer is for, marked as answered. None where it is unknown, late or answered already.
    pub(crate) fn answer(&mut self, id: u64) -> Option<Answered> {
        self.last_answer = Some(Instant::now());
        let pending = self.pending.get_mut(&id)?;
        let (epoch, _) = pending.taken.filter(|_| !pending.answered)?;
        pending.answered = true;
        Some(Answered { request: pending.request.clone(), epoch })
    }

    /// Its answer was out of date: ask again, for the same recipients and with the same deadline.
    pub(crate) fn ask_again(&mut self, id: u64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.taken = None;
        pending.answered = false;
        let Owner { account_id, network } = pending.request.owner.clone();
        let queue = if pending.reexamination { &mut self.reexaminations } else { &mut self.connecting };
        queue.push_front(account_id, network, id, 1);
    }

    /// Its answer is final: take all that waited for it. None when it ran out of time meanwhile.
    pub(crate) fn finish(&mut self, id: u64) -> Option<Recipients> {
        self.remove(id)
            .map(|pending| Recipients { connecting: pending.connecting, live: pending.reexamination })
    }

    /// Drop requests that have waited for longer than `deadline`: returns the keys whose live connections got no answer.
    /// Connections before their CONNACK have a timer of their own.
    pub(crate) fn expire(&mut self, deadline: Duration, now: Instant) -> Vec<Key> {
        let progress = self.last_answer.is_some_and(|at| now.saturating_duration_since(at) < deadline);
        let late: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| {
                let (since, limit) = match pending.taken {
                    _ if !pending.reexamination => (pending.asked, deadline),
                    Some((_, at)) => (at, deadline),
                    None if progress => (pending.asked, deadline * MAX_TURN_DEADLINES),
                    None => (pending.asked, deadline),
                };
                !pending.answered && now.saturating_duration_since(since) > limit
            })
            .map(|(id, _)| *id)
            .collect();
        let mut keys = Vec::new();
        for id in late {
            if let Some(pending) = self.remove(id)
                && pending.reexamination
            {
                keys.push(pending.request.key);
            }
        }
        if self.pending.is_empty() {
            // All numbers that are left in the queues are of requests that are gone.
            self.connecting.clear();
            self.reexaminations.clear();
        }
        keys
    }

    /// Drop everything: all that wait are told that no answer comes.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.by_key.clear();
        self.connecting.clear();
        self.reexaminations.clear();
    }

    #[cfg(test)]
    pub(crate) fn set_last_answer(&mut self, at: Option<Instant>) {
        self.last_answer = at;
    }

    fn find(&mut self, key: &Key, chain: &[CertificateDer<'static>]) -> Option<(u64, &mut Pending)> {
        let ids = self.by_key.get(key)?;
        let id = *ids.iter().find(|id| {
            // Whether the CA is in the chain decides about automatic registration, so chains must agree.
            self.pending.get(id).is_some_and(|pending| *pending.request.chain == *chain)
        })?;
        Some((id, self.pending.get_mut(&id)?))
    }

    fn queue_reexamination(&mut self, account_id: Option<Arc<str>>, network: Network, id: u64) {
        // The queue has no bound, so it displaces nothing.
        let _ = self.reexaminations.push(account_id, network, id, 1);
    }

    /// Drop a certificate from the full queue of new connections, in favour of another account or network.
    fn displace(&mut self, id: u64) {
        let Some(pending) = self.pending.get(&id).filter(|pending| pending.taken.is_none()) else { return };
        if pending.reexamination {
            // Live connections are not refused for that.
            let Owner { account_id, network } = pending.request.owner.clone();
            self.queue_reexamination(account_id, network, id);
            return;
        }
        for waiter in self.remove(id).into_iter().flat_map(|pending| pending.connecting) {
            // A connection that gave up meanwhile has dropped its end.
            let _ = waiter.send(Err(Refused::because(Refusal::AdmissionQueueFull)));
        }
    }

    fn add(
        &mut self,
        request: Arc<AdmissionRequest>,
        connecting: Vec<oneshot::Sender<Outcome>>,
        reexamination: bool,
    ) -> u64 {
        self.last_id += 1;
        self.by_key.entry(request.key).or_default().push(self.last_id);
        let asked = Instant::now();
        let pending = Pending { request, connecting, reexamination, asked, taken: None, answered: false };
        self.pending.insert(self.last_id, pending);
        self.last_id
    }

    fn remove(&mut self, id: u64) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(ids) = self.by_key.get_mut(&pending.request.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&pending.request.key);
            }
        }
        Some(pending)
    }
}
