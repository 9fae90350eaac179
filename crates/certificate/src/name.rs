//! Distinguished names and their values as text.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag, ToDer as _};
use x509_parser::x509::X509Name;

/// Short names of RFC 4519 and their relatives, by object identifier.
const SHORT_NAMES: [(&str, &str); 20] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "givenName"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The name as RFC 4514 writes it: last component first, `CN=pump-7,O=Example\, Inc.,C=JP`.
pub(crate) fn rfc4514(name: &X509Name<'_>) -> String {
    let components: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for component in components.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (position, attribute) in component.iter().enumerate() {
            if position > 0 {
                text.push('+');
            }
            let oid = attribute.attr_type().to_id_string();
            let short_name = SHORT_NAMES.iter().find(|(known, _)| *known == oid);
            text.push_str(short_name.map_or(&oid, |(_, short_name)| short_name));
            text.push('=');
            match value_text(attribute.attr_value()).filter(|_| short_name.is_some()) {
                Some(value) => push_escaped(&mut text, &value),
                None => push_hexadecimal(&mut text, attribute.attr_value()),
            }
        }
    }
    text
}

/// The name as AWS IoT's `AlternativeName.DirectoryName` shows it: RFC 4514 with short names in lower case,
/// `cn=LightBulbCert,ou=SmartHome,o=IoT,c=US` (Developer Guide, "Using X.509 certificate policy variables").
pub(crate) fn directory_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let mut in_value = false;
    let mut escaped = false;
    for character in rfc4514(name).chars() {
        match character {
            '=' if !in_value => in_value = true,
            ',' | '+' if in_value && !escaped => in_value = false,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        text.push(if in_value { character } else { character.to_ascii_lowercase() });
    }
    text
}

/// The text of a string of any ASN.1 kind; none where it is no string or its bytes are not of that kind.
pub(crate) fn value_text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            String::from_utf8(value.data.to_vec()).ok()
        }
        // Real certificates put ISO 8859-1 here, whatever T.61 says.
        Tag::TeletexString => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = value.data.chunks(2).map(|unit| Some(u16::from_be_bytes(unit.try_into().ok()?)));
            String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
        }
        Tag::UniversalString => value
            .data
            .chunks(4)
            .map(|unit| char::from_u32(u32::from_be_bytes(unit.try_into().ok()?)))
            .collect(),
        _ => None,
    }
}

/// RFC 4514 section 2.4.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        match character {
            '\0' => text.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            ' ' if position == 0 || position == last => text.push_str("\\ "),
            '#' if position == 0 => text.push_str("\\#"),
            character => text.push(character),
        }
    }
}

/// RFC 4514 section 2.4: `#` and the value's DER.
fn push_hexadecimal(text: &mut String, value: &Any<'_>) {
    text.push('#');
    for byte in value.to_der_vec_raw().unwrap_or_default() {
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::asn1_rs::FromDer as _;

    use super::*;

    /// Wraps the contents in a tag and a short length.
    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length =
            u8::try_from(contents.len()).ok().filter(|length| *length < 128).expect("a short test value");
        [&[tag, length], contents].concat()
    }

    fn attribute(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        der(0x30, &[der(0x06, oid), der(tag, value)].concat())
    }

    fn name(components: &[Vec<u8>]) -> Vec<u8> {
        der(0x30, &components.iter().flat_map(|component| der(0x31, component)).collect::<Vec<_>>())
    }

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];

    #[test]
    fn a_name_is_written_last_component_first_with_escapes() {
        let bytes = name(&[
            attribute(O, 0x0c, b" A, \"B\"+<C>;D\\ "),
            [attribute(CN, 0x13, b"#x"), attribute(&[0x2a, 3], 0x0c, b"y")].concat(),
        ]);
        let (_, parsed) = X509Name::from_der(&bytes).unwrap();
        assert_eq!(rfc4514(&parsed), r#"CN=\#x+1.2.3=#0c0179,O=\ A\, \"B\"\+\<C\>\;D\\\ "#);
        assert_eq!(directory_name(&parsed), r#"cn=\#x+1.2.3=#0c0179,o=\ A\, \"B\"\+\<C\>\;D\\\ "#);
    }

    #[test]
    fn every_kind_of_string_is_read() {
        for (tag, value, expected) in [
            (0x0c, "関所".as_bytes(), Some("関所")),
            (0x0c, &[0xff][..], None),
            (0x14, &[0x5a, 0xfc][..], Some("Zü")),
            (0x1e, &[0x95, 0xa2, 0x62, 0x40][..], Some("関所")),
            (0x1e, &[0x95][..], None),
            (0x1c, &[0, 1, 0xf6, 0x80][..], Some("🚀")),
            (0x1c, &[0, 0x11, 0, 0][..], None),
            (0x02, &[1][..], None),
        ] {
            let bytes = der(tag, value);
            // The parser refuses some strings of its own accord; then there is no text either.
            let text = Any::from_der(&bytes).ok().and_then(|(_, value)| value_text(&value));
            assert_eq!(text.as_deref(), expected, "{tag:#x} {value:?}");
        }
    }

    #[test]
    fn short_names_are_listed_once() {
        let mut identifiers: Vec<_> = SHORT_NAMES.iter().map(|(identifier, _)| identifier).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        assert_eq!(identifiers.len(), SHORT_NAMES.len());
    }
}
