//! Admission: what a client presented becomes admitted or refused.
//!
//! The handshake proves possession of a key. Here, at CONNECT, it is decided whether that certificate may connect to
//! this endpoint, by the table that AWS IoT's documentation implies. It runs for every connection, also where TLS
//! resumed a session.

use std::sync::Arc;
use std::time::Duration;

use crate::admitted::{Admitted, Presented};
use crate::bridge::Bridge;
use crate::bridge::events::{AdmissionRequest, Owner};
use crate::clock::Clock;
use crate::credential::Key;
use crate::network::Network;
use crate::principal::Principal;
use crate::principals::Principals;
use crate::realm::Realm;
use crate::realm_name::RealmName;
use crate::realms::Realms;
use crate::refusal::{Refusal, Refused};

/// Everything that admission needs to decide.
#[derive(Debug)]
pub struct Admission {
    /// The realms, by endpoint and by number.
    pub realms: Arc<Realms>,
    /// The cache.
    pub principals: Arc<Principals>,
    /// To ask the control plane.
    pub bridge: Arc<Bridge>,
    /// For the control plane's answer about one certificate.
    pub timeout: Duration,
    /// Refuse certificates in SNI_ONLY mode where the client sends no SNI.
    pub require_sni: bool,
}

impl Admission {
    /// Decide about what a client presented with its CONNECT: the realm it connects to, and the proof that it may.
    ///
    /// # Errors
    /// [`Refused`], with the reason.
    pub async fn admit(&self, presented: &Presented) -> Result<(Arc<Realm>, Admitted), Refused> {
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
        let key = Key::of_certificate(realm.as_ref().map(|realm| realm.name().id), certificate_id);
        let principal = match self.principals.get(&key) {
            Some(principal) => principal,
            None => self.ask(key, realm.as_ref().map(|realm| realm.name()), presented).await?,
        };
        let realm = self.realms.at(principal.realm.id);
        let admitted = Admitted::examine(principal, presented, self.require_sni, Clock::unix_seconds())?;
        Ok((realm, admitted))
    }

    async fn ask(
        &self,
        key: Key,
        realm: Option<&Arc<RealmName>>,
        presented: &Presented,
    ) -> Result<Arc<Principal>, Refused> {
        let request = || AdmissionRequest {
            key,
            realm: realm.cloned(),
            certificate_id: key.credential.to_string().into(),
            chain: presented.chain.clone(),
            client_id: presented.client_id.clone(),
            owner: Owner {
                account_id: realm.map(|realm| realm.account_id.clone()),
                network: Network::of(presented.peer.ip()),
            },
        };
        let Some(answer) = self.bridge.ask(request, &key, &presented.chain) else {
            return Err(Refused::because(Refusal::AdmissionQueueFull));
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            // The sender is dropped when the request expires or the gateway stops.
            Ok(Err(_)) | Err(_) => Err(Refused::because(Refusal::ControlPlaneTimeout)),
        }
    }
}
