//! Who speaks: the cache of known certificates with their compiled policies.
//!
//! Nothing is searched for when the registry changes. Every change is written down with a rising number, the
//! [`Epoch`]; a principal knows the epoch at which its facts were asked for, and is stale when something it rests on
//! has changed since. So a change costs the same with ten certificates as with a million, and an answer that was
//! under way when its certificate changed is recognised by the same comparison.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use foldhash::fast::RandomState;
use sekisho_certificate::CertificateId;
use sekisho_policy::{NamedPolicy, Policy};

use crate::identity::{AttachedThing, ChangeKind, Identity, PolicyDocument};
use crate::realm::{Realm, RealmId};

/// Counts the changes of the registry that were pushed to us.
pub type Epoch = u64;

/// A certificate as the client presented it to a realm. Without SNI the realm is not known until the control plane
/// has said whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The realm of the SNI; none without.
    pub realm: Option<RealmId>,
    /// SHA-256 of the leaf.
    pub certificate_id: CertificateId,
}

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
    pub realm: Arc<Realm>,
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
    /// The control plane is still to be told that it has connected.
    is_awaited: AtomicBool,
    key: Key,
    /// Everything up to here is known to be in it.
    checked: AtomicU64,
}

impl Principal {
    /// It has connected: is the control plane to be told? Yes once, and again after [`tell_again`](Self::tell_again).
    pub fn is_to_be_told(&self) -> bool {
        // Read first: the common case must not write to memory that all cores share.
        self.is_awaited.load(Ordering::Relaxed) && self.is_awaited.swap(false, Ordering::Relaxed)
    }

    /// Nobody could be told; the next connection says so again.
    pub fn tell_again(&self) {
        self.is_awaited.store(true, Ordering::Relaxed);
    }
}

/// Facts from which no principal can be made.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    /// A stored policy does not compile.
    #[error("policy {name} version {version} cannot be read: {cause}")]
    Policy {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// What the policy engine said.
        cause: sekisho_policy::PolicyError,
    },
    /// The certificate does not parse.
    #[error("the certificate cannot be read: {0}")]
    Certificate(#[from] sekisho_certificate::CertificateError),
    /// A word of the API that we do not know.
    #[error("the control plane gave the certificate the {member} {word:?}, which the gateway does not know")]
    Word {
        /// Status or mode.
        member: &'static str,
        /// The word.
        word: String,
    },
}

/// What changed, and when.
#[derive(Debug, Default)]
struct Changes {
    at: HashMap<(Option<RealmId>, ChangeKind, Box<str>), Epoch, RandomState>,
    /// Everything asked for before this is stale, whatever it rests on.
    floor: Epoch,
}

/// Changes remembered one by one. Beyond, all principals are asked for anew as their devices connect, which costs one
/// answer each and no refusal.
const REMEMBERED_CHANGES: usize = 200_000;

const SHARDS: usize = 16;

/// The cache. Bounded: the least recently used half of a full shard is forgotten.
#[derive(Debug)]
pub struct Principals {
    shards: [Mutex<Shard>; SHARDS],
    changes: RwLock<Changes>,
    epoch: AtomicU64,
    policies: Mutex<Policies>,
}

/// Two generations in place of a list of last uses: what is asked for moves to the young, and when the young are
/// full the old are dropped.
#[derive(Debug)]
struct Shard {
    young: HashMap<Key, Arc<Principal>, RandomState>,
    old: HashMap<Key, Arc<Principal>, RandomState>,
    capacity: usize,
}

impl Shard {
    fn insert(&mut self, key: Key, principal: Arc<Principal>) {
        self.old.remove(&key);
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, principal);
    }
}

/// Compiled policies by their whole text: a fleet with one policy has it once.
#[derive(Debug, Default)]
struct Policies {
    compiled: HashMap<PolicyKey, NamedPolicy, RandomState>,
    sweep_at: usize,
}

type PolicyKey = (Arc<str>, Arc<str>, Box<str>);

impl Principals {
    /// An empty cache for about this many certificates.
    pub fn new(capacity: usize) -> Self {
        let generation = (capacity / SHARDS / 2).max(1);
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard { young: HashMap::default(), old: HashMap::default(), capacity: generation })
            }),
            changes: RwLock::default(),
            epoch: AtomicU64::new(0),
            policies: Mutex::default(),
        }
    }

    /// The number of the latest change.
    pub fn epoch(&self) -> Epoch {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The principal of this certificate, if it is known and nothing it rests on has changed.
    pub fn get(&self, key: &Key) -> Option<Arc<Principal>> {
        let mut shard = self.shard(key);
        let principal = match shard.young.get(key) {
            Some(principal) => principal.clone(),
            None => {
                let principal = shard.old.remove(key)?;
                shard.insert(*key, principal.clone());
                principal
            }
        };
        if self.is_current(&principal) {
            return Some(principal);
        }
        shard.young.remove(key);
        None
    }

    /// Remember it. PENDING_ACTIVATION is not remembered: every attempt of such a device must reach the control plane,
    /// which announces it anew (Developer Guide, auto-register-device-cert).
    pub fn insert(&self, principal: Arc<Principal>) {
        if principal.status != Status::PendingActivation {
            self.shard(&principal.key).insert(principal.key, principal);
        }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.young.len() + shard.old.len()
            })
            .sum()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Write down what changed. Realms that we never heard of are none, and matter to certificates shown without SNI.
    pub fn changed<'a>(&self, changes: impl Iterator<Item = (Option<RealmId>, ChangeKind, &'a str)>) {
        let mut log = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.epoch.load(Ordering::SeqCst) + 1;
        for (realm, kind, id) in changes {
            if log.at.len() >= REMEMBERED_CHANGES {
                log.at.clear();
                log.floor = epoch;
            }
            log.at.insert((realm, kind, id.into()), epoch);
            if kind == ChangeKind::Certificate {
                log.at.insert((None, kind, id.into()), epoch);
            }
        }
        // Published after what it stands for, and under the lock: whoever sees the number finds the changes.
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    /// Has nothing changed that this principal rests on?
    pub fn is_current(&self, principal: &Principal) -> bool {
        let checked = principal.checked.load(Ordering::SeqCst);
        if checked == self.epoch() {
            return true;
        }
        let log = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let realm = Some(principal.realm.id());
        let unchanged = |realm, kind, id: &str| !changed_after(&log, checked, realm, kind, id);
        let is_current = log.floor <= checked
            && unchanged(realm, ChangeKind::Realm, "")
            && unchanged(principal.key.realm, ChangeKind::Certificate, &principal.certificate_id)
            && principal.policies.iter().all(|policy| unchanged(realm, ChangeKind::Policy, &policy.name))
            && principal.things.iter().all(|thing| {
                unchanged(realm, ChangeKind::Thing, &thing.facts.name)
                    && thing
                        .group_policies
                        .iter()
                        .all(|policy| unchanged(realm, ChangeKind::Policy, &policy.name))
            });
        if is_current {
            // The lock keeps the epoch where it is.
            principal.checked.store(self.epoch(), Ordering::SeqCst);
        }
        is_current
    }

    /// Has this certificate itself changed after `epoch`? For answers that make no principal.
    pub fn has_changed_since(&self, key: &Key, certificate_id: &str, epoch: Epoch) -> bool {
        let log = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        log.floor > epoch
            || changed_after(&log, epoch, key.realm, ChangeKind::Certificate, certificate_id)
            || changed_after(&log, epoch, key.realm, ChangeKind::Realm, "")
    }

    /// The principal of what the control plane answered, asked at `epoch`, about this certificate.
    ///
    /// # Errors
    /// [`PrincipalError`] where a policy or the certificate cannot be read; then nothing must be allowed, since the
    /// unreadable policy may be the one that denies.
    pub fn make(
        &self,
        key: Key,
        realm: Arc<Realm>,
        leaf: &[u8],
        identity: &Identity,
        epoch: Epoch,
    ) -> Result<Principal, PrincipalError> {
        self.assemble(key, realm, Some(leaf), identity, epoch)
    }

    /// As [`make`](Self::make), of a certificate that nobody presented and perhaps nobody has.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn make_unpresented(
        &self,
        realm: Arc<Realm>,
        leaf: Option<&[u8]>,
        identity: &Identity,
    ) -> Result<Principal, PrincipalError> {
        let certificate_id = sekisho_certificate::certificate_id(leaf.unwrap_or_default());
        self.assemble(Key { realm: Some(realm.id()), certificate_id }, realm, leaf, identity, 0)
    }

    fn assemble(
        &self,
        key: Key,
        realm: Arc<Realm>,
        leaf: Option<&[u8]>,
        identity: &Identity,
        epoch: Epoch,
    ) -> Result<Principal, PrincipalError> {
        let facts = leaf.map(sekisho_certificate::read).transpose()?;
        let status = Status::from_word(&identity.status)
            .ok_or_else(|| PrincipalError::Word { member: "status", word: identity.status.clone() })?;
        let sni_only = match identity.mode.as_str() {
            "DEFAULT" => false,
            "SNI_ONLY" => true,
            other => return Err(PrincipalError::Word { member: "mode", word: other.to_owned() }),
        };
        let policies = self.compile(&identity.policies)?;
        let things: Box<[PrincipalThing]> =
            identity.things.iter().map(|thing| self.thing(thing)).collect::<Result<_, _>>()?;
        // Most policies ask nothing of the certificate, and its variables are a kilobyte for each device.
        let is_asked_for = policies
            .iter()
            .chain(things.iter().flat_map(|thing| thing.group_policies.iter()))
            .any(|named| named.policy.depends_on_certificate());
        Ok(Principal {
            realm,
            certificate_id: key.certificate_id.to_string().into(),
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
            is_awaited: AtomicBool::new(identity.is_awaited),
            key,
            checked: AtomicU64::new(epoch),
        })
    }

    fn thing(&self, thing: &AttachedThing) -> Result<PrincipalThing, PrincipalError> {
        Ok(PrincipalThing {
            facts: Arc::new(sekisho_policy::Thing {
                name: thing.name.clone(),
                type_name: thing.type_name.clone(),
                attributes: thing.attributes.iter().cloned().collect::<BTreeMap<_, _>>(),
            }),
            exclusive: thing.exclusive,
            group_policies: self.compile(&thing.group_policies)?,
        })
    }

    fn compile(&self, documents: &[PolicyDocument]) -> Result<Arc<[NamedPolicy]>, PrincipalError> {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        documents.iter().map(|document| policies.compile(document)).collect()
    }

    fn shard(&self, key: &Key) -> std::sync::MutexGuard<'_, Shard> {
        // The id is a hash already: any byte of it spreads evenly.
        let index = usize::from(key.certificate_id.as_bytes()[0]) % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed_after(log: &Changes, epoch: Epoch, realm: Option<RealmId>, kind: ChangeKind, id: &str) -> bool {
    log.at.get(&(realm, kind, Box::from(id))).is_some_and(|at| *at > epoch)
}

impl Policies {
    fn compile(&mut self, document: &PolicyDocument) -> Result<NamedPolicy, PrincipalError> {
        let key: PolicyKey = (
            document.name.as_str().into(),
            document.version.as_str().into(),
            document.document.as_str().into(),
        );
        if let Some(policy) = self.compiled.get(&key) {
            return Ok(policy.clone());
        }
        let policy = Policy::parse(&document.document).map_err(|cause| PrincipalError::Policy {
            name: document.name.clone(),
            version: document.version.clone(),
            cause,
        })?;
        let policy = NamedPolicy::new(key.0.clone(), key.1.clone(), policy);
        if self.compiled.len() >= self.sweep_at {
            // What only this table holds is used no more. Doubling keeps the sweeps rare.
            self.compiled.retain(|_, policy| Arc::strong_count(&policy.policy) > 1);
            self.sweep_at = (self.compiled.len() * 2).max(1024);
        }
        self.compiled.insert(key, policy.clone());
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: &str =
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

    fn policy(name: &str) -> PolicyDocument {
        PolicyDocument { name: name.to_owned(), version: "1".to_owned(), document: ALLOW.to_owned() }
    }

    fn identity() -> Identity {
        Identity {
            account_id: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            status: "ACTIVE".to_owned(),
            mode: "DEFAULT".to_owned(),
            policies: vec![policy("own")],
            is_awaited: false,
            things: vec![AttachedThing {
                name: "pump".to_owned(),
                type_name: None,
                attributes: Vec::new(),
                exclusive: false,
                group_policies: vec![policy("of-the-group")],
            }],
        }
    }

    fn make(
        principals: &Principals,
        realm: &Arc<Realm>,
        certificate: u32,
        identity: &Identity,
    ) -> Arc<Principal> {
        let certificate_id = sekisho_certificate::certificate_id(&certificate.to_be_bytes());
        let key = Key { realm: Some(realm.id()), certificate_id };
        Arc::new(principals.assemble(key, realm.clone(), None, identity, principals.epoch()).unwrap())
    }

    fn realm() -> Arc<Realm> {
        Realm::detached("123456789012", "eu-central-1")
    }

    #[test]
    fn what_a_principal_rests_on_makes_it_stale_and_nothing_else_does() {
        let realm = realm();
        let here = Some(realm.id());
        for (kind, id, is_stale) in [
            (ChangeKind::Policy, "own", true),
            (ChangeKind::Policy, "of-the-group", true),
            (ChangeKind::Policy, "another", false),
            (ChangeKind::Thing, "pump", true),
            (ChangeKind::Thing, "own", false),
            (ChangeKind::Realm, "", true),
        ] {
            let principals = Principals::new(100);
            let principal = make(&principals, &realm, 1, &identity());
            principals.insert(principal.clone());
            principals.changed([(here, kind, id)].into_iter());
            assert_eq!(principals.is_current(&principal), !is_stale, "{kind:?} {id}");
            assert_eq!(principals.get(&principal.key).is_none(), is_stale, "{kind:?} {id}");
        }
    }

    #[test]
    fn a_change_of_a_certificate_reaches_it_with_and_without_sni() {
        let (principals, realm) = (Principals::new(100), realm());
        let with_sni = make(&principals, &realm, 1, &identity());
        let without_sni = Arc::new(
            principals
                .assemble(
                    Key { realm: None, ..with_sni.key },
                    realm.clone(),
                    None,
                    &identity(),
                    principals.epoch(),
                )
                .unwrap(),
        );
        let other = make(&principals, &realm, 2, &identity());
        principals
            .changed([(Some(realm.id()), ChangeKind::Certificate, &*with_sni.certificate_id)].into_iter());
        assert!(!principals.is_current(&with_sni));
        assert!(!principals.is_current(&without_sni));
        assert!(principals.is_current(&other));
    }

    #[test]
    fn a_principal_asked_for_after_the_change_is_current() {
        let (principals, realm) = (Principals::new(100), realm());
        principals.changed([(Some(realm.id()), ChangeKind::Policy, "own")].into_iter());
        assert!(principals.is_current(&make(&principals, &realm, 1, &identity())));
    }

    #[test]
    fn more_changes_than_are_remembered_make_everything_stale() {
        let (principals, realm) = (Principals::new(100), realm());
        let principal = make(&principals, &realm, 1, &identity());
        for batch in 0..3 {
            let names: Vec<String> = (0..REMEMBERED_CHANGES / 2).map(|n| format!("{batch}-{n}")).collect();
            principals.changed(names.iter().map(|name| (Some(realm.id()), ChangeKind::Thing, name.as_str())));
        }
        assert!(!principals.is_current(&principal));
        assert!(principals.changes.read().unwrap().at.len() <= REMEMBERED_CHANGES);
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        const CAPACITY: usize = 320;
        let (principals, realm) = (Principals::new(CAPACITY), realm());
        let used = make(&principals, &realm, 0, &identity());
        principals.insert(used.clone());
        for certificate in 1..5000 {
            principals.insert(make(&principals, &realm, certificate, &identity()));
            assert!(principals.get(&used.key).is_some());
        }
        assert!(principals.len() <= CAPACITY);
    }

    #[test]
    fn a_fleet_shares_one_compiled_policy_and_old_ones_are_let_go() {
        let (principals, realm) = (Principals::new(10), realm());
        let (first, second) =
            (make(&principals, &realm, 1, &identity()), make(&principals, &realm, 2, &identity()));
        assert!(Arc::ptr_eq(&first.policies[0].policy, &second.policies[0].policy));
        for number in 0..5000 {
            let mut identity = identity();
            identity.policies[0].version = number.to_string();
            make(&principals, &realm, 3, &identity);
        }
        assert!(principals.policies.lock().unwrap().compiled.len() <= 1025);
    }
}
