//! What a connection may do: its principal's policies over the facts of the connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use sekisho_broker as broker;
use sekisho_policy::{Action, ConnectAttributes, Decision, Facts, NamedPolicy, Request, SourceIp};

use crate::clock::Clock;
use crate::principal::{Principal, PrincipalThing};

/// Decisions cached per connection and action. A device publishes on a handful of topics; one that uses a new topic for
/// each message gains nothing from the cache and must not make it grow.
const CACHED_DECISIONS: usize = 64;

/// The actions decided for each message, and their indices in the arrays of [`ConnectionAuthority`].
const TOPIC_ACTIONS: [Action; 3] = [Action::Publish, Action::RetainPublish, Action::Receive];
const PUBLISH: usize = 0;
const RETAIN_PUBLISH: usize = 1;
const RECEIVE: usize = 2;

type Decisions = HashMap<Box<str>, bool, RandomState>;

/// What a CONNECT asked for, kept so that it can be decided again when policies change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConnectRequest {
    persistent: bool,
    will_topic: Option<Box<str>>,
}

/// The authority of one connection. Replaced as a whole when its principal changes.
#[derive(Debug)]
pub struct ConnectionAuthority {
    client_id: Arc<str>,
    arn_prefix: Arc<str>,
    policies: Arc<[NamedPolicy]>,
    facts: Facts,
    constant: bool,
    /// Of each of [`TOPIC_ACTIONS`]: allowed on every topic, so that no policy need be evaluated.
    always: [bool; 3],
    connect: Mutex<Option<ConnectRequest>>,
    /// For each of [`TOPIC_ACTIONS`]; made at the first message, since most connections are idle.
    decisions: Mutex<Option<Box<[Decisions; 3]>>>,
}

impl ConnectionAuthority {
    /// The authority of a connection of `principal` with this client id, from `address` to the endpoint `domain_name`.
    pub fn new(
        principal: &Principal,
        client_id: Arc<str>,
        address: IpAddr,
        domain_name: Option<Arc<str>>,
    ) -> Self {
        let thing = associated_thing(&principal.things, &client_id);
        let policies = effective_policies(principal, thing);
        let constant = !policies.iter().any(|named| named.policy.depends_on_time());
        let topics = format!("{}topic/", principal.realm.arn_prefix);
        let always = TOPIC_ACTIONS.map(|action| sekisho_policy::always_allows(&policies, &action, &topics));
        Self {
            facts: Facts {
                client_id: Some(client_id.clone()),
                source_ip: Some(SourceIp::from(address)),
                domain_name,
                thing: thing.map(|thing| thing.facts.clone()),
                is_attached: Some(thing.is_some()),
                certificate: principal.certificate_variables.clone(),
                secure_transport: Some(true),
                ..Facts::default()
            },
            client_id,
            arn_prefix: principal.realm.arn_prefix.clone(),
            policies,
            constant,
            always,
            connect: Mutex::new(None),
            decisions: Mutex::new(None),
        }
    }

    /// The client id it was made for.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// Would this authority still allow the CONNECT that `earlier` was asked about?
    pub fn allows_connect_of(&self, earlier: &ConnectionAuthority) -> bool {
        let request = earlier.connect.lock().unwrap_or_else(PoisonError::into_inner).clone();
        request.is_none_or(|request| {
            broker::Authority::allows(
                self,
                broker::Action::Connect {
                    client_id: &earlier.client_id,
                    persistent: request.persistent,
                    will_topic: request.will_topic.as_deref(),
                },
            )
        })
    }

    fn allows_connect(&self, client_id: &str, persistent: bool, will_topic: Option<&str>) -> bool {
        *self.connect.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ConnectRequest { persistent, will_topic: will_topic.map(Into::into) });
        let facts = Facts {
            connect_attributes: Some(ConnectAttributes {
                persistent_connect: persistent,
                last_will: will_topic.is_some(),
            }),
            last_will_topic: will_topic.map(|topic| format!("{}topic/{topic}", self.arn_prefix)),
            ..self.facts.clone()
        };
        self.decide(&Action::Connect, "client/", client_id, &facts)
    }

    fn allows_topic(&self, slot: usize, topic: &str) -> bool {
        if self.always[slot] {
            return true;
        }
        let action = &TOPIC_ACTIONS[slot];
        if !self.constant {
            return self.decide(action, "topic/", topic, &self.facts);
        }
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        let decisions = &mut decisions.get_or_insert_with(Box::default)[slot];
        if let Some(decision) = decisions.get(topic) {
            return *decision;
        }
        let decision = self.decide(action, "topic/", topic, &self.facts);
        if decisions.len() >= CACHED_DECISIONS {
            decisions.clear();
        }
        decisions.insert(topic.into(), decision);
        decision
    }

    fn decide(&self, action: &Action, kind: &str, name: &str, facts: &Facts) -> bool {
        let mut resource = String::with_capacity(self.arn_prefix.len() + kind.len() + name.len());
        resource.push_str(&self.arn_prefix);
        resource.push_str(kind);
        resource.push_str(name);
        let request = Request { action, resource: &resource, facts, now: Clock::unix_seconds() };
        sekisho_policy::is_allowed(&self.policies, &request)
    }
}

impl broker::Authority for ConnectionAuthority {
    fn allows(&self, action: broker::Action<'_>) -> bool {
        match action {
            broker::Action::Connect { client_id, persistent, will_topic } => {
                self.allows_connect(client_id, persistent, will_topic)
            }
            broker::Action::Publish(topic) => self.allows_topic(PUBLISH, topic),
            broker::Action::RetainPublish(topic) => self.allows_topic(RETAIN_PUBLISH, topic),
            broker::Action::Receive(topic) => self.allows_topic(RECEIVE, topic),
            broker::Action::Subscribe(filter) => {
                self.decide(&Action::Subscribe, "topicfilter/", filter, &self.facts)
            }
        }
    }

    fn receives_everything(&self) -> bool {
        self.always[RECEIVE]
    }

    fn is_constant(&self) -> bool {
        self.constant
    }
}

/// The thing of a connection: an exclusive one whatever the client id, else the attached thing of the client id's name
/// (Developer Guide, thing-policy-variables and exclusive-thing).
pub fn associated_thing<'a>(things: &'a [PrincipalThing], client_id: &str) -> Option<&'a PrincipalThing> {
    things
        .iter()
        .find(|thing| thing.exclusive)
        .or_else(|| things.iter().find(|thing| &*thing.facts.name == client_id))
}

/// Policies of the certificate, and of the groups of the thing where there is one.
fn effective_policies(principal: &Principal, thing: Option<&PrincipalThing>) -> Arc<[NamedPolicy]> {
    match thing {
        Some(thing) if !thing.group_policies.is_empty() => {
            principal.policies.iter().chain(thing.group_policies.iter()).cloned().collect()
        }
        _ => principal.policies.clone(),
    }
}

/// Decide for a connection of `principal`, without one: one decision per (action, resource ARN).
///
/// With no `client_id` no thing is associated unless exclusively, as over HTTPS. TestAuthorization calls it, and so
/// cannot disagree with the gateway.
pub fn explain(
    principal: &Principal,
    client_id: Option<&str>,
    requests: &[(String, String)],
) -> Vec<Decision> {
    let thing = associated_thing(&principal.things, client_id.unwrap_or_default());
    let facts = Facts {
        client_id: client_id.map(Arc::from),
        thing: thing.map(|thing| thing.facts.clone()),
        is_attached: client_id.map(|_| thing.is_some()),
        certificate: principal.certificate_variables.clone(),
        secure_transport: Some(true),
        ..Facts::default()
    };
    let connect_facts = Facts { connect_attributes: Some(ConnectAttributes::default()), ..facts.clone() };
    let policies = effective_policies(principal, thing);
    let now = Clock::unix_seconds();
    requests
        .iter()
        .map(|(action, resource)| {
            let action = Action::from_name(action);
            let facts = if action == Action::Connect { &connect_facts } else { &facts };
            sekisho_policy::evaluate(&policies, &Request { action: &action, resource, facts, now })
        })
        .collect()
}
