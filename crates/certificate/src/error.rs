//! Why bytes are no certificate, or no certificate signing request, that we can use.

use crate::der::DerError;

/// The longest certificate that is read, in bytes of DER: AWS IoT's limit for `certificatePem`, in which a DER of this
/// length would not even fit.
pub const MAXIMUM_DER_LENGTH: usize = 65_536;

/// What is wrong with the bytes, as the end of a sentence that begins "the certificate cannot be read:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`MAXIMUM_DER_LENGTH`] bytes.
    #[error("it has {length} bytes, and the limit is {MAXIMUM_DER_LENGTH}")]
    TooLong {
        /// How many there were.
        length: usize,
    },

    /// Text where DER was wanted.
    #[error("it is PEM text, not DER; decode what stands between its BEGIN and END lines")]
    Pem,

    /// No ASN.1 SEQUENCE to begin with.
    #[error("it is not DER")]
    NotDer,

    /// A field that is not as its structure demands.
    #[error("its {field} {reason}")]
    Field {
        /// As RFC 5280 and RFC 2986 name it.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// One object, and then something else.
    #[error("{length} bytes follow its end, which TLS libraries leave out; remove them")]
    TrailingData {
        /// How many.
        length: usize,
    },

    /// The public key inside is not what its algorithm says.
    #[error("its public key {reason}")]
    PublicKey {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl CertificateError {
    /// For `map_err`: the error of a field.
    pub(crate) fn of(field: &'static str) -> impl Fn(DerError) -> CertificateError {
        move |error| CertificateError::Field { field, reason: error.sentence() }
    }
}
