//! What identifies a connection.

use std::fmt;

use sekisho_certificate::CertificateId;

use crate::realm_name::RealmId;

/// What a client identified itself with.
///
/// Certificates are the only kind that the MQTT listener takes. WebSocket with SigV4 and custom authorizers, which have
/// no certificate, will be variants of this enumeration. They are not listed before a listener constructs them: a
/// variant without a constructor would be dead code in every match. Matches within this crate name every variant and
/// have no wildcard, so that a new variant does not compile until each of them handles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Credential {
    /// An X.509 client certificate whose key the client proved to hold in the TLS handshake.
    Certificate(CertificateId),
}

impl Credential {
    /// An evenly distributed number of the credential, to choose a shard by.
    pub fn spread(&self) -> usize {
        match self {
            // The id is a hash already.
            Credential::Certificate(id) => usize::from(id.as_bytes()[0]),
        }
    }
}

impl fmt::Display for Credential {
    /// The name that the broker, the control plane and reports know it by: of a certificate its id, lower-case hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Certificate(id) => id.fmt(f),
        }
    }
}

/// A credential as a client presented it to a realm. Without SNI the realm is not known until the control plane has
/// said which account holds the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The realm of the SNI; none without SNI.
    pub realm: Option<RealmId>,
    /// What was presented.
    pub credential: Credential,
}

impl Key {
    /// The key of a certificate.
    pub fn of_certificate(realm: Option<RealmId>, id: CertificateId) -> Self {
        Self { realm, credential: Credential::Certificate(id) }
    }
}
