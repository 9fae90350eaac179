//! The accept loop: one task per connection, a permit for each, a growing wait when the system has no more sockets.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::admitted::Presented;
use crate::half_open::HalfOpen;
use crate::reception::Reception;
use crate::refusal::{Refusal, Refused};
use crate::reports::Reports;

/// Waits after a failed accept: doubled each time, up to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long a new connection waits for the permit of one that was ended to make room for it.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The least time between two reports of failed accepts. The counter `accept_failures` has each of them.
const ACCEPT_FAILURE_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Failed accepts that were not reported yet.
#[derive(Default)]
struct AcceptFailures {
    cause: String,
    count: u64,
    reported: Option<Instant>,
}

impl AcceptFailures {
    fn add(&mut self, cause: &std::io::Error) {
        self.cause = cause.to_string();
        self.count += 1;
    }

    /// What is to be reported now; none before the interval is over.
    fn due(&mut self, now: Instant) -> Option<(String, u64)> {
        let waits = self
            .reported
            .is_some_and(|reported| now.saturating_duration_since(reported) < ACCEPT_FAILURE_REPORT_INTERVAL);
        if self.count == 0 || waits {
            return None;
        }
        self.reported = Some(now);
        Some((std::mem::take(&mut self.cause), std::mem::take(&mut self.count)))
    }
}

/// Everything that serving a new socket needs.
pub struct Listener {
    /// Takes each accepted socket.
    pub reception: Reception,
    /// Refusals and numbers.
    pub reports: Reports,
    /// One for each connection there may be.
    pub permits: Arc<Semaphore>,
    /// Those of them that are not admitted yet.
    pub half_open: Arc<HalfOpen>,
    /// Held by every task; when all are dropped, all connections have ended.
    pub alive: mpsc::Sender<()>,
}

impl Listener {
    /// Accept until the server stops.
    pub async fn run(self: Arc<Self>, socket: Arc<TcpListener>) {
        let _listening = self.reports.metrics.vitals.listening();
        let mut stopping = self.reception.stopping.clone();
        let mut back_off = BACK_OFF.0;
        let mut failures = AcceptFailures::default();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            if let Err(cause) = &accepted {
                self.reports.metrics.accept_failures.increment();
                self.reports.metrics.vitals.accept_failed();
                failures.add(cause);
            }
            if let Some((cause, count)) = failures.due(Instant::now()) {
                self.reports.bridge.accept_failed(cause, count);
            }
            match accepted {
                Ok((stream, peer)) => {
                    back_off = BACK_OFF.0;
                    self.clone().take(stream, peer).await;
                }
                // Out of descriptors or memory: connections that end free some. The backlog keeps the clients.
                Err(_) => {
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    async fn take(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        self.reports.metrics.accepted.increment();
        let Some(permit) = self.permit(peer).await else { return self.refuse_when_full(peer) };
        let alive = self.alive.clone();
        tokio::spawn(self.serve(stream, peer, permit, alive));
    }

    /// A permit for a new connection, where there is one or a half-open connection is displaced.
    async fn permit(&self, peer: SocketAddr) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        if !self.half_open.displace_one(peer.ip()) {
            return None;
        }
        // The displaced connection lets go of its permit as soon as its task runs. Nothing is accepted meanwhile, so
        // that there are never more sockets than permits, and one.
        timeout(PERMIT_TIMEOUT, self.permits.clone().acquire_owned()).await.ok()?.ok()
    }

    fn refuse_when_full(&self, peer: SocketAddr) {
        let refused = Refused::because(Refusal::TooManyConnections);
        self.reports.connection_refused(None, &Presented::nothing(peer), None, &refused);
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        alive: mpsc::Sender<()>,
    ) {
        let mut stopping = self.reception.stopping.clone();
        let entry = self.half_open.enter(peer.ip());
        let connection = tokio::select! {
            connection = Box::pin(self.reception.receive(stream, peer, (permit, alive))) => connection,
            () = entry.displaced.notified() => {
                self.reports.metrics.half_open_displaced.increment();
                return self.refuse_when_full(peer);
            }
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        drop(entry);
        if let Some(connection) = connection {
            // A task of its own, no larger than a connection needs; that of the handshake ends here.
            tokio::spawn(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_accepts_are_reported_once_per_interval_with_their_number() {
        let mut failures = AcceptFailures::default();
        let start = Instant::now();
        assert_eq!(failures.due(start), None);
        failures.add(&std::io::Error::from_raw_os_error(24));
        let (cause, count) = failures.due(start).unwrap();
        assert!(cause.contains("Too many open files"), "{cause}");
        assert_eq!(count, 1);
        (0..5000).for_each(|_| failures.add(&std::io::Error::from_raw_os_error(24)));
        assert_eq!(failures.due(start + ACCEPT_FAILURE_REPORT_INTERVAL / 2), None);
        let (_, count) = failures.due(start + ACCEPT_FAILURE_REPORT_INTERVAL).unwrap();
        assert_eq!(count, 5000);
        assert_eq!(failures.due(start + 2 * ACCEPT_FAILURE_REPORT_INTERVAL), None);
    }
}
