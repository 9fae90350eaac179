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
    /// Connections that failed, or attempts with another outcome. Over the whole run, as the three below.
    pub failed: u64,
    /// The reason of the last failure.
    pub last_failure: Option<String>,
    /// Messages that never reached one of their subscribers.
    pub lost: u64,
    /// Messages that arrived again or out of order.
    pub duplicates: u64,
}

/// The memory of idle connections.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Number of connections.
    pub connections: usize,
    /// Resident memory of the server without them, KiB.
    pub before_kib: u64,
    /// Resident memory of the server with them, KiB.
    pub after_kib: u64,
}
