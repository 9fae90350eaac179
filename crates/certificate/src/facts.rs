//! The facts of a certificate.

use crate::certificate::parse;
use crate::der::hexadecimal;
use crate::key::KeyKind;
use crate::variables::variables;
use crate::{CertificateError, CertificateId, certificate_id};

/// The facts of one certificate. Nothing of it has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// AWS IoT's `certificateId`.
    pub certificate_id: CertificateId,
    /// 1, 2 or 3.
    pub version: u32,
    /// Lower-case hexadecimal, two digits a byte, no leading zero byte: `921285cbb7a5e086`.
    pub serial_number: String,
    /// As RFC 4514 writes it; empty for an empty name.
    pub subject: String,
    /// As RFC 4514 writes it; empty for an empty name.
    pub issuer: String,
    /// Valid from this moment on, in Unix seconds.
    pub not_before: i64,
    /// Valid up to and including this moment, in Unix seconds.
    pub not_after: i64,
    /// The kind of its public key.
    pub key: KeyKind,
    /// Policy variables by name, `iot:CertificateId` and `iot:Certificate.*`, with their values in order. A value has
    /// backslashes where the Developer Guide puts them ("X.509 Certificate policy variable limitations").
    pub variables: Vec<(String, Vec<String>)>,
}

/// Reads a certificate of any version.
///
/// # Errors
///
/// [`CertificateError`] where `der` is not exactly one certificate.
pub fn read(der: &[u8]) -> Result<Facts, CertificateError> {
    let certificate = parse(der)?;
    let certificate_id = certificate_id(der);
    Ok(Facts {
        certificate_id,
        version: certificate.version,
        serial_number: hexadecimal_serial(certificate.serial),
        subject: certificate.subject.rfc4514(),
        issuer: certificate.issuer.rfc4514(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        variables: variables(certificate_id, &certificate),
        key: certificate.key.kind,
    })
}

fn hexadecimal_serial(bytes: &[u8]) -> String {
    hexadecimal(match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        bytes => bytes,
    })
}
