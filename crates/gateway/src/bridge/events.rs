//! What the control plane takes from the gateway: plain data.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::credential::Key;
use crate::network::Network;
use crate::realm_name::RealmName;

/// What is asked about one certificate.
#[derive(Debug)]
pub struct AdmissionRequest {
    /// The certificate, and the realm where it was presented.
    pub key: Key,
    /// The realm of the endpoint; none where the client sent no SNI.
    pub realm: Option<Arc<RealmName>>,
    /// The certificate's id, lower-case hex.
    pub certificate_id: Arc<str>,
    /// The leaf and what followed it, DER.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The client id of the first connection that asks.
    pub client_id: Arc<str>,
    /// In whose share it waits.
    pub owner: Owner,
}

/// In whose share of a queue something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account of the endpoint, or of a live connection's certificate; none without SNI.
    pub account_id: Option<Arc<str>>,
    /// Where the client comes from.
    pub network: Network,
}

/// The operation of an open connection that its client ended with a TLS alert.
pub const LOST: &str = "connection";

/// A refusal, for the log and the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedEvent {
    /// When, Unix seconds.
    pub time: f64,
    /// The realm, where it was known.
    pub realm: Option<Arc<RealmName>>,
    /// Lower-case hex, where the client presented a certificate.
    pub certificate_id: Option<Arc<str>>,
    /// The client id, where there was one.
    pub client_id: Option<Arc<str>>,
    /// `ip:port`.
    pub peer: String,
    /// The name the client asked for.
    pub sni: Option<Arc<str>>,
    /// The name of the reason.
    pub reason: &'static str,
    /// A sentence for an operator.
    pub detail: String,
    /// What was refused: the name of a [`sekisho_broker::Operation`]; or [`LOST`].
    pub operation: &'static str,
}

/// What a client asks of a service, by publishing on one of its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEvent {
    /// The realm.
    pub realm: Arc<RealmName>,
    /// The connection to answer.
    pub connection: u64,
    /// The client id.
    pub client_id: Arc<str>,
    /// The certificate of the connection, lower-case hex.
    pub certificate_id: Arc<str>,
    /// Where it was published.
    pub topic: String,
    /// What was published.
    pub payload: Vec<u8>,
}

/// A certificate that the control plane waits for has a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedEvent {
    /// The realm.
    pub realm: Arc<RealmName>,
    /// Lower-case hex.
    pub certificate_id: Arc<str>,
    /// The client id.
    pub client_id: Arc<str>,
}

/// What the control plane takes.
#[derive(Debug)]
pub enum Event {
    /// A certificate to admit.
    Admit {
        /// The number to answer with.
        id: u64,
        /// What is asked.
        request: Arc<AdmissionRequest>,
        /// Live connections wait for the answer.
        reexamination: bool,
    },
    /// A client asks something of a service.
    Request(Box<RequestEvent>),
    /// A certificate that is waited for has connected.
    Connected(Box<ConnectedEvent>),
    /// A client was refused.
    Refused(Box<RefusedEvent>),
    /// Connections could not be accepted, for want of descriptors or memory.
    AcceptFailed {
        /// What the system said last.
        cause: String,
        /// How many attempts failed since the last such event.
        count: u64,
    },
    /// A queue was full.
    Dropped {
        /// Which.
        queue: &'static str,
        /// Of which account; none where it is of several.
        account_id: Option<Arc<str>>,
        /// How many of its events were dropped since the last such event.
        count: u64,
    },
}
