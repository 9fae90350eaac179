//! Facts of certificates and certificate signing requests, as dictionaries of plain data.

use pyo3::prelude::*;
use sekisho_certificate::{
    CertificateError, KeyKind, Name, SignatureAlgorithm, SubjectPublicKeyInfo, client_key_problem,
};

/// (object identifier, text or None, DER of the value)
type AttributeTuple<'a> = (String, Option<String>, &'a [u8]);

/// `NameFacts` of the contract.
#[derive(IntoPyObject)]
pub struct NameFacts<'a> {
    der: &'a [u8],
    text: String,
    components: Vec<Vec<AttributeTuple<'a>>>,
}

/// `PublicKeyFacts` of the contract.
#[derive(IntoPyObject)]
pub struct PublicKeyFacts<'a> {
    spki: &'a [u8],
    kind: &'static str,
    bits: usize,
    described: String,
    client_problem: Option<String>,
}

/// `SignatureFacts` of the contract.
#[derive(IntoPyObject)]
pub struct SignatureFacts<'a> {
    name: String,
    scheme: &'static str,
    hash: Option<&'static str>,
    salt_length: u32,
    signed: &'a [u8],
    value: &'a [u8],
}

/// `CertificateFacts` of the contract.
#[derive(IntoPyObject)]
pub struct CertificateFacts<'a> {
    version: u32,
    serial: &'a [u8],
    issuer: NameFacts<'a>,
    subject: NameFacts<'a>,
    not_before: i64,
    not_after: i64,
    key: PublicKeyFacts<'a>,
    signature: SignatureFacts<'a>,
    names_one_algorithm: bool,
    is_ca: Option<bool>,
    is_ca_problem: Option<String>,
    subject_key_identifier: Option<&'a [u8]>,
    authority_key_identifier: Option<&'a [u8]>,
}

/// `RequestFacts` of the contract.
#[derive(IntoPyObject)]
pub struct RequestFacts<'a> {
    subject: NameFacts<'a>,
    key: PublicKeyFacts<'a>,
    signature: SignatureFacts<'a>,
}

/// Reads a certificate.
pub fn certificate(der: &[u8]) -> Result<CertificateFacts<'_>, CertificateError> {
    let certificate = sekisho_certificate::parse(der)?;
    let (is_ca, is_ca_problem) = match certificate.is_ca() {
        Ok(is_ca) => (is_ca, None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(CertificateFacts {
        version: certificate.version,
        serial: certificate.serial,
        issuer: name(&certificate.issuer),
        subject: name(&certificate.subject),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        key: public_key(&certificate.key),
        is_ca,
        is_ca_problem,
        subject_key_identifier: certificate.subject_key_identifier(),
        authority_key_identifier: certificate.authority_key_identifier(),
        names_one_algorithm: certificate.names_one_algorithm,
        signature: signature(certificate.signature_algorithm, certificate.signed, certificate.signature),
    })
}

/// Reads a certificate signing request.
pub fn request(der: &[u8]) -> Result<RequestFacts<'_>, CertificateError> {
    let request = sekisho_certificate::parse_request(der)?;
    Ok(RequestFacts {
        subject: name(&request.subject),
        key: public_key(&request.key),
        signature: signature(request.signature_algorithm, request.signed, request.signature),
    })
}

/// A name as plain data.
pub fn name<'a>(name: &Name<'a>) -> NameFacts<'a> {
    let components = name
        .components()
        .iter()
        .map(|component| {
            component
                .iter()
                .map(|attribute| (attribute.oid.clone(), attribute.text(), attribute.der()))
                .collect()
        })
        .collect();
    NameFacts { der: name.der, text: name.rfc4514(), components }
}

fn public_key<'a>(key: &SubjectPublicKeyInfo<'a>) -> PublicKeyFacts<'a> {
    let (kind, bits) = match key.kind {
        KeyKind::Rsa { bits } => ("RSA", bits),
        KeyKind::RsaPss { bits } => ("RSA-PSS", bits),
        KeyKind::P256 => ("P-256", 256),
        KeyKind::P384 => ("P-384", 384),
        KeyKind::P521 => ("P-521", 521),
        _ => ("other", 0),
    };
    PublicKeyFacts {
        spki: key.spki,
        kind,
        bits,
        described: key.kind.described(),
        client_problem: client_key_problem(key),
    }
}

fn signature<'a>(algorithm: SignatureAlgorithm, signed: &'a [u8], value: &'a [u8]) -> SignatureFacts<'a> {
    SignatureFacts {
        name: algorithm.name,
        scheme: algorithm.scheme.as_str(),
        hash: algorithm.hash,
        salt_length: algorithm.salt_length,
        signed,
        value,
    }
}
