//! Where refusals and numbers go.

use std::sync::Arc;

use sekisho_broker::Operation;

use crate::admitted::Presented;
use crate::bridge::Bridge;
use crate::bridge::events::RefusedEvent;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::realm_name::RealmName;
use crate::refusal::Refused;

/// Counts refusals and tells the control plane of them.
#[derive(Debug, Clone)]
pub struct Reports {
    /// To the control plane.
    pub bridge: Arc<Bridge>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

impl Reports {
    /// Count the refusal of a connection and tell the control plane. Without `certificate_id` it is that of the chain.
    pub fn connection_refused(
        &self,
        realm: Option<&Arc<RealmName>>,
        presented: &Presented,
        certificate_id: Option<Arc<str>>,
        refused: &Refused,
    ) {
        self.metrics.refused(refused.refusal);
        let of_chain = || {
            let leaf = presented.chain.first()?;
            Some(sekisho_certificate::certificate_id(leaf).to_string().into())
        };
        let event = RefusedEvent {
            time: Clock::unix_time(),
            realm: realm.cloned(),
            certificate_id: certificate_id.or_else(of_chain),
            client_id: Some(presented.client_id.clone()).filter(|client_id| !client_id.is_empty()),
            peer: presented.peer.to_string(),
            sni: presented.sni.clone(),
            reason: refused.refusal.name(),
            detail: refused.detail.clone(),
            operation: Operation::Connect.as_str(),
        };
        self.bridge.refused(event, presented.peer.ip());
    }
}
