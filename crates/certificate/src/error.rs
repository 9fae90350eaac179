//! Why bytes are no certificate that we can use.

use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::error::X509Error;
use x509_parser::nom::Parser as _;

use crate::MAXIMUM_DER_LENGTH;

/// Bytes that are no X.509 certificate, or one whose key makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`MAXIMUM_DER_LENGTH`] bytes.
    #[error("{length} bytes are too many for a certificate; the limit is {MAXIMUM_DER_LENGTH}")]
    TooLong {
        /// How many there were.
        length: usize,
    },

    /// Text where DER was wanted.
    #[error("this is PEM text, not DER; decode what stands between its BEGIN and END lines")]
    Pem,

    /// Not a certificate, or one that breaks off.
    #[error("not an X.509 certificate in DER: {reason}")]
    NotCertificate {
        /// What the reader stumbled over.
        reason: String,
    },

    /// A certificate, and then something else.
    #[error("{length} bytes follow the end of the certificate; give one certificate and nothing after it")]
    TrailingData {
        /// How many.
        length: usize,
    },

    /// The public key inside is not what its algorithm says.
    #[error("the certificate's public key cannot be read: {reason}")]
    PublicKey {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Reads the outer structure; extensions are left as bytes, since one that cannot be read harms nobody here.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > MAXIMUM_DER_LENGTH {
        return Err(CertificateError::TooLong { length: der.len() });
    }
    if der.starts_with(b"-----BEGIN") {
        return Err(CertificateError::Pem);
    }
    let parsed = X509CertificateParser::new().with_deep_parse_extensions(false).parse(der);
    let (rest, certificate) = parsed.map_err(|error| {
        let reason = match X509Error::from(error) {
            X509Error::Der(error) => format!("its DER is broken ({error:?})"),
            X509Error::NomError(_) | X509Error::Generic => "its DER is broken".to_owned(),
            named => named.to_string(),
        };
        CertificateError::NotCertificate { reason }
    })?;
    if !rest.is_empty() {
        return Err(CertificateError::TrailingData { length: rest.len() });
    }
    // Versions are numbered from 0 (RFC 5280 section 4.1.2.1).
    if certificate.tbs_certificate.version.0 > 2 {
        return Err(CertificateError::NotCertificate {
            reason: "its version is none of 1, 2 and 3".to_owned(),
        });
    }
    Ok(certificate)
}
