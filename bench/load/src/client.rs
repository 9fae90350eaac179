//! One MQTT 3.1.1 connection, up to its CONNACK and SUBACK.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sekisho_mqtt::{
    Connect, ConnectProperties, Decoder, Disconnect, Limits, Packet, QoS, ReasonCode, Subscribe,
    SubscribeFilter, Utf8, Version, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Error;
use crate::job::Job;
use crate::tls::Tls;

/// Longer than any run, and accepted by servers.
const KEEP_ALIVE_SECONDS: u16 = 1200;

/// Timeout of each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Approximate maximum of one read, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// Connects devices to the server.
pub struct Dialer {
    address: SocketAddr,
    server_name: ServerName<'static>,
    devices: Vec<Dialable>,
}

struct Dialable {
    tls: Arc<ClientConfig>,
    connect: Packet,
}

impl Dialer {
    /// Reads the files of every device.
    pub fn new(job: &Job) -> Result<Dialer, Error> {
        let server_name = ServerName::try_from(job.server_name.clone())
            .map_err(|error| Error::Impossible(format!("server_name {:?}: {error}", job.server_name)))?;
        let tls = Tls::new(&job.root_ca, job.server_key)?;
        let devices = job
            .devices
            .iter()
            .map(|device| Ok(Dialable { tls: tls.of(device)?, connect: connect_packet(&device.client_id)? }))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Dialer { address: job.address, server_name, devices })
    }

    /// Returns the number of devices.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Connects with TCP, TLS and MQTT; returns when CONNACK has accepted the connection.
    pub async fn dial(&self, device: usize) -> Result<Client, Error> {
        patiently(self.dial_patiently(&self.devices[device])).await
    }

    /// Like `connect`, for a server that may refuse. An error means that it neither accepted nor refused.
    pub async fn attempt(&self, device: usize) -> Result<Attempt, Error> {
        patiently(self.attempt_patiently(&self.devices[device])).await
    }

    async fn dial_patiently(&self, device: &Dialable) -> Result<Client, Error> {
        let mut client = self.greet(device).await?;
        client.connack().await.map(|()| client)
    }

    async fn attempt_patiently(&self, device: &Dialable) -> Result<Attempt, Error> {
        let mut client = self.greet(device).await?;
        match client.connack().await {
            Ok(()) => Ok(Attempt::Accepted(Box::new(client))),
            // A refusal may be a CONNACK, or the end of the connection, with or without a TLS close_notify.
            Err(Error::Refused(..) | Error::Closed) => Ok(Attempt::Refused),
            Err(Error::Io(error)) if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) => {
                Ok(Attempt::Refused)
            }
            Err(error) => Err(error),
        }
    }

    /// Connects up to the CONNECT, which is sent.
    async fn greet(&self, device: &Dialable) -> Result<Client, Error> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(device.tls.clone()).connect(self.server_name.clone(), tcp).await?;
        let decoder = Decoder::for_client(Limits::UNLIMITED, Version::V311);
        let mut client = Client { stream, decoder, input: BytesMut::new(), output: BytesMut::new() };
        encode(&device.connect, Version::V311, &mut client.output)?;
        client.flush().await?;
        Ok(client)
    }
}

/// The server's answer to a CONNECT.
pub enum Attempt {
    /// CONNACK 0.
    Accepted(Box<Client>),
    /// Another CONNACK, or the end of the connection.
    Refused,
}

async fn patiently<T>(connect: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(STEP_TIMEOUT, connect).await.unwrap_or(Err(Error::TimedOut("a connect")))
}

fn connect_packet(client_id: &str) -> Result<Packet, Error> {
    Ok(Packet::Connect(Box::new(Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive: KEEP_ALIVE_SECONDS,
        client_id: text(client_id)?,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    })))
}

fn text(text: &str) -> Result<Utf8, Error> {
    Utf8::try_from(text.to_owned()).map_err(|error| Error::Impossible(format!("{text:?}: {error}")))
}

/// A connected device.
pub struct Client {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    input: BytesMut,
    /// Bytes that [`Client::flush`] writes.
    pub output: BytesMut,
}

impl Client {
    /// Reads once, as many bytes as there are. Nothing is lost when the future is dropped.
    pub async fn read(&mut self) -> Result<(), Error> {
        self.input.reserve(READ_SIZE);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Error::Closed),
            _ => Ok(()),
        }
    }

    /// Returns the next packet of the bytes that were read.
    pub fn decode(&mut self) -> Result<Option<Packet>, Error> {
        Ok(self.decoder.decode(&mut self.input)?)
    }

    /// Waits for the next packet.
    async fn packet(&mut self) -> Result<Packet, Error> {
        loop {
            if let Some(packet) = self.decode()? {
                return Ok(packet);
            }
            self.read().await?;
        }
    }

    /// Waits for a CONNACK that accepts the connection.
    async fn connack(&mut self) -> Result<(), Error> {
        match self.packet().await? {
            Packet::ConnAck(connack) if connack.code == ReasonCode::Success => Ok(()),
            Packet::ConnAck(connack) => Err(Error::Refused("CONNECT", connack.code)),
            _ => Err(Error::Unexpected("CONNACK")),
        }
    }

    /// Writes all output.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.output).await?;
        self.stream.flush().await?;
        self.output.clear();
        Ok(())
    }

    /// Subscribes to one filter and waits for the SUBACK.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<(), Error> {
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MIN,
            filters: vec![SubscribeFilter::new(text(filter)?, qos)],
            subscription_identifier: None,
            user_properties: Vec::new(),
        });
        encode(&subscribe, Version::V311, &mut self.output)?;
        self.flush().await?;
        match timeout(STEP_TIMEOUT, self.packet()).await.unwrap_or(Err(Error::TimedOut("a SUBSCRIBE")))? {
            Packet::SubAck(suback) => match suback.codes.first() {
                Some(code) if code.byte() == qos as u8 => Ok(()),
                Some(code) => Err(Error::Refused("SUBSCRIBE", *code)),
                None => Err(Error::Unexpected("a code in SUBACK")),
            },
            _ => Err(Error::Unexpected("SUBACK")),
        }
    }

    /// Sends DISCONNECT and closes. Waits until the server has closed too, so that its work is done.
    pub async fn disconnect(mut self) -> Result<(), Error> {
        let disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        encode(&Packet::Disconnect(disconnect), Version::V311, &mut self.output)?;
        self.flush().await?;
        self.stream.shutdown().await?;
        let closed = async {
            loop {
                match self.read().await {
                    Err(_) => return,
                    Ok(()) => self.input.clear(),
                }
            }
        };
        timeout(STEP_TIMEOUT, closed).await.map_err(|_| Error::TimedOut("a disconnect"))
    }
}
