//! Where the broker's effects wait for the task that writes them: one per connection.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use sekisho_broker::{Accepted, ConnectionId, DisconnectReason, Outgoing};

use crate::admission::{Admitted, Presented};
use crate::authority::ConnectionAuthority;
use crate::principals::{Key, Principal};

/// What others hold of a connection: who it is, and the queue to it.
///
/// The queue is bounded by the broker, which counts what it hands out against the connection's
/// [`Outbox`](sekisho_broker::Outbox) and stops in time.
#[derive(Debug)]
pub struct Outlet {
    /// What the client showed.
    pub presented: Presented,
    key: Key,
    id: OnceLock<ConnectionId>,
    standing: Mutex<Standing>,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Standing {
    principal: Arc<Principal>,
    authority: Option<Arc<ConnectionAuthority>>,
}

#[derive(Debug, Default)]
struct Queue {
    news: News,
    /// Set while the task sleeps.
    waker: Option<Waker>,
    reported: Reported,
}

/// What has come for a connection since it last looked.
#[derive(Debug, Default)]
pub struct News {
    /// Its CONNECT was accepted.
    pub accepted: Option<Box<Accepted>>,
    /// To write, in order.
    pub outgoing: Vec<Outgoing>,
    /// Close when that is written.
    pub close: Option<DisconnectReason>,
    /// Stop reading, or go on.
    pub paused: Option<bool>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.accepted.is_none() && self.outgoing.is_empty() && self.close.is_none() && self.paused.is_none()
    }
}

/// Which refusals of this connection were reported in the current second: a device that is refused a thousand times a
/// second is news once.
#[derive(Debug, Default)]
struct Reported {
    second: i64,
    reasons: u128,
}

impl Outlet {
    /// Of a connection that was admitted.
    pub fn new(admitted: &Admitted, presented: Presented) -> Self {
        Self {
            presented,
            key: admitted.key(),
            id: OnceLock::new(),
            standing: Mutex::new(Standing { principal: admitted.principal().clone(), authority: None }),
            queue: Mutex::default(),
        }
    }

    /// Under what its certificate is known.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The broker's name for it, once it has one.
    pub fn id(&self) -> Option<ConnectionId> {
        self.id.get().copied()
    }

    pub(crate) fn set_id(&self, id: ConnectionId) {
        // Called once, under the broker's lock.
        let _ = self.id.set(id);
    }

    /// Who it speaks for at this moment.
    pub fn principal(&self) -> Arc<Principal> {
        self.standing().principal.clone()
    }

    /// What it may do at this moment; none before the broker has asked for it.
    pub fn authority(&self) -> Option<Arc<ConnectionAuthority>> {
        self.standing().authority.clone()
    }

    pub(crate) fn set_authority(&self, principal: Arc<Principal>, authority: Arc<ConnectionAuthority>) {
        *self.standing() = Standing { principal, authority: Some(authority) };
    }

    /// Queue something, and give back the task's waker if it sleeps: to be woken when no lock is held.
    #[must_use = "the task sleeps until it is woken"]
    pub(crate) fn add(&self, change: impl FnOnce(&mut News)) -> Option<Waker> {
        let mut queue = self.queue();
        change(&mut queue.news);
        queue.waker.take()
    }

    /// What has come, if anything. If nothing has, the task is woken when something does.
    pub fn take(&self, context: &Context<'_>) -> Option<News> {
        let mut queue = self.queue();
        if queue.news.is_empty() {
            queue.waker = Some(context.waker().clone());
            return None;
        }
        queue.waker = None;
        Some(std::mem::take(&mut queue.news))
    }

    /// The task is about to cause news of its own and will look for it: no need to wake it.
    pub fn stay_awake(&self) {
        self.queue().waker = None;
    }

    /// Is this the first refusal of its kind within this second?
    pub(crate) fn is_news(&self, refusal: sekisho_broker::Refusal, second: i64) -> bool {
        let mut queue = self.queue();
        let reported = &mut queue.reported;
        if reported.second != second {
            *reported = Reported { second, reasons: 0 };
        }
        let bit = 1_u128 << (refusal as u32);
        let first = reported.reasons & bit == 0;
        reported.reasons |= bit;
        first
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
