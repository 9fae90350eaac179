//! Certificate signing requests (PKCS #10, RFC 2986).

use crate::certificate::{signature, signed_object};
use crate::der::{Reader, tag};
use crate::key::take_apart;
use crate::name::Name;
use crate::signature::SignatureAlgorithm;
use crate::{CertificateError, SubjectPublicKeyInfo};

/// One certificate signing request in parts. Nothing of it has been verified.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The subject of the certificate that is requested.
    pub subject: Name<'a>,
    /// The public key that is to be certified.
    pub key: SubjectPublicKeyInfo<'a>,
    /// The algorithm of its signature.
    pub signature_algorithm: SignatureAlgorithm,
    /// What is signed, in DER.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// Reads a certificate signing request. Its attributes, which contain requested extensions, are ignored.
///
/// # Errors
///
/// [`CertificateError`] where `der` is not exactly one request.
pub fn parse_request(der: &[u8]) -> Result<Request<'_>, CertificateError> {
    let (mut whole, signed) = signed_object(der)?;
    let mut fields = Reader::new(signed.content);
    fields.take(tag::INTEGER).map_err(CertificateError::of("version"))?;
    let subject = Name::read(&mut fields).map_err(CertificateError::of("subject"))?;
    let key = fields.take(tag::SEQUENCE).map_err(CertificateError::of("public key"))?;
    let key = take_apart(key.whole)?;
    // RFC 2986 requires attributes; OpenSSL reads requests without any.
    fields.optional(tag::explicit(0)).map_err(CertificateError::of("attributes"))?;
    fields.end().map_err(CertificateError::of("last field"))?;
    let algorithm = whole.take(tag::SEQUENCE).map_err(CertificateError::of("signature algorithm"))?;
    let signature = signature(&mut whole)?;
    Ok(Request {
        subject,
        key,
        signature_algorithm: SignatureAlgorithm::read(algorithm.content),
        signed: signed.whole,
        signature,
    })
}
