//! Verifies signatures of certificates for the control plane.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm,
    UnparsedPublicKey,
};

use crate::KeyKind;
use crate::key::take_apart;

/// The first byte of a point that is written out with both coordinates (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Returns whether aws-lc verifies an ECDSA signature with the key of a SubjectPublicKeyInfo.
///
/// False says nothing: another library may verify kinds of keys and digests that are not tried here. Keys in a form
/// that libraries read differently are not tried either.
///
/// `digest` is its name in OpenSSL (`sha256`), `signed` what was signed, `signature` a DER sequence of two numbers.
pub fn verifies_ecdsa(spki: &[u8], digest: &str, signed: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = take_apart(spki) else {
        return false;
    };
    if key.kind.canonical_algorithm() != Some(key.algorithm) || key.key_bits.first() != Some(&UNCOMPRESSED) {
        return false;
    }
    algorithm(&key.kind, digest).is_some_and(|algorithm| {
        UnparsedPublicKey::new(algorithm, key.key_bits).verify(signed, signature).is_ok()
    })
}

fn algorithm(kind: &KeyKind, digest: &str) -> Option<&'static EcdsaVerificationAlgorithm> {
    Some(match (kind, digest) {
        (KeyKind::P256, "sha256") => &ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, "sha384") => &ECDSA_P256_SHA384_ASN1,
        (KeyKind::P384, "sha256") => &ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, "sha384") => &ECDSA_P384_SHA384_ASN1,
        (KeyKind::P521, "sha256") => &ECDSA_P521_SHA256_ASN1,
        (KeyKind::P521, "sha384") => &ECDSA_P521_SHA384_ASN1,
        (KeyKind::P521, "sha512") => &ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}
