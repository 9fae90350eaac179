//! The accept loop: one task per connection, a permit for each, patience when the system has no more sockets.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::admission::{Admission, Presented, Refused};
use crate::metrics::Metrics;
use crate::reception;
use crate::refusal::Refusal;

/// Waits after a failed accept: doubled each time, up to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Everything that serving a new socket needs.
pub struct Listener {
    /// TLS.
    pub acceptor: TlsAcceptor,
    /// The checkpoint.
    pub admission: Arc<Admission>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// For TLS and CONNECT together.
    pub handshake_timeout: Duration,
    /// Say why, where AWS IoT says nothing.
    pub verbose_refusals: bool,
    /// One for each connection there may be.
    pub permits: Arc<Semaphore>,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
    /// Held by every task; when all are dropped, all connections have ended.
    pub alive: mpsc::Sender<()>,
}

impl Listener {
    /// Accept until the server stops.
    pub async fn run(self: Arc<Self>, socket: Arc<TcpListener>) {
        let _listening = self.metrics.vitals.listening();
        let mut stopping = self.stopping.clone();
        let mut back_off = BACK_OFF.0;
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    back_off = BACK_OFF.0;
                    self.clone().take(stream, peer);
                }
                // Out of descriptors or memory: connections that end free some. The backlog keeps the clients.
                Err(_) => {
                    self.metrics.accept_failures.increment();
                    self.metrics.vitals.accept_failed();
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    fn take(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        self.metrics.accepted.increment();
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            let presented = Presented { chain: Arc::new([]), sni: None, peer, client_id: "".into() };
            let refused = Refused::because(Refusal::TooManyConnections);
            self.admission.report(None, &presented, None, &refused);
            return;
        };
        let alive = self.alive.clone();
        tokio::spawn(self.serve(stream, peer, permit, alive));
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        alive: mpsc::Sender<()>,
    ) {
        let mut stopping = self.stopping.clone();
        let connection = tokio::select! {
            connection = Box::pin(reception::receive(&self, stream, peer, (permit, alive))) => connection,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if let Some(connection) = connection {
            // A task of its own, no larger than a connection needs; that of the handshake ends here.
            tokio::spawn(connection);
        }
    }
}

/// What a connection holds while it lasts: its place, and the sign that it is there.
pub type Permit = (OwnedSemaphorePermit, mpsc::Sender<()>);
