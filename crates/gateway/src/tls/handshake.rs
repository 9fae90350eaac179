//! What a failed handshake says about the client, in words that an operator can act on.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use sekisho_certificate::CertificateId;

use crate::refusal::{Refusal, Refused};
use crate::tls::client_verifier::RefusedCertificate;

/// Methods by which HTTP gives itself away, and what MQTT begins with.
const HTTP: [&[u8]; 9] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"DELE", b"PATC", b"CONN", b"PRI "];

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 22;

/// The first byte of an MQTT CONNECT.
const MQTT_CONNECT: u8 = 0x10;

/// Does this look like a request of HTTP?
pub fn looks_like_http(bytes: &[u8]) -> bool {
    HTTP.iter().any(|method| bytes.len() >= method.len() && bytes.starts_with(method))
}

/// What the client speaks that begins like this, if it is not TLS.
pub fn not_tls(bytes: &[u8]) -> Option<Refusal> {
    match bytes.first() {
        Some(&TLS_HANDSHAKE) | None => None,
        Some(&MQTT_CONNECT) => Some(Refusal::MqttWithoutTls),
        Some(_) if looks_like_http(bytes) => Some(Refusal::HttpOnMqttPort),
        Some(_) => Some(Refusal::NotTls),
    }
}

/// Why a handshake failed: the reason, a sentence, and the certificate where it was refused for it.
pub fn failure(error: &io::Error) -> (Refusal, String, Option<CertificateId>) {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(inner) = inner else {
        return (Refusal::ClosedDuringHandshake, Refusal::ClosedDuringHandshake.sentence().to_owned(), None);
    };
    if let Error::InvalidCertificate(CertificateError::Other(other)) = inner
        && let Some(refused) = other.0.downcast_ref::<RefusedCertificate>()
    {
        return (refused.refusal, refused.detail.clone(), Some(refused.certificate_id));
    }
    let refusal = classify(inner);
    let detail = match refusal {
        Refusal::TlsFailed | Refusal::TlsNoSharedAlgorithm => format!("{} ({inner})", refusal.sentence()),
        Refusal::ServerCertificateRefused => format!("{} ({})", refusal.sentence(), inner),
        other => other.sentence().to_owned(),
    };
    (refusal, detail, None)
}

/// Why a client ended the connection after the handshake, where it said so with an alert.
pub fn alert_after_handshake(error: &io::Error) -> Option<Refused> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())?;
    let Error::AlertReceived(alert) = inner else { return None };
    let refusal = match classify(inner) {
        Refusal::ClosedDuringHandshake => return None,
        Refusal::ServerCertificateRefused => Refusal::ServerCertificateRefused,
        _ => Refusal::TlsAlertReceived,
    };
    Some(Refused::with(refusal, format!("{} (alert {alert:?}, {})", refusal.sentence(), u8::from(*alert))))
}

fn classify(error: &Error) -> Refusal {
    match error {
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            // A root of the same name and another key, such as the one of an earlier installation.
            | AlertDescription::DecryptError => Refusal::ServerCertificateRefused,
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => Refusal::ClosedDuringHandshake,
            AlertDescription::ProtocolVersion => Refusal::TlsVersionUnsupported,
            _ => Refusal::TlsFailed,
        },
        Error::NoCertificatesPresented => Refusal::DeviceCertificateMissing,
        Error::InvalidCertificate(CertificateError::BadSignature) => Refusal::DeviceKeyMismatch,
        Error::InvalidCertificate(_) => Refusal::DeviceCertificateUnreadable,
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Mandatory since TLS 1.2, unknown before.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => Refusal::TlsVersionUnsupported,
        Error::PeerIncompatible(_) => Refusal::TlsNoSharedAlgorithm,
        // The resolver found no certificate of ours that suits the client's algorithms.
        Error::General(text) if text.contains("certificate") => Refusal::TlsNoSharedAlgorithm,
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Refusal::NotTls,
        _ => Refusal::TlsFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_is_not_tls() {
        assert_eq!(not_tls(&[22, 3, 1]), None);
        assert_eq!(not_tls(&[]), None);
        assert_eq!(not_tls(b"GET / HTTP/1.1"), Some(Refusal::HttpOnMqttPort));
        assert_eq!(not_tls(&[0x10, 0x0c, 0, 4, b'M']), Some(Refusal::MqttWithoutTls));
        assert_eq!(not_tls(b"SSH-2.0"), Some(Refusal::NotTls));
    }

    #[test]
    fn a_client_that_distrusts_us_is_told_from_a_bad_client() {
        let alert = |alert| io::Error::other(Error::AlertReceived(alert));
        assert_eq!(failure(&alert(AlertDescription::UnknownCA)).0, Refusal::ServerCertificateRefused);
        assert_eq!(failure(&alert(AlertDescription::HandshakeFailure)).0, Refusal::TlsFailed);
        assert_eq!(failure(&io::ErrorKind::UnexpectedEof.into()).0, Refusal::ClosedDuringHandshake);
        assert_eq!(
            failure(&io::Error::other(Error::NoCertificatesPresented)).0,
            Refusal::DeviceCertificateMissing
        );
    }

    #[test]
    fn an_alert_after_the_handshake_is_named() {
        let after = |alert| alert_after_handshake(&io::Error::other(Error::AlertReceived(alert)));
        let refused = after(AlertDescription::BadRecordMac).unwrap();
        assert_eq!(refused.refusal, Refusal::TlsAlertReceived);
        assert!(refused.detail.ends_with(" (alert BadRecordMac, 20)"), "{}", refused.detail);
        assert_eq!(after(AlertDescription::UnknownCA).unwrap().refusal, Refusal::ServerCertificateRefused);
        assert_eq!(after(AlertDescription::CloseNotify), None);
        assert_eq!(alert_after_handshake(&io::ErrorKind::ConnectionReset.into()), None);
    }
}
