//! Bytes as a certificate signing request: what is read from them lies within them, or they are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho_certificate::{client_key_problem, parse_name, parse_request};

fuzz_target!(|der: &[u8]| match parse_request(der) {
    Ok(request) => {
        assert_eq!(
            parse_name(request.subject.der).expect("the name of a request that was read").rfc4514(),
            request.subject.rfc4514()
        );
        assert!(client_key_problem(&request.key).is_none_or(|problem| !problem.is_empty()));
        assert!(request.signed.len() + request.signature.len() < der.len());
    }
    Err(error) => assert!(!error.to_string().is_empty()),
});
