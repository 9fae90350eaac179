//! Whether the gateway can verify a client that holds this key.
//!
//! The control plane calls it before it registers or issues a certificate, and the gateway in the handshake, so a
//! certificate that is registered can connect. The key is read by the function of aws-lc that reads it to verify a
//! signature.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};

use crate::der::{Reader, tag};
use crate::key::{EXPLICIT_CURVE, bits, rsa_numbers};
use crate::signature::PssParameters;
use crate::{KeyKind, SubjectPublicKeyInfo};

/// The smallest RSA key that AWS IoT accepts, in bits (Developer Guide, x509-client-certs).
pub const MIN_RSA_BITS: usize = 2048;

/// The largest RSA key that aws-lc verifies, in bits.
pub const MAX_RSA_BITS: usize = 8192;

/// The longest public exponent that aws-lc accepts, in bits (`rsa_check_public_key`).
pub const MAX_RSA_EXPONENT_BITS: usize = 33;

const ALLOWED: &str = "allowed are RSA of 2048 bits and more, P-256, P-384 or P-521";

/// Returns why no client with this key can connect, as the end of a sentence that begins "the certificate has"; `None`
/// if a client can connect.
pub fn client_key_problem(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let described = key.kind.described();
    match key.kind {
        KeyKind::Rsa { bits } | KeyKind::RsaPss { bits } if bits < MIN_RSA_BITS => {
            Some(format!("{described}; {ALLOWED}"))
        }
        KeyKind::Rsa { bits } | KeyKind::RsaPss { bits } if bits > MAX_RSA_BITS => {
            Some(format!("{described}; this server verifies clients with up to {MAX_RSA_BITS} bits"))
        }
        KeyKind::Rsa { .. } => rsa_problem(key, &described),
        KeyKind::RsaPss { .. } => rsa_problem(key, &described).or_else(|| pss_problem(key, &described)),
        KeyKind::P256 => point_problem(key, &described, &ECDSA_P256_SHA256_ASN1),
        KeyKind::P384 => point_problem(key, &described, &ECDSA_P384_SHA384_ASN1),
        KeyKind::P521 => point_problem(key, &described, &ECDSA_P521_SHA512_ASN1),
        KeyKind::OtherCurve(ref curve) if curve == EXPLICIT_CURVE => Some(format!(
            "{described}; TLS needs a named curve (openssl: -pkeyopt ec_param_enc:named_curve), and {ALLOWED}"
        )),
        KeyKind::Ed25519 | KeyKind::Ed448 | KeyKind::Dsa | KeyKind::OtherCurve(_) | KeyKind::Other(_) => {
            Some(format!("{described}; {ALLOWED}"))
        }
    }
}

fn rsa_problem(key: &SubjectPublicKeyInfo<'_>, described: &str) -> Option<String> {
    if ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.key_bits).is_ok() {
        return None;
    }
    let exponent = rsa_numbers(key.key_bits).map_or(&[][..], |(_, exponent)| exponent);
    let length = bits(exponent);
    let is_odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    let remedy = "make a key with the exponent 65537";
    Some(if length > MAX_RSA_EXPONENT_BITS {
        format!(
            "{described} with a public exponent of {length} bits; this server verifies exponents of up to \
             {MAX_RSA_EXPONENT_BITS} bits; {remedy}"
        )
    } else if length < 2 || !is_odd {
        format!("{described} whose public exponent is no odd number from 3 on; {remedy}")
    } else {
        format!("{described} that is no RSA key: its modulus is even or negative, or its encoding is not DER")
    })
}

/// RFC 8446 section 4.2.3: the key's own parameters restrict the signatures, and TLS has three of them.
fn pss_problem(key: &SubjectPublicKeyInfo<'_>, described: &str) -> Option<String> {
    if key.parameters.is_empty() {
        return None;
    }
    let parameters = Reader::new(key.parameters).take(tag::SEQUENCE).ok();
    let can_be_used = parameters.and_then(|parameters| PssParameters::read(parameters.content)).is_some_and(
        |PssParameters { hash, mask_hash, salt_length }| {
            let digest_length = match hash {
                Some("sha256") => 32,
                Some("sha384") => 48,
                Some("sha512") => 64,
                _ => return false,
            };
            mask_hash == hash && salt_length <= digest_length
        },
    );
    (!can_be_used).then(|| {
        format!(
            "{described} whose parameters allow none of TLS's signatures: one digest of SHA-256, SHA-384 and SHA-512 \
             for hash and mask, and no more salt than the digest has bytes"
        )
    })
}

fn point_problem(
    key: &SubjectPublicKeyInfo<'_>,
    described: &str,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Option<String> {
    // The hybrid form has other first bytes, and no TLS library accepts it (RFC 5480 section 2.2).
    let is_allowed_form = matches!(key.key_bits.first(), Some(2..=4));
    (!is_allowed_form || ParsedPublicKey::new(algorithm, key.key_bits).is_err())
        .then(|| format!("{described} whose point is not on the curve, or not in a form that TLS takes"))
}
