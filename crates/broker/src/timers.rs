//! The timers of a broker: one ordered set, from which a cancelled timer is removed at once.

use std::collections::BTreeSet;

use crate::keys::SessionKey;

/// The purpose of a timer. Each session has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The session of an offline client ends.
    SessionExpiry(SessionKey),
    /// A delayed will goes out.
    Will(SessionKey),
    /// A connected client has not acknowledged a message for long.
    Unacknowledged(SessionKey),
}

/// The timers of a broker, in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct Timers(BTreeSet<(u64, Timer)>);

impl Timers {
    /// Sets a timer, remembering the time in `armed` (the same place for each setting of a timer): an earlier setting is
    /// replaced.
    pub fn set(&mut self, armed: &mut Option<u64>, at: u64, timer: Timer) {
        self.cancel(armed, timer);
        self.0.insert((at, timer));
        *armed = Some(at);
    }

    /// Cancels a timer.
    pub fn cancel(&mut self, armed: &mut Option<u64>, timer: Timer) {
        if let Some(at) = armed.take() {
            self.0.remove(&(at, timer));
        }
    }

    /// Removes and returns the first timer that is due. The caller clears its `armed`.
    pub fn pop_due(&mut self, now: u64) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.remove(&(at, timer));
        Some(timer)
    }

    /// Returns when the first timer is due.
    pub fn next(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_set_again_fires_once_at_its_new_time() {
        let (mut timers, mut armed) = (Timers::default(), None);
        let timer = Timer::Will(SessionKey::default());
        timers.set(&mut armed, 10, timer);
        timers.set(&mut armed, 20, timer);
        assert_eq!(timers.pop_due(19), None);
        assert_eq!(timers.next(), Some(20));
        assert_eq!(timers.pop_due(20), Some(timer));
        assert_eq!(timers.next(), None);
    }
}
