//! Why bytes are not a usable certificate, or not a usable certificate signing request.

use crate::der::DerError;

/// The longest certificate that is read, in bytes of DER: AWS IoT's limit for `certificatePem`. A PEM of this length
/// contains a shorter DER.
pub const MAXIMUM_DER_LENGTH: usize = 65_536;

/// What is wrong with the bytes, as the end of a sentence that begins "the certificate cannot be read:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`MAXIMUM_DER_LENGTH`] bytes.
    #[error("it has {length} bytes, and the limit is {MAXIMUM_DER_LENGTH}")]
    TooLong {
        /// The number of bytes.
        length: usize,
    },

    /// Text where DER is required.
    #[error("it is PEM text, not DER; decode what stands between its BEGIN and END lines")]
    Pem,

    /// No ASN.1 SEQUENCE at the beginning.
    #[error("it is not DER")]
    NotDer,

    /// A field that does not have the structure that the standard requires.
    #[error("its {field} {reason}")]
    Field {
        /// The name of the field in RFC 5280 or RFC 2986.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// Bytes after the end of the object.
    #[error("{length} bytes follow its end, which TLS libraries leave out; remove them")]
    TrailingData {
        /// The number of bytes.
        length: usize,
    },

    /// The public key is not of the form that its algorithm requires.
    #[error("its public key {reason}")]
    PublicKey {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl CertificateError {
    /// Returns a function for `map_err` that makes the error of a field.
    pub(crate) fn of(field: &'static str) -> impl Fn(DerError) -> CertificateError {
        move |error| CertificateError::Field { field, reason: error.sentence() }
    }
}
