//! The certificate id of AWS IoT.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

/// AWS IoT's `certificateId`: the SHA-256 of the certificate's DER, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId([u8; 32]);

/// Returns the id of any bytes.
pub fn certificate_id(der: &[u8]) -> CertificateId {
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, der).as_ref());
    CertificateId(id)
}

impl CertificateId {
    /// Returns the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for CertificateId {
    fn from(hash: [u8; 32]) -> CertificateId {
        CertificateId(hash)
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CertificateId({self})")
    }
}

/// The text is not a certificate id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a certificate id is 64 lower-case hexadecimal digits")]
pub struct InvalidCertificateId;

impl FromStr for CertificateId {
    type Err = InvalidCertificateId;

    fn from_str(text: &str) -> Result<CertificateId, InvalidCertificateId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidCertificateId),
        };
        if text.len() != 64 {
            return Err(InvalidCertificateId);
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(CertificateId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_id_is_the_sha_256_in_lower_case_hex() {
        assert_eq!(certificate_id(b"abc").to_string(), OF_ABC);
        assert_eq!(OF_ABC.parse(), Ok(certificate_id(b"abc")));
        assert_eq!(CertificateId::from(*certificate_id(b"abc").as_bytes()), certificate_id(b"abc"));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in
            ["", "ab", &OF_ABC.to_uppercase(), &format!("{OF_ABC}0"), &"é".repeat(32), &"g".repeat(64)]
        {
            assert_eq!(text.parse::<CertificateId>(), Err(InvalidCertificateId), "{text}");
        }
    }
}
