//! The cache of known certificates with their compiled policies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::change_log::{ChangeLog, Standing};
use crate::compiled_policies::CompiledPolicies;
use crate::credential::Key;
use crate::identity::Identity;
use crate::principal::{Epoch, Principal, PrincipalError, Status};
use crate::realm_name::RealmName;

const SHARDS: usize = 16;

/// The cache. Bounded: the least recently used half of a full shard is dropped.
#[derive(Debug)]
pub struct Principals {
    shards: [Mutex<Shard>; SHARDS],
    changes: ChangeLog,
    policies: CompiledPolicies,
}

/// Two generations in place of a list of last uses: a principal that is read moves to the young, and when the young are
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

impl Principals {
    /// An empty cache for about this many certificates.
    pub fn new(capacity: usize) -> Self {
        let generation = (capacity / SHARDS / 2).max(1);
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard { young: HashMap::default(), old: HashMap::default(), capacity: generation })
            }),
            changes: ChangeLog::default(),
            policies: CompiledPolicies::default(),
        }
    }

    /// The changes of the registry.
    pub fn changes(&self) -> &ChangeLog {
        &self.changes
    }

    /// The principal of this certificate, if it is known and nothing it uses has changed.
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
        if self.changes.standing(&principal) == Standing::Current {
            return Some(principal);
        }
        shard.young.remove(key);
        None
    }

    /// Cache it. A principal in PENDING_ACTIVATION is not cached: every attempt of such a device must reach the control
    /// plane, which announces it anew (Developer Guide, auto-register-device-cert).
    pub fn insert(&self, principal: Arc<Principal>) {
        if principal.status != Status::PendingActivation {
            let key = principal.key();
            self.shard(&key).insert(key, principal);
        }
    }

    /// How many are cached.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.young.len() + shard.old.len()
            })
            .sum()
    }

    /// Is none cached?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Make the principal of what the control plane answered, asked at `epoch`, with policies that others share.
    ///
    /// # Errors
    /// As [`Principal::new`].
    pub fn make(
        &self,
        key: Key,
        realm: Arc<RealmName>,
        leaf: Option<&[u8]>,
        identity: &Identity,
        epoch: Epoch,
    ) -> Result<Principal, PrincipalError> {
        Principal::new(key, realm, leaf, identity, epoch, &self.policies)
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        self.shards[key.credential.spread() % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change_log::Recorded;
    use crate::identity::ChangeKind;
    use crate::realm_name::RealmId;
    use crate::testing;

    fn make(principals: &Principals, certificate: u32) -> Arc<Principal> {
        let identity = testing::identity();
        let realm = RealmName::new(RealmId::at(0), &identity.account_id, &identity.region);
        let certificate_id = sekisho_certificate::certificate_id(&certificate.to_be_bytes());
        let key = Key::of_certificate(Some(realm.id), certificate_id);
        Arc::new(
            principals.make(key, Arc::new(realm), None, &identity, principals.changes().epoch()).unwrap(),
        )
    }

    #[test]
    fn a_stale_principal_is_not_given_out() {
        let principals = Principals::new(100);
        let principal = make(&principals, 1);
        principals.insert(principal.clone());
        assert!(principals.get(&principal.key()).is_some());
        let realm = Some(principal.realm.id);
        let change = Recorded { realm, kind: ChangeKind::Policy, id: "all", lost: None };
        principals.changes().record([change].into_iter());
        assert!(principals.get(&principal.key()).is_none());
        assert!(principals.is_empty());
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        const CAPACITY: usize = 320;
        let principals = Principals::new(CAPACITY);
        let used = make(&principals, 0);
        principals.insert(used.clone());
        for certificate in 1..5000 {
            principals.insert(make(&principals, certificate));
            assert!(principals.get(&used.key()).is_some());
        }
        assert!(principals.len() <= CAPACITY);
    }
}
