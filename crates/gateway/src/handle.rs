//! One connection as the rest of the gateway holds it: what was presented, its authority, and the queue to its task.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use sekisho_broker::{Accepted, ConnectionId, DisconnectReason, Outgoing};

use crate::admitted::{Admitted, Presented};
use crate::authority::ConnectionAuthority;
use crate::credential::Key;
use crate::principal::Principal;

/// A connection without its socket: its principal, and the instructions to the task that has the socket.
///
/// The queue is bounded by the broker, which counts what it hands out against the connection's
/// [`Outbox`](sekisho_broker::Outbox) and stops in time.
#[derive(Debug)]
pub struct ConnectionHandle {
    /// What the client presented.
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
    instructions: Instructions,
    /// Set while the task sleeps.
    waker: Option<Waker>,
    reported: Reported,
}

/// What the broker asks of a connection's task, since the task last took it.
#[derive(Debug, Default)]
pub struct Instructions {
    /// Its CONNECT was accepted.
    pub accepted: Option<Box<Accepted>>,
    /// To write, in order.
    pub outgoing: Vec<Outgoing>,
    /// Close when that is written.
    pub close: Option<DisconnectReason>,
    /// Stop reading, or go on.
    pub paused: Option<bool>,
}

impl Instructions {
    fn is_empty(&self) -> bool {
        self.accepted.is_none() && self.outgoing.is_empty() && self.close.is_none() && self.paused.is_none()
    }
}

/// Which refusals of this connection were reported in the current second: a device that is refused a thousand times a
/// second is reported once.
#[derive(Debug, Default)]
struct Reported {
    second: i64,
    reasons: u128,
}

impl ConnectionHandle {
    /// Of a connection that was admitted.
    pub fn new(admitted: &Admitted, presented: Presented) -> Self {
        Self {
            presented,
            key: admitted.principal().key(),
            id: OnceLock::new(),
            standing: Mutex::new(Standing { principal: admitted.principal().clone(), authority: None }),
            queue: Mutex::default(),
        }
    }

    /// Under what its principal is cached.
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

    /// Its principal at this moment.
    pub fn principal(&self) -> Arc<Principal> {
        self.standing().principal.clone()
    }

    /// What it may do at this moment; none before its CONNECT is with the broker.
    pub fn authority(&self) -> Option<Arc<ConnectionAuthority>> {
        self.standing().authority.clone()
    }

    pub(crate) fn set_authority(&self, principal: Arc<Principal>, authority: Arc<ConnectionAuthority>) {
        *self.standing() = Standing { principal, authority: Some(authority) };
    }

    /// Add to its instructions, and return the task's waker if it sleeps: to be woken when no lock is held.
    #[must_use = "the task sleeps until it is woken"]
    pub(crate) fn instruct(&self, add: impl FnOnce(&mut Instructions)) -> Option<Waker> {
        let mut queue = self.queue();
        add(&mut queue.instructions);
        queue.waker.take()
    }

    /// Take its instructions. Where there are none, the task is woken when some come.
    pub fn take(&self, context: &Context<'_>) -> Option<Instructions> {
        let mut queue = self.queue();
        if queue.instructions.is_empty() {
            queue.waker = Some(context.waker().clone());
            return None;
        }
        queue.waker = None;
        Some(std::mem::take(&mut queue.instructions))
    }

    /// Do not wake the task for what comes now: it runs, and takes its instructions when its turn ends.
    pub fn stay_awake(&self) {
        self.queue().waker = None;
    }

    /// Is this the first refusal of its kind within this second?
    pub(crate) fn is_first_in_second(&self, refusal: sekisho_broker::Refusal, second: i64) -> bool {
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
