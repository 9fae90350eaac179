//! Elements of DER and the one relaxation of it: lengths in more bytes than needed.
//!
//! OpenSSL, mbed TLS and GnuTLS read such lengths within what is signed and keep the bytes as they are, so that the
//! certificate works everywhere. Around what is signed they are refused: OpenSSL sends that part in its own encoding,
//! and the certificate's id is the hash of what is sent.

/// Why bytes are not an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerError {
    /// Fewer bytes than the element's length.
    Truncated,
    /// A length without a fixed number of bytes (BER).
    Indefinite,
    /// A length in more bytes than needed, where DER is required.
    NotMinimal,
    /// Another kind of element than the structure has here.
    Unexpected(u8),
    /// A tag of several bytes; X.509 has none.
    LongTag,
    /// Bytes after the last element.
    Trailing,
}

impl DerError {
    /// Returns what is wrong, as the end of a sentence that begins with the name of the field.
    pub(crate) fn sentence(self) -> String {
        match self {
            DerError::Truncated => "breaks off".to_owned(),
            DerError::Indefinite => {
                "has an indefinite length (BER, not DER); have the certificate issued in DER".to_owned()
            }
            DerError::NotMinimal => {
                "has a length in more bytes than needed (BER, not DER), which TLS libraries \
                                     write anew; convert it: openssl x509 -in FILE -out FILE.pem"
                    .to_owned()
            }
            DerError::Unexpected(tag) => {
                format!("has an element of the ASN.1 tag 0x{tag:02x}, which does not belong there")
            }
            DerError::LongTag => "has an ASN.1 tag of several bytes, which X.509 does not use".to_owned(),
            DerError::Trailing => "has bytes after its last element".to_owned(),
        }
    }
}

/// One element: its tag, its contents, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// Tags of the elements that X.509 uses (X.680 section 8.4; constructed ones with bit 6).
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const VISIBLE_STRING: u8 = 0x1a;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// `[number]`, primitive.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]`, constructed.
    pub(crate) const fn explicit(number: u8) -> u8 {
        0xa0 | number
    }
}

/// Reads elements from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    strict: bool,
}

impl<'a> Reader<'a> {
    /// Makes a reader that accepts lengths in more bytes than needed.
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, strict: false }
    }

    /// Makes a reader that accepts DER only.
    pub(crate) fn strict(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, strict: true }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the number of bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Reads the next element.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::LongTag);
        }
        let (&first, after_first) = after_tag.split_first().ok_or(DerError::Truncated)?;
        let (length, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x80 => return Err(DerError::Indefinite),
            _ => {
                let count = usize::from(first & 0x7f);
                let digits = after_first.get(..count).ok_or(DerError::Truncated)?;
                let significant = digits.iter().position(|byte| *byte != 0).unwrap_or(count);
                let length = digits[significant..]
                    .iter()
                    .try_fold(0_usize, |length, byte| {
                        length.checked_mul(256)?.checked_add(usize::from(*byte))
                    })
                    .ok_or(DerError::Truncated)?;
                if self.strict && (significant > 0 || length < 0x80) {
                    return Err(DerError::NotMinimal);
                }
                (length, 2 + count)
            }
        };
        let end =
            header.checked_add(length).filter(|end| *end <= self.rest.len()).ok_or(DerError::Truncated)?;
        let (whole, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Element { tag, content: &whole[header..], whole })
    }

    /// Reads the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        let found = self.any()?;
        if found.tag == tag { Ok(found) } else { Err(DerError::Unexpected(found.tag)) }
    }

    /// Reads the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::Trailing) }
    }
}

/// Returns the contents of a BIT STRING of whole bytes.
pub(crate) fn whole_bytes(bit_string: Element<'_>) -> Option<&[u8]> {
    match bit_string.content.split_first() {
        Some((0, bytes)) => Some(bytes),
        _ => None,
    }
}

/// Returns an object identifier as dotted numbers. If invalid or above 64 bits: `#` and its bytes in hex.
pub(crate) fn dotted(content: &[u8]) -> String {
    arcs(content).unwrap_or_else(|| format!("#{}", hexadecimal(content)))
}

fn arcs(content: &[u8]) -> Option<String> {
    if content.last().is_none_or(|last| last & 0x80 != 0) {
        return None;
    }
    let mut text = String::new();
    let mut value = 0_u64;
    for byte in content {
        value = value.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = (value / 40).min(2);
            text = format!("{first}.{}", value - first * 40);
        } else {
            text.push('.');
            text.push_str(&value.to_string());
        }
        value = 0;
    }
    Some(text)
}

/// Returns lower-case hexadecimal digits, two for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_every_number_of_bytes_and_checked_where_der_is_demanded() {
        for bytes in [&[4, 1, 7][..], &[4, 0x81, 1, 7], &[4, 0x83, 0, 0, 1, 7]] {
            let element = Reader::new(bytes).take(tag::OCTET_STRING).unwrap();
            assert_eq!((element.content, element.whole), (&[7][..], bytes));
        }
        assert_eq!(Reader::strict(&[4, 0x81, 1, 7]).any(), Err(DerError::NotMinimal));
        assert_eq!(Reader::strict(&[4, 1, 7]).any().unwrap().content, [7]);
    }

    #[test]
    fn bytes_that_are_no_element_are_refused() {
        for (bytes, error) in [
            (&[][..], DerError::Truncated),
            (&[4], DerError::Truncated),
            (&[4, 2, 7], DerError::Truncated),
            (&[4, 0x80, 0, 0], DerError::Indefinite),
            (&[4, 0x82, 1], DerError::Truncated),
            (&[4, 0xff, 0xff], DerError::Truncated),
            (&[4, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0], DerError::Truncated),
            (&[0x1f, 0x81, 0, 0], DerError::LongTag),
        ] {
            assert_eq!(Reader::new(bytes).any(), Err(error), "{bytes:?}");
            assert!(!error.sentence().is_empty());
        }
        assert_eq!(Reader::new(&[5, 0]).take(tag::INTEGER), Err(DerError::Unexpected(5)));
        assert_eq!(Reader::new(&[5, 0]).end(), Err(DerError::Trailing));
    }

    #[test]
    fn object_identifiers_are_dotted_numbers() {
        for (content, text) in [
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1][..], "1.2.840.113549.1.1.1"),
            (&[0x55, 4, 3], "2.5.4.3"),
            (&[0x88, 0x37, 1], "2.999.1"),
            (&[0x09, 0x92, 0x26], "0.9.2342"),
            (&[], "#"),
            (&[0x55, 0x84], "#5584"),
            (&[0xff; 12], "#ffffffffffffffffffffffff"),
        ] {
            assert_eq!(dotted(content), text);
        }
    }
}
