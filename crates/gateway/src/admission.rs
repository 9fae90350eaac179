//! The checkpoint: what was presented becomes admitted or refused.
//!
//! The handshake proves possession of a key. Here, at CONNECT, it is decided whether that certificate may speak at
//! this endpoint, by the table that AWS IoT's documentation implies. It runs for every connection, also where TLS
//! resumed a session, and it is the only maker of [`Admitted`], without which no connection can be built.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use sekisho_broker::{DisconnectReason, Operation};

use crate::authority::ConnectionAuthority;
use crate::bridge::{Bridge, Event, Network, Owner, Question, RefusedEvent, Urgency};
use crate::clock::Clock;
use crate::identity::{Answer, Change, ChangeKind, Identity};
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::principals::{Epoch, Key, Principal, Principals, Status};
use crate::realm::{Realm, Realms};
use crate::refusal::Refusal;

/// What a client showed, proven but not judged.
#[derive(Debug)]
pub struct Presented {
    /// Leaf first, as sent.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The name the client asked for; none where it sent no SNI or an IP address.
    pub sni: Option<Arc<str>>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// From its CONNECT; empty where it leaves the choice to us.
    pub client_id: Arc<str>,
}

/// A refusal with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// A sentence for an operator.
    pub detail: String,
}

impl Refused {
    /// With the reason's own sentence.
    pub fn because(refusal: Refusal) -> Self {
        Self { refusal, detail: refusal.sentence().to_owned() }
    }

    /// With more to say than the reason's own sentence.
    pub fn with(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into() }
    }
}

/// A certificate that may speak. Made by [`Admission::admit`] and by nothing else.
#[derive(Debug)]
pub struct Admitted {
    key: Key,
    principal: Arc<Principal>,
}

impl Admitted {
    /// Under what it is known.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Somebody who may do everything, for the tests of what comes after.
    #[cfg(test)]
    pub(crate) fn for_test() -> (Self, Presented) {
        let principal =
            Admission::principal_of(&Identity::for_test(), None).expect("the identity for tests is sound");
        Self::of(Arc::new(principal))
    }

    #[cfg(test)]
    fn of(principal: Arc<Principal>) -> (Self, Presented) {
        let key = Key {
            realm: Some(principal.realm.id()),
            certificate_id: sekisho_certificate::certificate_id(b""),
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
        (Self { key, principal }, Presented { chain: Arc::new([]), sni: None, peer, client_id: "c".into() })
    }

    /// Who it is.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }
}

/// Everything admission needs to decide, and everything that a change must reach.
#[derive(Debug)]
pub struct Admission {
    realms: Arc<Realms>,
    principals: Principals,
    bridge: Arc<Bridge>,
    metrics: Arc<Metrics>,
    timeout: Duration,
    require_sni: bool,
}

impl Admission {
    /// A checkpoint with an empty cache for `capacity` certificates.
    pub fn new(
        realms: Arc<Realms>,
        bridge: Arc<Bridge>,
        metrics: Arc<Metrics>,
        capacity: usize,
        timeout: Duration,
        require_sni: bool,
    ) -> Self {
        Self { realms, principals: Principals::new(capacity), bridge, metrics, timeout, require_sni }
    }

    /// The cache.
    pub fn principals(&self) -> &Principals {
        &self.principals
    }

    /// Decide about what a client presented with its CONNECT.
    ///
    /// # Errors
    /// [`Refused`], with the reason.
    pub async fn admit(&self, presented: &Presented) -> Result<Admitted, Refused> {
        let realm = match &presented.sni {
            None => None,
            Some(name) => Some(self.realms.of_endpoint(name).ok_or_else(|| {
                Refused::with(
                    Refusal::SniMisused,
                    format!("{name:?} is no endpoint of any account here; use the name that describe-endpoint returns"),
                )
            })?),
        };
        let Some(leaf) = presented.chain.first() else {
            return Err(Refused::because(Refusal::DeviceCertificateMissing));
        };
        let certificate_id = sekisho_certificate::certificate_id(leaf);
        let key = Key { realm: realm.as_ref().map(|realm| realm.id()), certificate_id };
        let principal = match self.principals.get(&key) {
            Some(principal) => principal,
            None => self.ask(key, realm.as_deref(), presented).await?,
        };
        examine(&principal, self.has_chosen(presented), Clock::unix_seconds())?;
        Ok(Admitted { key, principal })
    }

    /// May a certificate in SNI_ONLY mode connect at the name that the client asked for, if any?
    fn has_chosen(&self, presented: &Presented) -> bool {
        presented.sni.is_some() || !self.require_sni
    }

    async fn ask(
        &self,
        key: Key,
        realm: Option<&Realm>,
        presented: &Presented,
    ) -> Result<Arc<Principal>, Refused> {
        let question = || Question {
            key,
            realm: realm.map(|realm| (realm.account_id().clone(), realm.region().clone())),
            certificate_id: key.certificate_id.to_string().into(),
            chain: presented.chain.clone(),
            client_id: presented.client_id.clone(),
            owner: Owner {
                account_id: realm.map(|realm| realm.account_id().clone()),
                network: Network::of(presented.peer.ip()),
            },
        };
        let Some(answer) = self.bridge.ask(question, &key, &presented.chain) else {
            return Err(Refused::because(Refusal::AdmissionQueueFull));
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            // The sender is dropped when the ticket expires or the gateway stops.
            Ok(Err(_)) | Err(_) => Err(Refused::because(Refusal::ControlPlaneTimeout)),
        }
    }

    /// To be called once a connection is where [`invalidate`](Self::invalidate) can find it: what changed between
    /// its admission and that moment is caught up with here.
    pub fn settle(&self, outlet: &Arc<Outlet>) {
        if !self.principals.is_current(&outlet.principal()) {
            self.bridge.reexamine([question_about(outlet)], Urgency::Urgent);
        }
    }

    /// Up to `limit` events for the control plane, waiting at most `timeout` for the first.
    pub fn next_batch(&self, limit: usize, timeout: Duration) -> Vec<Event> {
        self.bridge.next_batch(limit, timeout, || self.principals.epoch())
    }

    /// The control plane's answers to tickets. Unknown and late tickets are ignored.
    pub fn complete(&self, answers: Vec<(u64, Answer)>) {
        let taken = self.bridge.answering(answers.iter().map(|(ticket, _)| *ticket));
        for (taken, (ticket, answer)) in taken.into_iter().zip(answers) {
            let Some(taken) = taken else { continue };
            let outcome = self.outcome(&taken.question, answer, taken.epoch);
            let is_stale = match &outcome {
                Ok(principal) => !self.principals.is_current(principal),
                // The attempt has done its work, whose changes are those that come after the question.
                Err(refused) if refused.refusal == Refusal::DeviceCertificateProvisioned => false,
                Err(_) => {
                    let question = &taken.question;
                    self.principals.has_changed_since(&question.key, &question.certificate_id, taken.epoch)
                }
            };
            if is_stale {
                self.bridge.ask_again(ticket);
                continue;
            }
            if let Ok(principal) = &outcome {
                self.principals.insert(principal.clone());
            }
            let Some(audience) = self.bridge.close_ticket(ticket) else { continue };
            if audience.reexamination {
                self.apply(&taken.question.key, &outcome);
            }
            for waiter in audience.waiters {
                // A connection that gave up meanwhile has dropped its end.
                let _ = waiter.send(outcome.clone());
            }
        }
    }

    fn outcome(&self, question: &Question, answer: Answer, epoch: Epoch) -> Result<Arc<Principal>, Refused> {
        let identity = match answer {
            Answer::Registered(identity) => identity,
            Answer::Refused(reason) => {
                let (name, detail) = reason.split_once(": ").unwrap_or((&reason, ""));
                return Err(match Refusal::from_name(name) {
                    Some(refusal) if detail.is_empty() => Refused::because(refusal),
                    Some(refusal) => Refused::with(refusal, detail),
                    None => Refused::with(
                        Refusal::ControlPlaneFailed,
                        format!(
                            "the control plane refused with {reason:?}, which is no reason the gateway knows"
                        ),
                    ),
                });
            }
        };
        let realm = self.realms.get_or_create(&identity.account_id, &identity.region);
        if question.key.realm.is_some_and(|asked| asked != realm.id()) {
            return Err(Refused::with(
                Refusal::ControlPlaneFailed,
                "the control plane answered with a certificate of another account or region than it was asked about",
            ));
        }
        let Some(leaf) = question.chain.first() else {
            return Err(Refused::because(Refusal::DeviceCertificateMissing));
        };
        self.principals.make(question.key, realm, leaf, &identity, epoch).map(Arc::new).map_err(|error| {
            let refusal = match error {
                crate::principals::PrincipalError::Policy { .. } => Refusal::PolicyUnreadable,
                crate::principals::PrincipalError::Certificate(_) => Refusal::DeviceCertificateUnreadable,
                crate::principals::PrincipalError::Word { .. } => Refusal::ControlPlaneFailed,
            };
            Refused::with(refusal, error.to_string())
        })
    }

    /// What changed in the registry: forget it, and examine the live connections that rest on it.
    pub fn invalidate(&self, changes: &[Change]) {
        let located: Vec<_> = changes
            .iter()
            .map(|change| {
                (self.realms.get(&change.account_id, &change.region), change.kind, change.id.as_str())
            })
            .collect();
        self.principals.changed(located.iter().map(|(realm, kind, id)| {
            let id = if *kind == ChangeKind::Realm { "" } else { id };
            (realm.as_ref().map(|realm| realm.id()), *kind, id)
        }));
        let (mut of_certificates, mut others) = (Vec::new(), Vec::new());
        let mut asked = HashSet::new();
        let mut examine = |outlet: &Arc<Outlet>, questions: &mut Vec<Question>| {
            if !self.principals.is_current(&outlet.principal()) && asked.insert(outlet.key()) {
                questions.push(question_about(outlet));
            }
        };
        let (certificates, rest): (Vec<_>, Vec<_>) =
            located.iter().partition(|(_, kind, _)| *kind == ChangeKind::Certificate);
        for (realm, _, id) in certificates {
            let Some(realm) = realm else { continue };
            realm.live().of_certificate(id).iter().for_each(|outlet| examine(outlet, &mut of_certificates));
        }
        // One sweep finds everything of this batch, whatever it rests on.
        let swept: HashMap<_, _> =
            rest.iter().filter_map(|(realm, ..)| realm.as_ref().map(|realm| (realm.id(), realm))).collect();
        for realm in swept.into_values() {
            realm.live().all().iter().for_each(|outlet| examine(outlet, &mut others));
        }
        for (questions, urgency) in [(of_certificates, Urgency::Urgent), (others, Urgency::Ordinary)] {
            if !questions.is_empty() {
                self.bridge.reexamine(questions, urgency);
            }
        }
    }

    /// Give up tickets without an answer; live connections that waited for one are closed, since nobody vouches for
    /// them any more.
    pub fn expire(&self) {
        for key in self.bridge.expire(self.timeout, Instant::now()) {
            self.apply(&key, &Err(Refused::because(Refusal::ControlPlaneTimeout)));
        }
    }

    /// Bring the live connections of a certificate in line with the new answer about it.
    fn apply(&self, key: &Key, outcome: &Result<Arc<Principal>, Refused>) {
        for realm in self.realms.all() {
            let certificate_id = key.certificate_id.to_string();
            for outlet in realm.live().of_certificate(&certificate_id) {
                if outlet.key() != *key {
                    continue;
                }
                if let Err(refused) = self.apply_to(&realm, &outlet, outcome) {
                    self.report(Some(&realm), &outlet.presented, Some(&certificate_id), &refused);
                    realm.disconnect(&outlet, DisconnectReason::AuthError);
                    continue;
                }
                // A change that came while the answer was being worked on has joined its ticket, which is closed by
                // now: nobody else would ask about it.
                if outcome.as_ref().is_ok_and(|principal| !self.principals.is_current(principal)) {
                    self.bridge.reexamine([question_about(&outlet)], Urgency::Urgent);
                }
            }
        }
    }

    fn apply_to(
        &self,
        realm: &Arc<Realm>,
        outlet: &Outlet,
        outcome: &Result<Arc<Principal>, Refused>,
    ) -> Result<(), Refused> {
        let principal = outcome.as_ref().map_err(Clone::clone)?;
        examine(principal, self.has_chosen(&outlet.presented), Clock::unix_seconds())?;
        if principal.realm.id() != realm.id() {
            return Err(Refused::because(Refusal::CertificateMovedAccount));
        }
        let Some(former) = outlet.authority() else { return Ok(()) };
        let authority = Arc::new(ConnectionAuthority::new(
            principal,
            former.client_id().clone(),
            outlet.presented.peer.ip(),
            outlet.presented.sni.clone(),
        ));
        if !authority.allows_connect_of(&former) {
            return Err(Refused::because(Refusal::ConnectNotAuthorized));
        }
        realm.replace_authority(outlet, principal.clone(), authority);
        realm.tell_of_connected(principal, &former.client_id().clone());
        Ok(())
    }

    /// Count a refusal and tell the control plane.
    pub fn report(
        &self,
        realm: Option<&Realm>,
        presented: &Presented,
        certificate_id: Option<&str>,
        refused: &Refused,
    ) {
        self.metrics.refused(refused.refusal);
        let event = RefusedEvent {
            time: Clock::unix_time(),
            realm: realm.map(|realm| (realm.account_id().clone(), realm.region().clone())),
            certificate_id: certificate_id.map(Arc::from).or_else(|| {
                presented
                    .chain
                    .first()
                    .map(|leaf| sekisho_certificate::certificate_id(leaf).to_string().into())
            }),
            client_id: Some(presented.client_id.clone()).filter(|client_id| !client_id.is_empty()),
            peer: presented.peer.to_string(),
            sni: presented.sni.clone(),
            reason: refused.refusal.name(),
            detail: refused.detail.clone(),
            operation: Operation::Connect.as_str(),
        };
        self.bridge.refused(event, presented.peer.ip());
    }

    /// Tell the control plane of failed attempts to accept a connection.
    pub fn report_accept_failures(&self, cause: String, count: u64) {
        self.bridge.accept_failed(cause, count);
    }

    /// The realm of an endpoint, for reports.
    pub fn realm_of(&self, sni: Option<&str>) -> Option<Arc<Realm>> {
        sni.and_then(|name| self.realms.of_endpoint(name))
    }

    /// For requests that come with no connection, such as TestAuthorization: the principal of plain data.
    ///
    /// # Errors
    /// As [`Principals::make`].
    pub fn principal_of(
        identity: &Identity,
        leaf: Option<&[u8]>,
    ) -> Result<Principal, crate::principals::PrincipalError> {
        let principals = Principals::new(1);
        let realm = Realm::detached(&identity.account_id, &identity.region);
        principals.make_unpresented(realm, leaf, identity)
    }
}

/// May a certificate of this standing connect, with or without SNI, at this time?
///
/// The issuer plays no part for a registered certificate, be its CA inactive or gone (Developer Guide,
/// manage-your-CA-certs). Validity is judged anew at each connect; AWS IoT does not end a connection at `notAfter`.
///
/// # Errors
/// [`Refused`], with the reason.
pub fn examine(principal: &Principal, has_sni: bool, now: i64) -> Result<(), Refused> {
    let refusal = match principal.status {
        Status::Active => None,
        Status::Inactive => Some(Refusal::DeviceCertificateInactive),
        Status::Revoked => Some(Refusal::DeviceCertificateRevoked),
        Status::PendingTransfer => Some(Refusal::DeviceCertificatePendingTransfer),
        Status::PendingActivation => Some(Refusal::DeviceCertificatePendingActivation),
    };
    if let Some(refusal) = refusal {
        return Err(Refused::because(refusal));
    }
    if principal.sni_only && !has_sni {
        return Err(Refused::because(Refusal::CertificateIsSniOnlyAndNoSni));
    }
    if now < principal.not_before {
        return Err(Refused::with(
            Refusal::DeviceCertificateNotYetValid,
            format!("the certificate is valid from {} Unix time, and it is {now}", principal.not_before),
        ));
    }
    if now > principal.not_after {
        return Err(Refused::with(
            Refusal::DeviceCertificateExpired,
            format!("the certificate was valid until {} Unix time, and it is {now}", principal.not_after),
        ));
    }
    Ok(())
}

fn question_about(outlet: &Outlet) -> Question {
    let principal = outlet.principal();
    let realm =
        outlet.key().realm.map(|_| (principal.realm.account_id().clone(), principal.realm.region().clone()));
    Question {
        key: outlet.key(),
        realm,
        certificate_id: principal.certificate_id.clone(),
        chain: outlet.presented.chain.clone(),
        client_id: outlet
            .authority()
            .map_or_else(|| outlet.presented.client_id.clone(), |a| a.client_id().clone()),
        owner: Owner {
            account_id: Some(principal.realm.account_id().clone()),
            network: Network::of(outlet.presented.peer.ip()),
        },
    }
}

#[cfg(test)]
mod tests {
    use sekisho_broker::{Budget, BudgetLimits, Limits};
    use sekisho_mqtt::{Connect, ConnectProperties, Utf8, Version};

    use super::*;
    use crate::realm::Reports;

    fn connect() -> Connect {
        Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 60,
            client_id: Utf8::try_from("c").unwrap(),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        }
    }

    #[test]
    fn a_live_connection_that_was_given_an_answer_out_of_date_is_asked_about_again() {
        let (bridge, metrics) = (Arc::new(Bridge::new(10)), Arc::<Metrics>::default());
        let reports = Reports { bridge: bridge.clone(), metrics: metrics.clone(), clock: Clock::system() };
        let realms = Arc::new(Realms::new(
            Limits::default(),
            Budget::new(&BudgetLimits::default()),
            Vec::new(),
            reports,
            Box::new(|_| {}),
        ));
        let admission = Admission::new(realms.clone(), bridge, metrics, 16, Duration::from_secs(5), true);
        let identity = Identity::for_test();
        let realm = realms.get_or_create(&identity.account_id, &identity.region);
        let principal =
            || Arc::new(admission.principals.make_unpresented(realm.clone(), None, &identity).unwrap());
        let (admitted, presented) = Admitted::of(principal());
        let outlet = Arc::new(Outlet::new(&admitted, presented));
        realm.connect(&admitted, &outlet, connect());
        realm.live().add(&outlet);
        // Its answer was found good; before it is applied, the certificate changes, which joins the ticket.
        let answer = principal();
        admission
            .principals
            .changed([(Some(realm.id()), ChangeKind::Certificate, &*answer.certificate_id)].into_iter());
        admission.apply(&admitted.key(), &Ok(answer));
        let events = admission.next_batch(10, Duration::ZERO);
        assert!(matches!(events[..], [Event::Admit { reexamination: true, .. }]), "{events:?}");
    }
}
