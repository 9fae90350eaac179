//! Signature algorithms of certificates and certificate signing requests.

use crate::der::{Reader, dotted, tag};

/// The scheme of a signature, in as much detail as its verification needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017).
    RsaPkcs1,
    /// RSASSA-PSS (RFC 8017).
    RsaPss,
    /// ECDSA (RFC 5758).
    Ecdsa,
    /// DSA (RFC 5758).
    Dsa,
    /// Any other.
    Other,
}

impl Scheme {
    /// Returns a stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::RsaPkcs1 => "rsa-pkcs1",
            Scheme::RsaPss => "rsa-pss",
            Scheme::Ecdsa => "ecdsa",
            Scheme::Dsa => "dsa",
            Scheme::Other => "other",
        }
    }
}

/// A signature algorithm with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureAlgorithm {
    /// Its name, or its object identifier in dotted numbers where this table has no name.
    pub name: String,
    /// How it signs.
    pub scheme: Scheme,
    /// Its digest, as OpenSSL names it: `sha256`. `None` where the algorithm has none or it is not known.
    pub hash: Option<&'static str>,
    /// Bytes of salt of RSASSA-PSS.
    pub salt_length: u32,
}

/// RFC 8017, RFC 5758, RFC 8410, RFC 8692, GB/T 33560.
#[rustfmt::skip]
const ALGORITHMS: [(&str, &str, Scheme, Option<&str>); 28] = [
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption", Scheme::RsaPkcs1, Some("md2")),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption", Scheme::RsaPkcs1, Some("md5")),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption", Scheme::RsaPkcs1, Some("sha1")),
    ("1.3.14.3.2.29", "sha1WithRSAEncryption", Scheme::RsaPkcs1, Some("sha1")),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption", Scheme::RsaPkcs1, Some("sha224")),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption", Scheme::RsaPkcs1, Some("sha256")),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption", Scheme::RsaPkcs1, Some("sha384")),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption", Scheme::RsaPkcs1, Some("sha512")),
    ("1.2.840.113549.1.1.10", "rsassaPss", Scheme::RsaPss, None),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1", Scheme::Ecdsa, Some("sha1")),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224", Scheme::Ecdsa, Some("sha224")),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256", Scheme::Ecdsa, Some("sha256")),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384", Scheme::Ecdsa, Some("sha384")),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512", Scheme::Ecdsa, Some("sha512")),
    ("1.2.840.10040.4.3", "dsa-with-sha1", Scheme::Dsa, Some("sha1")),
    ("2.16.840.1.101.3.4.3.1", "dsa-with-sha224", Scheme::Dsa, Some("sha224")),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-sha256", Scheme::Dsa, Some("sha256")),
    ("2.16.840.1.101.3.4.3.3", "dsa-with-sha384", Scheme::Dsa, Some("sha384")),
    ("2.16.840.1.101.3.4.3.4", "dsa-with-sha512", Scheme::Dsa, Some("sha512")),
    ("2.16.840.1.101.3.4.3.10", "ecdsa-with-SHA3-256", Scheme::Other, None),
    ("2.16.840.1.101.3.4.3.11", "ecdsa-with-SHA3-384", Scheme::Other, None),
    ("2.16.840.1.101.3.4.3.12", "ecdsa-with-SHA3-512", Scheme::Other, None),
    ("2.16.840.1.101.3.4.3.14", "rsa-with-SHA3-256", Scheme::Other, None),
    ("2.16.840.1.101.3.4.3.15", "rsa-with-SHA3-384", Scheme::Other, None),
    ("2.16.840.1.101.3.4.3.16", "rsa-with-SHA3-512", Scheme::Other, None),
    ("1.3.101.112", "ed25519", Scheme::Other, None),
    ("1.3.101.113", "ed448", Scheme::Other, None),
    ("1.2.156.10197.1.501", "sm2-with-SM3", Scheme::Other, None),
];

const HASHES: [(&str, &str); 5] = [
    ("1.3.14.3.2.26", "sha1"),
    ("2.16.840.1.101.3.4.2.4", "sha224"),
    ("2.16.840.1.101.3.4.2.1", "sha256"),
    ("2.16.840.1.101.3.4.2.2", "sha384"),
    ("2.16.840.1.101.3.4.2.3", "sha512"),
];

impl SignatureAlgorithm {
    /// Reads the contents of an AlgorithmIdentifier. Parameters other than those of RSASSA-PSS are ignored:
    /// OpenSSL reads NULL, and nothing, for all of them.
    pub(crate) fn read(identifier: &[u8]) -> SignatureAlgorithm {
        let mut members = Reader::new(identifier);
        let oid = members.take(tag::OID).map_or_else(|_| "unreadable".to_owned(), |oid| dotted(oid.content));
        let Some((_, name, scheme, hash)) = ALGORITHMS.iter().find(|(known, ..)| *known == oid) else {
            return SignatureAlgorithm { name: oid, scheme: Scheme::Other, hash: None, salt_length: 0 };
        };
        let (name, scheme) = ((*name).to_owned(), *scheme);
        if scheme != Scheme::RsaPss {
            return SignatureAlgorithm { name, scheme, hash: *hash, salt_length: 0 };
        }
        match members.take(tag::SEQUENCE).ok().and_then(|parameters| PssParameters::read(parameters.content))
        {
            Some(parameters) => SignatureAlgorithm {
                name,
                scheme,
                hash: parameters.hash.filter(|hash| parameters.mask_hash == Some(*hash)),
                salt_length: parameters.salt_length,
            },
            None => SignatureAlgorithm { name, scheme, hash: None, salt_length: 0 },
        }
    }
}

/// RSASSA-PSS-params (RFC 4055 section 3.1). A digest is `None` where this table does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PssParameters {
    pub(crate) hash: Option<&'static str>,
    pub(crate) mask_hash: Option<&'static str>,
    pub(crate) salt_length: u32,
}

impl PssParameters {
    /// Reads the contents of the SEQUENCE; omitted fields have the defaults of RFC 4055.
    pub(crate) fn read(content: &[u8]) -> Option<PssParameters> {
        let mut members = Reader::new(content);
        let mut parameters = PssParameters { hash: Some("sha1"), mask_hash: Some("sha1"), salt_length: 20 };
        if let Some(hash) = members.optional(tag::explicit(0)).ok()? {
            let identifier = Reader::new(hash.content).take(tag::SEQUENCE).ok()?;
            parameters.hash = known_hash(identifier.content);
        }
        if let Some(mask) = members.optional(tag::explicit(1)).ok()? {
            let identifier = Reader::new(mask.content).take(tag::SEQUENCE).ok()?;
            let mut mask = Reader::new(identifier.content);
            mask.take(tag::OID).ok()?;
            parameters.mask_hash = known_hash(mask.take(tag::SEQUENCE).ok()?.content);
        }
        if let Some(salt) = members.optional(tag::explicit(2)).ok()? {
            let length = Reader::new(salt.content).take(tag::INTEGER).ok()?;
            parameters.salt_length = match length.content {
                [byte @ 0..=0x7f] => u32::from(*byte),
                [0, byte] => u32::from(*byte),
                [high @ 0..=0x7f, low] => u32::from(*high) << 8 | u32::from(*low),
                _ => return None,
            };
        }
        members.optional(tag::explicit(3)).ok()?;
        members.end().ok()?;
        Some(parameters)
    }
}

fn known_hash(identifier: &[u8]) -> Option<&'static str> {
    let oid = dotted(Reader::new(identifier).take(tag::OID).ok()?.content);
    HASHES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}
