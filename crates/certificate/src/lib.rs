//! Facts read from a device certificate, X.509 v1 included.
//!
//! Nothing here decides whether a certificate is good: no signature is verified, no time is compared, no extension is
//! demanded. `openssl x509 -req` of OpenSSL 3.0 and 3.1 makes v1 certificates without extensions, and AWS IoT takes
//! them, so they are read like any other.
//!
//! | file | subject |
//! |---|---|
//! | `identity` | [`CertificateId`]: the SHA-256 of the DER |
//! | `facts` | [`read`]: what a certificate says about itself |
//! | `variables` | its `iot:Certificate.*` policy variables |
//! | `name` | distinguished names and their values as text |
//! | `key` | [`public_key`]: the SubjectPublicKeyInfo, without judging it |
//! | `error` | [`CertificateError`] |

mod error;
mod facts;
mod identity;
mod key;
mod name;
mod variables;

pub use error::CertificateError;
pub use facts::{Facts, read};
pub use identity::{CertificateId, InvalidCertificateId, certificate_id};
pub use key::{KeyKind, SubjectPublicKeyInfo, public_key};

/// The longest certificate that is read, in bytes of DER: AWS IoT's limit for `certificatePem`, in which a DER of this
/// length would not even fit.
pub const MAXIMUM_DER_LENGTH: usize = 65_536;
