//! The public key of a certificate, taken apart without judging it.

use std::fmt;

use x509_parser::asn1_rs::{Any, FromDer as _, Tag};

use crate::CertificateError;
use crate::error::parse;

/// A SubjectPublicKeyInfo (RFC 5280 section 4.1), as slices of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    /// What kind of key it says it is.
    pub kind: KeyKind,
    /// The contents of its AlgorithmIdentifier: object identifier and parameters, without the SEQUENCE around them.
    /// This is the form in which rustls names the algorithms it verifies.
    pub algorithm: &'a [u8],
    /// The parameters alone, in DER; empty where there are none.
    pub parameters: &'a [u8],
    /// The contents of its BIT STRING.
    pub key_bits: &'a [u8],
    /// The whole, in DER.
    pub spki: &'a [u8],
}

/// The kind of a public key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// rsaEncryption (RFC 8017).
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
    /// id-RSASSA-PSS (RFC 4055): good for RSA-PSS signatures only, and so for TLS 1.3 only.
    RsaPss {
        /// Length of the modulus.
        bits: usize,
    },
    /// ECDSA on P-256, also called secp256r1 and prime256v1.
    P256,
    /// ECDSA on P-384, also called secp384r1.
    P384,
    /// ECDSA on P-521, also called secp521r1.
    P521,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Ed448 (RFC 8410).
    Ed448,
    /// DSA.
    Dsa,
    /// A curve without a name above: its object identifier, or `explicit parameters`.
    OtherCurve(String),
    /// An algorithm without a name above: its object identifier.
    Other(String),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Rsa { bits } => write!(formatter, "RSA-{bits}"),
            KeyKind::RsaPss { bits } => write!(formatter, "RSA-PSS-{bits}"),
            KeyKind::P256 => formatter.write_str("EC P-256"),
            KeyKind::P384 => formatter.write_str("EC P-384"),
            KeyKind::P521 => formatter.write_str("EC P-521"),
            KeyKind::Ed25519 => formatter.write_str("Ed25519"),
            KeyKind::Ed448 => formatter.write_str("Ed448"),
            KeyKind::Dsa => formatter.write_str("DSA"),
            KeyKind::OtherCurve(curve) => write!(formatter, "EC on {curve}"),
            KeyKind::Other(algorithm) => write!(formatter, "of algorithm {algorithm}"),
        }
    }
}

/// The public key of a certificate.
///
/// # Errors
///
/// As [`read`](crate::read); and [`CertificateError::PublicKey`] where an RSA key holds no modulus.
pub fn public_key(der: &[u8]) -> Result<SubjectPublicKeyInfo<'_>, CertificateError> {
    take_apart(parse(der)?.tbs_certificate.subject_pki.raw)
}

/// The parser of certificates keeps no slice of an algorithm's parameters, so the few elements are walked here.
pub(crate) fn take_apart(spki: &[u8]) -> Result<SubjectPublicKeyInfo<'_>, CertificateError> {
    let broken = |reason| move |_| CertificateError::PublicKey { reason };
    let (_, whole) = Any::from_der(spki).map_err(broken("it is no SEQUENCE"))?;
    let (rest, algorithm) = Any::from_der(whole.data).map_err(broken("it names no algorithm"))?;
    let (parameters, oid) =
        Any::from_der(algorithm.data).map_err(broken("its algorithm has no identifier"))?;
    let (_, bits) = Any::from_der(rest).map_err(broken("it has no key"))?;
    let Some((0, key_bits)) = bits.data.split_first() else {
        return Err(CertificateError::PublicKey { reason: "its key is no whole number of bytes" });
    };
    let kind = kind(&dotted(&oid), parameters, key_bits)?;
    Ok(SubjectPublicKeyInfo { kind, algorithm: algorithm.data, parameters, key_bits, spki })
}

fn kind(algorithm: &str, parameters: &[u8], key: &[u8]) -> Result<KeyKind, CertificateError> {
    Ok(match algorithm {
        "1.2.840.113549.1.1.1" => KeyKind::Rsa { bits: modulus_bits(key)? },
        "1.2.840.113549.1.1.10" => KeyKind::RsaPss { bits: modulus_bits(key)? },
        "1.2.840.10045.2.1" => match Any::from_der(parameters) {
            Ok((_, curve)) if curve.tag() == Tag::Oid => match dotted(&curve).as_str() {
                "1.2.840.10045.3.1.7" => KeyKind::P256,
                "1.3.132.0.34" => KeyKind::P384,
                "1.3.132.0.35" => KeyKind::P521,
                other => KeyKind::OtherCurve(other.to_owned()),
            },
            _ => KeyKind::OtherCurve("explicit parameters".to_owned()),
        },
        "1.3.101.112" => KeyKind::Ed25519,
        "1.3.101.113" => KeyKind::Ed448,
        "1.2.840.10040.4.1" => KeyKind::Dsa,
        other => KeyKind::Other(other.to_owned()),
    })
}

fn modulus_bits(key: &[u8]) -> Result<usize, CertificateError> {
    let modulus = Any::from_der(key)
        .and_then(|(_, sequence)| Any::from_der(sequence.data))
        .map(|(_, modulus)| modulus)
        .ok()
        .filter(|modulus| modulus.tag() == Tag::Integer)
        .ok_or(CertificateError::PublicKey { reason: "it is named RSA and holds no modulus" })?;
    let zeros = modulus.data.iter().take_while(|byte| **byte == 0).count();
    let significant = modulus.data.get(zeros..).unwrap_or_default();
    let unused = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    Ok(significant.len() * 8 - unused)
}

fn dotted(object: &Any<'_>) -> String {
    object.as_oid().map_or_else(|_| "unreadable".to_owned(), |oid| oid.to_id_string())
}
