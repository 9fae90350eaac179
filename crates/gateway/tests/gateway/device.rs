//! A device: rustls, the codec, and nothing clever.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use sekisho_mqtt::{
    ConnAck, Connect, ConnectProperties, Decoder, Limits, Packet, Publish, PublishProperties, QoS,
    ReasonCode, Subscribe, SubscribeFilter, Utf8, Version, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::control_plane::{DEADLINE, World};
use crate::device_files::{DeviceFiles, Server};

/// Sends one certificate, whatever the server asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A device's TLS settings. Clones share the memory of sessions, so that the second connection resumes.
#[derive(Clone)]
pub struct Device {
    config: Arc<ClientConfig>,
    port: u16,
    name: ServerName<'static>,
}

impl Device {
    /// Speaks TLS 1.3, to `localhost`.
    pub fn new(world: &World, files: &DeviceFiles) -> Self {
        Self::speaking(world, Some(files), &[&rustls::version::TLS13])
    }

    pub fn speaking(
        world: &World,
        files: Option<&DeviceFiles>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        Self::trusting(&world.server, world.port, files, versions)
    }

    /// Trusts the root of this server certificate alone.
    pub fn trusting(
        server: &Server,
        port: u16,
        files: Option<&DeviceFiles>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(server.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match files {
            Some(files) => builder.with_client_cert_resolver(Arc::new(Always(files.certified_key()))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config), port, name: "localhost".try_into().unwrap() }
    }

    /// Asks for another name. An IP address means that no SNI is sent.
    pub fn asking_for(mut self, name: &'static str) -> Self {
        self.name = name.try_into().unwrap();
        self
    }

    /// Goes to another port than that of the world it was made for.
    pub fn connect_to(&mut self, port: u16) {
        self.port = port;
    }

    pub async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        TlsConnector::from(self.config.clone()).connect(self.name.clone(), socket).await
    }

    /// TLS and CONNECT, MQTT 5, keep alive 60, clean start.
    pub async fn connect(&self, client_id: &str) -> Option<Client> {
        self.connect_with(connect(client_id)).await
    }

    /// As [`Device::connect`]; `None` where the server closes without accepting.
    pub async fn connect_with(&self, connect: Connect) -> Option<Client> {
        let (client, connack) = self.attempt(connect).await?;
        (connack.code == ReasonCode::Success).then_some(client)
    }

    /// Any CONNACK, or none.
    pub async fn attempt(&self, connect: Connect) -> Option<(Client, ConnAck)> {
        let version = connect.version;
        let mut client = Client::new(self.tls().await.ok()?, version);
        client.send(Packet::Connect(Box::new(connect))).await.ok()?;
        match client.receive().await {
            Some(Packet::ConnAck(connack)) => Some((client, *connack)),
            Some(other) => panic!("{other:?} came in place of CONNACK"),
            None => None,
        }
    }
}

/// MQTT 5, clean start, keep alive 60.
pub fn connect(client_id: &str) -> Connect {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 60,
        client_id: Utf8::try_from(client_id).unwrap(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// The same for MQTT 3.1.1.
pub fn connect_v3(client_id: &str) -> Connect {
    Connect { version: Version::V311, ..connect(client_id) }
}

/// One open connection.
pub struct Client {
    pub stream: TlsStream<TcpStream>,
    decoder: Decoder,
    buffer: BytesMut,
    version: Version,
    last_id: u16,
}

impl Client {
    pub fn new(stream: TlsStream<TcpStream>, version: Version) -> Self {
        let decoder = Decoder::for_client(Limits::UNLIMITED, version);
        Self { stream, decoder, buffer: BytesMut::new(), version, last_id: 0 }
    }

    /// Session tickets of TLS 1.3 that have come.
    pub fn tickets(&self) -> u32 {
        self.stream.get_ref().1.tls13_tickets_received()
    }

    /// Ends the connection with the alert of a TLS library that cannot read what the server sent.
    pub async fn end_with_alert(self) {
        let (mut socket, mut session) = self.stream.into_inner();
        let mut garbage = vec![23, 3, 3, 0, 32];
        garbage.resize(5 + 32, 0);
        session.read_tls(&mut &garbage[..]).unwrap();
        assert!(session.process_new_packets().is_err());
        let mut alert = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut alert).unwrap();
        }
        socket.write_all(&alert).await.unwrap();
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    pub async fn send(&mut self, packet: Packet) -> std::io::Result<()> {
        let mut bytes = BytesMut::new();
        encode(&packet, self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes).await
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next packet; `None` when the connection has ended.
    pub async fn receive(&mut self) -> Option<Packet> {
        timeout(DEADLINE, async {
            loop {
                if let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                    return Some(packet);
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("a packet or the end came within the deadline")
    }

    /// The next PUBLISH; answers it.
    pub async fn message(&mut self) -> Publish {
        match self.receive().await {
            Some(Packet::Publish(publish)) => {
                if let Some(packet_id) = publish.packet_id {
                    let ack = sekisho_mqtt::Ack::new(packet_id, ReasonCode::Success);
                    self.send(Packet::PubAck(ack)).await.unwrap();
                }
                publish
            }
            other => panic!("{other:?} came in place of a PUBLISH"),
        }
    }

    pub async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let code = self.try_subscribe(filter, qos).await;
        assert!(!code.is_failure(), "{filter}: {code:?}");
    }

    /// Subscribes with one filter; the code of its SUBACK.
    pub async fn try_subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let packet_id = self.next_id();
        let packet = Subscribe {
            packet_id,
            filters: vec![SubscribeFilter::new(Utf8::try_from(filter).unwrap(), qos)],
            subscription_identifier: None,
            user_properties: Vec::new(),
        };
        self.send(Packet::Subscribe(packet)).await.unwrap();
        match self.receive().await {
            Some(Packet::SubAck(suback)) => suback.codes[0],
            other => panic!("{other:?} came in place of SUBACK"),
        }
    }

    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> std::io::Result<()> {
        let packet_id = (qos > QoS::AtMostOnce).then(|| self.next_id());
        self.send(Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: Utf8::try_from(topic).unwrap(),
            packet_id,
            payload: Bytes::copy_from_slice(payload),
            properties: PublishProperties::new(),
        }))
        .await
    }

    /// Is the connection alive?
    pub async fn ping(&mut self) -> bool {
        if self.send(Packet::PingReq).await.is_err() {
            return false;
        }
        matches!(self.receive().await, Some(Packet::PingResp))
    }

    /// Waits for the server to end it, and gives its last word.
    pub async fn ended(&mut self) -> Option<ReasonCode> {
        let mut last = None;
        while let Some(packet) = self.receive().await {
            if let Packet::Disconnect(disconnect) = packet {
                last = Some(disconnect.reason);
            }
        }
        last
    }

    fn next_id(&mut self) -> NonZeroU16 {
        self.last_id += 1;
        NonZeroU16::new(self.last_id).unwrap()
    }
}
