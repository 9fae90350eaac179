//! From a bare socket to an admitted connection: TLS, the first packet, admission.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::BytesMut;
use sekisho_broker::DisconnectReason;
use sekisho_broker::limits::{CLIENT_ID_BYTES, PACKET_BYTES, PROPERTY_BYTES};
use sekisho_certificate::CertificateId;
use sekisho_mqtt::{
    ConnAck, ConnAckProperties, Connect, DecodeError, Decoder, Limits, Packet, ReasonCode, UserProperties,
    Utf8, Version, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::admission::Admission;
use crate::admitted::Presented;
use crate::connection::{Connection, LINGER, Transport};
use crate::handle::ConnectionHandle;
use crate::reexamine::Reexamination;
use crate::refusal::{Refusal, Refused};
use crate::reports::Reports;
use crate::tls::handshake;

/// A CONNECT is small. Reading it needs little, and there may be many half-open connections.
const FIRST_READ: usize = 1024;

/// Brings sockets to the point where they are served.
pub struct Reception {
    /// TLS.
    pub acceptor: TlsAcceptor,
    /// Decides who may connect.
    pub admission: Arc<Admission>,
    /// Catches up with changes.
    pub reexamination: Arc<Reexamination>,
    /// For refusals.
    pub reports: Reports,
    /// For TLS and CONNECT together.
    pub handshake_timeout: Duration,
    /// Send MQTT 3.1.1 return codes where AWS IoT closes without an answer.
    pub verbose_refusals: bool,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// How far a client has come; what a refusal can tell of it.
struct Progress {
    presented: Presented,
    certificate_id: Option<CertificateId>,
    /// TLS is finished.
    secured: bool,
}

/// A client that has said CONNECT.
struct Received {
    stream: TlsStream<TcpStream>,
    connect: Box<Connect>,
    decoder: Decoder,
    leftover: BytesMut,
}

/// A connection over TLS over TCP.
pub type Served = Connection<TlsStream<TcpStream>, Permit>;

/// What a connection holds while it lasts: its permit, and the sign that it is there.
pub type Permit = (OwnedSemaphorePermit, mpsc::Sender<()>);

impl Reception {
    /// Bring a socket to CONNECT within the time allowed, admit it, and return the connection that is to be served.
    pub async fn receive(&self, socket: TcpStream, peer: SocketAddr, permit: Permit) -> Option<Served> {
        let presented = Presented::nothing(peer);
        let mut progress = Progress { presented, certificate_id: None, secured: false };
        // Boxed, because a handshake's state is several times that of a connection and lives much shorter.
        let arrival = Box::pin(timeout(self.handshake_timeout, self.arrive(socket, &mut progress))).await;
        let refused = match arrival {
            Ok(Ok(received)) => return self.admit(received, progress.presented, permit).await,
            Ok(Err(refused)) => refused,
            Err(_) if progress.secured => Refused::because(Refusal::ConnectTimeout),
            Err(_) => Refused::because(Refusal::HandshakeTimeout),
        };
        let certificate_id = progress.certificate_id.map(|id| id.to_string().into());
        self.report(&progress.presented, certificate_id, &refused);
        None
    }

    fn report(&self, presented: &Presented, certificate_id: Option<Arc<str>>, refused: &Refused) {
        let realm = presented.sni.as_deref().and_then(|name| self.admission.realms.of_endpoint(name));
        let name = realm.as_ref().map(|realm| realm.name());
        self.reports.connection_refused(name, presented, certificate_id, refused);
    }

    async fn arrive(&self, socket: TcpStream, progress: &mut Progress) -> Result<Received, Refused> {
        // A message is one write; waiting for more to send along would only delay it.
        let _ = socket.set_nodelay(true);
        let mut first = [0; 8];
        let count = socket.peek(&mut first).await.unwrap_or(0);
        if count == 0 {
            return Err(Refused::because(Refusal::ClosedDuringHandshake));
        }
        if let Some(refusal) = handshake::not_tls(&first[..count]) {
            return Err(Refused::because(refusal));
        }
        let stream = self.acceptor.accept(socket).await.map_err(|error| {
            let (refusal, detail, certificate_id) = handshake::failure(&error);
            progress.certificate_id = certificate_id;
            Refused { refusal, detail }
        })?;
        self.reports.metrics.handshakes.increment();
        let (_, session) = stream.get_ref();
        if session.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.reports.metrics.handshakes_resumed.increment();
        }
        progress.secured = true;
        // Both are there on resumed sessions too: the ticket carries them.
        progress.presented.chain = session.peer_certificates().unwrap_or_default().into();
        progress.presented.sni = session.server_name().map(Into::into);
        let mut received = first_packet(stream, progress).await?;
        // Strings of a packet are slices of the buffer it came in; what is kept for the connection's life is copied.
        progress.presented.client_id = reported(&received.connect.client_id).into();
        drop_unused(&mut received.connect.properties.user_properties);
        if received.leftover.is_empty() {
            received.leftover = BytesMut::new();
        }
        Ok(received)
    }

    async fn admit(&self, received: Received, presented: Presented, permit: Permit) -> Option<Served> {
        let Received { mut stream, connect, decoder, leftover } = received;
        let version = connect.version;
        let (realm, admitted) = match self.admission.admit(&presented).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                self.report(&presented, None, &refused);
                // AWS IoT answers no CONNACK when it is the certificate that is at fault.
                if self.verbose_refusals {
                    let text = refused.refusal.sentence();
                    let most = connect.properties.maximum_packet_size.map(NonZeroU32::get);
                    answer(&mut stream, version, ReasonCode::NotAuthorized, Some(text), most).await;
                } else {
                    shut_down(&mut stream).await;
                }
                return None;
            }
        };
        self.reports.metrics.admitted.increment();
        let handle = Arc::new(ConnectionHandle::new(&admitted, presented));
        realm.connect(&handle, *connect);
        realm.live().add(&handle);
        let metrics = self.reports.metrics.clone();
        let connection =
            Connection::new(stream, realm.clone(), handle.clone(), metrics, decoder, leftover, permit);
        // From here on a change in the registry finds the connection; what came before is caught up with now.
        self.reexamination.settle(&realm, &handle);
        if *self.stopping.borrow() {
            // The connections may have been closed before this one was among them.
            realm.disconnect(&handle, DisconnectReason::ServerInitiatedDisconnect);
        }
        Some(connection)
    }
}

/// The beginning of a client id, as reports and admission requests have it. A longer one is refused by the broker;
/// until then no client with any key may make every queue and log keep 64 KB of it.
fn reported(client_id: &str) -> &str {
    let mut end = client_id.len().min(CLIENT_ID_BYTES);
    while !client_id.is_char_boundary(end) {
        end -= 1;
    }
    &client_id[..end]
}

/// Drop the user properties of a CONNECT, which are not used. Only the broker refuses those that are too large, after
/// admission: then as many are kept as show it. Thirty thousand empty ones would take two megabytes meanwhile.
fn drop_unused(properties: &mut UserProperties) {
    let mut bytes = 0;
    let last = properties.iter().position(|(name, value)| {
        bytes += name.len() + value.len();
        bytes > PROPERTY_BYTES
    });
    properties.truncate(last.map_or(0, |last| last + 1));
    properties.shrink_to_fit();
}

async fn first_packet(mut stream: TlsStream<TcpStream>, progress: &Progress) -> Result<Received, Refused> {
    let mut decoder = Decoder::new(Limits { max_packet_size: PACKET_BYTES });
    let mut buffer = BytesMut::with_capacity(FIRST_READ);
    loop {
        let read = stream.read_buf(&mut buffer).await;
        if let Err(error) = &read
            && let Some(refused) = handshake::alert_after_handshake(error)
        {
            return Err(refused);
        }
        match read {
            Ok(0) | Err(_) if buffer.is_empty() => {
                return Err(if progress.presented.chain.is_empty() {
                    Refused::because(Refusal::DeviceCertificateMissing)
                } else {
                    Refused::because(Refusal::ClosedBeforeConnect)
                });
            }
            Ok(0) | Err(_) => {
                return Err(Refused::with(
                    Refusal::ConnectMalformed,
                    "the client closed within its CONNECT packet",
                ));
            }
            Ok(_) => {}
        }
        if handshake::looks_like_http(&buffer) {
            return Err(Refused::because(Refusal::HttpInTls));
        }
        match decoder.decode(&mut buffer) {
            Ok(Some(Packet::Connect(connect))) => {
                return Ok(Received { stream, connect, decoder, leftover: buffer });
            }
            Ok(Some(_)) => return Err(Refused::because(Refusal::FirstPacketNotConnect)),
            Ok(None) => {}
            Err(error) => return Err(refuse_first(stream, &error).await),
        }
    }
}

/// Close without an answer after a bad first packet; but tell a client of another protocol version, as
/// [MQTT-3.1.2-2 of 3.1.1] wants.
async fn refuse_first(mut stream: TlsStream<TcpStream>, error: &DecodeError) -> Refused {
    match error {
        DecodeError::ConnectExpected(_) => Refused::with(Refusal::FirstPacketNotConnect, error.to_string()),
        DecodeError::UnsupportedVersion(_) => {
            answer(&mut stream, Version::V311, ReasonCode::UnsupportedProtocolVersion, None, None).await;
            Refused::with(Refusal::ProtocolVersionUnsupported, error.to_string())
        }
        other => Refused::with(Refusal::ConnectMalformed, other.to_string()),
    }
}

async fn answer<S: Transport>(
    stream: &mut S,
    version: Version,
    code: ReasonCode,
    text: Option<&'static str>,
    maximum_packet_size: Option<u32>,
) {
    let reason_string = text.and_then(Utf8::from_static);
    let properties = ConnAckProperties { reason_string, ..ConnAckProperties::default() };
    let mut buffer = BytesMut::new();
    let packet = Packet::ConnAck(Box::new(ConnAck { session_present: false, code, properties }));
    let packet = packet.fitted(version, maximum_packet_size);
    if packet.is_some_and(|packet| encode(&packet, version, &mut buffer).is_ok()) {
        let _ = timeout(LINGER, stream.write_all(&buffer)).await;
    }
    shut_down(stream).await;
}

/// Close the sending side; a peer that does not take it in time is not waited for.
async fn shut_down<S: Transport>(stream: &mut S) {
    let _ = timeout(LINGER, stream.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(count: usize, value: &'static str) -> UserProperties {
        let one = || (Utf8::from_static("").unwrap(), Utf8::from_static(value).unwrap());
        std::iter::repeat_with(one).take(count).collect()
    }

    #[test]
    fn user_properties_of_a_connect_are_kept_only_as_far_as_they_are_too_large() {
        let mut empty = properties(30_000, "");
        drop_unused(&mut empty);
        assert_eq!((empty.len(), empty.capacity()), (0, 0));
        let mut fitting = properties(8, "a".repeat(1024).leak());
        drop_unused(&mut fitting);
        assert!(fitting.is_empty());
        let mut too_large = properties(100, "a".repeat(1024).leak());
        drop_unused(&mut too_large);
        assert_eq!(too_large.len(), 9);
    }
}
