//! Which server certificate a client gets, and how they are replaced at run time.
//!
//! A leaf with names of its own, such as that of a region, is shown to a client that asks for one of them by SNI. Any
//! other client, with another name or with none, sees the default leaf. So a client sees no name but those it asked for.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme, SupportedCipherSuite};
use thiserror::Error;

use crate::tls::cipher_suites::CIPHER_SUITES;

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
    /// The key is not that of the leaf.
    #[error(
        "server certificate {position}: the private key does not belong to the first certificate of the chain"
    )]
    Mismatch {
        /// Which of the pairs.
        position: usize,
    },
}

/// Server names, wildcards such as `*.example.com` among them, and the pairs of (chain PEM, private key PEM) for them, the
/// best for each client first.
pub type NamedCertificates = (Vec<String>, Vec<(String, String)>);

/// The pairs for one name, best first.
type Keys = Arc<[Arc<CertifiedKey>]>;

/// The server's certificates. Replacing them acts on the next handshake.
#[derive(Debug, Default)]
pub struct ServerCertificates {
    /// For clients that name none of `by_name`.
    default: ArcSwap<Vec<Arc<CertifiedKey>>>,
    /// By server name in lower case; of a wildcard without its `*`.
    by_name: ArcSwap<HashMap<String, Keys>>,
}

impl ServerCertificates {
    /// Serve these pairs of (chain PEM, private key PEM) by default from now on. On an error the old ones stay.
    ///
    /// # Errors
    /// [`ServerCertificateError`], which says which pair and why.
    pub fn replace(&self, chains: &[(String, String)]) -> Result<(), ServerCertificateError> {
        self.default.store(Arc::new(read_all(chains)?));
        Ok(())
    }

    /// Serve these pairs to clients that ask for one of their names, which are compared without regard to case. The whole
    /// table is replaced; on an error the old one stays.
    ///
    /// # Errors
    /// [`ServerCertificateError`], which says which pair of its names and why.
    pub fn replace_named(&self, named: &[NamedCertificates]) -> Result<(), ServerCertificateError> {
        let mut by_name = HashMap::new();
        for (names, chains) in named {
            let keys: Keys = read_all(chains)?.into();
            let names = names.iter().map(|name| name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase());
            by_name.extend(names.map(|name| (name, keys.clone())));
        }
        self.by_name.store(Arc::new(by_name));
        Ok(())
    }

    /// The pairs for this name, which rustls gives in lower case. A wildcard stands for one label.
    fn named(&self, name: &str) -> Option<Keys> {
        let by_name = self.by_name.load();
        let wildcard = || name.find('.').and_then(|dot| by_name.get(&name[dot..]));
        by_name.get(name).or_else(wildcard).cloned()
    }

    /// Is there anything to serve?
    pub fn is_empty(&self) -> bool {
        self.default.load().is_empty()
    }
}

fn read_all(chains: &[(String, String)]) -> Result<Vec<Arc<CertifiedKey>>, ServerCertificateError> {
    if chains.is_empty() {
        return Err(ServerCertificateError::None);
    }
    let numbered = chains.iter().enumerate();
    numbered.map(|(index, (chain, key))| read(index + 1, chain, key).map(Arc::new)).collect()
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
    let leaf_key = sekisho_certificate::public_key(leaf)
        .map_err(|error| chain_error(format!("its first certificate cannot be read: {error}")))?;
    // Compared here rather than by rustls' `keys_match`, which reads the leaf with webpki and so refuses v1.
    if key.public_key().is_none_or(|own| own.as_ref() != leaf_key.spki) {
        return Err(ServerCertificateError::Mismatch { position });
    }
    Ok(CertifiedKey::new(chain, key))
}

impl ResolvesServerCert for ServerCertificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (suites, schemes) = (client_hello.cipher_suites(), client_hello.signature_schemes());
        let usable = |keys: &[Arc<CertifiedKey>]| {
            keys.iter().find(|candidate| is_usable(candidate, suites, schemes)).cloned()
        };
        match client_hello.server_name().and_then(|name| self.named(name)) {
            Some(keys) => usable(&keys),
            None => usable(&self.default.load()),
        }
    }
}

/// Signature schemes alone do not tell: in TLS 1.2 the cipher suite names the kind of the server's key, and a client
/// may know ECDSA signatures and yet offer only ECDHE_RSA suites.
fn is_usable(candidate: &CertifiedKey, suites: &[CipherSuite], schemes: &[SignatureScheme]) -> bool {
    CIPHER_SUITES.iter().filter(|ours| suites.contains(&ours.suite())).any(|ours| match ours {
        SupportedCipherSuite::Tls13(_) => candidate.key.choose_scheme(schemes).is_some(),
        SupportedCipherSuite::Tls12(suite) => {
            candidate.key.choose_scheme(&suite.resolve_sig_schemes(schemes)).is_some()
        }
    })
}
