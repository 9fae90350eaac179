//! QoS 1 messages that a client or a shared group is to receive, and the queues they wait in.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::{AccountBudget, Charge, Resource};
use crate::input::Now;
use crate::keys::GroupKey;
use crate::message::Message;
use crate::record::MessageId;

/// A QoS 1 message for a client.
#[derive(Debug, Clone)]
pub struct Owed {
    pub message: Arc<Message>,
    /// RETAIN as it is to be sent.
    pub retain: bool,
    /// Its record, if it has one that is to be settled.
    pub stored: Option<MessageId>,
    /// The shared group that it came from, to which it returns if the session ends.
    pub group: Option<GroupKey>,
    /// When a group's queue drops it, besides the expiry of the message.
    pub until: Option<u64>,
}

impl Owed {
    /// Returns whether it is too late to send it.
    pub fn is_expired(&self, now: Now) -> bool {
        self.message.is_expired(now) || self.until.is_some_and(|moment| moment <= now.unix_ms)
    }
}

/// Messages that wait, oldest first, and their size together.
///
/// The [cost](Message::cost) of a message is counted for each queue it waits in, although all share it: one queue alone
/// keeps its memory.
///
/// The memory of its entries is charged here, that of the messages where they are held ([`Message::charged`]).
#[derive(Debug)]
pub struct OwedQueue {
    owed: VecDeque<Owed>,
    bytes: u64,
    entries: Charge,
}

/// What an entry takes in memory, in bytes: a queue that has grown is at most half empty.
const ENTRY_BYTES: u64 = 2 * size_of::<Owed>() as u64;

/// A queue with room for more entries than this gives memory back when it is mostly empty.
const KEPT_ENTRIES: usize = 64;

impl OwedQueue {
    /// Makes an empty queue of an account.
    pub fn new(budget: &Arc<AccountBudget>) -> OwedQueue {
        OwedQueue { owed: VecDeque::new(), bytes: 0, entries: budget.nothing(Resource::Messages) }
    }

    /// Returns whether one more may wait. Compared before adding, so that one message larger than the bound is taken.
    pub fn has_room(&self, most_messages: usize, most_bytes: u64) -> bool {
        self.owed.len() < most_messages && self.bytes < most_bytes
    }

    pub fn len(&self) -> usize {
        self.owed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    pub fn front(&self) -> Option<&Owed> {
        self.owed.front()
    }

    pub fn iter(&self) -> std::collections::vec_deque::Iter<'_, Owed> {
        self.owed.iter()
    }

    /// Removes the record ids of messages that come from no group.
    pub fn forget_records(&mut self) {
        self.owed.iter_mut().filter(|owed| owed.group.is_none()).for_each(|owed| owed.stored = None);
    }

    /// Adds a message. Returns it if the account's budget has no room for it.
    pub fn push_back(&mut self, owed: Owed) -> Result<(), Owed> {
        if !self.entries.resize(self.entries.amount() + ENTRY_BYTES) {
            return Err(owed);
        }
        self.bytes += u64::from(owed.message.cost());
        self.owed.push_back(owed);
        Ok(())
    }

    /// Puts an unacknowledged message back, before all others. It is not refused: there are at most as many as fit a
    /// window, and if the budget has no room for their entries these are not charged.
    pub fn push_front(&mut self, owed: Owed) {
        self.entries.resize(self.entries.amount() + ENTRY_BYTES);
        self.bytes += u64::from(owed.message.cost());
        self.owed.push_front(owed);
    }

    pub fn pop_front(&mut self) -> Option<Owed> {
        let owed = self.owed.pop_front();
        self.taken(owed)
    }

    pub fn remove(&mut self, position: usize) -> Option<Owed> {
        let owed = self.owed.remove(position);
        self.taken(owed)
    }

    fn taken(&mut self, owed: Option<Owed>) -> Option<Owed> {
        self.bytes -= owed.as_ref().map_or(0, |owed| u64::from(owed.message.cost()));
        let taken = self.owed.len() as u64 * ENTRY_BYTES;
        if self.entries.amount() > taken {
            self.entries.resize(taken);
        }
        if self.owed.capacity() > KEPT_ENTRIES && self.owed.len() < self.owed.capacity() / 4 {
            self.owed.shrink_to(self.owed.capacity() / 2);
        }
        owed
    }
}
