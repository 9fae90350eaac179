//! Who was here lately: the version numbers of lifecycle events, and the rate of CONNECT.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::connection::Rate;
use crate::input::Now;
use crate::limits::VERSION_NUMBER_MEMORY_MS;

/// Clients that are gone are remembered for an hour, but no more than this many; the oldest are forgotten first. A
/// version number then starts again from 0 early, which the events' readers have to expect anyway.
const MOST_REMEMBERED: usize = 200_000;

/// Version numbers by client id.
#[derive(Debug, Default)]
pub struct Presence {
    clients: HashMap<Arc<str>, Client, ahash::RandomState>,
    /// Clients to forget, in the order of their going.
    gone: VecDeque<(u64, Arc<str>)>,
}

#[derive(Debug)]
struct Client {
    next_version: u64,
    connects: Rate,
    /// When the last connection ended; `None` while there is one.
    gone_at: Option<u64>,
}

impl Presence {
    /// Whether the client id may connect now without exceeding a rate. Counts the attempt.
    pub fn may_connect(&mut self, now: Now, client_id: &str, per_second: u32) -> bool {
        self.clients.get_mut(client_id).is_none_or(|client| client.connects.count(now, per_second))
    }

    /// A connection begins; its version number.
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
                let client = Client { next_version: 1, connects, gone_at: None };
                self.clients.insert(Arc::clone(client_id), client);
                0
            }
        }
    }

    /// A connection ended and there is no other of the client id.
    pub fn disconnected(&mut self, now: Now, client_id: &Arc<str>) {
        if let Some(client) = self.clients.get_mut(client_id) {
            client.gone_at = Some(now.unix_ms);
            self.gone.push_back((now.unix_ms, Arc::clone(client_id)));
        }
        self.forget(now);
    }

    /// The persistent session of an offline client ended: its version numbers start again.
    pub fn session_ended(&mut self, client_id: &str) {
        if self.clients.get(client_id).is_some_and(|client| client.gone_at.is_some()) {
            self.clients.remove(client_id);
        }
    }

    fn forget(&mut self, now: Now) {
        while self.gone.front().is_some_and(|(gone_at, _)| {
            gone_at + VERSION_NUMBER_MEMORY_MS <= now.unix_ms || self.gone.len() > MOST_REMEMBERED
        }) {
            let Some((gone_at, client_id)) = self.gone.pop_front() else { return };
            // It may have come back, or come back and gone again: then a later entry stands for it.
            if self.clients.get(&client_id).is_some_and(|client| client.gone_at == Some(gone_at)) {
                self.clients.remove(&client_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_numbers_rise_and_start_again_an_hour_after_the_last_connection() {
        let (mut presence, id): (_, Arc<str>) = (Presence::default(), "dev1".into());
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
