//! Answers and changes of the control plane, applied to the connections that wait for them and to live ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sekisho_broker::DisconnectReason;

use crate::admitted::examine;
use crate::authority::ConnectionAuthority;
use crate::bridge::admissions::{Outcome, Urgency};
use crate::bridge::events::{AdmissionRequest, Owner};
use crate::change_log::{Recorded, Standing};
use crate::clock::Clock;
use crate::credential::Key;
use crate::handle::ConnectionHandle;
use crate::identity::{Answer, Change, ChangeKind};
use crate::network::Network;
use crate::principal::{Epoch, PrincipalError};
use crate::principals::Principals;
use crate::realm::Realm;
use crate::realms::Realms;
use crate::refusal::{Refusal, Refused};
use crate::reports::Reports;

/// Everything that an answer or a change of the control plane must reach.
#[derive(Debug)]
pub struct Reexamination {
    /// The realms with their live connections.
    pub realms: Arc<Realms>,
    /// The cache.
    pub principals: Arc<Principals>,
    /// To the control plane, and numbers.
    pub reports: Reports,
    /// For the control plane's answer about one certificate.
    pub timeout: Duration,
    /// Refuse certificates in SNI_ONLY mode where the client sends no SNI.
    pub require_sni: bool,
}

impl Reexamination {
    /// Catch up with what changed between a connection's admission and the moment from which
    /// [`invalidate`](Self::invalidate) finds it.
    pub fn settle(&self, realm: &Realm, handle: &Arc<ConnectionHandle>) {
        match self.principals.changes().standing(&handle.principal()) {
            Standing::Current => {}
            Standing::Lost(refusal) => self.close(realm, handle, &Refused::because(refusal)),
            Standing::Stale => self.reports.bridge.reexamine([request_about(handle)], Urgency::Urgent),
        }
    }

    /// Take the control plane's answers to admission requests. Unknown and late ones are ignored.
    pub fn complete(&self, answers: Vec<(u64, Answer)>) {
        let requests = self.reports.bridge.answer(answers.iter().map(|(id, _)| *id));
        for (answered, (id, answer)) in requests.into_iter().zip(answers) {
            let Some(answered) = answered else { continue };
            let request = &answered.request;
            let outcome = self.outcome(request, answer, answered.epoch);
            let changes = self.principals.changes();
            let is_stale = match &outcome {
                Ok(principal) => changes.standing(principal) != Standing::Current,
                // The attempt itself provisioned the certificate: the changes after the request are its own.
                Err(refused) if refused.refusal == Refusal::DeviceCertificateProvisioned => false,
                Err(_) => changes.has_changed_since(&request.key, &request.certificate_id, answered.epoch),
            };
            if is_stale {
                self.reports.bridge.ask_again(id);
                continue;
            }
            if let Ok(principal) = &outcome {
                self.principals.insert(principal.clone());
            }
            let Some(recipients) = self.reports.bridge.finish(id) else { continue };
            if recipients.live {
                self.apply(&request.key, &outcome);
            }
            for waiter in recipients.connecting {
                // A connection that gave up meanwhile has dropped its end.
                let _ = waiter.send(outcome.clone());
            }
        }
    }

    fn outcome(&self, request: &AdmissionRequest, answer: Answer, epoch: Epoch) -> Outcome {
        let identity = match answer {
            Answer::Registered(identity) => identity,
            Answer::Refused { reason, detail } => {
                return Err(match (Refusal::from_name(&reason), detail) {
                    (Some(refusal), None) => Refused::because(refusal),
                    (Some(refusal), Some(detail)) => Refused::with(refusal, detail),
                    (None, _) => Refused::with(
                        Refusal::ControlPlaneFailed,
                        format!("the control plane refused with {reason:?}, which the gateway does not know"),
                    ),
                });
            }
        };
        let realm = self.realms.get_or_create(&identity.account_id, &identity.region);
        if request.key.realm.is_some_and(|asked| asked != realm.name().id) {
            return Err(Refused::with(
                Refusal::ControlPlaneFailed,
                "the control plane answered with a certificate of another account or region than it was asked about",
            ));
        }
        let Some(leaf) = request.chain.first() else {
            return Err(Refused::because(Refusal::DeviceCertificateMissing));
        };
        let made = self.principals.make(request.key, realm.name().clone(), Some(leaf), &identity, epoch);
        made.map(Arc::new).map_err(|error| {
            let refusal = match error {
                PrincipalError::Policy(_) => Refusal::PolicyUnreadable,
                PrincipalError::Certificate(_) => Refusal::DeviceCertificateUnreadable,
                PrincipalError::Word { .. } => Refusal::ControlPlaneFailed,
            };
            Refused::with(refusal, error.to_string())
        })
    }

    /// Take what changed in the registry: principals that use it are stale. Live connections whose right is lost are
    /// closed at once, without the control plane; about the other ones that use it the control plane is asked.
    pub fn invalidate(&self, changes: &[Change]) {
        let located: Vec<_> = changes
            .iter()
            .map(|change| (self.realms.get(&change.account_id, &change.region), change))
            .collect();
        self.principals.changes().record(located.iter().map(|(realm, change)| Recorded {
            realm: realm.as_ref().map(|realm| realm.name().id),
            kind: change.kind,
            id: &change.id,
            lost: change.lost,
        }));
        let mut asked = HashSet::new();
        for (is_urgent, urgency) in [(true, Urgency::Urgent), (false, Urgency::Ordinary)] {
            let mut requests = Vec::new();
            for (realm, change) in &located {
                let Some(realm) = realm else { continue };
                if is_urgent == (change.kind == ChangeKind::Certificate) {
                    self.examine_live(realm, change, &mut asked, &mut requests);
                }
            }
            if !requests.is_empty() {
                self.reports.bridge.reexamine(requests, urgency);
            }
        }
    }

    fn examine_live(
        &self,
        realm: &Realm,
        change: &Change,
        asked: &mut HashSet<Key>,
        requests: &mut Vec<AdmissionRequest>,
    ) {
        let handles = realm.live().using(change.kind, &change.id);
        self.reports.metrics.connections_examined.add(handles.len() as u64);
        for handle in handles {
            match self.principals.changes().standing(&handle.principal()) {
                Standing::Current => {}
                Standing::Lost(refusal) => self.close(realm, &handle, &Refused::because(refusal)),
                Standing::Stale if asked.insert(handle.key()) => requests.push(request_about(&handle)),
                Standing::Stale => {}
            }
        }
    }

    /// Drop admission requests without an answer. Live connections that waited for one are closed: their certificate
    /// has changed, and it is not known whether they may go on.
    pub fn expire(&self) {
        for key in self.reports.bridge.expire(self.timeout, Instant::now()) {
            self.apply(&key, &Err(Refused::because(Refusal::ControlPlaneTimeout)));
        }
    }

    /// Bring the live connections of a certificate in line with the new answer about it.
    fn apply(&self, key: &Key, outcome: &Outcome) {
        let realms = key.realm.map_or_else(|| self.realms.all(), |realm| vec![self.realms.at(realm)]);
        let certificate_id = key.credential.to_string();
        for realm in realms {
            for handle in realm.live().using(ChangeKind::Certificate, &certificate_id) {
                if handle.key() != *key {
                    continue;
                }
                match self.apply_to(&realm, &handle, outcome) {
                    Err(refused) => self.close(&realm, &handle, &refused),
                    // A change that came while the answer was being worked on has joined its request, which is
                    // finished by now: it is caught up with here.
                    Ok(()) => self.settle(&realm, &handle),
                }
            }
        }
    }

    fn apply_to(
        &self,
        realm: &Realm,
        handle: &Arc<ConnectionHandle>,
        outcome: &Outcome,
    ) -> Result<(), Refused> {
        let principal = outcome.as_ref().map_err(Clone::clone)?;
        examine(principal, &handle.presented, self.require_sni, Clock::unix_seconds())?;
        if principal.realm.id != realm.name().id {
            return Err(Refused::because(Refusal::CertificateMovedAccount));
        }
        let Some(former) = handle.authority() else { return Ok(()) };
        let authority = Arc::new(ConnectionAuthority::new(
            principal,
            former.client_id().clone(),
            handle.presented.peer.ip(),
            handle.presented.sni.clone(),
        ));
        if !authority.allows_connect_of(&former) {
            return Err(Refused::because(Refusal::ConnectNotAuthorized));
        }
        realm.replace_authority(handle, principal.clone(), authority);
        realm.tell_of_connected(principal, former.client_id());
        Ok(())
    }

    /// Close a live connection that may not go on, and report it once.
    fn close(&self, realm: &Realm, handle: &Arc<ConnectionHandle>, refused: &Refused) {
        if !realm.live().remove(handle) {
            return;
        }
        let certificate_id = handle.principal().certificate_id.clone();
        let name = Some(realm.name());
        self.reports.connection_refused(name, &handle.presented, Some(certificate_id), refused);
        realm.disconnect(handle, DisconnectReason::AuthError);
    }
}

fn request_about(handle: &ConnectionHandle) -> AdmissionRequest {
    let principal = handle.principal();
    let client_id = handle.authority().map(|authority| authority.client_id().clone());
    AdmissionRequest {
        key: handle.key(),
        realm: handle.key().realm.map(|_| principal.realm.clone()),
        certificate_id: principal.certificate_id.clone(),
        chain: handle.presented.chain.clone(),
        client_id: client_id.unwrap_or_else(|| handle.presented.client_id.clone()),
        owner: Owner {
            account_id: Some(principal.realm.account_id.clone()),
            network: Network::of(handle.presented.peer.ip()),
        },
    }
}

#[cfg(test)]
mod tests {
    use sekisho_mqtt::Version;

    use super::*;
    use crate::bridge::events::Event;
    use crate::testing::{self, Plane};

    fn change(kind: ChangeKind, id: &str, lost: Option<Refusal>) -> Change {
        let identity = testing::identity();
        Change { account_id: identity.account_id, region: identity.region, kind, id: id.to_owned(), lost }
    }

    fn events(plane: &Plane) -> Vec<Event> {
        plane.bridge.next_batch(1000, Duration::ZERO, || plane.principals.changes().epoch())
    }

    #[test]
    fn a_live_connection_that_was_given_an_answer_out_of_date_is_asked_about_again() {
        let plane = Plane::new();
        let admitted = plane.admit(1, &testing::identity());
        let handle = plane.connect(&admitted, "c", Version::V311);
        // Its answer was found current; before it is applied, the certificate changes, which joins the request.
        let answer = plane.admit(1, &testing::identity()).principal().clone();
        plane.principals.changes().record(
            [Recorded {
                realm: Some(answer.realm.id),
                kind: ChangeKind::Certificate,
                id: &answer.certificate_id,
                lost: None,
            }]
            .into_iter(),
        );
        plane.reexamination.apply(&handle.key(), &Ok(answer));
        let events = events(&plane);
        assert!(matches!(events[..], [Event::Admit { reexamination: true, .. }]), "{events:?}");
    }

    #[test]
    fn a_right_lost_before_the_connection_could_be_found_closes_it_when_it_settles() {
        let plane = Plane::new();
        let admitted = plane.admit(1, &testing::identity());
        let certificate_id = admitted.principal().certificate_id.clone();
        plane.reexamination.invalidate(&[change(
            ChangeKind::Certificate,
            &certificate_id,
            Some(Refusal::DeviceCertificateRevoked),
        )]);
        let handle = plane.connect(&admitted, "c", Version::V311);
        plane.reexamination.settle(&plane.realm(), &handle);
        let events = events(&plane);
        let [Event::Refused(refused)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(refused.reason, "DEVICE_CERTIFICATE_REVOKED");
        assert_eq!(plane.realm().counters().1, 0);
    }

    #[test]
    fn a_lost_right_closes_its_connections_once_and_asks_nothing() {
        let plane = Plane::new();
        let [lost, other] = [1, 2].map(|number| plane.admit(number, &testing::identity()));
        for (admitted, client_id) in [(&lost, "first"), (&lost, "second"), (&other, "other")] {
            plane.connect(admitted, client_id, Version::V311);
        }
        let certificate_id = &lost.principal().certificate_id;
        for refusal in [Refusal::DeviceCertificateRevoked, Refusal::CertificateNotRegistered] {
            let lost = change(ChangeKind::Certificate, certificate_id, Some(refusal));
            // Its policy was detached in the same commit.
            plane.reexamination.invalidate(&[lost, change(ChangeKind::Certificate, certificate_id, None)]);
        }
        let events = events(&plane);
        let reasons: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Refused(refused) => refused.reason,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reasons, ["DEVICE_CERTIFICATE_REVOKED"; 2]);
        assert_eq!(plane.realm().counters().1, 1);
    }

    #[test]
    fn a_changed_policy_examines_the_connections_that_use_it_and_no_other() {
        let plane = Plane::new();
        for number in 0..20_000 {
            let name = if number < 5 { "changed" } else { "other" };
            let identity =
                crate::identity::Identity { policies: vec![testing::policy(name)], ..testing::identity() };
            plane.connect(&plane.admit(number, &identity), &format!("c{number}"), Version::V311);
        }
        plane.reexamination.invalidate(&[change(ChangeKind::Policy, "changed", None)]);
        assert_eq!(plane.metrics.connections_examined.get(), 5);
        let events = events(&plane);
        assert_eq!(events.len(), 5);
        assert!(events.iter().all(|event| matches!(event, Event::Admit { reexamination: true, .. })));
    }
}
