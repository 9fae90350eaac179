//! The structure of a certificate (RFC 5280 section 4.1), as slices of its bytes.

use crate::der::{Element, Reader, dotted, tag, whole_bytes};
use crate::key::take_apart;
use crate::name::Name;
use crate::signature::SignatureAlgorithm;
use crate::time::unix_seconds;
use crate::{CertificateError, MAXIMUM_DER_LENGTH, SubjectPublicKeyInfo};

/// One certificate of version 1, 2 or 3 in parts. Nothing of it has been verified.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// 1, 2 or 3.
    pub version: u32,
    /// Contents of its INTEGER: two's complement, at least one byte.
    pub serial: &'a [u8],
    /// The name of its issuer.
    pub issuer: Name<'a>,
    /// The name of its subject.
    pub subject: Name<'a>,
    /// Valid from this moment on, in Unix seconds.
    pub not_before: i64,
    /// Valid up to and including this moment, in Unix seconds.
    pub not_after: i64,
    /// Its public key.
    pub key: SubjectPublicKeyInfo<'a>,
    /// The algorithm of its signature.
    pub signature_algorithm: SignatureAlgorithm,
    /// Whether both names of the algorithm are the same bytes: that within what is signed, and that beside it. OpenSSL
    /// verifies no certificate where they differ.
    pub names_one_algorithm: bool,
    /// What is signed, in DER.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    extensions: Vec<Extension<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Extension<'a> {
    oid: &'a [u8],
    value: &'a [u8],
}

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];

/// Reads a certificate.
///
/// What is signed may have every deviation from DER that TLS libraries of devices accept and keep: any bytes in any
/// kind of string, serial numbers of any length and sign, times in every form that names a moment, lengths in more
/// bytes than needed, extensions of any kind. The rest must be DER.
///
/// # Errors
///
/// [`CertificateError`] where `der` is not exactly one certificate.
pub fn parse(der: &[u8]) -> Result<Certificate<'_>, CertificateError> {
    let (mut whole, signed) = signed_object(der)?;
    let mut fields = Reader::new(signed.content);
    let version = version(&mut fields)?;
    let serial = fields.take(tag::INTEGER).map_err(CertificateError::of("serial number"))?.content;
    if serial.is_empty() {
        return Err(CertificateError::Field { field: "serial number", reason: "is empty".to_owned() });
    }
    let inner = fields.take(tag::SEQUENCE).map_err(CertificateError::of("signature algorithm"))?;
    let issuer = Name::read(&mut fields).map_err(CertificateError::of("issuer"))?;
    let (not_before, not_after) = validity(&mut fields)?;
    let subject = Name::read(&mut fields).map_err(CertificateError::of("subject"))?;
    let key = fields.take(tag::SEQUENCE).map_err(CertificateError::of("public key"))?;
    let key = take_apart(key.whole)?;
    for number in [1, 2] {
        // issuerUniqueID and subjectUniqueID, which no program uses.
        fields.optional(tag::context(number)).map_err(CertificateError::of("unique identifier"))?;
    }
    let extensions = extensions(&mut fields).map_err(CertificateError::of("extensions"))?;
    fields.end().map_err(CertificateError::of("last field"))?;
    let outer = whole.take(tag::SEQUENCE).map_err(CertificateError::of("signature algorithm"))?;
    let signature = signature(&mut whole)?;
    Ok(Certificate {
        version,
        serial,
        issuer,
        subject,
        not_before,
        not_after,
        key,
        signature_algorithm: SignatureAlgorithm::read(inner.content),
        names_one_algorithm: inner.whole == outer.whole,
        signed: signed.whole,
        signature,
        extensions,
    })
}

/// Returns the public key of a certificate.
///
/// # Errors
///
/// As [`parse`].
pub fn public_key(der: &[u8]) -> Result<SubjectPublicKeyInfo<'_>, CertificateError> {
    parse(der).map(|certificate| certificate.key)
}

/// Returns a reader after the signed part, and the signed part, of a certificate or a certificate signing request.
pub(crate) fn signed_object(der: &[u8]) -> Result<(Reader<'_>, Element<'_>), CertificateError> {
    if der.len() > MAXIMUM_DER_LENGTH {
        return Err(CertificateError::TooLong { length: der.len() });
    }
    if der.starts_with(b"-----BEGIN") {
        return Err(CertificateError::Pem);
    }
    if der.first() != Some(&tag::SEQUENCE) {
        return Err(CertificateError::NotDer);
    }
    let mut outermost = Reader::strict(der);
    let object = outermost.any().map_err(CertificateError::of("outermost SEQUENCE"))?;
    if !outermost.is_empty() {
        return Err(CertificateError::TrailingData { length: outermost.left() });
    }
    let mut whole = Reader::strict(object.content);
    let signed = whole.take(tag::SEQUENCE).map_err(CertificateError::of("signed part"))?;
    Ok((whole, signed))
}

/// Reads the signature at the end.
pub(crate) fn signature<'a>(whole: &mut Reader<'a>) -> Result<&'a [u8], CertificateError> {
    let field = "signature";
    let bit_string = whole.take(tag::BIT_STRING).map_err(CertificateError::of(field))?;
    whole.end().map_err(CertificateError::of(field))?;
    whole_bytes(bit_string)
        .ok_or(CertificateError::Field { field, reason: "is not a whole number of bytes".to_owned() })
}

/// RFC 5280 section 4.1.2.1: numbered from 0, and 1 where it is missing.
fn version(fields: &mut Reader<'_>) -> Result<u32, CertificateError> {
    let field = "version";
    let Some(explicit) = fields.optional(tag::explicit(0)).map_err(CertificateError::of(field))? else {
        return Ok(1);
    };
    let number = Reader::new(explicit.content).take(tag::INTEGER).map_err(CertificateError::of(field))?;
    match number.content {
        [number @ 0..=2] => Ok(u32::from(*number) + 1),
        _ => Err(CertificateError::Field { field, reason: "is none of 1, 2 and 3".to_owned() }),
    }
}

fn validity(fields: &mut Reader<'_>) -> Result<(i64, i64), CertificateError> {
    let validity = fields.take(tag::SEQUENCE).map_err(CertificateError::of("validity"))?;
    let mut times = Reader::new(validity.content);
    let mut time = |field| {
        let element = times.any().map_err(CertificateError::of(field))?;
        unix_seconds(element).ok_or_else(|| CertificateError::Field {
            field,
            reason: format!("is not a time: {:?}", String::from_utf8_lossy(element.content)),
        })
    };
    let times_read = (time("notBefore")?, time("notAfter")?);
    times.end().map_err(CertificateError::of("validity"))?;
    Ok(times_read)
}

fn extensions<'a>(fields: &mut Reader<'a>) -> Result<Vec<Extension<'a>>, crate::der::DerError> {
    let Some(explicit) = fields.optional(tag::explicit(3))? else {
        return Ok(Vec::new());
    };
    let mut list = Reader::new(explicit.content);
    let mut elements = Reader::new(list.take(tag::SEQUENCE)?.content);
    list.end()?;
    let mut extensions = Vec::new();
    while !elements.is_empty() {
        let mut extension = Reader::new(elements.take(tag::SEQUENCE)?.content);
        let oid = extension.take(tag::OID)?.content;
        extension.optional(tag::BOOLEAN)?;
        let value = extension.take(tag::OCTET_STRING)?.content;
        extension.end()?;
        extensions.push(Extension { oid, value });
    }
    Ok(extensions)
}

impl<'a> Certificate<'a> {
    /// Returns whether it is a CA according to basicConstraints; `None` without that extension.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] where the extension cannot be read, or appears twice, so that neither can be used.
    pub fn is_ca(&self) -> Result<Option<bool>, CertificateError> {
        let field = "basicConstraints extension";
        let mut found = self.extensions.iter().filter(|extension| extension.oid == BASIC_CONSTRAINTS);
        let Some(extension) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(CertificateError::Field { field, reason: "is there twice".to_owned() });
        }
        let constraints =
            Reader::new(extension.value).take(tag::SEQUENCE).map_err(CertificateError::of(field))?;
        let mut members = Reader::new(constraints.content);
        let is_ca = members.optional(tag::BOOLEAN).map_err(CertificateError::of(field))?;
        members.optional(tag::INTEGER).map_err(CertificateError::of(field))?;
        members.end().map_err(CertificateError::of(field))?;
        Ok(Some(is_ca.is_some_and(|boolean| boolean.content.iter().any(|byte| *byte != 0))))
    }

    /// Returns the extension by which a CA's certificate names its key; `None` where it is missing or cannot be read.
    pub fn subject_key_identifier(&self) -> Option<&'a [u8]> {
        let value = self.extension_value(SUBJECT_KEY_IDENTIFIER)?;
        Reader::new(value).take(tag::OCTET_STRING).ok().map(|identifier| identifier.content)
    }

    /// Returns the key identifier of its issuer; `None` where the extension is missing or cannot be read.
    pub fn authority_key_identifier(&self) -> Option<&'a [u8]> {
        let value = self.extension_value(AUTHORITY_KEY_IDENTIFIER)?;
        let identifiers = Reader::new(value).take(tag::SEQUENCE).ok()?;
        let identifier = Reader::new(identifiers.content).optional(tag::context(0)).ok()??;
        Some(identifier.content)
    }

    /// Returns the value of the first extension with this object identifier.
    pub(crate) fn extension_value(&self, oid: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find(|extension| extension.oid == oid).map(|extension| extension.value)
    }

    /// Returns the object identifiers of its extensions, in their order.
    pub fn extension_identifiers(&self) -> impl Iterator<Item = String> {
        self.extensions.iter().map(|extension| dotted(extension.oid))
    }
}
