//! Plain data across; nothing else crosses.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use sekisho_gateway::{
    Answer, AttachedThing, Change, ChangeKind, ConnectedEvent, Event, Identity, PolicyDocument, Publication,
    RefusedEvent, RequestEvent, TopicFilter,
};

/// (name, version id, document)
pub type PolicyTuple = (String, String, String);
/// (name, type, attributes, attached exclusively, policies of its groups)
pub type ThingTuple = (String, Option<String>, Vec<(String, String)>, bool, Vec<PolicyTuple>);
/// (account id, region, status, mode, policies, things, awaited)
pub type IdentityTuple = (String, String, String, String, Vec<PolicyTuple>, Vec<ThingTuple>, bool);
/// (UTF-8 payload, message expiry, response topic, correlation data, content type, user properties)
pub type PropertiesTuple =
    (Option<bool>, Option<u32>, Option<String>, Option<Vec<u8>>, Option<String>, Vec<(String, String)>);
/// (account id, region, topic, payload, qos, retain, properties)
pub type PublicationTuple = (String, String, String, Vec<u8>, u8, bool, PropertiesTuple);
/// (account id, region, kind, id)
pub type ChangeTuple = (String, String, String, String);

/// Either an identity or the name of a refusal.
#[derive(FromPyObject)]
pub enum AnswerValue {
    /// Refused.
    Reason(String),
    /// Registered.
    Identity(IdentityTuple),
}

/// An answer of the control plane.
pub fn answer(value: AnswerValue) -> Answer {
    match value {
        AnswerValue::Reason(reason) => match reason.split_once(": ") {
            Some((reason, detail)) => {
                Answer::Refused { reason: reason.to_owned(), detail: Some(detail.to_owned()) }
            }
            None => Answer::Refused { reason, detail: None },
        },
        AnswerValue::Identity(tuple) => Answer::Registered(identity(tuple)),
    }
}

/// What the registry knows of a certificate.
pub fn identity(
    (account_id, region, status, mode, policy_tuples, things, is_awaited): IdentityTuple,
) -> Identity {
    let things = things
        .into_iter()
        .map(|(name, type_name, attributes, exclusive, group_policies)| AttachedThing {
            name,
            type_name,
            attributes,
            exclusive,
            group_policies: policies(group_policies),
        })
        .collect();
    Identity { account_id, region, status, mode, policies: policies(policy_tuples), things, is_awaited }
}

fn policies(tuples: Vec<PolicyTuple>) -> Vec<PolicyDocument> {
    tuples.into_iter().map(|(name, version, document)| PolicyDocument { name, version, document }).collect()
}

/// A message to publish, as the API does or as the service itself.
pub fn publication(
    is_service: bool,
    (account_id, region, topic, payload, qos, retain, properties): PublicationTuple,
) -> Publication {
    let (
        payload_format_indicator,
        message_expiry_interval,
        response_topic,
        correlation_data,
        content_type,
        users,
    ) = properties;
    Publication {
        account_id,
        region,
        is_service,
        topic,
        payload,
        qos,
        retain,
        payload_format_indicator,
        message_expiry_interval,
        response_topic,
        correlation_data,
        content_type,
        user_properties: users,
    }
}

/// Something that changed in the registry.
pub fn change((account_id, region, kind, id): ChangeTuple) -> PyResult<Change> {
    let kind = ChangeKind::from_word(&kind).ok_or_else(|| {
        PyValueError::new_err(format!(
            "{kind:?} is no kind of change; use certificate, policy, thing or realm"
        ))
    })?;
    Ok(Change { account_id, region, kind, id, lost: None })
}

/// An event, as a tuple that begins with its name.
pub fn event<'py>(python: Python<'py>, event: Event) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        Event::Admit { id, request, reexamination } => {
            let realm = request.realm.as_ref();
            let (account_id, region) = realm.map(|realm| (&*realm.account_id, &*realm.region)).unzip();
            let (leaf, further) = match request.chain.split_first() {
                Some((leaf, further)) => (PyBytes::new(python, leaf), further),
                None => (PyBytes::new(python, b""), &[][..]),
            };
            let further =
                PyList::new(python, further.iter().map(|certificate| PyBytes::new(python, certificate)))?;
            (
                "admit",
                id,
                account_id,
                region,
                &*request.certificate_id,
                leaf,
                further,
                &*request.client_id,
                reexamination,
                request.owner.network.to_string(),
            )
                .into_pyobject(python)
        }
        Event::Request(request) => {
            let RequestEvent { realm, connection, client_id, certificate_id, topic, payload } = *request;
            (
                "request",
                &*realm.account_id,
                &*realm.region,
                connection,
                &*client_id,
                &*certificate_id,
                topic,
                PyBytes::new(python, &payload),
            )
                .into_pyobject(python)
        }
        Event::Connected(connected) => {
            let ConnectedEvent { realm, certificate_id, client_id } = *connected;
            ("connected", &*realm.account_id, &*realm.region, &*certificate_id, &*client_id)
                .into_pyobject(python)
        }
        Event::Refused(refused) => {
            let RefusedEvent { time, realm, certificate_id, client_id, peer, sni, reason, detail, operation } =
                *refused;
            let (account_id, region) =
                realm.as_ref().map(|realm| (&*realm.account_id, &*realm.region)).unzip();
            (
                "refused",
                time,
                account_id,
                region,
                certificate_id.as_deref(),
                client_id.as_deref(),
                peer,
                sni.as_deref(),
                reason,
                detail,
                operation,
            )
                .into_pyobject(python)
        }
        Event::AcceptFailed { cause, count } => ("accept_failed", cause, count).into_pyobject(python),
        Event::Dropped { queue, account_id, count } => {
            ("dropped", queue, account_id.as_deref(), count).into_pyobject(python)
        }
    }
}

/// Seconds from Python; `name` is said when they are none.
pub fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    // Thirty years and more cannot be added to every clock, and nobody waits for them.
    Duration::try_from_secs_f64(value).ok().filter(|duration| duration.as_secs() < 1_000_000_000).ok_or_else(
        || PyValueError::new_err(format!("{name} is {value}; it must be a number of seconds, 0 or more")),
    )
}

/// A topic filter from Python.
pub fn topic_filter(text: &str) -> PyResult<TopicFilter> {
    TopicFilter::new(text)
        .map_err(|cause| PyValueError::new_err(format!("{text:?} is no topic filter: {cause}")))
}
