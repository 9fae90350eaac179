//! The data plane as one object: start, stop, and what the control plane says to it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use bytes::Bytes;
use sekisho_broker::{Budget, BudgetLimits, Limits, Origin, Resource, ServerPublish};
use sekisho_mqtt::{PublishFields, PublishProperties, QoS, TopicName, Utf8};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::admission::Admission;
use crate::bridge::Bridge;
use crate::bridge::events::Event;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::{Answer, Change};
use crate::listener::Listener;
use crate::metrics::Metrics;
use crate::principals::Principals;
use crate::realm::Realm;
use crate::realms::Realms;
use crate::reception::Reception;
use crate::reexamine::Reexamination;
use crate::reports::Reports;
use crate::tls;
use crate::tls::server_certificates::{NamedCertificates, ServerCertificateError, ServerCertificates};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// Descriptors kept for everything that is not a connection: the database, logs, the API's own sockets.
const RESERVED_DESCRIPTORS: u64 = 128;

/// Why the data plane could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address does not exist here, or is in use, or needs rights that the process lacks.
    #[error("cannot listen on {host} port {port}: {cause}{}", advice(.cause))]
    Listen {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The host is no address and no name of one.
    #[error(
        "cannot listen on {host:?}: it is no address of this machine ({cause}); give an IP address such as 127.0.0.1, or 0.0.0.0 for all"
    )]
    Host {
        /// As configured.
        host: String,
        /// What the resolver said.
        cause: std::io::Error,
    },
    /// The system gave no threads.
    #[error("cannot start worker threads: {0}")]
    Threads(std::io::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A chain and key that cannot be served.
    #[error(transparent)]
    ServerCertificate(#[from] ServerCertificateError),
    /// There is no certificate to serve.
    #[error("the gateway has no server certificate; call set_server_certificates before start")]
    NoServerCertificate,
    /// Started twice.
    #[error("the gateway is running already")]
    Running,
    /// Stopped, which is for good.
    #[error("the gateway was stopped; make a new one")]
    Stopped,
}

fn advice(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => "; stop what uses the port or choose another",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need rights, choose another",
        std::io::ErrorKind::AddrNotAvailable => "; it is not an address of this machine",
        _ => "",
    }
}

/// A message of the control plane: plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publication {
    /// The account.
    pub account_id: String,
    /// The region.
    pub region: String,
    /// From the service itself, which alone publishes events on reserved topics.
    pub is_service: bool,
    /// The topic name.
    pub topic: String,
    /// What to publish.
    pub payload: Vec<u8>,
    /// 0 or 1.
    pub qos: u8,
    /// Keep it.
    pub retain: bool,
    /// The payload is UTF-8.
    pub payload_format_indicator: Option<bool>,
    /// Seconds.
    pub message_expiry_interval: Option<u32>,
    /// Where to answer.
    pub response_topic: Option<String>,
    /// What to answer with.
    pub correlation_data: Option<Vec<u8>>,
    /// What the payload is.
    pub content_type: Option<String>,
    /// In order.
    pub user_properties: Vec<(String, String)>,
}

/// Why a message of the control plane was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// The name of the broker's reason; none where the message is not one that could be published.
    pub reason: Option<&'static str>,
    /// A sentence.
    pub detail: String,
}

impl From<sekisho_broker::Refusal> for Unpublished {
    fn from(refusal: sekisho_broker::Refusal) -> Self {
        Self { reason: Some(refusal.as_str()), detail: refusal.sentence().to_owned() }
    }
}

impl From<String> for Unpublished {
    fn from(detail: String) -> Self {
        Self { reason: None, detail }
    }
}

/// The data plane: one TLS listener for MQTT, its sessions, its messages.
///
/// Nothing is opened before [`start`](Self::start). All methods are synchronous and may be called from any thread.
pub struct Gateway {
    config: Config,
    certificates: Arc<ServerCertificates>,
    realms: Arc<Realms>,
    principals: Arc<Principals>,
    admission: Arc<Admission>,
    reexamination: Arc<Reexamination>,
    reports: Reports,
    /// Where the tasks of a new realm are spawned, while there is a runtime.
    spawner: Arc<Mutex<Option<Handle>>>,
    stage: Mutex<Stage>,
}

enum Stage {
    Idle,
    Running(Running),
    Stopped,
}

struct Running {
    runtime: Runtime,
    port: u16,
    stopping: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Nothing is opened yet.
    pub fn new(config: Config) -> Self {
        let bridge = Arc::new(Bridge::new(config.admission_queue));
        let metrics = Arc::<Metrics>::default();
        let spawner = Arc::<Mutex<Option<Handle>>>::default();
        let reports = Reports { bridge: bridge.clone(), metrics: metrics.clone(), clock: Clock::system() };
        let limits = Limits {
            connack_on_refusal: config.verbose_refusals,
            suback_on_refusal: config.verbose_refusals,
            ..Limits::default()
        };
        let for_realms = spawner.clone();
        let supervising = metrics.vitals.clone();
        let created = Box::new(move |realm: &Arc<Realm>| {
            if let Some(handle) = &*lock(&for_realms) {
                let realm = realm.clone();
                handle.spawn(supervising.clone().supervise(move || realm.clone().keep_time()));
            }
        });
        let budget = Budget::new(&config.budget);
        let realms = Arc::new(Realms::new(limits, budget, config.requests.clone(), reports.clone(), created));
        let principals = Arc::new(Principals::new(config.principals));
        let admission = Arc::new(Admission {
            realms: realms.clone(),
            principals: principals.clone(),
            bridge,
            timeout: config.admission_timeout,
            require_sni: config.require_sni,
        });
        let reexamination = Arc::new(Reexamination {
            realms: realms.clone(),
            principals: principals.clone(),
            reports: reports.clone(),
            timeout: config.admission_timeout,
            require_sni: config.require_sni,
        });
        Self {
            config,
            certificates: Arc::default(),
            realms,
            principals,
            admission,
            reexamination,
            reports,
            spawner,
            stage: Mutex::new(Stage::Idle),
        }
    }

    /// Serve these pairs of (chain PEM, private key PEM), the best for each client first.
    ///
    /// # Errors
    /// [`GatewayError::ServerCertificate`]; then the former ones stay.
    pub fn set_server_certificates(&self, chains: &[(String, String)]) -> Result<(), GatewayError> {
        Ok(self.certificates.replace(chains)?)
    }

    /// Serve these pairs to clients that ask for one of their names; the whole table.
    ///
    /// # Errors
    /// [`GatewayError::ServerCertificate`]; then the former table stays.
    pub fn set_named_certificates(&self, named: &[NamedCertificates]) -> Result<(), GatewayError> {
        Ok(self.certificates.replace_named(named)?)
    }

    /// Uses other limits on memory from now on. What is held beyond them stays until it is released.
    pub fn set_memory_limits(&self, limits: &BudgetLimits) {
        self.realms.budget().set_limits(limits);
    }

    /// The whole table of (server name, account id, region).
    pub fn set_endpoints(&self, endpoints: &[(String, String, String)]) {
        self.realms.set_endpoints(endpoints);
    }

    /// Open the listener, start the threads, return the port.
    ///
    /// # Errors
    /// [`GatewayError`]: no server certificate, the port in use, no rights, started or stopped already.
    pub fn start(&self) -> Result<u16, GatewayError> {
        let mut stage = lock(&self.stage);
        match &*stage {
            Stage::Idle => {}
            Stage::Running(_) => return Err(GatewayError::Running),
            Stage::Stopped => return Err(GatewayError::Stopped),
        }
        if self.certificates.is_empty() {
            return Err(GatewayError::NoServerCertificate);
        }
        let tls = tls::server_config(self.certificates.clone(), self.config.tls13_session_tickets)?;
        let permits = self.permits();
        let socket = self.bind()?;
        let runtime = self.runtime()?;
        let listening = |cause| self.listen_error(cause);
        let socket = {
            let _context = runtime.enter();
            TcpListener::from_std(socket).map_err(listening)?
        };
        let port = socket.local_addr().map_err(listening)?.port();
        let (stopping, stopped) = watch::channel(false);
        let (alive, ended) = mpsc::channel();
        let listener = Arc::new(Listener {
            reception: Reception {
                acceptor: TlsAcceptor::from(Arc::new(tls)),
                admission: self.admission.clone(),
                reexamination: self.reexamination.clone(),
                reports: self.reports.clone(),
                handshake_timeout: self.config.handshake_timeout,
                verbose_refusals: self.config.verbose_refusals,
                stopping: stopped,
            },
            reports: self.reports.clone(),
            permits: Arc::new(Semaphore::new(permits)),
            half_open: Arc::default(),
            alive,
        });
        let socket = Arc::new(socket);
        runtime.spawn(self.supervised(move || listener.clone().run(socket.clone())));
        runtime.spawn(self.reports.metrics.vitals.clone().keep_beating());
        let reexamination = Arc::downgrade(&self.reexamination);
        runtime.spawn(self.supervised(move || expire_requests(reexamination.clone())));
        // Realms that came before the runtime get their timekeeper now; from here on each gets its own at once.
        *lock(&self.spawner) = Some(runtime.handle().clone());
        for realm in self.realms.all() {
            runtime.spawn(self.supervised(move || realm.clone().keep_time()));
        }
        *stage = Stage::Running(Running { runtime, port, stopping, ended });
        Ok(port)
    }

    /// A task that runs again after a panic.
    fn supervised<F>(
        &self,
        make: impl Fn() -> F + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.reports.metrics.vitals.clone().supervise(make)
    }

    /// The port, while it runs.
    pub fn port(&self) -> Option<u16> {
        match &*lock(&self.stage) {
            Stage::Running(running) => Some(running.port),
            Stage::Idle | Stage::Stopped => None,
        }
    }

    /// Stop accepting, send DISCONNECT to MQTT 5 clients, close all; return when everything is flushed or after `grace`.
    /// The second time nothing happens.
    pub fn stop(&self, grace: Duration) {
        let former = std::mem::replace(&mut *lock(&self.stage), Stage::Stopped);
        *lock(&self.spawner) = None;
        if let Stage::Running(Running { runtime, stopping, ended, .. }) = former {
            let _ = stopping.send(true);
            self.realms.all().iter().for_each(|realm| realm.shutdown());
            // Nothing is ever sent: the wait ends when the last task has dropped its end.
            let _ = ended.recv_timeout(grace);
            runtime.shutdown_background();
        }
        self.reports.bridge.close();
    }

    /// Up to `limit` events, waiting at most `timeout` for the first; empty at once when stopped.
    pub fn next_batch(&self, limit: usize, timeout: Duration) -> Vec<Event> {
        self.reports.bridge.next_batch(limit, timeout, || self.principals.changes().epoch())
    }

    /// Answer admission requests by their ids. Unknown and late answers are ignored.
    pub fn complete(&self, answers: Vec<(u64, Answer)>) {
        self.reexamination.complete(answers);
    }

    /// What changed in the registry.
    pub fn invalidate(&self, changes: &[Change]) {
        self.reexamination.invalidate(changes);
    }

    /// Publish with no connection, each by itself.
    ///
    /// # Errors
    /// [`GatewayError::Stopped`]; of a message [`Unpublished`].
    pub fn publish(&self, messages: Vec<Publication>) -> Result<Vec<Result<(), Unpublished>>, GatewayError> {
        if matches!(*lock(&self.stage), Stage::Stopped) {
            return Err(GatewayError::Stopped);
        }
        Ok(messages.into_iter().map(|message| self.publish_one(message)).collect())
    }

    /// Answer requests, each by itself, to the connection that made it: (connection, message), where the message's realm
    /// is that of the request.
    ///
    /// # Errors
    /// [`GatewayError::Stopped`]; of a message [`Unpublished`], also when the connection has ended or has not subscribed
    /// to the topic.
    pub fn reply(
        &self,
        replies: Vec<(u64, Publication)>,
    ) -> Result<Vec<Result<(), Unpublished>>, GatewayError> {
        if matches!(*lock(&self.stage), Stage::Stopped) {
            return Err(GatewayError::Stopped);
        }
        Ok(replies.into_iter().map(|(connection, message)| self.reply_one(connection, message)).collect())
    }

    fn reply_one(&self, connection: u64, message: Publication) -> Result<(), Unpublished> {
        let is_sent = match self.realms.get(&message.account_id, &message.region) {
            Some(realm) => realm.reply(connection, server_publish(message)?)?,
            None => false,
        };
        if is_sent {
            return Ok(());
        }
        Err(Unpublished::from("the connection has ended, or has not subscribed to the answer".to_owned()))
    }

    fn publish_one(&self, message: Publication) -> Result<(), Unpublished> {
        let realm = self.realms.get_or_create(&message.account_id, &message.region);
        // The broker's record of it is in memory and safe at once; there is nothing to wait for.
        realm.publish(server_publish(message)?).map(drop).map_err(Unpublished::from)
    }

    /// Counters and gauges by name.
    pub fn statistics(&self) -> Vec<(String, u64)> {
        let mut all = self.reports.metrics.snapshot();
        let lengths = self.reports.bridge.lengths();
        all.push(("principals".to_owned(), self.principals.len() as u64));
        all.push(("admission_requests_waiting".to_owned(), lengths.admissions as u64));
        all.push(("requests_not_taken".to_owned(), lengths.requests as u64));
        all.push(("requests_dropped".to_owned(), lengths.dropped_requests));
        all.push(("refusals_waiting".to_owned(), lengths.refusals as u64));
        all.push(("refusals_dropped".to_owned(), lengths.dropped_refusals));
        let mut connections = 0;
        let mut sum = sekisho_broker::Counters::default();
        for realm in self.realms.all() {
            let (counters, live) = realm.counters();
            connections += live as u64;
            sum.published += counters.published;
            sum.delivered += counters.delivered;
            sum.dropped_outbox_full += counters.dropped_outbox_full;
            sum.dropped_queue_full += counters.dropped_queue_full;
            sum.dropped_budget += counters.dropped_budget;
            sum.dropped_expired += counters.dropped_expired;
            sum.dropped_not_authorized += counters.dropped_not_authorized;
            sum.dropped_too_large += counters.dropped_too_large;
            sum.dropped_rate += counters.dropped_rate;
            sum.dropped_unacknowledged += counters.dropped_unacknowledged;
        }
        let messages = [
            ("connections", connections),
            ("messages_published", sum.published),
            ("messages_delivered", sum.delivered),
            ("messages_dropped.outbox_full", sum.dropped_outbox_full),
            ("messages_dropped.queue_full", sum.dropped_queue_full),
            ("messages_dropped.budget", sum.dropped_budget),
            ("messages_dropped.expired", sum.dropped_expired),
            ("messages_dropped.not_authorized", sum.dropped_not_authorized),
            ("messages_dropped.too_large", sum.dropped_too_large),
            ("messages_dropped.rate", sum.dropped_rate),
            ("messages_dropped.unacknowledged", sum.dropped_unacknowledged),
        ];
        all.extend(messages.map(|(name, count)| (name.to_owned(), count)));
        let budget = self.realms.budget();
        all.extend(
            Resource::ALL.map(|resource| (format!("held.{}", resource.as_str()), budget.used(resource))),
        );
        all
    }

    fn runtime(&self) -> Result<Runtime, GatewayError> {
        let mut builder = Builder::new_multi_thread();
        builder.thread_name("sekisho-gateway").enable_all();
        if self.config.workers > 0 {
            builder.worker_threads(self.config.workers);
        }
        builder.build().map_err(GatewayError::Threads)
    }

    /// Every connection is a descriptor: take as many as the process may have.
    fn permits(&self) -> usize {
        let limit = rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap_or(1024);
        let most = usize::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX);
        let wanted =
            if self.config.max_connections == 0 { most } else { self.config.max_connections.min(most) };
        wanted.clamp(1, Semaphore::MAX_PERMITS)
    }

    fn bind(&self) -> Result<std::net::TcpListener, GatewayError> {
        let host = || self.config.host.clone();
        let address = (self.config.host.as_str(), self.config.mqtt_port)
            .to_socket_addrs()
            .and_then(|mut addresses| addresses.next().ok_or_else(|| std::io::ErrorKind::NotFound.into()))
            .map_err(|cause| GatewayError::Host { host: host(), cause })?;
        listen(address).map_err(|cause| self.listen_error(cause))
    }

    fn listen_error(&self, cause: std::io::Error) -> GatewayError {
        GatewayError::Listen { host: self.config.host.clone(), port: self.config.mqtt_port, cause }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `::` then takes IPv4 clients too.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn server_publish(message: Publication) -> Result<ServerPublish, String> {
    let text = |name: &str, text: String| Utf8::try_from(text).map_err(|error| format!("{name}: {error}"));
    let topic = TopicName::new(message.topic.as_str())
        .map_err(|error| format!("topic {:?} cannot be published to: {error}", message.topic))?;
    let qos = match message.qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        other => return Err(format!("QoS {other} is not available in AWS IoT; publish with 0 or 1")),
    };
    let properties = PublishProperties::from(PublishFields {
        payload_format_indicator: message.payload_format_indicator,
        message_expiry_interval: message.message_expiry_interval,
        response_topic: message.response_topic.map(|topic| text("response topic", topic)).transpose()?,
        correlation_data: message.correlation_data.map(Bytes::from),
        content_type: message.content_type.map(|kind| text("content type", kind)).transpose()?,
        user_properties: message
            .user_properties
            .into_iter()
            .map(|(name, value)| Ok((text("user property", name)?, text("user property", value)?)))
            .collect::<Result<_, String>>()?,
        ..PublishFields::default()
    });
    // Whether the caller of the API may was decided by the control plane.
    let origin = if message.is_service { Origin::Service } else { Origin::Api { principal: "api".into() } };
    Ok(ServerPublish {
        topic,
        payload: message.payload.into(),
        qos,
        retain: message.retain,
        properties,
        origin,
    })
}

/// Drop admission requests that got no answer in time, at intervals of a tenth of that time, at most half a second.
async fn expire_requests(reexamination: Weak<Reexamination>) {
    loop {
        let Some(timeout) = reexamination.upgrade().map(|reexamination| reexamination.timeout) else {
            return;
        };
        tokio::time::sleep((timeout / 10).clamp(Duration::from_millis(10), Duration::from_millis(500))).await;
        let Some(reexamination) = reexamination.upgrade() else { return };
        reexamination.expire();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
