//! Version numbers of lifecycle events, and the rate of CONNECT, by client id.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::budget::{AccountBudget, Charge, Resource};
use crate::input::Now;
use crate::limits::VERSION_NUMBER_MEMORY_MS;
use crate::rate::Rate;

/// Disconnected clients whose version number is kept, for an hour. Beyond, the record of the client that disconnected
/// first is removed; its version number starts again from 0 early, which readers of events have to expect anyway.
const MAX_DISCONNECTED_CLIENTS: usize = 200_000;

/// Version numbers by client id.
#[derive(Debug)]
pub struct Presence {
    budget: Arc<AccountBudget>,
    clients: HashMap<Arc<str>, Client, RandomState>,
    /// Disconnected clients, in the order of their disconnects.
    gone: VecDeque<(u64, Arc<str>)>,
}

#[derive(Debug)]
struct Client {
    next_version: u64,
    connects: Rate,
    /// When the last connection ended; `None` while there is one.
    gone_at: Option<u64>,
    _charge: Charge,
}

impl Presence {
    /// Makes an empty table; its records are charged to an account.
    pub fn new(budget: Arc<AccountBudget>) -> Presence {
        Presence { budget, clients: HashMap::default(), gone: VecDeque::new() }
    }

    /// Counts an attempt. Returns whether the client id may connect now without exceeding a rate.
    pub fn may_connect(&mut self, now: Now, client_id: &str, per_second: u32) -> bool {
        self.clients.get_mut(client_id).is_none_or(|client| client.connects.count(now, per_second))
    }

    /// Notes that a connection begins. Returns its version number.
    pub fn connected(&mut self, now: Now, client_id: &Arc<str>) -> u64 {
        self.forget(now);
        match self.clients.get_mut(client_id) {
            Some(client) => {
                client.gone_at = None;
                let version = client.next_version;
                client.next_version += 1;
                version
            }
            None => {
                let mut connects = Rate::default();
                connects.count(now, 1);
                // If there is no record to remove, the client gets none: its next connection begins at 0 again.
                if let Some(charge) = self.charge() {
                    let client = Client { next_version: 1, connects, gone_at: None, _charge: charge };
                    self.clients.insert(Arc::clone(client_id), client);
                }
                0
            }
        }
    }

    /// Notes that a connection ended and that the client id has no other.
    pub fn disconnected(&mut self, now: Now, client_id: &Arc<str>) {
        if let Some(client) = self.clients.get_mut(client_id) {
            client.gone_at = Some(now.unix_ms);
            self.gone.push_back((now.unix_ms, Arc::clone(client_id)));
        }
        self.forget(now);
    }

    /// Notes that the persistent session of an offline client ended: its version numbers start again.
    pub fn session_ended(&mut self, client_id: &str) {
        if self.clients.get(client_id).is_some_and(|client| client.gone_at.is_some()) {
            self.clients.remove(client_id);
        }
    }

    /// Takes room for one more client, removing the records of those that disconnected first as far as needed.
    fn charge(&mut self) -> Option<Charge> {
        loop {
            let charge = self.budget.take(Resource::Presence, 1);
            if charge.is_some() || !self.forget_oldest() {
                return charge;
            }
        }
    }

    fn forget(&mut self, now: Now) {
        while self.gone.front().is_some_and(|(gone_at, _)| {
            gone_at + VERSION_NUMBER_MEMORY_MS <= now.unix_ms || self.gone.len() > MAX_DISCONNECTED_CLIENTS
        }) {
            self.forget_oldest();
        }
    }

    /// Removes the record of the client that disconnected first. Returns `false` if all are connected.
    fn forget_oldest(&mut self) -> bool {
        let Some((gone_at, client_id)) = self.gone.pop_front() else { return false };
        // It may have connected again since: then a later entry counts.
        if self.clients.get(&client_id).is_some_and(|client| client.gone_at == Some(gone_at)) {
            self.clients.remove(&client_id);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, BudgetLimits};

    fn budget(presence_records: u64) -> Arc<AccountBudget> {
        let limits = BudgetLimits { presence_records, account_share_percent: 100, ..BudgetLimits::default() };
        AccountBudget::new(Budget::new(&limits))
    }

    #[test]
    fn clients_that_are_gone_longest_are_forgotten_for_others_and_none_is_remembered_beyond_the_budget() {
        let budget = budget(3);
        let (mut presence, at) = (Presence::new(Arc::clone(&budget)), Now::from_unix_ms(0));
        let ids: Vec<Arc<str>> = (0..5).map(|number| number.to_string().into()).collect();
        for id in &ids[..3] {
            assert_eq!(presence.connected(at, id), 0);
        }
        assert_eq!(presence.connected(at, &ids[3]), 0, "all others are here: it is not remembered");
        assert_eq!(presence.connected(at, &ids[3]), 0);
        presence.disconnected(at, &ids[1]);
        presence.disconnected(at, &ids[0]);
        assert_eq!(presence.connected(at, &ids[4]), 0, "in place of the one that went first");
        assert_eq!([0, 0, 1, 1], [1, 0, 4, 2].map(|number: usize| presence.connected(at, &ids[number])));
        assert_eq!(budget.used(Resource::Presence), 3);
        drop(presence);
        assert_eq!(budget.used(Resource::Presence), 0);
    }

    #[test]
    fn version_numbers_rise_and_start_again_an_hour_after_the_last_connection() {
        let (mut presence, id): (_, Arc<str>) = (Presence::new(budget(10)), "dev1".into());
        let at = Now::from_unix_ms;
        assert_eq!(presence.connected(at(0), &id), 0);
        presence.disconnected(at(1000), &id);
        assert_eq!(presence.connected(at(2000), &id), 1);
        presence.disconnected(at(3000), &id);
        assert_eq!(presence.connected(at(3_602_999), &id), 2);
        presence.disconnected(at(4_000_000), &id);
        assert_eq!(presence.connected(at(7_600_000), &id), 0);
        assert!(presence.gone.is_empty());
    }
}
