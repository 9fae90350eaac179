//! The `iot:Certificate.*` policy variables of a certificate.
//!
//! Developer Guide, "X.509 Certificate AWS IoT Core policy variables" and "Using X.509 certificate policy variables",
//! whose limits hold here: five values of an attribute, 1024 characters of a value, and a backslash before
//! `,` `"` `\` `+` `=` `<` `>` `;` in it. The policy engine resolves `.1` and `.List`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::CertificateId;
use crate::certificate::Certificate;
use crate::der::{Element, Reader, tag};
use crate::name::{Name, directory_name};

const MAXIMUM_VALUES: usize = 5;
const MAXIMUM_CHARACTERS: usize = 1024;

const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const ISSUER_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x12];

/// The attributes of a subject or issuer that have a variable, by object identifier.
const ATTRIBUTES: [(&str, &str); 13] = [
    ("CommonName", "2.5.4.3"),
    ("Country", "2.5.4.6"),
    ("DistinguishedNameQualifier", "2.5.4.46"),
    ("GenerationQualifier", "2.5.4.44"),
    ("GivenName", "2.5.4.42"),
    ("Initials", "2.5.4.43"),
    ("Organization", "2.5.4.10"),
    ("OrganizationalUnit", "2.5.4.11"),
    ("Pseudonym", "2.5.4.65"),
    ("SerialNumber", "2.5.4.5"),
    ("State", "2.5.4.8"),
    ("Surname", "2.5.4.4"),
    ("Title", "2.5.4.12"),
];

/// Returns every variable that has a value, with its values in the order of the certificate.
pub(crate) fn variables(id: CertificateId, certificate: &Certificate<'_>) -> Vec<(String, Vec<String>)> {
    let mut variables = vec![("iot:CertificateId".to_owned(), vec![id.to_string()])];
    let mut add = |name: String, values: Vec<String>| {
        let is_usable = |value: &String| !value.is_empty() && value.chars().count() <= MAXIMUM_CHARACTERS;
        let values: Vec<String> = values.into_iter().filter(is_usable).take(MAXIMUM_VALUES).collect();
        if !values.is_empty() {
            variables.push((name, values));
        }
    };
    add("iot:Certificate.SerialNumber".to_owned(), decimal_serial(certificate.serial).into_iter().collect());
    for (whose, name, extension) in [
        ("Subject", &certificate.subject, SUBJECT_ALTERNATIVE_NAME),
        ("Issuer", &certificate.issuer, ISSUER_ALTERNATIVE_NAME),
    ] {
        for (attribute, oid) in ATTRIBUTES {
            add(format!("iot:Certificate.{whose}.{attribute}"), values_of(name, oid));
        }
        for (kind, values) in alternative_names(certificate, extension) {
            add(format!("iot:Certificate.{whose}.AlternativeName.{kind}"), values);
        }
    }
    let names = variables.iter().map(|(name, _)| name.clone()).collect();
    variables.push(("iot:Certificate.AvailableKeys".to_owned(), names));
    variables
}

/// Returns the serial number as AWS IoT writes it: in decimal, `10525622389124227206` for `92:12:85:cb:b7:a5:e0:86`.
fn decimal_serial(two_complement: &[u8]) -> Option<String> {
    // A byte is more than two digits, and the time of converting a long number to decimal grows with its square.
    if two_complement.len() > MAXIMUM_CHARACTERS / 2 {
        return None;
    }
    let is_negative = two_complement.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = two_complement.to_vec();
    if is_negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            let carry;
            (*byte, carry) = byte.overflowing_add(1);
            if !carry {
                break;
            }
        }
    }
    // Nine digits at a time, the last first.
    let mut groups: Vec<u64> = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut remainder = 0;
        for byte in &mut magnitude {
            let value = remainder << 8 | u64::from(*byte);
            *byte = u8::try_from(value / 1_000_000_000).unwrap_or_default();
            remainder = value % 1_000_000_000;
        }
        groups.push(remainder);
    }
    let first = groups.pop().unwrap_or_default();
    let mut text = format!("{}{first}", if is_negative { "-" } else { "" });
    for group in groups.iter().rev() {
        text.push_str(&format!("{group:09}"));
    }
    Some(text)
}

fn values_of(name: &Name<'_>, oid: &str) -> Vec<String> {
    name.texts_of(oid).map(|value| escaped(&value)).collect()
}

/// Returns the values by kind of name. An extension that cannot be read is treated as if it were missing.
fn alternative_names(certificate: &Certificate<'_>, oid: &[u8]) -> [(&'static str, Vec<String>); 5] {
    let mut mail = Vec::new();
    let mut hosts = Vec::new();
    let mut directory = Vec::new();
    let mut identifiers = Vec::new();
    let mut addresses = Vec::new();
    // Both extensions are GeneralNames (RFC 5280 sections 4.2.1.6 and 4.2.1.7).
    let names = certificate
        .extension_value(oid)
        .and_then(|value| Reader::new(value).take(tag::SEQUENCE).ok())
        .and_then(|names| elements(names.content))
        .unwrap_or_default();
    let text = |content: &[u8]| std::str::from_utf8(content).ok().map(escaped);
    for name in names {
        match name.tag {
            RFC822_NAME => mail.extend(text(name.content)),
            DNS_NAME => hosts.extend(text(name.content)),
            // RFC 4514 has added backslashes of its own.
            DIRECTORY_NAME => {
                let read = Name::read(&mut Reader::new(name.content)).ok();
                directory.extend(read.map(|name| directory_name(&name)));
            }
            UNIFORM_RESOURCE_IDENTIFIER => identifiers.extend(text(name.content)),
            IP_ADDRESS => addresses.extend(address(name.content).map(|address| address.to_string())),
            _ => {}
        }
    }
    [
        ("DNSName", hosts),
        ("DirectoryName", directory),
        ("IPAddress", addresses),
        ("RFC822Name", mail),
        ("UniformResourceIdentifier", identifiers),
    ]
}

const RFC822_NAME: u8 = tag::context(1);
const DNS_NAME: u8 = tag::context(2);
const DIRECTORY_NAME: u8 = tag::explicit(4);
const UNIFORM_RESOURCE_IDENTIFIER: u8 = tag::context(6);
const IP_ADDRESS: u8 = tag::context(7);

fn elements(content: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut reader = Reader::new(content);
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(reader.any().ok()?);
    }
    Some(found)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, ',' | '"' | '\\' | '+' | '=' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_of_any_sign_and_length_is_decimal() {
        for (bytes, text) in [
            (&[0][..], "0"),
            (&[0, 0, 0], "0"),
            (&[1], "1"),
            (&[0xff], "-1"),
            (&[0x80, 0], "-32768"),
            (&[0xff, 0x04], "-252"),
            (&[0x3b, 0x9a, 0xca, 0x00], "1000000000"),
            (&[0, 0x92, 0x12, 0x85, 0xcb, 0xb7, 0xa5, 0xe0, 0x86], "10525622389124227206"),
        ] {
            assert_eq!(decimal_serial(bytes).as_deref(), Some(text));
        }
        assert_eq!(decimal_serial(&[1; 512]).map(|text| text.len()), Some(1231));
        assert_eq!(decimal_serial(&[1; 513]), None);
    }
}
