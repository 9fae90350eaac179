//! Connections that have not been admitted yet: which of them ends when there are as many connections as may be.
//!
//! A peer needs no certificate to hold one of these for as long as a handshake may take. So a new connection displaces
//! one of them where there is no permit left. The one that ends is the oldest of the new peer's network, if that
//! network has at least half of them all, and else the oldest of all. A peer that opens connections faster than
//! others ends its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use crate::network::Network;

/// Of all half-open connections, one network has at most one in so many before its own end first.
const NETWORK_SHARE: usize = 2;

/// The table of them.
#[derive(Debug, Default)]
pub struct HalfOpen(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By age: a later connection has a higher number.
    all: BTreeMap<u64, (Network, Arc<Notify>)>,
    by_network: HashMap<Network, BTreeSet<u64>, RandomState>,
}

/// An entry of the table, until it is dropped.
#[derive(Debug)]
pub struct Entry {
    table: Arc<HalfOpen>,
    number: u64,
    /// Notified when this connection is to end.
    pub displaced: Arc<Notify>,
}

impl HalfOpen {
    /// Enter a new connection.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Entry {
        let network = Network::of(peer);
        let displaced = Arc::<Notify>::default();
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.all.insert(number, (network, displaced.clone()));
        table.by_network.entry(network).or_default().insert(number);
        Entry { table: self.clone(), number, displaced }
    }

    /// End one connection to make room for one of `peer`; whether there was one.
    pub fn displace_one(&self, peer: IpAddr) -> bool {
        let mut table = self.lock();
        let own = table.by_network.get(&Network::of(peer));
        let number = own
            .filter(|own| own.len() * NETWORK_SHARE >= table.all.len())
            .and_then(BTreeSet::first)
            .or_else(|| table.all.keys().next())
            .copied();
        let Some((_, displaced)) = number.and_then(|number| table.remove(number)) else { return false };
        // Kept for the connection where it does not wait for it yet.
        displaced.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, number: u64) -> Option<(Network, Arc<Notify>)> {
        let removed = self.all.remove(&number)?;
        if let Some(own) = self.by_network.get_mut(&removed.0) {
            own.remove(&number);
            if own.is_empty() {
                self.by_network.remove(&removed.0);
            }
        }
        Some(removed)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_displaced(entry: &Entry) -> bool {
        !entry.table.lock().all.contains_key(&entry.number)
    }

    #[test]
    fn an_address_with_half_of_them_ends_its_own_oldest() {
        let table = Arc::<HalfOpen>::default();
        let (few, many) = (address("192.0.2.1"), address("192.0.2.2"));
        let device = table.enter(few);
        let flood: Vec<_> = (0..3).map(|_| table.enter(many)).collect();
        assert!(table.displace_one(many));
        assert!(table.displace_one(many));
        assert_eq!(flood.iter().map(is_displaced).collect::<Vec<_>>(), [true, true, false]);
        assert!(!is_displaced(&device));
    }

    #[test]
    fn else_the_oldest_of_all_ends() {
        let table = Arc::<HalfOpen>::default();
        let entries: Vec<_> = (1..5).map(|last| table.enter(address(&format!("192.0.2.{last}")))).collect();
        assert!(table.displace_one(address("198.51.100.1")));
        assert_eq!(entries.iter().map(is_displaced).collect::<Vec<_>>(), [true, false, false, false]);
    }

    #[test]
    fn an_entry_leaves_when_it_is_dropped_and_an_empty_table_has_none_to_end() {
        let table = Arc::<HalfOpen>::default();
        drop(table.enter(address("192.0.2.1")));
        assert!(!table.displace_one(address("192.0.2.1")));
        assert!(table.lock().all.is_empty() && table.lock().by_network.is_empty());
    }
}
