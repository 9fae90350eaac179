//! Lifecycle events: connected, disconnected, subscribed, unsubscribed, with their reasons. AWS IoT's "Lifecycle
//! events" page; presence and subscription events cannot be switched off.
//!
//! Each is published as JSON on a topic under `$aws/events/`, and returned to the caller as data.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;

use crate::input::Now;
use crate::refusal::{DisconnectReason, Refusal};

/// The part that all events of one connection have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The client id in use.
    pub client_id: Arc<str>,
    /// The exclusively attached thing.
    pub thing_name: Option<Arc<str>>,
    /// `principalIdentifier`: the certificate id for mutual TLS.
    pub principal: Arc<str>,
    /// Unique for the life of the connection.
    pub session_identifier: Arc<str>,
    /// The client's address.
    pub remote: SocketAddr,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleEvent {
    /// Its connection.
    pub identity: Arc<Identity>,
    /// Its time.
    pub at: Now,
    /// Its kind, with details.
    pub kind: LifecycleKind,
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleKind {
    /// A CONNECT was accepted.
    Connected {
        /// Rises with each connection of a client id, and is the same in its `disconnected` event.
        version_number: u64,
    },
    /// A connection ended.
    Disconnected {
        /// That of the `connected` event.
        version_number: u64,
        /// Why.
        reason: DisconnectReason,
        /// Why exactly, when the broker refused something. Not part of the published event.
        refusal: Option<Refusal>,
    },
    /// Connect, or the will, was not authorised.
    ConnectFailed {
        /// Which of them. Not part of the published event, which always says `AUTHORIZATION_FAILED`.
        refusal: Refusal,
    },
    /// Filters of one SUBSCRIBE that were granted.
    Subscribed {
        /// As subscribed to.
        filters: Vec<Arc<str>>,
    },
    /// Filters of one UNSUBSCRIBE that were subscribed to.
    Unsubscribed {
        /// As subscribed to.
        filters: Vec<Arc<str>>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_name: Option<&'a str>,
    timestamp: u64,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_failure_reason: Option<&'static str>,
    session_identifier: &'a str,
    principal_identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_initiated_disconnect: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<&'a str>>,
}

impl LifecycleEvent {
    /// Returns the `eventType`, which is also the last word of the topic's prefix.
    pub fn event_type(&self) -> &'static str {
        match self.kind {
            LifecycleKind::Connected { .. } => "connected",
            LifecycleKind::Disconnected { .. } => "disconnected",
            LifecycleKind::ConnectFailed { .. } => "connect_failed",
            LifecycleKind::Subscribed { .. } => "subscribed",
            LifecycleKind::Unsubscribed { .. } => "unsubscribed",
        }
    }

    /// Returns its topic; `None` for client ids with `#` or `+`, which get no events.
    pub fn topic(&self) -> Option<String> {
        let client_id = &self.identity.client_id;
        if client_id.contains(['#', '+']) {
            return None;
        }
        let family = match self.kind {
            LifecycleKind::Subscribed { .. } | LifecycleKind::Unsubscribed { .. } => "subscriptions",
            _ => "presence",
        };
        Some(format!("$aws/events/{family}/{}/{client_id}", self.event_type()))
    }

    /// Returns the JSON to publish.
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = Payload {
            client_id: &self.identity.client_id,
            thing_name: self.identity.thing_name.as_deref(),
            timestamp: self.at.unix_ms,
            event_type: self.event_type(),
            connect_failure_reason: None,
            session_identifier: &self.identity.session_identifier,
            principal_identifier: &self.identity.principal,
            client_initiated_disconnect: None,
            disconnect_reason: None,
            ip_address: None,
            version_number: None,
            topics: None,
        };
        match &self.kind {
            LifecycleKind::Connected { version_number } => {
                payload.version_number = Some(*version_number);
                payload.ip_address = Some(self.identity.remote.ip());
            }
            LifecycleKind::Disconnected { version_number, reason, .. } => {
                payload.version_number = Some(*version_number);
                payload.client_initiated_disconnect =
                    Some(*reason == DisconnectReason::ClientInitiatedDisconnect);
                payload.disconnect_reason = Some(reason.as_str());
            }
            LifecycleKind::ConnectFailed { .. } => {
                payload.connect_failure_reason = Some("AUTHORIZATION_FAILED");
                payload.ip_address = Some(self.identity.remote.ip());
            }
            LifecycleKind::Subscribed { filters } | LifecycleKind::Unsubscribed { filters } => {
                payload.topics = Some(filters.iter().map(|filter| &**filter).collect());
            }
        }
        serde_json::to_vec(&payload).expect("strings, numbers and lists of strings are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(client_id: &str, kind: LifecycleKind) -> LifecycleEvent {
        let identity = Identity {
            client_id: client_id.into(),
            thing_name: None,
            principal: "ab12".into(),
            session_identifier: "00000000-0000-4000-8000-000000000000".into(),
            remote: "[2001:db8::1]:4711".parse().unwrap(),
        };
        LifecycleEvent { identity: Arc::new(identity), at: Now::from_unix_ms(1_460_065_214_626), kind }
    }

    fn json(event: &LifecycleEvent) -> serde_json::Value {
        serde_json::from_slice(&event.payload()).unwrap()
    }

    #[test]
    fn a_connected_event_says_who_where_and_which_connection() {
        let event = event("dev1", LifecycleKind::Connected { version_number: 7 });
        assert_eq!(event.topic().unwrap(), "$aws/events/presence/connected/dev1");
        assert_eq!(
            json(&event),
            serde_json::json!({
                "clientId": "dev1", "timestamp": 1_460_065_214_626_u64, "eventType": "connected",
                "sessionIdentifier": "00000000-0000-4000-8000-000000000000", "principalIdentifier": "ab12",
                "ipAddress": "2001:db8::1", "versionNumber": 7,
            })
        );
    }

    #[test]
    fn a_disconnected_event_says_why_and_not_where() {
        let reason = DisconnectReason::DuplicateClientid;
        let event = event("a/b", LifecycleKind::Disconnected { version_number: 0, reason, refusal: None });
        assert_eq!(event.topic().unwrap(), "$aws/events/presence/disconnected/a/b");
        assert_eq!(
            json(&event),
            serde_json::json!({
                "clientId": "a/b", "timestamp": 1_460_065_214_626_u64, "eventType": "disconnected",
                "sessionIdentifier": "00000000-0000-4000-8000-000000000000", "principalIdentifier": "ab12",
                "clientInitiatedDisconnect": false, "disconnectReason": "DUPLICATE_CLIENTID", "versionNumber": 0,
            })
        );
    }

    #[test]
    fn a_failed_connect_names_authorization_and_the_address() {
        let event = event("dev1", LifecycleKind::ConnectFailed { refusal: Refusal::WillNotAuthorized });
        assert_eq!(event.topic().unwrap(), "$aws/events/presence/connect_failed/dev1");
        let json = json(&event);
        assert_eq!(json["connectFailureReason"], "AUTHORIZATION_FAILED");
        assert_eq!(json["ipAddress"], "2001:db8::1");
        assert!(json.get("versionNumber").is_none());
    }

    #[test]
    fn subscription_events_list_the_filters_of_the_packet() {
        let filters: Vec<Arc<str>> = vec!["a/#".into(), "b".into()];
        let event = event("dev1", LifecycleKind::Subscribed { filters });
        assert_eq!(event.topic().unwrap(), "$aws/events/subscriptions/subscribed/dev1");
        assert_eq!(json(&event)["topics"], serde_json::json!(["a/#", "b"]));
    }

    #[test]
    fn client_ids_with_wildcards_get_no_events() {
        assert_eq!(event("a+b", LifecycleKind::Connected { version_number: 0 }).topic(), None);
        assert_eq!(event("#", LifecycleKind::Connected { version_number: 0 }).topic(), None);
    }
}
