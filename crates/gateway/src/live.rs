//! The live connections of a realm, indexed by everything their principals use, so that a change examines only the
//! connections that it concerns.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::handle::ConnectionHandle;
use crate::identity::ChangeKind;
use crate::principal::Principal;

/// Live connections by certificate, policy and thing.
#[derive(Debug, Default)]
pub struct Live(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    /// Each connection with the principal whose names it is indexed under.
    principals: HashMap<ByAddress, Arc<Principal>, RandomState>,
    certificates: Names,
    policies: Names,
    things: Names,
}

type Names = HashMap<Box<str>, Handles, RandomState>;

/// A connection, compared by identity.
#[derive(Debug, Clone)]
struct ByAddress(Arc<ConnectionHandle>);

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByAddress {}

impl Hash for ByAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// The connections under one name. Most certificates and things have one connection, which needs no set.
#[derive(Debug)]
enum Handles {
    One(ByAddress),
    Many(HashSet<ByAddress, RandomState>),
}

impl Handles {
    fn insert(&mut self, handle: ByAddress) {
        match self {
            Handles::One(only) if *only == handle => {}
            Handles::One(only) => *self = Handles::Many([only.clone(), handle].into_iter().collect()),
            Handles::Many(handles) => {
                handles.insert(handle);
            }
        }
    }

    /// Remove one; true when none is left.
    fn remove(&mut self, handle: &ByAddress) -> bool {
        match self {
            Handles::One(only) => only == handle,
            Handles::Many(handles) => {
                handles.remove(handle);
                handles.is_empty()
            }
        }
    }

    fn to_vec(&self) -> Vec<Arc<ConnectionHandle>> {
        match self {
            Handles::One(only) => vec![only.0.clone()],
            Handles::Many(handles) => handles.iter().map(|handle| handle.0.clone()).collect(),
        }
    }
}

impl Live {
    /// A connection was handed to the broker.
    pub fn add(&self, handle: &Arc<ConnectionHandle>) {
        let mut index = self.lock();
        let handle = ByAddress(handle.clone());
        let principal = handle.0.principal();
        index.enter(&handle, &principal);
        index.principals.insert(handle, principal);
    }

    /// Index a connection by its present principal. Called after each replacement of the principal.
    pub fn refresh(&self, handle: &Arc<ConnectionHandle>) {
        let mut index = self.lock();
        let handle = ByAddress(handle.clone());
        // Read under the lock, so that the latest call sees the latest principal.
        let principal = handle.0.principal();
        let Some(indexed) = index.principals.get_mut(&handle) else { return };
        let former = std::mem::replace(indexed, principal.clone());
        index.leave(&handle, &former);
        index.enter(&handle, &principal);
    }

    /// A connection has ended or is being closed. False when it was removed before.
    pub fn remove(&self, handle: &Arc<ConnectionHandle>) -> bool {
        let mut index = self.lock();
        let handle = ByAddress(handle.clone());
        let Some(principal) = index.principals.remove(&handle) else { return false };
        index.leave(&handle, &principal);
        true
    }

    /// The connections whose principals use this certificate, policy or thing; of a realm, all.
    pub fn using(&self, kind: ChangeKind, id: &str) -> Vec<Arc<ConnectionHandle>> {
        let mut index = self.lock();
        match index.names(kind) {
            Some(names) => names.get(id).map(Handles::to_vec).unwrap_or_default(),
            None => index.principals.keys().map(|handle| handle.0.clone()).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn enter(&mut self, handle: &ByAddress, principal: &Principal) {
        for (kind, id) in principal.uses() {
            let Some(names) = self.names(kind) else { continue };
            match names.get_mut(id) {
                Some(handles) => handles.insert(handle.clone()),
                None => {
                    names.insert(id.into(), Handles::One(handle.clone()));
                }
            }
        }
    }

    fn leave(&mut self, handle: &ByAddress, principal: &Principal) {
        for (kind, id) in principal.uses() {
            let Some(names) = self.names(kind) else { continue };
            if names.get_mut(id).is_some_and(|handles| handles.remove(handle)) {
                names.remove(id);
            }
        }
    }

    /// The index of this kind; none of realms, which all connections of the realm use.
    fn names(&mut self, kind: ChangeKind) -> Option<&mut Names> {
        match kind {
            ChangeKind::Certificate => Some(&mut self.certificates),
            ChangeKind::Policy => Some(&mut self.policies),
            ChangeKind::Thing => Some(&mut self.things),
            ChangeKind::Realm => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sekisho_mqtt::Version;

    use super::*;
    use crate::identity::Identity;
    use crate::testing::{self, Plane};

    fn count(live: &Live, kind: ChangeKind, id: &str) -> usize {
        live.using(kind, id).len()
    }

    #[test]
    fn connections_are_found_by_all_that_their_principals_use_until_they_end() {
        let plane = Plane::new();
        let realm = plane.realm();
        let identity = testing::identity_with_thing();
        let handles: Vec<_> = (0..3)
            .map(|number| {
                let admitted = plane.admit(number / 2, &identity);
                plane.connect(&admitted, &format!("c{number}"), Version::V311)
            })
            .collect();
        let first = handles[0].principal().certificate_id.clone();
        let counts = || {
            let certificate = count(realm.live(), ChangeKind::Certificate, &first);
            let others = [
                (ChangeKind::Policy, "own"),
                (ChangeKind::Policy, "of-the-group"),
                (ChangeKind::Thing, "pump"),
                (ChangeKind::Realm, ""),
            ];
            (certificate, others.map(|(kind, id)| count(realm.live(), kind, id)))
        };
        assert_eq!(counts(), (2, [3; 4]));
        assert_eq!(count(realm.live(), ChangeKind::Policy, "pump"), 0, "a thing is no policy");
        assert!(realm.live().remove(&handles[0]));
        assert!(!realm.live().remove(&handles[0]));
        assert_eq!(counts(), (1, [2; 4]));
        handles.iter().for_each(|handle| {
            realm.live().remove(handle);
        });
        assert_eq!(counts(), (0, [0; 4]));
        let index = realm.live().lock();
        assert!(index.certificates.is_empty() && index.policies.is_empty() && index.things.is_empty());
    }

    #[test]
    fn a_replaced_principal_is_found_by_what_it_uses_now() {
        let plane = Plane::new();
        let realm = plane.realm();
        let handle = plane.connect(&plane.admit(1, &testing::identity()), "c", Version::V311);
        let other = Identity { policies: vec![testing::policy("other")], ..testing::identity() };
        let authority = handle.authority().unwrap();
        handle.set_authority(plane.admit(1, &other).principal().clone(), authority.clone());
        realm.live().refresh(&handle);
        assert_eq!(count(realm.live(), ChangeKind::Policy, "all"), 0);
        assert_eq!(count(realm.live(), ChangeKind::Policy, "other"), 1);
        // One that ended is not entered again.
        realm.live().remove(&handle);
        handle.set_authority(plane.admit(1, &testing::identity()).principal().clone(), authority);
        realm.live().refresh(&handle);
        assert_eq!(count(realm.live(), ChangeKind::Realm, ""), 0);
        assert_eq!(count(realm.live(), ChangeKind::Policy, "all"), 0);
    }
}
