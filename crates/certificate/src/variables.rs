//! The `iot:Certificate.*` policy variables of a certificate.
//!
//! Developer Guide, "X.509 Certificate AWS IoT Core policy variables" and "Using X.509 certificate policy variables",
//! whose limits hold here: five values of an attribute, 1024 characters of a value, and a backslash before
//! `,` `"` `\` `+` `=` `<` `>` `;` in it. How `.1` and `.List` pick from the values is the policy engine's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::TbsCertificate;
use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::CertificateId;
use crate::name::{directory_name, value_text};

const MAXIMUM_VALUES: usize = 5;
const MAXIMUM_CHARACTERS: usize = 1024;

const SUBJECT_ALTERNATIVE_NAME: &str = "2.5.29.17";
const ISSUER_ALTERNATIVE_NAME: &str = "2.5.29.18";

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

/// Every variable that has a value, with its values in the order of the certificate.
pub(crate) fn variables(id: CertificateId, certificate: &TbsCertificate<'_>) -> Vec<(String, Vec<String>)> {
    let mut variables = vec![("iot:CertificateId".to_owned(), vec![id.to_string()])];
    let mut add = |name: String, values: Vec<String>| {
        let is_usable = |value: &String| !value.is_empty() && value.chars().count() <= MAXIMUM_CHARACTERS;
        let values: Vec<String> = values.into_iter().filter(is_usable).take(MAXIMUM_VALUES).collect();
        if !values.is_empty() {
            variables.push((name, values));
        }
    };
    add("iot:Certificate.SerialNumber".to_owned(), decimal_serial(certificate).into_iter().collect());
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

/// The serial number as AWS IoT writes it: in decimal, `10525622389124227206` for `92:12:85:cb:b7:a5:e0:86`.
fn decimal_serial(certificate: &TbsCertificate<'_>) -> Option<String> {
    // A byte is more than two digits, and turning a long number into decimal takes time of its square.
    let is_short = certificate.raw_serial().len() <= MAXIMUM_CHARACTERS / 2;
    is_short.then(|| certificate.serial.to_string())
}

fn values_of(name: &X509Name<'_>, oid: &str) -> Vec<String> {
    let attributes = name.iter_attributes().filter(|attribute| attribute.attr_type().to_id_string() == oid);
    attributes
        .filter_map(|attribute| value_text(attribute.attr_value()))
        .map(|value| escaped(&value))
        .collect()
}

/// Values by kind of name. An extension that cannot be read gives none, as if it were not there.
fn alternative_names(certificate: &TbsCertificate<'_>, oid: &str) -> [(&'static str, Vec<String>); 5] {
    let mut extensions =
        certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == oid);
    // Both extensions are GeneralNames (RFC 5280 sections 4.2.1.6 and 4.2.1.7).
    let names = extensions
        .next()
        .and_then(|extension| SubjectAlternativeName::from_der(extension.value).ok())
        .map_or_else(Vec::new, |(_, names)| names.general_names);
    let mut mail = Vec::new();
    let mut hosts = Vec::new();
    let mut directory = Vec::new();
    let mut identifiers = Vec::new();
    let mut addresses = Vec::new();
    for name in &names {
        match name {
            GeneralName::RFC822Name(text) => mail.push(escaped(text)),
            GeneralName::DNSName(text) => hosts.push(escaped(text)),
            // RFC 4514 has put its own backslashes in.
            GeneralName::DirectoryName(name) => directory.push(directory_name(name)),
            GeneralName::URI(text) => identifiers.push(escaped(text)),
            GeneralName::IPAddress(octets) => {
                addresses.extend(address(octets).map(|address| address.to_string()))
            }
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
