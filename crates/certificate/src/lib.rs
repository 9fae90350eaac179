//! Facts read from certificates, X.509 v1 included, and from certificate signing requests.
//!
//! Nothing here decides whether a certificate is valid: no signature is verified, no time is compared, no extension is
//! required. `openssl x509 -req` of OpenSSL 3.0 and 3.1 makes v1 certificates without extensions, and AWS IoT accepts
//! them, so they are read like any other.
//!
//! What the TLS libraries of devices accept is accepted here. Control plane and gateway use the same reader, so a
//! certificate has the same facts in both.
//!
//! | file | subject |
//! |---|---|
//! | `identity` | [`CertificateId`]: the SHA-256 of the DER |
//! | `certificate` | [`parse`]: the structure of a certificate, as slices; [`public_key`]: its key alone |
//! | `request` | [`parse_request`]: that of a certificate signing request |
//! | `facts` | [`read`]: the facts that the gateway needs of a certificate |
//! | `variables` | its `iot:Certificate.*` policy variables |
//! | `name` | distinguished names and their values as text |
//! | `key` | [`SubjectPublicKeyInfo`]: the public key, decoded |
//! | `client_key` | [`client_key_problem`]: whether the gateway can verify a client with this key |
//! | `signature` | signature algorithms and their parameters |
//! | `verify` | [`verifies_ecdsa`]: whether a key made a signature |
//! | `der`, `time` | the elements of DER |
//! | `error` | [`CertificateError`] |

mod certificate;
mod client_key;
mod der;
mod error;
mod facts;
mod identity;
mod key;
mod name;
mod request;
mod signature;
mod time;
mod variables;
mod verify;

pub use certificate::{Certificate, parse, public_key};
pub use client_key::{MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS, MIN_RSA_BITS, client_key_problem};
pub use error::{CertificateError, MAXIMUM_DER_LENGTH};
pub use facts::{Facts, read};
pub use identity::{CertificateId, InvalidCertificateId, certificate_id};
pub use key::{KeyKind, SubjectPublicKeyInfo};
pub use name::{Attribute, Name, parse_name};
pub use request::{Request, parse_request};
pub use signature::{Scheme, SignatureAlgorithm};
pub use verify::verifies_ecdsa;
