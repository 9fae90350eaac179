//! TLS 1.3 as a device uses it, at as little cost to the load as a fair comparison allows.
//!
//! Every connection is a full handshake: no resumption. One cipher suite and one group are offered, so that both servers
//! do the same cryptography.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Error;
use crate::job::{Device, ServerKey};

/// Makes the TLS configuration of each device.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    verifier: Arc<Remembering>,
}

impl Tls {
    /// Makes it for a root file: `root_ca`, PEM.
    pub fn new(root_ca: &Path, server_key: ServerKey) -> Result<Tls, Error> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![kx_group::X25519],
            ..aws_lc_rs::default_provider()
        });
        let mut roots = RootCertStore::empty();
        for certificate in certificates(root_ca)? {
            roots.add(certificate)?;
        }
        let web_pki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| unusable(root_ca, error))?;
        let verifier = Arc::new(Remembering {
            web_pki,
            algorithms: provider.signature_verification_algorithms,
            server_key,
            leaf: OnceLock::new(),
        });
        Ok(Tls { provider, verifier })
    }

    /// Returns the TLS configuration of `device`.
    pub fn of(&self, device: &Device) -> Result<Arc<ClientConfig>, Error> {
        let chain = certificates(&device.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&device.key).map_err(|error| unusable(&device.key, error))?;
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier.clone())
            .with_client_auth_cert(chain, key)?;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| unusable(path, error))?;
    if certificates.is_empty() {
        Err(unusable(path, "there is no certificate in it"))
    } else {
        Ok(certificates)
    }
}

fn unusable(path: &Path, what: impl ToString) -> Error {
    Error::File { path: path.to_owned(), what: what.to_string() }
}

/// Verifies the server's chain at the first connection and caches its leaf: the load would use more CPU for verifying
/// chains than some servers for a whole handshake. The handshake's signature is verified every time.
#[derive(Debug)]
struct Remembering {
    web_pki: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
    server_key: ServerKey,
    leaf: OnceLock<CertificateDer<'static>>,
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.leaf.get().is_some_and(|leaf| leaf == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.web_pki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        // The first leaf stays cached; another one is verified each time.
        let _ = self.leaf.set(end_entity.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self.server_key {
            ServerKey::Ecdsa => vec![SignatureScheme::ECDSA_NISTP256_SHA256],
            // The PKCS #1 scheme is for the certificates of the chain; TLS 1.3 signs with PSS.
            ServerKey::Rsa => vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256],
        }
    }
}
