//! Every Rust error → one Python exception.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;

create_exception!(
    _sekisho,
    GatewayError,
    PyException,
    "The data plane could not do as asked: a port in use, a key that fits no certificate, stopped already."
);
create_exception!(
    _sekisho,
    PolicyError,
    PyValueError,
    "A policy document that AWS IoT would refuse; the message says what, where and what to do."
);
create_exception!(
    _sekisho,
    CertificateError,
    PyValueError,
    "Bytes that are no X.509 certificate; the message says where reading failed."
);

/// The exception for an error of the gateway.
pub fn gateway(error: &sekisho_gateway::GatewayError) -> PyErr {
    GatewayError::new_err(error.to_string())
}

/// The exception for a policy document.
pub fn policy(error: &sekisho_policy::PolicyError) -> PyErr {
    PolicyError::new_err(error.to_string())
}

/// The exception for a certificate.
pub fn certificate(error: &sekisho_certificate::CertificateError) -> PyErr {
    CertificateError::new_err(error.to_string())
}

/// The exception for facts of which no principal can be made.
pub fn principal(error: &sekisho_gateway::principal::PrincipalError) -> PyErr {
    use sekisho_gateway::principal::PrincipalError;
    match error {
        PrincipalError::Policy { .. } => PolicyError::new_err(error.to_string()),
        PrincipalError::Certificate(error) => certificate(error),
        PrincipalError::Word { .. } => PyValueError::new_err(error.to_string()),
    }
}
