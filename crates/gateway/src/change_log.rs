//! Which changes of the registry make a principal stale.
//!
//! A change is written down with a rising number, the [`Epoch`], and nothing is searched for. A principal knows the
//! epoch at which the control plane took the request for it, and is stale when something it uses has changed since. So
//! a change costs the same with ten certificates as with a million, and an answer that was under way when its
//! certificate changed is recognised by the same comparison.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;

use crate::credential::Key;
use crate::identity::ChangeKind;
use crate::principal::{Epoch, Principal};
use crate::realm_name::RealmId;
use crate::refusal::Refusal;

/// Changes remembered one by one. Beyond, all principals are stale and are asked for as their devices connect, which
/// costs one answer each and no refusal.
const REMEMBERED_CHANGES: usize = 200_000;

/// A change of the registry, in the realm that the gateway knows by this number.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// None where the gateway has no such realm; the change then matters to certificates presented without SNI.
    pub realm: Option<RealmId>,
    /// What changed.
    pub kind: ChangeKind,
    /// Certificate id, policy name or thing name; empty for a realm.
    pub id: &'a str,
    /// Why the certificate may not be used any more, where the change took its right away.
    pub lost: Option<Refusal>,
}

/// What the changes since a principal was made mean to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing that it uses has changed.
    Current,
    /// Something that it uses has changed: the control plane is to be asked.
    Stale,
    /// The certificate has lost its right, for this reason: there is nothing to ask.
    Lost(Refusal),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    epoch: Epoch,
    lost: Option<Refusal>,
}

#[derive(Debug, Default)]
struct Changes {
    last: HashMap<(Option<RealmId>, ChangeKind, Box<str>), Entry, RandomState>,
    /// Everything asked for before this is stale, whatever it uses.
    floor: Epoch,
}

/// The changes that were pushed, the latest of each name.
#[derive(Debug, Default)]
pub struct ChangeLog {
    changes: RwLock<Changes>,
    epoch: AtomicU64,
}

impl ChangeLog {
    /// The number of the latest change.
    pub fn epoch(&self) -> Epoch {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Write down changes that were committed together.
    pub fn record<'a>(&self, changes: impl Iterator<Item = Recorded<'a>>) {
        let mut log = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.epoch.load(Ordering::SeqCst) + 1;
        for Recorded { realm, kind, id, lost } in changes {
            if log.last.len() >= REMEMBERED_CHANGES {
                log.last.clear();
                log.floor = epoch;
            }
            let id = if kind == ChangeKind::Realm { "" } else { id };
            let entry = log.last.entry((realm, kind, id.into())).or_insert(Entry { epoch, lost: None });
            // Within one commit a change without a reason, such as a detached policy, does not give the right back.
            let before = entry.lost.filter(|_| entry.epoch == epoch);
            *entry = Entry { epoch, lost: lost.or(before) };
            if kind == ChangeKind::Certificate {
                // Without SNI the realm is part of the answer. The reason is that of one realm and is not kept here.
                log.last.insert((None, kind, id.into()), Entry { epoch, lost: None });
            }
        }
        // Published after the changes it stands for, and under the lock: a reader of the number finds them.
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    /// What the changes since this principal was made mean to it.
    pub fn standing(&self, principal: &Principal) -> Standing {
        let checked = principal.checked();
        if checked == self.epoch() {
            return Standing::Current;
        }
        let log = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let realm = Some(principal.realm.id);
        if let Some(lost) = log
            .after(checked, realm, ChangeKind::Certificate, &principal.certificate_id)
            .and_then(|entry| entry.lost)
        {
            return Standing::Lost(lost);
        }
        let is_stale = log.floor > checked
            || log.after(checked, realm, ChangeKind::Realm, "").is_some()
            || principal.uses().any(|(kind, id)| {
                let realm = if kind == ChangeKind::Certificate { principal.key().realm } else { realm };
                log.after(checked, realm, kind, id).is_some()
            });
        if is_stale {
            return Standing::Stale;
        }
        // The lock keeps the epoch where it is.
        principal.set_checked(self.epoch());
        Standing::Current
    }

    /// Has this certificate itself changed after `epoch`? For answers that make no principal.
    pub fn has_changed_since(&self, key: &Key, certificate_id: &str, epoch: Epoch) -> bool {
        let log = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        log.floor > epoch
            || log.after(epoch, key.realm, ChangeKind::Certificate, certificate_id).is_some()
            || log.after(epoch, key.realm, ChangeKind::Realm, "").is_some()
    }
}

impl Changes {
    fn after(&self, epoch: Epoch, realm: Option<RealmId>, kind: ChangeKind, id: &str) -> Option<Entry> {
        self.last.get(&(realm, kind, Box::from(id))).filter(|entry| entry.epoch > epoch).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::compiled_policies::CompiledPolicies;
    use crate::realm_name::RealmName;
    use crate::testing;

    fn made(log: &ChangeLog, with_sni: bool, certificate: u32) -> Principal {
        let identity = testing::identity_with_thing();
        let realm = RealmName::new(RealmId::at(3), &identity.account_id, &identity.region);
        let certificate_id = sekisho_certificate::certificate_id(&certificate.to_be_bytes());
        let key = Key::of_certificate(with_sni.then_some(realm.id), certificate_id);
        Principal::new(key, Arc::new(realm), None, &identity, log.epoch(), &CompiledPolicies::default())
            .unwrap()
    }

    fn change<'a>(principal: &Principal, kind: ChangeKind, id: &'a str) -> Recorded<'a> {
        Recorded { realm: Some(principal.realm.id), kind, id, lost: None }
    }

    #[test]
    fn a_change_of_what_a_principal_uses_makes_it_stale_and_no_other_does() {
        for (kind, id, standing) in [
            (ChangeKind::Policy, "own", Standing::Stale),
            (ChangeKind::Policy, "of-the-group", Standing::Stale),
            (ChangeKind::Policy, "another", Standing::Current),
            (ChangeKind::Thing, "pump", Standing::Stale),
            (ChangeKind::Thing, "own", Standing::Current),
            (ChangeKind::Realm, "", Standing::Stale),
        ] {
            let log = ChangeLog::default();
            let principal = made(&log, true, 1);
            log.record([change(&principal, kind, id)].into_iter());
            assert_eq!(log.standing(&principal), standing, "{kind:?} {id}");
        }
    }

    #[test]
    fn a_change_of_a_certificate_reaches_it_with_and_without_sni() {
        let log = ChangeLog::default();
        let (with_sni, without_sni, other) = (made(&log, true, 1), made(&log, false, 1), made(&log, true, 2));
        log.record([change(&with_sni, ChangeKind::Certificate, &with_sni.certificate_id)].into_iter());
        assert_eq!(log.standing(&with_sni), Standing::Stale);
        assert_eq!(log.standing(&without_sni), Standing::Stale);
        assert_eq!(log.standing(&other), Standing::Current);
    }

    #[test]
    fn a_lost_right_is_kept_with_its_reason_for_principals_of_its_realm_that_were_made_before() {
        let log = ChangeLog::default();
        let (with_sni, without_sni) = (made(&log, true, 1), made(&log, false, 1));
        let of_certificate =
            |lost| Recorded { lost, ..change(&with_sni, ChangeKind::Certificate, &with_sni.certificate_id) };
        let revoked = Refusal::DeviceCertificateRevoked;
        // One commit: the reason is not taken back by another change of the same certificate.
        log.record([of_certificate(Some(revoked)), of_certificate(None)].into_iter());
        assert_eq!(log.standing(&with_sni), Standing::Lost(revoked));
        assert_eq!(log.standing(&without_sni), Standing::Lost(revoked));
        assert_eq!(log.standing(&made(&log, true, 1)), Standing::Current, "the new answer stands");
        let elsewhere = Recorded { realm: Some(RealmId::at(4)), ..of_certificate(Some(revoked)) };
        let later = made(&log, false, 1);
        log.record([elsewhere].into_iter());
        assert_eq!(log.standing(&later), Standing::Stale, "another realm's right");
        // A later commit without a reason, such as an activation, is to be asked about.
        log.record([of_certificate(None)].into_iter());
        assert_eq!(log.standing(&with_sni), Standing::Stale);
    }

    #[test]
    fn a_principal_made_after_the_change_is_current() {
        let log = ChangeLog::default();
        let realm = Some(RealmId::at(3));
        log.record([Recorded { realm, kind: ChangeKind::Policy, id: "own", lost: None }].into_iter());
        assert_eq!(log.standing(&made(&log, true, 1)), Standing::Current);
    }

    #[test]
    fn more_changes_than_are_remembered_make_everything_stale() {
        let log = ChangeLog::default();
        let principal = made(&log, true, 1);
        for batch in 0..3 {
            let names: Vec<String> = (0..REMEMBERED_CHANGES / 2).map(|n| format!("{batch}-{n}")).collect();
            log.record(names.iter().map(|name| change(&principal, ChangeKind::Thing, name)));
        }
        assert_eq!(log.standing(&principal), Standing::Stale);
        assert!(log.changes.read().unwrap().last.len() <= REMEMBERED_CHANGES);
    }
}
