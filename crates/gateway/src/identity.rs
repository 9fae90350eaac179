//! What the control plane knows of one certificate in one realm: plain data, as it crosses the boundary.

use crate::refusal::Refusal;

/// A policy document under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    /// The policy's name.
    pub name: String,
    /// The default version's id.
    pub version: String,
    /// Its document, JSON.
    pub document: String,
}

/// A thing the certificate is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedThing {
    /// The thing's name.
    pub name: String,
    /// The name of its type.
    pub type_name: Option<String>,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// Attached as EXCLUSIVE_THING: it is the thing of every connection, whatever its client id.
    pub exclusive: bool,
    /// Policies of the groups it is in, their ancestors' included.
    pub group_policies: Vec<PolicyDocument>,
}

/// A registered certificate. Status and mode are the API's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account that holds it.
    pub account_id: String,
    /// The region it is registered in.
    pub region: String,
    /// `ACTIVE`, `INACTIVE`, `REVOKED`, …
    pub status: String,
    /// `DEFAULT` or `SNI_ONLY`.
    pub mode: String,
    /// Policies attached to the certificate.
    pub policies: Vec<PolicyDocument>,
    /// Things attached to the certificate.
    pub things: Vec<AttachedThing>,
    /// The control plane waits for it to connect, and is to be told when it has.
    pub is_awaited: bool,
}

/// The control plane's answer to an admission request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The certificate is registered.
    Registered(Identity),
    /// It is not, or may not connect.
    Refused {
        /// The name of a [`Refusal`](crate::Refusal).
        reason: String,
        /// What the operator should know of this case; without it, the reason's own sentence.
        detail: Option<String>,
    },
}

/// What of the registry has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A certificate: its status or mode, or which policies and things it has. Also one that is new or gone.
    Certificate,
    /// A policy's default version.
    Policy,
    /// A thing: its type, attributes, or the groups it is in and their policies.
    Thing,
    /// Anything of the realm.
    Realm,
}

impl ChangeKind {
    /// The kind of this word, or none.
    pub fn from_word(word: &str) -> Option<ChangeKind> {
        Some(match word {
            "certificate" => ChangeKind::Certificate,
            "policy" => ChangeKind::Policy,
            "thing" => ChangeKind::Thing,
            "realm" => ChangeKind::Realm,
            _ => return None,
        })
    }
}

/// A change in the registry, pushed by the control plane after it has committed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The account.
    pub account_id: String,
    /// The region.
    pub region: String,
    /// What changed.
    pub kind: ChangeKind,
    /// Certificate id, policy name or thing name; nothing for a realm.
    pub id: String,
    /// Of a certificate: why it may not be used any more, where the change took its right away. Its connections are
    /// closed without asking.
    pub lost: Option<Refusal>,
}
