//! The result of a job: one line of JSON on standard output.

use serde::Serialize;

/// The result of one job.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of connects, attempts and messages.
    Span(Span),
    /// Of idle connections.
    Memory(Memory),
}

/// What happened between two instants.
#[derive(Debug, Serialize)]
pub struct Span {
    /// Connects that reached their CONNACK, attempts that ended as expected, or messages that reached a subscriber.
    pub units: u64,
    /// Between the instants.
    pub seconds: f64,
    /// CPU time of the server, user and system, in clock ticks.
    pub server_ticks: u64,
    /// CPU time of the load, likewise.
    pub load_ticks: u64,
    /// CPU time that others took of the two cores, likewise.
    pub other_ticks: u64,
    /// Connections that failed, or attempts that ended otherwise. Over the whole run, as the three below.
    pub failed: u64,
    /// Why the last one did.
    pub last_failure: Option<String>,
    /// Messages that never reached a subscriber that was due to get them.
    pub lost: u64,
    /// Messages that came again or out of order.
    pub duplicates: u64,
}

/// What idle connections cost.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// How many there were.
    pub connections: usize,
    /// Resident memory of the server before them, KiB.
    pub before_kib: u64,
    /// And with them.
    pub after_kib: u64,
}
