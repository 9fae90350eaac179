//! TLS as AWS IoT Core speaks it: mutual, 1.2 and 1.3, with any issuer of the client's certificate.
//!
//! The handshake proves one thing, that the peer holds the private key of the certificate it sent. Whether that
//! certificate may connect is decided by the module `admission`, for every connection.

mod cipher_suites;
pub mod client_verifier;
pub mod handshake;
pub mod server_certificates;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;

use self::cipher_suites::CIPHER_SUITES;
use self::client_verifier::ProofOfPossession;
use self::server_certificates::ServerCertificates;

/// The TLS side of the MQTT listener.
///
/// Resumption is offered in TLS 1.2, where the client asks for a ticket, and in TLS 1.3 with `tls13_session_tickets`
/// alone: there a server sends tickets unasked, AWS IoT sends none, and clients are in use that end the connection
/// over one (wolfSSL 5.5.4 takes ticket nonces of 8 bytes; rustls's have 32). Resumption is safe here because it
/// only carries over *which certificate* was proven. rustls skips the verifier on a resumed handshake, so nothing that
/// decides about admission may live there, and nothing does.
///
/// # Errors
/// [`rustls::Error`] where the system gives no random bytes for the ticket keys.
pub fn server_config(
    certificates: Arc<ServerCertificates>,
    tls13_session_tickets: bool,
) -> Result<ServerConfig, rustls::Error> {
    let provider =
        Arc::new(CryptoProvider { cipher_suites: CIPHER_SUITES.to_vec(), ..aws_lc_rs::default_provider() });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(ProofOfPossession::new()))
        .with_cert_resolver(certificates);
    config.ignore_client_order = true;
    // Stateless tickets, whose keys rotate every six hours, and no store: nothing to fill, nothing to look up.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A ticket carries the client's chain, and rustls sends two unless told otherwise.
    config.send_tls13_tickets = usize::from(tls13_session_tickets);
    // ALPN stays empty: rustls would refuse a client whose protocols it does not know, and the AWS device SDKs offer
    // `x-amzn-mqtt-ca` on 8883 too.
    Ok(config)
}
