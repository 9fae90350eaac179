//! Take any client certificate, demand proof of its key.
//!
//! The stock verifiers cannot do this: they want a trust anchor, and they refuse X.509 v1 outright, which is what
//! `openssl x509 -req` of OpenSSL 3.0 makes. So possession is verified over the bare SubjectPublicKeyInfo.

use std::fmt;

use aws_lc_rs::signature::{
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs as provider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use sekisho_certificate::{CertificateId, KeyKind, client_key_problem};

use crate::refusal::Refusal;

/// `rsa_pss_pss_sha256`, `…384` and `…512` of RFC 8446 section 4.2.3: keys whose OID is id-RSASSA-PSS. rustls has no
/// names for them.
const RSA_PSS_KEYS: [(SignatureScheme, &RsaParameters); 3] = [
    (SignatureScheme::Unknown(0x0809), &RSA_PSS_2048_8192_SHA256),
    (SignatureScheme::Unknown(0x080a), &RSA_PSS_2048_8192_SHA384),
    (SignatureScheme::Unknown(0x080b), &RSA_PSS_2048_8192_SHA512),
];

/// What the CertificateRequest offers, cheapest first. Ed25519 is offered although AWS IoT does not take it: a client
/// that finds no scheme for its key sends no certificate at all, and could not be told why it is refused.
const SCHEMES: [SignatureScheme; 13] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    RSA_PSS_KEYS[0].0,
    RSA_PSS_KEYS[1].0,
    RSA_PSS_KEYS[2].0,
    SignatureScheme::ED25519,
];

/// Why a certificate was refused inside the handshake; travels through rustls as its "other error".
#[derive(Debug)]
pub struct RefusedCertificate {
    /// The reason, for the log and the client's operator.
    pub refusal: Refusal,
    /// SHA-256 of the leaf.
    pub certificate_id: CertificateId,
    /// What was wrong, in a sentence.
    pub detail: String,
}

impl fmt::Display for RefusedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal.name(), self.detail)
    }
}

impl std::error::Error for RefusedCertificate {}

impl RefusedCertificate {
    fn error(refusal: Refusal, der: &[u8], detail: String) -> Error {
        let refused =
            RefusedCertificate { refusal, certificate_id: sekisho_certificate::certificate_id(der), detail };
        Error::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(refused))))
    }
}

/// Accepts every certificate that can be read and whose key AWS IoT takes, once the client has signed the handshake with its key.
/// It decides nothing about trust: rustls does not call it for a resumed session.
#[derive(Debug)]
pub struct ProofOfPossession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ProofOfPossession {
    /// A verifier over the algorithms of aws-lc-rs.
    pub fn new() -> Self {
        Self { algorithms: provider::default_provider().signature_verification_algorithms }
    }
}

impl Default for ProofOfPossession {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientCertVerifier for ProofOfPossession {
    /// None: clients then choose freely what to send, as with AWS IoT. A list would break clients that match it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let key = sekisho_certificate::public_key(end_entity).map_err(|error| {
            let detail = format!("the certificate cannot be read: {error}");
            RefusedCertificate::error(Refusal::DeviceCertificateUnreadable, end_entity, detail)
        })?;
        // The control plane asks the same function before it registers a certificate.
        match client_key_problem(&key) {
            None => Ok(ClientCertVerified::assertion()),
            Some(problem) => Err(RefusedCertificate::error(
                Refusal::DeviceCertificateKeyUnsupported,
                end_entity,
                format!("the certificate has {problem}"),
            )),
        }
    }

    /// A TLS 1.2 scheme names the hash but not the curve, so every algorithm of the scheme is tried against the
    /// key's own algorithm identifier (RFC 5246 section 7.4.8, RFC 8422 section 5.8).
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = sekisho_certificate::public_key(cert)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let algorithm = key.kind.canonical_algorithm();
        let (_, candidates) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        candidates
            .iter()
            .find(|candidate| Some(candidate.public_key_alg_id().as_ref()) == algorithm)
            .and_then(|algorithm| algorithm.verify_signature(key.key_bits, message, dss.signature()).ok())
            .map(|()| HandshakeSignatureValid::assertion())
            .ok_or(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = sekisho_certificate::public_key(cert)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if let Some((_, parameters)) = RSA_PSS_KEYS.iter().find(|(scheme, _)| *scheme == dss.scheme) {
            // These schemes are for keys of that OID and no others (RFC 8446 section 4.2.3).
            if !matches!(key.kind, KeyKind::RsaPss { .. }) {
                return Err(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
            }
            return UnparsedPublicKey::new(*parameters, key.key_bits)
                .verify(message, dss.signature())
                .map(|()| HandshakeSignatureValid::assertion())
                .map_err(|_| Error::InvalidCertificate(CertificateError::BadSignature));
        }
        let spki = key.canonical();
        let spki = SubjectPublicKeyInfoDer::from(&*spki);
        verify_tls13_signature_with_raw_key(message, &spki, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
