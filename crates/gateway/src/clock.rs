//! The only source of time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sekisho_broker::Now;

/// Wall time for certificates and policies, steady time for the broker.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    started_unix_ms: u64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { started: Instant::now(), started_unix_ms: millis(since_epoch()) }
    }

    /// The broker's time: it never goes back, whatever happens to the system's clock.
    pub fn now(&self) -> Now {
        Now::from_unix_ms(self.started_unix_ms + millis(self.started.elapsed()))
    }

    /// Wall time in seconds since the Unix epoch.
    pub fn unix_seconds() -> i64 {
        i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX)
    }

    /// Wall time in seconds since the Unix epoch, with its fraction.
    pub fn unix_time() -> f64 {
        since_epoch().as_secs_f64()
    }
}

fn since_epoch() -> Duration {
    // A clock before 1970 is a broken clock; every certificate is then "not yet valid", which says as much.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
