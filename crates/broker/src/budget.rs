//! What clients can make the server hold, and how much of it one account may use.
//!
//! A [`Budget`] belongs to the process, an [`AccountBudget`] to one account and all its realms. Both count the same
//! [`Resource`]s: each amount is taken from both before the memory is used, or refused. A [`Charge`] is what was taken;
//! it gives the amount back when it is dropped, so the count is of memory that is really held: a message counts once
//! for all sessions that it waits for, until the last of them has released it.
//!
//! | resource | what counts | beyond the limit |
//! |---|---|---|
//! | [`Resource::Messages`] | messages under way to clients, waiting for them, or not acknowledged; the entries of queues; packets that have not arrived in full | [below](#messages) |
//! | [`Resource::Retained`] | retained messages | PUBLISH is refused with `RETAINED_STORE_FULL`; a retained will is delivered and not kept |
//! | [`Resource::PersistentSessions`] | persistent sessions | CONNECT is refused with `TOO_MANY_SESSIONS` |
//! | [`Resource::Sessions`] | the bytes of persistent sessions, subscriptions and wills, delayed or not | CONNECT with a will or a new persistent session, and SUBSCRIBE, are refused with `SESSION_MEMORY_FULL` |
//! | [`Resource::Presence`] | version numbers of clients' lifecycle events | the oldest is forgotten; the number starts again from 0 |
//!
//! # Messages
//!
//! - Queues may use [`QUEUE_PERCENT`] of the limit. The rest is for messages to clients that read, so that full queues
//!   delay no traffic.
//! - A QoS 1 message that could only wait, where no queue has room within the budget, is refused with
//!   `MESSAGE_MEMORY_FULL` (MQTT 5: PUBACK 0x97; 3.1.1: no PUBACK, so that the client sends it again).
//! - If it can be sent to at least one receiver, it is accepted; for the others it is dropped and counted in
//!   [`Counters::dropped_budget`](crate::Counters).
//! - When all of the limit is used, every message with receivers is refused in the same way; QoS 0 is dropped.
//!
//! # Accounts
//!
//! An account has [`BudgetLimits::account_share_percent`] of each limit, so one account cannot use all. Of its share
//! the first [`RESERVE_PERCENT`] are its own: it gets them even where others have used up the process' limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::Refusal;

/// Queues take no more messages when this much of the limit on [`Resource::Messages`] is used, in percent.
pub const QUEUE_PERCENT: u64 = 80;
/// The part of its share that an account gets even if others use the whole limit, in percent of the share.
pub const RESERVE_PERCENT: u64 = 5;
/// What a persistent session takes without its subscriptions and messages, in bytes: the session, its client id in the
/// index and its timers.
pub const SESSION_BYTES: u64 = 1024;
/// What a subscription takes besides its text, in bytes.
pub const SUBSCRIPTION_BYTES: u64 = 256;
/// What a level of a topic filter takes in the topic tree, in bytes; levels that filters share are counted for each.
pub const LEVEL_BYTES: u64 = 192;
/// What a message takes besides topic, payload and properties, in bytes: the structure and three allocations.
pub const MESSAGE_BYTES: u64 = 256;

/// Something that clients can make the server hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of messages under way and waiting.
    Messages,
    /// Bytes of retained messages.
    Retained,
    /// Number of persistent sessions.
    PersistentSessions,
    /// Bytes of sessions, subscriptions and wills.
    Sessions,
    /// Number of clients whose version number is remembered.
    Presence,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Resource; 5] = [
        Resource::Messages,
        Resource::Retained,
        Resource::PersistentSessions,
        Resource::Sessions,
        Resource::Presence,
    ];

    /// The name of its gauge in the statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Resource::Messages => "message_bytes",
            Resource::Retained => "retained_bytes",
            Resource::PersistentSessions => "persistent_sessions",
            Resource::Sessions => "session_bytes",
            Resource::Presence => "presence_records",
        }
    }
}

type PerResource<T> = [T; Resource::ALL.len()];

/// The limits of a process. The defaults fit a machine with 2 GB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Bytes of messages under way and waiting.
    pub message_bytes: u64,
    /// Bytes of retained messages.
    pub retained_bytes: u64,
    /// Persistent sessions.
    pub persistent_sessions: u64,
    /// Bytes of persistent sessions, subscriptions and wills.
    pub session_bytes: u64,
    /// Clients whose version number is remembered, at about 200 bytes each.
    pub presence_records: u64,
    /// What one account may use of each limit, in percent.
    pub account_share_percent: u64,
}

impl Default for BudgetLimits {
    fn default() -> BudgetLimits {
        BudgetLimits {
            message_bytes: 512 * 1024 * 1024,
            retained_bytes: 256 * 1024 * 1024,
            persistent_sessions: 200_000,
            session_bytes: 512 * 1024 * 1024,
            presence_records: 400_000,
            account_share_percent: 50,
        }
    }
}

/// What the process may hold, and what it holds.
#[derive(Debug)]
pub struct Budget {
    limits: PerResource<AtomicU64>,
    account_limits: PerResource<AtomicU64>,
    /// What an account gets even if others use the whole limit: [`RESERVE_PERCENT`] of its limit.
    reserves: PerResource<AtomicU64>,
    /// [`QUEUE_PERCENT`] of the limits on messages, of the process and of an account.
    queue_limit: AtomicU64,
    account_queue_limit: AtomicU64,
    used: PerResource<AtomicU64>,
}

impl Budget {
    /// Makes a budget of which nothing is used.
    pub fn new(limits: &BudgetLimits) -> Arc<Budget> {
        let budget = Budget {
            limits: PerResource::default(),
            account_limits: PerResource::default(),
            reserves: PerResource::default(),
            queue_limit: AtomicU64::default(),
            account_queue_limit: AtomicU64::default(),
            used: PerResource::default(),
        };
        budget.set_limits(limits);
        Arc::new(budget)
    }

    /// Uses other limits from now on. What is held beyond them stays until it is released.
    pub fn set_limits(&self, limits: &BudgetLimits) {
        let share = limits.account_share_percent.clamp(1, 100);
        let limits = [
            limits.message_bytes,
            limits.retained_bytes,
            limits.persistent_sessions,
            limits.session_bytes,
            limits.presence_records,
        ];
        let account_limits = limits.map(|limit| percent(limit, share).max(1));
        let messages = Resource::Messages as usize;
        store_all(&self.limits, limits);
        store_all(&self.account_limits, account_limits);
        store_all(&self.reserves, account_limits.map(|limit| percent(limit, RESERVE_PERCENT)));
        self.queue_limit.store(percent(limits[messages], QUEUE_PERCENT), Ordering::Relaxed);
        self.account_queue_limit.store(percent(account_limits[messages], QUEUE_PERCENT), Ordering::Relaxed);
    }

    /// Returns how much all accounts use together.
    pub fn used(&self, resource: Resource) -> u64 {
        self.used[resource as usize].load(Ordering::Relaxed)
    }
}

/// What one account may make the server hold, in all its regions.
#[derive(Debug)]
pub struct AccountBudget {
    process: Arc<Budget>,
    used: PerResource<AtomicU64>,
}

impl AccountBudget {
    /// Makes the budget of an account: a share of the process' budget.
    pub fn new(process: Arc<Budget>) -> Arc<AccountBudget> {
        Arc::new(AccountBudget { process, used: PerResource::default() })
    }

    /// Returns how much the account uses.
    pub fn used(&self, resource: Resource) -> u64 {
        self.used[resource as usize].load(Ordering::Relaxed)
    }

    /// Takes an amount; returns `None` if the account or the process has no more.
    pub fn take(self: &Arc<Self>, resource: Resource, amount: u64) -> Option<Charge> {
        self.add(resource, amount).then(|| Charge { account: Arc::clone(self), resource, amount })
    }

    /// Makes a charge of nothing, to be resized.
    pub(crate) fn nothing(self: &Arc<Self>, resource: Resource) -> Charge {
        Charge { account: Arc::clone(self), resource, amount: 0 }
    }

    /// Returns whether queues may take more messages.
    pub(crate) fn has_queue_room(&self) -> bool {
        let (used, process) = (self.used(Resource::Messages), &self.process);
        used < load(&process.account_queue_limit)
            && (process.used(Resource::Messages) < load(&process.queue_limit)
                || used < load(&process.reserves[Resource::Messages as usize]))
    }

    fn add(&self, resource: Resource, amount: u64) -> bool {
        let (index, process) = (resource as usize, &self.process);
        let account = &self.used[index];
        let Some(used) = add_within(account, amount, load(&process.account_limits[index])) else {
            return false;
        };
        let is_reserved = used <= load(&process.reserves[index]);
        let limit = if is_reserved { u64::MAX } else { load(&process.limits[index]) };
        if add_within(&process.used[index], amount, limit).is_some() {
            return true;
        }
        account.fetch_sub(amount, Ordering::Relaxed);
        false
    }

    fn subtract(&self, resource: Resource, amount: u64) {
        self.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
        self.process.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
    }
}

/// An amount that was taken; dropping it gives it back.
#[derive(Debug)]
pub struct Charge {
    account: Arc<AccountBudget>,
    resource: Resource,
    amount: u64,
}

impl Charge {
    /// Returns the amount.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Changes the amount. Returns `false`, and changes nothing, if there is no more to take.
    pub(crate) fn resize(&mut self, amount: u64) -> bool {
        if amount > self.amount {
            if !self.account.add(self.resource, amount - self.amount) {
                return false;
            }
        } else {
            self.account.subtract(self.resource, self.amount - amount);
        }
        self.amount = amount;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.subtract(self.resource, self.amount);
    }
}

/// The charge of a message. A copy of a message has none, and the charge plays no part in comparing messages.
#[derive(Debug, Default)]
pub struct Charged(pub(crate) Option<Charge>);

impl Clone for Charged {
    fn clone(&self) -> Charged {
        Charged(None)
    }
}

impl PartialEq for Charged {
    fn eq(&self, _: &Charged) -> bool {
        true
    }
}

impl Eq for Charged {}

/// The charge of a persistent session, in number and bytes.
#[derive(Debug)]
pub(crate) struct PersistenceCharge {
    _number: Charge,
    _bytes: Charge,
}

impl PersistenceCharge {
    /// # Errors
    ///
    /// The account has as many sessions, or uses as many bytes for them, as it may.
    pub fn take(account: &Arc<AccountBudget>) -> Result<PersistenceCharge, Refusal> {
        let number = account.take(Resource::PersistentSessions, 1).ok_or(Refusal::TooManySessions)?;
        let bytes = account.take(Resource::Sessions, SESSION_BYTES).ok_or(Refusal::SessionMemoryFull)?;
        Ok(PersistenceCharge { _number: number, _bytes: bytes })
    }
}

/// Adds within a limit; the sum, or `None` when it would be more.
fn add_within(used: &AtomicU64, amount: u64, limit: u64) -> Option<u64> {
    let sum = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).ok().map(|before| before + amount)
}

fn load(value: &AtomicU64) -> u64 {
    value.load(Ordering::Relaxed)
}

fn store_all(into: &PerResource<AtomicU64>, values: PerResource<u64>) {
    for (into, value) in into.iter().zip(values) {
        into.store(value, Ordering::Relaxed);
    }
}

fn percent(limit: u64, percent: u64) -> u64 {
    // Limits are far below 2^57; a setting of "no limit" must not overflow all the same.
    (u128::from(limit) * u128::from(percent) / 100).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_limits_hold_for_what_is_taken_from_now_on() {
        let budget = limited(1000, 100);
        let account = AccountBudget::new(Arc::clone(&budget));
        let held = account.take(Resource::Messages, 900).expect("it is within the limit");
        budget.set_limits(&BudgetLimits {
            message_bytes: 500,
            account_share_percent: 100,
            ..BudgetLimits::default()
        });
        assert!(account.take(Resource::Messages, 1).is_none(), "more is held than may be");
        assert_eq!(budget.used(Resource::Messages), 900, "what is held stays");
        drop(held);
        assert!(account.take(Resource::Messages, 501).is_none());
        assert!(account.take(Resource::Messages, 500).is_some());
    }

    fn limited(message_bytes: u64, account_share_percent: u64) -> Arc<Budget> {
        Budget::new(&BudgetLimits { message_bytes, account_share_percent, ..BudgetLimits::default() })
    }

    #[test]
    fn one_account_gets_its_share_and_another_still_gets_some() {
        let process = limited(1000, 60);
        let (first, second) =
            (AccountBudget::new(Arc::clone(&process)), AccountBudget::new(Arc::clone(&process)));
        let all = first.take(Resource::Messages, 600).unwrap();
        assert!(first.take(Resource::Messages, 1).is_none(), "its share is 60 %");
        let rest = second.take(Resource::Messages, 400).unwrap();
        assert!(second.take(Resource::Messages, 1).is_none(), "the process has no more");
        let third = AccountBudget::new(Arc::clone(&process));
        let own = third.take(Resource::Messages, 30).unwrap();
        assert!(third.take(Resource::Messages, 1).is_none(), "5 % of its share are its own, and no more");
        assert_eq!(process.used(Resource::Messages), 1030);
        drop((all, rest, own));
        assert_eq!(process.used(Resource::Messages), 0);
    }

    #[test]
    fn queues_stop_before_messages_on_their_way() {
        let account = AccountBudget::new(limited(1000, 50));
        let mut charge = account.take(Resource::Messages, 399).unwrap();
        assert!(account.has_queue_room());
        assert!(charge.resize(400));
        assert!(!account.has_queue_room());
        assert!(account.take(Resource::Messages, 100).is_some());
    }

    #[test]
    fn an_amount_that_cannot_grow_stays_as_it_was() {
        let account = AccountBudget::new(limited(1000, 50));
        let mut charge = account.take(Resource::Messages, 400).unwrap();
        assert!(!charge.resize(501));
        assert_eq!((charge.amount(), account.used(Resource::Messages)), (400, 400));
        assert!(charge.resize(10));
        assert_eq!(account.used(Resource::Messages), 10);
    }

    proptest! {
        /// Threads take, resize and give back at the same time.
        #[test]
        fn what_is_used_never_passes_the_limits_and_comes_back(
            amounts in proptest::collection::vec(proptest::collection::vec(0_u64..300, 1..60), 4),
        ) {
            let process = limited(1000, 60);
            let reserve = percent(600, RESERVE_PERCENT);
            std::thread::scope(|scope| {
                for (number, amounts) in amounts.iter().enumerate() {
                    let (process, account) = (&process, AccountBudget::new(Arc::clone(&process)));
                    let name = std::thread::Builder::new().name(format!("account {number}"));
                    name.spawn_scoped(scope, move || {
                        let mut held = Vec::new();
                        for amount in amounts {
                            match account.take(Resource::Messages, *amount) {
                                Some(charge) => held.push(charge),
                                None => drop(held.pop()),
                            }
                            if let Some(last) = held.last_mut() {
                                last.resize(amount / 2);
                            }
                            assert!(account.used(Resource::Messages) <= 600);
                            assert!(process.used(Resource::Messages) <= 1000 + 4 * reserve);
                        }
                        let sum: u64 = held.iter().map(Charge::amount).sum();
                        assert_eq!(account.used(Resource::Messages), sum);
                    })
                    .unwrap();
                }
            });
            prop_assert_eq!(process.used(Resource::Messages), 0);
        }
    }
}
