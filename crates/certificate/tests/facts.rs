//! The facts of real certificates; damaged ones are refused.

use std::net::IpAddr;

use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType, SerialNumber};
use sekisho_certificate::{
    CertificateError, Facts, KeyKind, MAXIMUM_DER_LENGTH, certificate_id, client_key_problem, parse,
    parse_request, public_key, read, verifies_ecdsa,
};
use x509_parser::prelude::FromDer as _;

const V1: &[u8] = include_bytes!("data/v1-rsa2048.der");
const EVERY_ATTRIBUTE: &[u8] = include_bytes!("data/every-attribute.der");
const RSA_PSS: &[u8] = include_bytes!("data/rsa-pss.der");

fn values<'f>(facts: &'f Facts, name: &str) -> Vec<&'f str> {
    let found = facts.variables.iter().find(|(known, _)| known == name);
    found.map_or_else(Vec::new, |(_, values)| values.iter().map(String::as_str).collect())
}

/// A self-signed v3 certificate on P-256, changed as the test wants it.
fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut parameters);
    let key = KeyPair::generate().expect("a P-256 key can always be made");
    parameters.self_signed(&key).expect("the parameters are good").der().to_vec()
}

#[test]
fn a_version_1_certificate_is_read_like_any_other() {
    let facts = read(V1).unwrap();
    assert_eq!(facts.version, 1);
    assert_eq!(
        facts.certificate_id.to_string(),
        "7ba4b068594f6ca4bd50ae026428404a6fea1678cf810c076ed3d3a390216c9c"
    );
    assert_eq!(facts.serial_number, "921285cbb7a5e086");
    assert_eq!(facts.subject, "CN=pump-7,O=Second\\, Inc.,O=First");
    assert_eq!(facts.issuer, "CN=MyCA");
    assert_eq!((facts.not_before, facts.not_after), (1_795_513_925, 2_110_873_925));
    assert_eq!(facts.key, KeyKind::Rsa { bits: 2048 });
    let expected = [
        ("iot:CertificateId", vec!["7ba4b068594f6ca4bd50ae026428404a6fea1678cf810c076ed3d3a390216c9c"]),
        ("iot:Certificate.SerialNumber", vec!["10525622389124227206"]),
        ("iot:Certificate.Subject.CommonName", vec!["pump-7"]),
        ("iot:Certificate.Subject.Organization", vec!["First", "Second\\, Inc."]),
        ("iot:Certificate.Issuer.CommonName", vec!["MyCA"]),
        (
            "iot:Certificate.AvailableKeys",
            vec![
                "iot:CertificateId",
                "iot:Certificate.SerialNumber",
                "iot:Certificate.Subject.CommonName",
                "iot:Certificate.Subject.Organization",
                "iot:Certificate.Issuer.CommonName",
            ],
        ),
    ];
    let found: Vec<_> =
        facts.variables.iter().map(|(name, _)| (name.as_str(), values(&facts, name))).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_variable_of_the_developer_guides_example_has_its_value() {
    let facts = read(EVERY_ATTRIBUTE).unwrap();
    for (name, expected) in [
        ("SerialNumber", &["10525622389124227206"][..]),
        ("Subject.Country", &["US"]),
        ("Subject.Organization", &["IoT Devices"]),
        ("Subject.OrganizationalUnit", &["LightBulb"]),
        ("Subject.State", &["NY"]),
        ("Subject.CommonName", &["LightBulb Device Cert"]),
        ("Subject.GivenName", &["Bulb"]),
        ("Subject.Initials", &["ZZ"]),
        ("Subject.DistinguishedNameQualifier", &["Bulb001"]),
        ("Subject.Surname", &["Multi Color"]),
        ("Subject.Title", &["RGB"]),
        ("Subject.Pseudonym", &["RGB Device"]),
        ("Subject.GenerationQualifier", &["4"]),
        ("Subject.SerialNumber", &["123"]),
        ("Subject.AlternativeName.DNSName", &["example.com"]),
        ("Subject.AlternativeName.IPAddress", &["1.2.3.4", "2001:db8::1"]),
        ("Subject.AlternativeName.UniformResourceIdentifier", &["ResourceIdentifier001"]),
        ("Subject.AlternativeName.RFC822Name", &["device1@example.com"]),
        ("Subject.AlternativeName.DirectoryName", &["cn=LightBulbCert,ou=SmartHome,o=IoT,c=US"]),
        ("Issuer.Country", &["US"]),
        ("Issuer.Organization", &["IoT Devices"]),
        ("Issuer.OrganizationalUnit", &["SmartHome"]),
        ("Issuer.State", &["WA"]),
        ("Issuer.CommonName", &["IoT Devices Primary CA"]),
        ("Issuer.GivenName", &["Primary CA1"]),
        ("Issuer.Initials", &["XY"]),
        ("Issuer.DistinguishedNameQualifier", &["Example corp"]),
        ("Issuer.Surname", &["SmartHome"]),
        ("Issuer.Title", &["CA1"]),
        ("Issuer.Pseudonym", &["Primary_CA"]),
        ("Issuer.GenerationQualifier", &["2"]),
        ("Issuer.SerialNumber", &["987"]),
        ("Issuer.AlternativeName.DNSName", &["issuer.com"]),
        ("Issuer.AlternativeName.IPAddress", &["5.6.7.8"]),
        ("Issuer.AlternativeName.UniformResourceIdentifier", &["PrimarySignerCA"]),
        ("Issuer.AlternativeName.RFC822Name", &["primary@issuer.com"]),
        ("Issuer.AlternativeName.DirectoryName", &["cn=Primary Issuer CA,ou=IoT Devices,o=Issuer,c=US"]),
    ] {
        assert_eq!(values(&facts, &format!("iot:Certificate.{name}")), expected, "{name}");
    }
    // All of the above, and the certificate's id.
    assert_eq!(values(&facts, "iot:Certificate.AvailableKeys").len(), 38);
    assert_eq!(facts.version, 3);
}

#[test]
fn a_sixth_value_and_one_that_is_too_long_are_left_out() {
    let der = certificate(|parameters| {
        let names = &mut parameters.distinguished_name;
        names.push(DnType::CommonName, "x".repeat(1024));
        names.push(DnType::OrganizationName, "x".repeat(1025));
        names.push(DnType::OrganizationalUnitName, "");
        parameters.subject_alt_names =
            (1..=6).map(|number| SanType::DnsName(format!("{number}.example").try_into().unwrap())).collect();
    });
    let facts = read(&der).unwrap();
    assert_eq!(values(&facts, "iot:Certificate.Subject.CommonName")[0].len(), 1024);
    assert!(values(&facts, "iot:Certificate.Subject.Organization").is_empty());
    assert!(values(&facts, "iot:Certificate.Subject.OrganizationalUnit").is_empty());
    let hosts = values(&facts, "iot:Certificate.Subject.AlternativeName.DNSName");
    assert_eq!(hosts, ["1.example", "2.example", "3.example", "4.example", "5.example"]);
    let keys = values(&facts, "iot:Certificate.AvailableKeys");
    assert!(!keys.contains(&"iot:Certificate.Subject.Organization"));
}

#[test]
fn special_characters_have_a_backslash_in_variables() {
    let der = certificate(|parameters| {
        parameters.distinguished_name.push(DnType::CommonName, r#"a,b"c\d+e=f<g>h;i#j*"#);
        parameters.subject_alt_names = vec![
            SanType::URI("urn:a=b".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse::<IpAddr>().unwrap()),
        ];
    });
    let facts = read(&der).unwrap();
    assert_eq!(values(&facts, "iot:Certificate.Subject.CommonName"), [r#"a\,b\"c\\d\+e\=f\<g\>h\;i#j*"#]);
    let uris = values(&facts, "iot:Certificate.Subject.AlternativeName.UniformResourceIdentifier");
    assert_eq!(uris, [r"urn:a\=b"]);
}

#[test]
fn names_in_any_kind_of_string_are_read() {
    let der = certificate(|parameters| {
        let names = &mut parameters.distinguished_name;
        names.push(DnType::CommonName, DnValue::BmpString("関所".try_into().unwrap()));
        names.push(DnType::OrganizationName, DnValue::TeletexString("Zoll".try_into().unwrap()));
        names.push(DnType::StateOrProvinceName, DnValue::PrintableString("Kanagawa".try_into().unwrap()));
        names.push(DnType::LocalityName, "Hakone");
    });
    let facts = read(&der).unwrap();
    assert_eq!(values(&facts, "iot:Certificate.Subject.CommonName"), ["関所"]);
    assert_eq!(values(&facts, "iot:Certificate.Subject.Organization"), ["Zoll"]);
    assert_eq!(values(&facts, "iot:Certificate.Subject.State"), ["Kanagawa"]);
    assert_eq!(facts.subject, "L=Hakone,ST=Kanagawa,O=Zoll,CN=関所");
    assert!(facts.variables.iter().all(|(name, _)| !name.contains("Locality")));
}

#[test]
fn a_certificate_without_any_name_still_has_an_id() {
    let facts = read(&certificate(|_| {})).unwrap();
    assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("", ""));
    assert_eq!(values(&facts, "iot:CertificateId"), [facts.certificate_id.to_string()]);
}

#[test]
fn an_alternative_name_that_cannot_be_read_gives_no_variable_and_no_error() {
    let der = certificate(|parameters| {
        let broken = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x05, 0x82]);
        parameters.custom_extensions.push(broken);
    });
    let facts = read(&der).unwrap();
    assert!(facts.variables.iter().all(|(name, _)| !name.contains("AlternativeName")));
}

#[test]
fn a_serial_number_is_decimal_as_a_variable_and_hexadecimal_as_a_fact() {
    let with_serial = |bytes: &[u8]| {
        read(&certificate(|parameters| parameters.serial_number = Some(SerialNumber::from_slice(bytes))))
            .unwrap()
    };
    let long = with_serial(&[0x7f; 20]);
    assert_eq!(long.serial_number, "7f".repeat(20));
    assert_eq!(
        values(&long, "iot:Certificate.SerialNumber"),
        ["727885129180488904360266563744972327436484050815"]
    );
    let absurd = with_serial(&[0x7f; 2000]);
    assert!(values(&absurd, "iot:Certificate.SerialNumber").is_empty());
}

#[test]
fn each_kind_of_key_has_a_name_of_its_own() {
    for (algorithm, kind, text) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256, "EC P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::P384, "EC P-384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, KeyKind::P521, "EC P-521"),
        (&rcgen::PKCS_ED25519, KeyKind::Ed25519, "Ed25519"),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
        let found = public_key(&der).unwrap();
        assert_eq!(found.kind, kind);
        assert_eq!(found.kind.to_string(), text);
        assert_eq!(found.key_bits, key.public_key_raw());
        assert_eq!(found.spki, rcgen::PublicKeyData::subject_public_key_info(&key));
    }
    assert_eq!(public_key(RSA_PSS).unwrap().kind, KeyKind::RsaPss { bits: 3072 });
}

#[test]
fn a_public_key_has_the_parts_that_verifiers_need() {
    let key = public_key(V1).unwrap();
    assert_eq!(key.kind, KeyKind::Rsa { bits: 2048 });
    // rsaEncryption with NULL parameters, without the SEQUENCE around it.
    assert_eq!(key.algorithm, [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]);
    assert_eq!(key.parameters, [5, 0]);
    assert!(key.spki.starts_with(&[0x30, 0x82]) && key.spki.ends_with(key.key_bits));
}

#[test]
fn what_is_not_exactly_one_certificate_is_refused() {
    let followed = [V1, b"x"].concat();
    assert_eq!(read(&followed), Err(CertificateError::TrailingData { length: 1 }));
    assert_eq!(public_key(&followed), Err(CertificateError::TrailingData { length: 1 }));
    assert_eq!(read(b"-----BEGIN CERTIFICATE-----\n"), Err(CertificateError::Pem));
    let too_long = vec![0x30; MAXIMUM_DER_LENGTH + 1];
    assert_eq!(read(&too_long), Err(CertificateError::TooLong { length: MAXIMUM_DER_LENGTH + 1 }));
    for bytes in [&b""[..], b"garbage"] {
        assert_eq!(read(bytes), Err(CertificateError::NotDer));
    }
    assert_eq!(read(&[0x30; 60_000]), Err(CertificateError::TrailingData { length: 59_950 }));
    for bytes in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x02, 0x30, 0x00]] {
        assert!(matches!(read(bytes), Err(CertificateError::Field { .. })));
    }
}

#[test]
fn a_certificate_that_breaks_off_anywhere_is_refused() {
    for der in [V1, EVERY_ATTRIBUTE] {
        for length in 0..der.len() {
            assert!(read(&der[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn an_unknown_version_is_refused() {
    let at = EVERY_ATTRIBUTE.windows(5).position(|window| window == [0xa0, 3, 2, 1, 2]).unwrap();
    let mut der = EVERY_ATTRIBUTE.to_vec();
    der[at + 4] = 3;
    assert!(read(&der).unwrap_err().to_string().contains("version"));
}

/// Compares what another reader of X.509 reads of the same bytes.
fn agrees_with_another_reader(der: &[u8]) {
    let (_, theirs) =
        x509_parser::certificate::X509Certificate::from_der(der).expect("another reader reads it");
    let ours = parse(der).expect("it is a certificate");
    assert_eq!(ours.version, theirs.version().0 + 1);
    assert_eq!(ours.serial, theirs.raw_serial());
    assert_eq!(ours.issuer.der, theirs.issuer().as_raw());
    assert_eq!(ours.subject.der, theirs.subject().as_raw());
    assert_eq!(ours.not_before, theirs.validity().not_before.timestamp());
    assert_eq!(ours.not_after, theirs.validity().not_after.timestamp());
    assert_eq!(ours.key.spki, theirs.public_key().raw);
    assert_eq!(ours.signed, theirs.tbs_certificate.as_ref());
    assert_eq!(ours.signature, theirs.signature_value.data.as_ref());
    assert!(ours.names_one_algorithm);
    assert_eq!(
        ours.extension_identifiers().collect::<Vec<_>>(),
        theirs.extensions().iter().map(|extension| extension.oid.to_id_string()).collect::<Vec<_>>()
    );
    let constraints = theirs.basic_constraints().expect("the extension is there once");
    assert_eq!(
        ours.is_ca().expect("the extension is good"),
        constraints.map(|constraints| constraints.value.ca)
    );
    for (name, theirs) in [(&ours.issuer, theirs.issuer()), (&ours.subject, theirs.subject())] {
        let attributes: Vec<_> =
            name.components().iter().flatten().map(|attribute| attribute.oid.clone()).collect();
        let expected: Vec<_> =
            theirs.iter_attributes().map(|attribute| attribute.attr_type().to_id_string()).collect();
        assert_eq!(attributes, expected);
    }
}

#[test]
fn another_reader_reads_the_same() {
    for der in [V1, EVERY_ATTRIBUTE, RSA_PSS] {
        agrees_with_another_reader(der);
    }
    agrees_with_another_reader(&certificate(|parameters| {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_after = rcgen::date_time_ymd(9999, 12, 31);
    }));
}

#[test]
fn a_key_identifier_that_cannot_be_read_is_none() {
    let der = certificate(|parameters| {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.use_authority_key_identifier_extension = true;
    });
    let read = parse(&der).unwrap();
    assert_eq!(read.subject_key_identifier().map(<[u8]>::len), Some(20));
    assert_eq!(read.authority_key_identifier(), read.subject_key_identifier());
    let broken = certificate(|parameters| {
        for last in [14, 35] {
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, last], vec![0x30, 0x05, 0x82]);
            parameters.custom_extensions.push(extension);
        }
    });
    let read = parse(&broken).unwrap();
    assert_eq!((read.subject_key_identifier(), read.authority_key_identifier()), (None, None));
}

#[test]
fn basic_constraints_that_appear_twice_or_cannot_be_read_are_an_error() {
    for contents in [vec![vec![0x30, 3, 1, 1, 0xff], vec![0x30, 0]], vec![vec![0x30, 0x05, 0x82]]] {
        let der = certificate(|parameters| {
            for content in contents {
                parameters
                    .custom_extensions
                    .push(CustomExtension::from_oid_content(&[2, 5, 29, 19], content));
            }
        });
        let error = parse(&der).unwrap().is_ca().unwrap_err().to_string();
        assert!(error.starts_with("its basicConstraints extension "), "{error}");
    }
}

#[test]
fn a_certificate_signing_request_is_read() {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(["pump.example".to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::OrganizationName, "IoT");
    let made = parameters.serialize_request(&key).unwrap();
    let request = parse_request(made.der()).unwrap();
    assert_eq!(request.subject.rfc4514(), "O=IoT,CN=rcgen self signed cert");
    assert_eq!(request.key.spki, rcgen::PublicKeyData::subject_public_key_info(&key));
    assert_eq!(request.signature_algorithm.name, "ecdsa-with-SHA256");
    assert_eq!(request.signature_algorithm.hash, Some("sha256"));
    assert_eq!(client_key_problem(&request.key), None);
    for length in 0..made.der().len() {
        assert!(parse_request(&made.der()[..length]).is_err(), "{length}");
    }
    assert!(parse_request(V1).is_err());
    assert!(parse(made.der()).is_err());
}

#[test]
fn a_key_that_the_gateway_cannot_verify_is_described() {
    for (der, problem) in [(V1, None), (RSA_PSS, None)] {
        assert_eq!(client_key_problem(&public_key(der).unwrap()), problem);
    }
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let der = CertificateParams::default().self_signed(&ed25519).unwrap();
    let problem = client_key_problem(&public_key(der.der()).unwrap()).unwrap();
    assert!(
        problem.starts_with("a key of the kind Ed25519; allowed are RSA of 2048 bits and more"),
        "{problem}"
    );
    let p256 = certificate(|_| {});
    let at = public_key(&p256).unwrap().key_bits.as_ptr().addr() - p256.as_ptr().addr();
    let mut elsewhere = p256.clone();
    elsewhere[at + 20] ^= 1;
    let problem = client_key_problem(&public_key(&elsewhere).unwrap()).unwrap();
    assert!(problem.contains("not on the curve"), "{problem}");
    assert_eq!(client_key_problem(&public_key(&p256).unwrap()), None);
}

#[test]
fn deeply_nested_sequences_are_refused_without_recursion() {
    let mut der = Vec::new();
    while der.len() < 60_000 {
        let length = u16::try_from(der.len()).unwrap().to_be_bytes();
        der.splice(0..0, [0x30, 0x82, length[0], length[1]]);
    }
    assert!(read(&der).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_bytes_never_panic(position in 0..EVERY_ATTRIBUTE.len(), byte in any::<u8>(), drop in any::<bool>()) {
        let mut der = EVERY_ATTRIBUTE.to_vec();
        if drop { der.remove(position); } else { der[position] = byte; }
        let _ = parse_request(&der);
        if let Ok(facts) = read(&der) {
            let parsed = parse(&der).unwrap();
            let _ = (parsed.is_ca(), parsed.subject_key_identifier(), parsed.authority_key_identifier());
            let _ = (client_key_problem(&parsed.key), parsed.key.canonical());
            prop_assert_eq!(facts.certificate_id, certificate_id(&der));
            prop_assert!(public_key(&der).is_ok());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = public_key(&bytes);
        let _ = parse_request(&bytes);
    }
}

#[test]
fn an_ecdsa_signature_is_verified_with_the_key_that_made_it() {
    let digests = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "sha256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "sha384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "sha512"),
    ];
    for (algorithm, digest) in digests {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
        let certificate = parse(&der).unwrap();
        let (spki, signed, signature) = (certificate.key.spki, certificate.signed, certificate.signature);
        assert!(verifies_ecdsa(spki, digest, signed, signature));
        let other = KeyPair::generate_for(algorithm).unwrap();
        assert!(!verifies_ecdsa(
            &rcgen::PublicKeyData::subject_public_key_info(&other),
            digest,
            signed,
            signature
        ));
        assert!(!verifies_ecdsa(spki, digest, &signed[1..], signature));
        assert!(!verifies_ecdsa(spki, digest, signed, &signature[..signature.len() - 1]));
        assert!(!verifies_ecdsa(spki, "sha1", signed, signature));
        assert!(!verifies_ecdsa(&spki[..spki.len() - 1], digest, signed, signature));
    }
}

#[test]
fn a_signature_of_another_kind_is_left_to_others() {
    let certificate = parse(V1).unwrap();
    assert!(!verifies_ecdsa(certificate.key.spki, "sha256", certificate.signed, certificate.signature));
}
