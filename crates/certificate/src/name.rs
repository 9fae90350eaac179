//! Distinguished names and their values as text.

use crate::CertificateError;
use crate::der::{DerError, Element, Reader, dotted, hexadecimal, tag};

/// Short names of RFC 4519 and similar ones, by object identifier.
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

/// A distinguished name, as slices of its bytes.
#[derive(Clone, Debug)]
pub struct Name<'a> {
    /// The whole, in DER.
    pub der: &'a [u8],
    components: Vec<Vec<Attribute<'a>>>,
}

/// One attribute of a name. A string of any kind may contain any bytes.
#[derive(Clone, Debug)]
pub struct Attribute<'a> {
    /// Its type, an object identifier in dotted numbers.
    pub oid: String,
    value: Element<'a>,
}

impl<'a> Attribute<'a> {
    /// Returns the value as text; `None` where it is not a string, or its bytes are not of the string's kind.
    pub fn text(&self) -> Option<String> {
        value_text(self.value)
    }

    /// Returns the value, in DER.
    pub fn der(&self) -> &'a [u8] {
        self.value.whole
    }
}

impl<'a> Name<'a> {
    /// Reads a name.
    pub(crate) fn read(fields: &mut Reader<'a>) -> Result<Name<'a>, DerError> {
        let name = fields.take(tag::SEQUENCE)?;
        let mut rest = Reader::new(name.content);
        let mut components = Vec::new();
        while !rest.is_empty() {
            let mut set = Reader::new(rest.take(tag::SET)?.content);
            let mut component = Vec::new();
            while !set.is_empty() {
                let mut attribute = Reader::new(set.take(tag::SEQUENCE)?.content);
                let oid = dotted(attribute.take(tag::OID)?.content);
                let value = attribute.any()?;
                attribute.end()?;
                component.push(Attribute { oid, value });
            }
            components.push(component);
        }
        Ok(Name { der: name.whole, components })
    }

    /// Returns its components in their order, each a set of attributes.
    pub fn components(&self) -> &[Vec<Attribute<'a>>] {
        &self.components
    }

    /// Returns the texts of the attributes of this type, in their order.
    pub(crate) fn texts_of(&self, oid: &str) -> impl Iterator<Item = String> {
        self.components
            .iter()
            .flatten()
            .filter(move |attribute| attribute.oid == oid)
            .filter_map(Attribute::text)
    }

    /// Returns the name as RFC 4514 writes it: last component first, `CN=pump-7,O=Example\, Inc.,C=JP`; empty for an
    /// empty name.
    pub fn rfc4514(&self) -> String {
        let mut text = String::new();
        for component in self.components.iter().rev() {
            if !text.is_empty() {
                text.push(',');
            }
            for (position, attribute) in component.iter().enumerate() {
                if position > 0 {
                    text.push('+');
                }
                let oid = &attribute.oid;
                let short_name = SHORT_NAMES.iter().find(|(known, _)| known == oid);
                text.push_str(short_name.map_or(oid.as_str(), |(_, short_name)| short_name));
                text.push('=');
                match attribute.text().filter(|_| short_name.is_some()) {
                    Some(value) => push_escaped(&mut text, &value),
                    None => {
                        text.push('#');
                        text.push_str(&hexadecimal(attribute.der()));
                    }
                }
            }
        }
        text
    }
}

/// Reads a name that has no other bytes around it.
///
/// # Errors
///
/// [`CertificateError`] where `der` is not exactly one name.
pub fn parse_name(der: &[u8]) -> Result<Name<'_>, CertificateError> {
    let mut reader = Reader::new(der);
    let name = Name::read(&mut reader).map_err(CertificateError::of("name"))?;
    reader.end().map_err(CertificateError::of("name"))?;
    Ok(name)
}

/// Returns the name as in AWS IoT's `AlternativeName.DirectoryName`: RFC 4514 with short names in lower case,
/// `cn=LightBulbCert,ou=SmartHome,o=IoT,c=US` (Developer Guide, "Using X.509 certificate policy variables").
pub(crate) fn directory_name(name: &Name<'_>) -> String {
    let mut text = String::new();
    let mut in_value = false;
    let mut escaped = false;
    for character in name.rfc4514().chars() {
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

/// Returns the text of a string of any ASN.1 kind; `None` where it is not a string or its bytes are not of that kind.
fn value_text(value: Element<'_>) -> Option<String> {
    let bytes = value.content;
    match value.tag {
        tag::UTF8_STRING
        | tag::PRINTABLE_STRING
        | tag::IA5_STRING
        | tag::NUMERIC_STRING
        | tag::VISIBLE_STRING => String::from_utf8(bytes.to_vec()).ok(),
        // Real certificates have ISO 8859-1 here, in spite of T.61; some have UTF-8, which is never mistaken for it.
        tag::TELETEX_STRING => Some(
            String::from_utf8(bytes.to_vec())
                .unwrap_or_else(|_| bytes.iter().copied().map(char::from).collect()),
        ),
        tag::BMP_STRING => {
            let units = bytes.chunks(2).map(|unit| Some(u16::from_be_bytes(unit.try_into().ok()?)));
            String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
        }
        tag::UNIVERSAL_STRING => {
            bytes.chunks(4).map(|unit| char::from_u32(u32::from_be_bytes(unit.try_into().ok()?))).collect()
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        match character {
            // They would move the cursor of a terminal that shows a log.
            character if character.is_control() => {
                for byte in character.to_string().bytes() {
                    text.push('\\');
                    text.push_str(&hexadecimal(&[byte]));
                }
            }
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            ' ' if position == 0 || position == last => text.push_str("\\ "),
            '#' if position == 0 => text.push_str("\\#"),
            character => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
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
            attribute(CN, 0x0c, "\0\u{1b}\u{85}".as_bytes()),
            [attribute(CN, 0x13, b"#x"), attribute(&[0x2a, 3], 0x0c, b"y")].concat(),
        ]);
        let parsed = Name::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(parsed.der, bytes);
        assert_eq!(parsed.rfc4514(), r#"CN=\#x+1.2.3=#0c0179,CN=\00\1b\c2\85,O=\ A\, \"B\"\+\<C\>\;D\\\ "#);
        assert_eq!(
            directory_name(&parsed),
            r#"cn=\#x+1.2.3=#0c0179,cn=\00\1b\c2\85,o=\ A\, \"B\"\+\<C\>\;D\\\ "#
        );
    }

    #[test]
    fn every_kind_of_string_is_read() {
        for (tag, value, expected) in [
            (0x0c, "関所".as_bytes(), Some("関所")),
            (0x0c, &[0xff][..], None),
            (0x14, &[0x5a, 0xfc][..], Some("Zü")),
            (0x14, "Zü".as_bytes(), Some("Zü")),
            (0x13, b"sensor_01 @*", Some("sensor_01 @*")),
            (0x13, &[0x5a, 0xfc], None),
            (0x0c, b"", Some("")),
            (0x03, &[0, 0x41], None),
            (0x1e, &[0x95, 0xa2, 0x62, 0x40][..], Some("関所")),
            (0x1e, &[0x95][..], None),
            (0x1c, &[0, 1, 0xf6, 0x80][..], Some("🚀")),
            (0x1c, &[0, 0x11, 0, 0][..], None),
            (0x02, &[1][..], None),
        ] {
            let text = value_text(Reader::new(&der(tag, value)).any().unwrap());
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
