//! Bytes as a certificate: what is read from them is consistent, or they are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho_certificate::{certificate_id, client_key_problem, parse, public_key, read};

fuzz_target!(|der: &[u8]| {
    let key = public_key(der);
    match read(der) {
        Ok(facts) => {
            assert_eq!(facts.certificate_id, certificate_id(der));
            assert_eq!(key.map(|key| key.kind).as_ref(), Ok(&facts.key));
            let certificate = parse(der).expect("it was read just now");
            let _ = (
                certificate.is_ca(),
                certificate.subject_key_identifier(),
                certificate.authority_key_identifier(),
            );
            assert!(client_key_problem(&certificate.key).is_none_or(|problem| !problem.is_empty()));
            assert!(!certificate.signed.is_empty() && der.len() > certificate.signed.len());
            assert!((1..=3).contains(&facts.version));
            for (_, values) in &facts.variables {
                assert!(!values.is_empty());
            }
        }
        Err(error) => assert!(key.is_err() && !error.to_string().is_empty()),
    }
});
