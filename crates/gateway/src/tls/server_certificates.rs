//! Which of our certificates a client sees, and how they are replaced while we run.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme, SupportedCipherSuite};
use thiserror::Error;

/// A pair of chain and key that cannot be served. `position` counts from 1.
#[derive(Debug, Error)]
pub enum ServerCertificateError {
    /// Nothing to serve with.
    #[error("no server certificate was given; give at least one chain with its private key")]
    None,
    /// The chain's PEM holds no certificate, or something that is none.
    #[error(
        "server certificate {position}: the chain is not readable PEM: {cause}; expected CERTIFICATE blocks, leaf first"
    )]
    Chain {
        /// Which of the pairs.
        position: usize,
        /// What the PEM reader said.
        cause: String,
    },
    /// The key's PEM holds no usable private key.
    #[error(
        "server certificate {position}: the private key is not usable: {cause}; expected an unencrypted PKCS#8, PKCS#1 or SEC1 PEM block"
    )]
    Key {
        /// Which of the pairs.
        position: usize,
        /// What was wrong with it; never the key itself.
        cause: String,
    },
    /// Key and leaf are both fine but strangers to each other.
    #[error(
        "server certificate {position}: the private key does not belong to the first certificate of the chain"
    )]
    Mismatch {
        /// Which of the pairs.
        position: usize,
    },
}

/// The server's certificates, best first. Replacing them acts on the next handshake.
#[derive(Debug, Default)]
pub struct ServerCertificates {
    keys: ArcSwap<Vec<Arc<CertifiedKey>>>,
}

impl ServerCertificates {
    /// Serve these pairs of (chain PEM, private key PEM) from now on. On an error the old ones stay.
    ///
    /// # Errors
    /// [`ServerCertificateError`], which says which pair and why.
    pub fn replace(&self, chains: &[(String, String)]) -> Result<(), ServerCertificateError> {
        if chains.is_empty() {
            return Err(ServerCertificateError::None);
        }
        let keys = chains
            .iter()
            .enumerate()
            .map(|(index, (chain, key))| read(index + 1, chain, key).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Is there anything to serve?
    pub fn is_empty(&self) -> bool {
        self.keys.load().is_empty()
    }
}

fn read(position: usize, chain: &str, key: &str) -> Result<CertifiedKey, ServerCertificateError> {
    let chain_error = |cause: String| ServerCertificateError::Chain { position, cause };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| chain_error(error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| chain_error("it holds no certificate".to_owned()))?;
    let key_error = |cause: String| ServerCertificateError::Key { position, cause };
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| key_error(error.to_string()))?;
    let key = aws_lc_rs::sign::any_supported_type(&der).map_err(|error| key_error(error.to_string()))?;
    let leaf_key = sekisho_certificate::public_key(leaf).map_err(|error| chain_error(error.to_string()))?;
    // Compared here rather than by rustls' `keys_match`, which reads the leaf with webpki and so refuses v1.
    if key.public_key().is_none_or(|own| own.as_ref() != leaf_key.spki) {
        return Err(ServerCertificateError::Mismatch { position });
    }
    Ok(CertifiedKey::new(chain, key))
}

impl ResolvesServerCert for ServerCertificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (suites, schemes) = (client_hello.cipher_suites(), client_hello.signature_schemes());
        self.keys.load().iter().find(|candidate| is_usable(candidate, suites, schemes)).cloned()
    }
}

/// Signature schemes alone do not tell: in TLS 1.2 the cipher suite names the kind of the server's key, and a client
/// may know ECDSA signatures and yet offer only ECDHE_RSA suites.
fn is_usable(candidate: &CertifiedKey, suites: &[CipherSuite], schemes: &[SignatureScheme]) -> bool {
    super::CIPHER_SUITES.iter().filter(|ours| suites.contains(&ours.suite())).any(|ours| match ours {
        SupportedCipherSuite::Tls13(_) => candidate.key.choose_scheme(schemes).is_some(),
        SupportedCipherSuite::Tls12(suite) => {
            candidate.key.choose_scheme(&suite.resolve_sig_schemes(schemes)).is_some()
        }
    })
}
