//! The bound on what is under way to one connection: a subscriber that stops reading costs only itself.
//!
//! The broker adds the [cost](crate::Delivery::cost) of each message it hands out, the network subtracts it when the
//! bytes are written. When either bound of [`crate::Limits`] is reached:
//!
//! - a **QoS 0** message is dropped and counted: at most once means exactly that, and a queue would only move the
//!   memory;
//! - a **QoS 1** message waits in the session's queue and follows when there is room. The queue is bounded too; beyond
//!   it the *newest* is dropped and counted, so that what was promised first is kept first. AWS IoT does the same for
//!   stored messages (quotas page);
//! - acknowledgements and the other control packets always go out: there is at most one for each packet read, and a
//!   connection whose writes are stuck should not be read from.
//!
//! Both sides hold one [`Outbox`]. When the broker has held something back, [`Outbox::written`] says so once there is
//! room for half of it, and the network calls [`crate::Broker::drained`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::limits::Limits;

/// Messages in the upper 24 bits, bytes in the lower 40: one atomic operation a delivery.
const MESSAGE: u64 = 1 << 40;
const BYTES: u64 = MESSAGE - 1;

/// Counts the messages handed to the network of one connection and not yet written.
#[derive(Debug)]
pub struct Outbox {
    queued: AtomicU64,
    most_bytes: u64,
    most_messages: u64,
    /// Set by the broker when it held something back, cleared by whoever tells it of room.
    waiting: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Outbox {
        Outbox {
            queued: AtomicU64::new(0),
            // One message always fits on top, so stay clear of the fields' edges; with a bound of zero nothing could ever
            // be sent.
            most_bytes: limits.outbox_bytes.clamp(1, BYTES / 2),
            most_messages: limits.outbox_messages.clamp(1, u64::MAX / MESSAGE / 2),
            waiting: AtomicBool::new(false),
        }
    }

    /// Takes `messages` whose costs add up to `bytes` off the count: they are written. `true` when the broker waits
    /// for room and there is enough: call [`crate::Broker::drained`].
    #[must_use = "the broker waits for `drained`"]
    pub fn written(&self, messages: u64, bytes: u64) -> bool {
        self.queued.fetch_sub(messages * MESSAGE + bytes, Ordering::SeqCst);
        self.waiting.load(Ordering::SeqCst)
            && self.is_half_empty()
            && self.waiting.swap(false, Ordering::SeqCst)
    }

    /// Messages and bytes under way.
    pub fn queued(&self) -> (u64, u64) {
        let queued = self.queued.load(Ordering::SeqCst);
        (queued / MESSAGE, queued & BYTES)
    }

    /// Counts a message of this cost in if there is room. Room is judged before adding, so that one message larger
    /// than the bound still gets through an empty outbox.
    pub(crate) fn take(&self, cost: u32) -> bool {
        // Only the broker adds, so the bound cannot be passed between the look and the addition.
        if !self.has_room() {
            return false;
        }
        self.queued.fetch_add(MESSAGE + u64::from(cost), Ordering::SeqCst);
        true
    }

    pub(crate) fn has_room(&self) -> bool {
        let queued = self.queued.load(Ordering::SeqCst);
        queued / MESSAGE < self.most_messages && (queued & BYTES) < self.most_bytes
    }

    /// Asks to be told of room. `false` if there is enough by now, in which case nobody will tell.
    pub(crate) fn wait(&self) -> bool {
        self.waiting.store(true, Ordering::SeqCst);
        // The network may have written everything just before it could see the flag. Whoever clears the flag tells.
        !(self.is_half_empty() && self.waiting.swap(false, Ordering::SeqCst))
    }

    fn is_half_empty(&self) -> bool {
        let (messages, bytes) = self.queued();
        messages <= self.most_messages / 2 && bytes <= self.most_bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: u64, bytes: u64) -> Outbox {
        Outbox::new(&Limits { outbox_messages: messages, outbox_bytes: bytes, ..Limits::default() })
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
