//! What crosses the boundary: plain data with names. Each structure here is a dictionary of the contract
//! (`python/sekisho/_sekisho.pyi`) of the same name, with the same members.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sekisho_gateway::{
    Answer, AttachedThing, Change, ChangeKind, Event, Identity, PolicyDocument, Publication, Refusal,
    TopicFilter, Unpublished,
};

/// A policy in force.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PolicyDict {
    name: String,
    version: String,
    document: String,
}

/// A thing that the certificate is attached to.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ThingDict {
    name: String,
    type_name: Option<String>,
    attributes: BTreeMap<String, String>,
    exclusive: bool,
    group_policies: Vec<PolicyDict>,
}

/// What the registry knows of one certificate in one realm.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct IdentityDict {
    account_id: String,
    region: String,
    status: String,
    mode: String,
    policies: Vec<PolicyDict>,
    things: Vec<ThingDict>,
    is_awaited: bool,
}

/// `RegisteredAnswer` or `RefusedAnswer`.
#[derive(FromPyObject)]
pub enum AnswerDict {
    /// The certificate is registered.
    #[pyo3(transparent)]
    Registered(RegisteredAnswer),
    /// It is refused.
    #[pyo3(transparent)]
    Refused(RefusedAnswer),
}

/// The certificate is registered.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct RegisteredAnswer {
    id: u64,
    identity: IdentityDict,
}

/// The certificate is refused.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct RefusedAnswer {
    id: u64,
    reason: String,
    detail: Option<String>,
}

/// A committed change of the registry.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ChangeDict {
    account_id: String,
    region: String,
    kind: String,
    id: String,
    lost: Option<String>,
}

/// A server name of a realm.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct EndpointDict {
    server_name: String,
    account_id: String,
    region: String,
}

/// A message to publish.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PublicationDict {
    account_id: String,
    region: String,
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    #[pyo3(default)]
    payload_is_utf8: Option<bool>,
    #[pyo3(default)]
    expiry_seconds: Option<u32>,
    #[pyo3(default)]
    response_topic: Option<String>,
    #[pyo3(default)]
    correlation_data: Option<Vec<u8>>,
    #[pyo3(default)]
    content_type: Option<String>,
    #[pyo3(default)]
    user_properties: Vec<(String, String)>,
}

/// The answer to a request of a device.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ReplyDict {
    /// Where the request came from.
    pub connection: u64,
    /// What to answer.
    pub message: PublicationDict,
}

/// Why a message was not published.
#[derive(IntoPyObject)]
pub struct UnpublishedDict {
    reason: Option<&'static str>,
    detail: String,
}

/// A certificate to admit.
#[derive(IntoPyObject)]
pub struct AdmitEvent<'a> {
    kind: &'static str,
    id: u64,
    account_id: Option<&'a str>,
    region: Option<&'a str>,
    certificate_id: &'a str,
    leaf: &'a [u8],
    chain: Vec<&'a [u8]>,
    client_id: &'a str,
    is_reexamination: bool,
    network: String,
}

/// A client asks something of a service.
#[derive(IntoPyObject)]
pub struct RequestEvent<'a> {
    kind: &'static str,
    account_id: &'a str,
    region: &'a str,
    connection: u64,
    client_id: &'a str,
    certificate_id: &'a str,
    topic: &'a str,
    payload: &'a [u8],
}

/// An awaited certificate has connected.
#[derive(IntoPyObject)]
pub struct ConnectedEvent<'a> {
    kind: &'static str,
    account_id: &'a str,
    region: &'a str,
    certificate_id: &'a str,
    client_id: &'a str,
}

/// A client was refused.
#[derive(IntoPyObject)]
pub struct RefusedEvent<'a> {
    kind: &'static str,
    time: f64,
    account_id: Option<&'a str>,
    region: Option<&'a str>,
    certificate_id: Option<&'a str>,
    client_id: Option<&'a str>,
    peer: &'a str,
    server_name: Option<&'a str>,
    reason: &'static str,
    detail: &'a str,
    operation: &'static str,
}

/// Connections could not be accepted.
#[derive(IntoPyObject)]
pub struct AcceptFailedEvent<'a> {
    kind: &'static str,
    cause: &'a str,
    count: u64,
}

/// A queue was full.
#[derive(IntoPyObject)]
pub struct DroppedEvent<'a> {
    kind: &'static str,
    queue: &'static str,
    account_id: Option<&'a str>,
    count: u64,
}

impl From<PolicyDict> for PolicyDocument {
    fn from(policy: PolicyDict) -> Self {
        let PolicyDict { name, version, document } = policy;
        Self { name, version, document }
    }
}

impl From<ThingDict> for AttachedThing {
    fn from(thing: ThingDict) -> Self {
        Self {
            name: thing.name,
            type_name: thing.type_name,
            attributes: thing.attributes.into_iter().collect(),
            exclusive: thing.exclusive,
            group_policies: all(thing.group_policies),
        }
    }
}

impl From<IdentityDict> for Identity {
    fn from(identity: IdentityDict) -> Self {
        let IdentityDict { account_id, region, status, mode, policies, things, is_awaited } = identity;
        Self { account_id, region, status, mode, policies: all(policies), things: all(things), is_awaited }
    }
}

impl From<AnswerDict> for (u64, Answer) {
    fn from(answer: AnswerDict) -> Self {
        match answer {
            AnswerDict::Registered(RegisteredAnswer { id, identity }) => {
                (id, Answer::Registered(identity.into()))
            }
            AnswerDict::Refused(RefusedAnswer { id, reason, detail }) => {
                (id, Answer::Refused { reason, detail })
            }
        }
    }
}

impl From<EndpointDict> for (String, String, String) {
    fn from(endpoint: EndpointDict) -> Self {
        (endpoint.server_name, endpoint.account_id, endpoint.region)
    }
}

impl From<Unpublished> for UnpublishedDict {
    fn from(Unpublished { reason, detail }: Unpublished) -> Self {
        Self { reason, detail }
    }
}

/// A list of the contract as one of the gateway.
pub fn all<T, U: From<T>>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(U::from).collect()
}

/// A message to publish, as the API does or as the service itself.
pub fn publication(is_service: bool, message: PublicationDict) -> Publication {
    Publication {
        account_id: message.account_id,
        region: message.region,
        is_service,
        topic: message.topic,
        payload: message.payload,
        qos: message.qos,
        retain: message.retain,
        payload_format_indicator: message.payload_is_utf8,
        message_expiry_interval: message.expiry_seconds,
        response_topic: message.response_topic,
        correlation_data: message.correlation_data,
        content_type: message.content_type,
        user_properties: message.user_properties,
    }
}

/// A committed change of the registry.
pub fn change(change: ChangeDict) -> PyResult<Change> {
    let ChangeDict { account_id, region, kind, id, lost } = change;
    let kind = ChangeKind::from_word(&kind).ok_or_else(|| {
        PyValueError::new_err(format!(
            "{kind:?} is no kind of change; use certificate, policy, thing or realm"
        ))
    })?;
    let lost = lost.map(|name| {
        Refusal::from_name(&name)
            .ok_or_else(|| PyValueError::new_err(format!("{name:?} is no reason of the gateway")))
    });
    Ok(Change { account_id, region, kind, id, lost: lost.transpose()? })
}

/// An event, as a dictionary whose `kind` says which.
pub fn event<'py>(python: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    let dict = match event {
        Event::Admit { id, request, reexamination } => {
            let realm = request.realm.as_ref();
            let (leaf, further) =
                request.chain.split_first().map_or((&[][..], &[][..]), |(leaf, further)| (&**leaf, further));
            AdmitEvent {
                kind: "admit",
                id: *id,
                account_id: realm.map(|realm| &*realm.account_id),
                region: realm.map(|realm| &*realm.region),
                certificate_id: &request.certificate_id,
                leaf,
                chain: further.iter().map(|certificate| &**certificate).collect(),
                client_id: &request.client_id,
                is_reexamination: *reexamination,
                network: request.owner.network.to_string(),
            }
            .into_pyobject(python)?
        }
        Event::Request(request) => RequestEvent {
            kind: "request",
            account_id: &request.realm.account_id,
            region: &request.realm.region,
            connection: request.connection,
            client_id: &request.client_id,
            certificate_id: &request.certificate_id,
            topic: &request.topic,
            payload: &request.payload,
        }
        .into_pyobject(python)?,
        Event::Connected(connected) => ConnectedEvent {
            kind: "connected",
            account_id: &connected.realm.account_id,
            region: &connected.realm.region,
            certificate_id: &connected.certificate_id,
            client_id: &connected.client_id,
        }
        .into_pyobject(python)?,
        Event::Refused(refused) => RefusedEvent {
            kind: "refused",
            time: refused.time,
            account_id: refused.realm.as_ref().map(|realm| &*realm.account_id),
            region: refused.realm.as_ref().map(|realm| &*realm.region),
            certificate_id: refused.certificate_id.as_deref(),
            client_id: refused.client_id.as_deref(),
            peer: &refused.peer,
            server_name: refused.sni.as_deref(),
            reason: refused.reason,
            detail: &refused.detail,
            operation: refused.operation,
        }
        .into_pyobject(python)?,
        Event::AcceptFailed { cause, count } => {
            AcceptFailedEvent { kind: "accept_failed", cause, count: *count }.into_pyobject(python)?
        }
        Event::Dropped { queue, account_id, count } => {
            DroppedEvent { kind: "dropped", queue, account_id: account_id.as_deref(), count: *count }
                .into_pyobject(python)?
        }
    };
    Ok(dict.into_any())
}

/// Seconds from Python; `name` is the parameter's, for the error.
pub fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    // Thirty years and more cannot be added to every clock, and no caller waits for them.
    Duration::try_from_secs_f64(value).ok().filter(|duration| duration.as_secs() < 1_000_000_000).ok_or_else(
        || PyValueError::new_err(format!("{name} is {value}; it must be a number of seconds, 0 or more")),
    )
}

/// A topic filter from Python.
pub fn topic_filter(text: &str) -> PyResult<TopicFilter> {
    TopicFilter::new(text)
        .map_err(|cause| PyValueError::new_err(format!("{text:?} is no topic filter: {cause}")))
}
