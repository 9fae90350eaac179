//! One registered certificate with its compiled policies: what admission and policies need of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sekisho_policy::NamedPolicy;

use crate::compiled_policies::{CompiledPolicies, UnreadablePolicy};
use crate::credential::Key;
use crate::identity::{AttachedThing, ChangeKind, Identity};
use crate::realm_name::{RealmId, RealmName};

/// Counts the changes of the registry that were pushed to the gateway.
pub type Epoch = u64;

/// The certificate's status in the registry, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// May connect.
    Active,
    /// Switched off.
    Inactive,
    /// Withdrawn for good.
    Revoked,
    /// Offered to another account.
    PendingTransfer,
    /// Registered automatically, not yet activated.
    PendingActivation,
}

impl Status {
    /// The status of this word. `REGISTER_INACTIVE` is a deprecated spelling of INACTIVE (API model).
    pub fn from_word(word: &str) -> Option<Status> {
        Some(match word {
            "ACTIVE" => Status::Active,
            "INACTIVE" | "REGISTER_INACTIVE" => Status::Inactive,
            "REVOKED" => Status::Revoked,
            "PENDING_TRANSFER" => Status::PendingTransfer,
            "PENDING_ACTIVATION" => Status::PendingActivation,
            _ => return None,
        })
    }
}

/// A thing of a principal, ready to give its facts to a connection.
#[derive(Debug)]
pub struct PrincipalThing {
    /// Name, type and attributes, as policy variables.
    pub facts: Arc<sekisho_policy::Thing>,
    /// Attached exclusively.
    pub exclusive: bool,
    /// Policies of its groups.
    pub group_policies: Arc<[NamedPolicy]>,
}

/// A certificate known in a realm: what admission and policies need of it.
#[derive(Debug)]
pub struct Principal {
    /// Its realm.
    pub realm: Arc<RealmName>,
    /// Its id, lower-case hex.
    pub certificate_id: Arc<str>,
    /// Its status.
    pub status: Status,
    /// Certificate mode SNI_ONLY.
    pub sni_only: bool,
    /// Start of its validity, Unix seconds.
    pub not_before: i64,
    /// End of its validity, Unix seconds.
    pub not_after: i64,
    /// `iot:Certificate.*` variables; none where no policy asks for any.
    pub certificate_variables: Arc<[(String, Vec<String>)]>,
    /// Policies attached to the certificate.
    pub policies: Arc<[NamedPolicy]>,
    /// Things attached to the certificate.
    pub things: Box<[PrincipalThing]>,
    key: Key,
    /// The control plane is still to be told that it has connected.
    is_awaited: AtomicBool,
    /// No change up to this one makes it stale.
    checked: AtomicU64,
}

/// Facts of which no principal can be made.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    /// A stored policy does not compile.
    #[error(transparent)]
    Policy(#[from] UnreadablePolicy),
    /// The certificate does not parse.
    #[error("the certificate cannot be read: {0}")]
    Certificate(#[from] sekisho_certificate::CertificateError),
    /// A word of the API that the gateway does not know.
    #[error("the control plane gave the certificate the {member} {word:?}, which the gateway does not know")]
    Word {
        /// Status or mode.
        member: &'static str,
        /// The word.
        word: String,
    },
}

impl Principal {
    /// Make the principal of what the control plane answered.
    ///
    /// `leaf` is the certificate's DER; without it validity is unlimited and there are no certificate variables. `epoch`
    /// is that at which the control plane took the request: later changes make the principal stale.
    ///
    /// # Errors
    /// [`PrincipalError`] where a policy or the certificate cannot be read; then nothing must be allowed, since the
    /// unreadable policy may be the one that denies.
    pub fn new(
        key: Key,
        realm: Arc<RealmName>,
        leaf: Option<&[u8]>,
        identity: &Identity,
        epoch: Epoch,
        compiled: &CompiledPolicies,
    ) -> Result<Self, PrincipalError> {
        let facts = leaf.map(sekisho_certificate::read).transpose()?;
        let status = Status::from_word(&identity.status)
            .ok_or_else(|| PrincipalError::Word { member: "status", word: identity.status.clone() })?;
        let sni_only = match identity.mode.as_str() {
            "DEFAULT" => false,
            "SNI_ONLY" => true,
            other => return Err(PrincipalError::Word { member: "mode", word: other.to_owned() }),
        };
        let policies = compiled.compile(&identity.policies)?;
        let things: Box<[PrincipalThing]> = identity
            .things
            .iter()
            .map(|thing| PrincipalThing::new(thing, compiled))
            .collect::<Result<_, UnreadablePolicy>>()?;
        // Most policies ask nothing of the certificate, and its variables are a kilobyte for each device.
        let is_asked_for = policies
            .iter()
            .chain(things.iter().flat_map(|thing| thing.group_policies.iter()))
            .any(|named| named.policy.depends_on_certificate());
        Ok(Self {
            realm,
            certificate_id: key.credential.to_string().into(),
            status,
            sni_only,
            not_before: facts.as_ref().map_or(i64::MIN, |facts| facts.not_before),
            not_after: facts.as_ref().map_or(i64::MAX, |facts| facts.not_after),
            certificate_variables: facts
                .filter(|_| is_asked_for)
                .map(|facts| facts.variables)
                .unwrap_or_default()
                .into(),
            policies,
            things,
            key,
            is_awaited: AtomicBool::new(identity.is_awaited),
            checked: AtomicU64::new(epoch),
        })
    }

    /// Like [`new`](Self::new), for decisions without a connection (TestAuthorization): needs no realm and no broker.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_connection(identity: &Identity, leaf: Option<&[u8]>) -> Result<Self, PrincipalError> {
        let realm = RealmName::new(RealmId::at(0), &identity.account_id, &identity.region);
        let certificate_id = sekisho_certificate::certificate_id(leaf.unwrap_or_default());
        let key = Key::of_certificate(Some(realm.id), certificate_id);
        Self::new(key, Arc::new(realm), leaf, identity, 0, &CompiledPolicies::default())
    }

    /// Under what it is cached.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Everything of the registry that it was made of, by kind and name. A change of any of it makes it stale.
    pub fn uses(&self) -> impl Iterator<Item = (ChangeKind, &str)> {
        std::iter::once((ChangeKind::Certificate, &*self.certificate_id))
            .chain(self.policies.iter().map(|policy| (ChangeKind::Policy, &*policy.name)))
            .chain(self.things.iter().flat_map(|thing| {
                std::iter::once((ChangeKind::Thing, thing.facts.name.as_str()))
                    .chain(thing.group_policies.iter().map(|policy| (ChangeKind::Policy, &*policy.name)))
            }))
    }

    /// The latest change that is known not to make it stale.
    pub(crate) fn checked(&self) -> Epoch {
        self.checked.load(Ordering::SeqCst)
    }

    pub(crate) fn set_checked(&self, epoch: Epoch) {
        self.checked.store(epoch, Ordering::SeqCst);
    }

    /// It has connected: is the control plane to be told? Yes once, and again after [`tell_again`](Self::tell_again).
    pub fn is_to_be_told(&self) -> bool {
        // Read first: the common case must not write to memory that all cores share.
        self.is_awaited.load(Ordering::Relaxed) && self.is_awaited.swap(false, Ordering::Relaxed)
    }

    /// The control plane could not be told: the next connection does so.
    pub fn tell_again(&self) {
        self.is_awaited.store(true, Ordering::Relaxed);
    }
}

impl PrincipalThing {
    fn new(thing: &AttachedThing, compiled: &CompiledPolicies) -> Result<Self, UnreadablePolicy> {
        Ok(Self {
            facts: Arc::new(sekisho_policy::Thing {
                name: thing.name.clone(),
                type_name: thing.type_name.clone(),
                attributes: thing.attributes.iter().cloned().collect::<BTreeMap<_, _>>(),
            }),
            exclusive: thing.exclusive,
            group_policies: compiled.compile(&thing.group_policies)?,
        })
    }
}
