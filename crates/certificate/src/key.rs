//! The public key of a certificate, decoded without checking whether it can be used.

use std::borrow::Cow;
use std::fmt;

use crate::CertificateError;
use crate::der::{Reader, dotted, tag, whole_bytes};

/// A SubjectPublicKeyInfo (RFC 5280 section 4.1), as slices of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    /// The kind of key that its algorithm names.
    pub kind: KeyKind,
    /// The contents of its AlgorithmIdentifier: object identifier and parameters, without the SEQUENCE around them.
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
    /// id-RSASSA-PSS (RFC 4055): only for RSA-PSS signatures, and so only for TLS 1.3.
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

/// Names of curves that AWS IoT does not accept (RFC 5480, RFC 5639, GB/T 32918).
const OTHER_CURVES: [(&str, &str); 7] = [
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.33", "secp224r1"),
    ("1.2.840.10045.3.1.1", "secp192r1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.2.156.10197.1.301", "SM2"),
];

/// In place of an object identifier, for a curve that is written out.
pub(crate) const EXPLICIT_CURVE: &str = "explicit parameters";

impl KeyKind {
    /// Returns a phrase for messages: `an RSA key of 2048 bits`.
    pub fn described(&self) -> String {
        match self {
            KeyKind::Rsa { bits } => format!("an RSA key of {bits} bits"),
            KeyKind::RsaPss { bits } => format!("an RSA-PSS key of {bits} bits"),
            KeyKind::P256 => "an EC key on the curve P-256".to_owned(),
            KeyKind::P384 => "an EC key on the curve P-384".to_owned(),
            KeyKind::P521 => "an EC key on the curve P-521".to_owned(),
            KeyKind::Ed25519 => "a key of the kind Ed25519".to_owned(),
            KeyKind::Ed448 => "a key of the kind Ed448".to_owned(),
            KeyKind::Dsa => "a key of the kind DSA".to_owned(),
            KeyKind::OtherCurve(curve) if curve == EXPLICIT_CURVE => {
                "an EC key that writes its curve out".to_owned()
            }
            KeyKind::OtherCurve(curve) => format!("an EC key on the curve {curve}"),
            KeyKind::Other(algorithm) => format!("a key of the unknown algorithm {algorithm}"),
        }
    }

    /// Returns the AlgorithmIdentifier's contents as rustls writes them; `None` for algorithms that it does not verify.
    pub fn canonical_algorithm(&self) -> Option<&'static [u8]> {
        Some(match self {
            KeyKind::Rsa { .. } => &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0],
            KeyKind::P256 => {
                &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]
            }
            KeyKind::P384 => &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22],
            KeyKind::P521 => &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x23],
            _ => return None,
        })
    }
}

impl SubjectPublicKeyInfo<'_> {
    /// Returns the SubjectPublicKeyInfo in DER with the algorithm as rustls writes it: an RSA key's parameters are
    /// NULL, which some programs omit.
    pub fn canonical(&self) -> Cow<'_, [u8]> {
        match self.kind.canonical_algorithm() {
            Some(algorithm) => {
                let bits = [&[0], self.key_bits].concat();
                let members = [element(tag::SEQUENCE, algorithm), element(tag::BIT_STRING, &bits)].concat();
                Cow::Owned(element(tag::SEQUENCE, &members))
            }
            None => Cow::Borrowed(self.spki),
        }
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut bytes = vec![tag];
    if content.len() >= 0x80 {
        bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
    }
    bytes.extend_from_slice(significant);
    bytes.extend_from_slice(content);
    bytes
}

/// Decodes a SubjectPublicKeyInfo.
///
/// # Errors
///
/// [`CertificateError::PublicKey`] where it is not one, or an RSA key has no modulus.
pub(crate) fn take_apart(spki: &[u8]) -> Result<SubjectPublicKeyInfo<'_>, CertificateError> {
    let broken = |reason| move |_| CertificateError::PublicKey { reason };
    let whole = Reader::new(spki).take(tag::SEQUENCE).map_err(broken("is no SEQUENCE"))?;
    let mut members = Reader::new(whole.content);
    let algorithm = members.take(tag::SEQUENCE).map_err(broken("names no algorithm"))?;
    let bits = members.take(tag::BIT_STRING).map_err(broken("has no key in it"))?;
    members.end().map_err(broken("has bytes after its key"))?;
    let mut identifier = Reader::new(algorithm.content);
    let oid = identifier.take(tag::OID).map_err(broken("has an algorithm without an identifier"))?;
    let parameters = &algorithm.content[oid.whole.len()..];
    let key_bits =
        whole_bytes(bits).ok_or(CertificateError::PublicKey { reason: "is no whole number of bytes" })?;
    let kind = kind(&dotted(oid.content), parameters, key_bits)?;
    Ok(SubjectPublicKeyInfo { kind, algorithm: algorithm.content, parameters, key_bits, spki })
}

fn kind(algorithm: &str, parameters: &[u8], key: &[u8]) -> Result<KeyKind, CertificateError> {
    Ok(match algorithm {
        "1.2.840.113549.1.1.1" => KeyKind::Rsa { bits: rsa_numbers(key)?.0 },
        "1.2.840.113549.1.1.10" => KeyKind::RsaPss { bits: rsa_numbers(key)?.0 },
        "1.2.840.10045.2.1" => {
            let curve = Reader::new(parameters)
                .take(tag::OID)
                .map_or_else(|_| EXPLICIT_CURVE.to_owned(), |oid| dotted(oid.content));
            match curve.as_str() {
                "1.2.840.10045.3.1.7" => KeyKind::P256,
                "1.3.132.0.34" => KeyKind::P384,
                "1.3.132.0.35" => KeyKind::P521,
                other => {
                    let known = OTHER_CURVES.iter().find(|(oid, _)| *oid == other);
                    KeyKind::OtherCurve(known.map_or(other, |(_, name)| name).to_owned())
                }
            }
        }
        "1.3.101.112" => KeyKind::Ed25519,
        "1.3.101.113" => KeyKind::Ed448,
        "1.2.840.10040.4.1" => KeyKind::Dsa,
        other => KeyKind::Other(other.to_owned()),
    })
}

/// Returns the bits of the modulus, and the bytes of the public exponent, which are empty where there is none.
pub(crate) fn rsa_numbers(key: &[u8]) -> Result<(usize, &[u8]), CertificateError> {
    let numbers = || {
        let mut numbers = Reader::new(Reader::new(key).take(tag::SEQUENCE).ok()?.content);
        let modulus = numbers.take(tag::INTEGER).ok()?.content;
        Some((modulus, numbers.take(tag::INTEGER).map_or(&[][..], |exponent| exponent.content)))
    };
    let (modulus, exponent) =
        numbers().ok_or(CertificateError::PublicKey { reason: "is named RSA and holds no modulus" })?;
    Ok((bits(modulus), exponent))
}

/// Returns the bits of an unsigned number.
pub(crate) fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let significant = &number[zeros..];
    significant.len() * 8 - significant.first().map_or(0, |byte| byte.leading_zeros() as usize)
}
