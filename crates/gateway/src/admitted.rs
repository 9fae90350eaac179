//! What a client presented, and the proof that it was examined.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::principal::{Principal, Status};
use crate::refusal::{Refusal, Refused};

/// What a client presented: proven in the handshake, not yet judged.
#[derive(Debug)]
pub struct Presented {
    /// Leaf first, as sent.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The name the client asked for; none where it sent no SNI or an IP address.
    pub sni: Option<Arc<str>>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// From its CONNECT; empty where it leaves the choice to the server.
    pub client_id: Arc<str>,
}

impl Presented {
    /// What is known of a peer before its handshake.
    pub fn nothing(peer: SocketAddr) -> Self {
        Self { chain: Arc::new([]), sni: None, peer, client_id: "".into() }
    }
}

/// A principal that may connect. Made by [`examine`](Self::examine) alone; a connection cannot be made without one.
#[derive(Debug)]
pub struct Admitted(Arc<Principal>);

impl Admitted {
    /// Admit a principal with what its client presented. `now` is Unix seconds.
    ///
    /// # Errors
    /// [`Refused`], as [`examine`].
    pub fn examine(
        principal: Arc<Principal>,
        presented: &Presented,
        require_sni: bool,
        now: i64,
    ) -> Result<Self, Refused> {
        examine(&principal, presented, require_sni, now).map(|()| Self(principal))
    }

    /// Its principal.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.0
    }
}

/// May this principal connect with what its client presented, at this time (Unix seconds)?
///
/// The issuer plays no part for a registered certificate, be its CA inactive or gone (Developer Guide,
/// manage-your-CA-certs). Validity is judged at each connect; AWS IoT does not end a connection at `notAfter`.
///
/// # Errors
/// [`Refused`], with the reason.
pub fn examine(
    principal: &Principal,
    presented: &Presented,
    require_sni: bool,
    now: i64,
) -> Result<(), Refused> {
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
    if principal.sni_only && require_sni && presented.sni.is_none() {
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
