//! The bound on what is being written to one connection: a subscriber that stops reading delays no other.
//!
//! The broker adds the [cost](crate::Delivery::cost) of each message it hands out, the network subtracts it when the
//! bytes are written. When either bound of [`crate::Limits`] is reached:
//!
//! - a **QoS 0** message is dropped and counted: QoS 0 allows it, and a queue would only move the memory;
//! - a **QoS 1** message waits in the session's queue and follows when there is room. The queue is bounded too; beyond
//!   it the *newest* is dropped and counted, as AWS IoT does for stored messages (quotas page);
//! - acknowledgements and the other control packets always go out: there is at most one for each packet read, and a
//!   connection whose writes are stuck should not be read from.
//!
//! The messages are charged to the account where they are held. The entries of a long queue to the network are charged
//! here: up to [`FREE_MESSAGES`] come with the connection, and beyond, room for all is taken from the account's
//! [budget](crate::budget) at once, or there is none.
//!
//! Both sides hold one [`Outbox`]. When the broker has held something back, [`Outbox::written`] says so once there is
//! room for half of it, and the network calls [`crate::Broker::drained`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::{AccountBudget, Charge, Resource};
use crate::limits::Limits;
use crate::outgoing::Outgoing;

/// Messages in the upper 24 bits, bytes in the lower 40: one atomic operation a delivery.
const MESSAGE: u64 = 1 << 40;
const BYTES: u64 = MESSAGE - 1;

/// Messages to one connection whose entries are not charged: a connection costs more than they do.
pub const FREE_MESSAGES: u64 = 1000;

/// What an entry takes in memory, in bytes: a queue that has grown is at most half empty.
const ENTRY_BYTES: u64 = 2 * size_of::<Outgoing>() as u64;

/// Counts the messages handed to the network of one connection and not yet written.
#[derive(Debug)]
pub struct Outbox {
    queued: AtomicU64,
    most_bytes: u64,
    most_messages: u64,
    /// Set by the broker when it holds a message back, cleared by the side that reports room.
    waiting: AtomicBool,
    budget: Arc<AccountBudget>,
    /// For the entries beyond [`FREE_MESSAGES`], while there are many. Boxed, so that an outbox stays small.
    charge: Mutex<Option<Box<Charge>>>,
    is_charged: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits, budget: Arc<AccountBudget>) -> Outbox {
        Outbox {
            queued: AtomicU64::new(0),
            // One message always fits on top, so stay clear of the fields' edges; with a bound of zero nothing could ever
            // be sent.
            most_bytes: limits.outbox_bytes.clamp(1, BYTES / 2),
            most_messages: limits.outbox_messages.clamp(1, u64::MAX / MESSAGE / 2),
            waiting: AtomicBool::new(false),
            budget,
            charge: Mutex::new(None),
            is_charged: AtomicBool::new(false),
        }
    }

    /// Subtracts `messages` that are written, whose costs add up to `bytes`. Returns `true` if the broker waits for
    /// room and there is enough: call [`crate::Broker::drained`].
    #[must_use = "the broker waits for `drained`"]
    pub fn written(&self, messages: u64, bytes: u64) -> bool {
        let before = self.queued.fetch_sub(messages * MESSAGE + bytes, Ordering::SeqCst);
        if before / MESSAGE - messages <= FREE_MESSAGES / 2 && self.is_charged.load(Ordering::SeqCst) {
            // If the broker adds more meanwhile, it takes the charge again when they are many.
            let charge = self.charge().take();
            self.is_charged.store(false, Ordering::SeqCst);
            drop(charge);
        }
        self.waiting.load(Ordering::SeqCst)
            && self.is_half_empty()
            && self.waiting.swap(false, Ordering::SeqCst)
    }

    /// Returns the messages and bytes that are not written yet.
    pub fn queued(&self) -> (u64, u64) {
        let queued = self.queued.load(Ordering::SeqCst);
        (queued / MESSAGE, queued & BYTES)
    }

    /// Counts a message of this cost if there is room. Room is compared before adding, so that one message larger
    /// than the bound still gets through an empty outbox.
    pub(crate) fn take(&self, cost: u32) -> bool {
        // Only the broker adds, so the bound cannot be exceeded between the check and the addition.
        if !self.has_room() {
            return false;
        }
        self.queued.fetch_add(MESSAGE + u64::from(cost), Ordering::SeqCst);
        true
    }

    pub(crate) fn has_room(&self) -> bool {
        let queued = self.queued.load(Ordering::SeqCst);
        queued / MESSAGE < self.most_messages
            && (queued & BYTES) < self.most_bytes
            && (queued / MESSAGE < FREE_MESSAGES
                || self.is_charged.load(Ordering::SeqCst)
                || self.take_charge())
    }

    /// Takes room in the budget for as many entries as there may be.
    fn take_charge(&self) -> bool {
        let entries = self.most_messages - FREE_MESSAGES;
        let Some(charge) = self.budget.take(Resource::Messages, entries * ENTRY_BYTES) else { return false };
        *self.charge() = Some(Box::new(charge));
        self.is_charged.store(true, Ordering::SeqCst);
        true
    }

    fn charge(&self) -> MutexGuard<'_, Option<Box<Charge>>> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a report of room. Returns `false` if there is enough by now; then none follows.
    pub(crate) fn wait(&self) -> bool {
        self.waiting.store(true, Ordering::SeqCst);
        // The network may have written everything just before it could see the flag. The side that clears it reports.
        !(self.is_half_empty() && self.waiting.swap(false, Ordering::SeqCst))
    }

    fn is_half_empty(&self) -> bool {
        let (messages, bytes) = self.queued();
        let most = if self.is_charged.load(Ordering::SeqCst) {
            self.most_messages
        } else {
            FREE_MESSAGES.min(self.most_messages)
        };
        messages <= most / 2 && bytes <= self.most_bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::budget::{Budget, BudgetLimits};

    fn budget(message_bytes: u64) -> Arc<AccountBudget> {
        let limits = BudgetLimits { message_bytes, account_share_percent: 100, ..BudgetLimits::default() };
        AccountBudget::new(Budget::new(&limits))
    }

    fn outbox(messages: u64, bytes: u64) -> Outbox {
        let limits = Limits { outbox_messages: messages, outbox_bytes: bytes, ..Limits::default() };
        Outbox::new(&limits, budget(1_000_000))
    }

    #[test]
    fn many_messages_take_room_from_the_budget_and_give_it_back() {
        let budget = budget(10_000 * ENTRY_BYTES);
        let limits = Limits { outbox_messages: 10_000, ..Limits::default() };
        let (first, second) =
            (Outbox::new(&limits, Arc::clone(&budget)), Outbox::new(&limits, Arc::clone(&budget)));
        let fill = |outbox: &Outbox| (0..20_000).take_while(|_| outbox.take(1)).count();
        assert_eq!(fill(&first), 10_000);
        assert_eq!(fill(&second), 1000, "there is no room for a second that is as long");
        assert_eq!(budget.used(Resource::Messages), 9000 * ENTRY_BYTES);
        assert!(second.wait());
        assert!(!first.written(9499, 9499));
        assert!(!first.written(1, 1));
        assert_eq!(budget.used(Resource::Messages), 0);
        assert!(!second.written(499, 499));
        assert!(second.written(1, 1), "half of what it may hold without a charge");
        assert_eq!(fill(&second), 9500);
        drop((first, second));
        assert_eq!(budget.used(Resource::Messages), 0);
    }

    #[test]
    fn a_full_outbox_takes_nothing_until_something_is_written() {
        let outbox = outbox(2, 1000);
        assert!(outbox.take(10) && outbox.take(10));
        assert!(!outbox.take(10));
        assert!(!outbox.written(1, 10), "the broker does not wait");
        assert!(outbox.take(10));
    }

    #[test]
    fn one_message_larger_than_the_bound_passes_an_empty_outbox() {
        let outbox = outbox(10, 100);
        assert!(outbox.take(5000));
        assert!(!outbox.take(1));
        assert_eq!(outbox.queued(), (1, 5000));
    }

    #[test]
    fn the_broker_is_told_once_when_half_of_the_room_is_free() {
        let outbox = outbox(4, 1000);
        for _ in 0..4 {
            assert!(outbox.take(10));
        }
        assert!(outbox.wait());
        assert!(!outbox.written(1, 10), "not yet half empty");
        assert!(outbox.written(1, 10));
        assert!(!outbox.written(1, 10), "told already");
    }

    #[test]
    fn waiting_on_an_outbox_that_was_just_emptied_is_declined() {
        let outbox = outbox(4, 1000);
        assert!(!outbox.wait());
        assert!(!outbox.written(0, 0), "and nobody is told later");
    }
}
