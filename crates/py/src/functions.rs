//! The policy engine and the certificate reader of the data plane, lent to the control plane.

use pyo3::prelude::*;
use sekisho_gateway::principal::Principal;
use sekisho_gateway::{authority, refusal};

use crate::convert::IdentityDict;
use crate::error;
use crate::facts::{self, CertificateFacts, NameFacts, RequestFacts};

/// Every reason for which the gateway may refuse: (NAME, sentence).
#[pyfunction]
pub fn refusal_reasons() -> Vec<(&'static str, &'static str)> {
    refusal::reasons()
}

/// Raises PolicyError where AWS IoT would answer MalformedPolicyException.
#[pyfunction]
pub fn check_policy(document: &str) -> PyResult<()> {
    sekisho_policy::Policy::parse(document).map(|_| ()).map_err(|cause| error::policy(&cause))
}

/// Lower-case hex SHA-256 of the DER: AWS IoT's certificateId.
#[pyfunction]
pub fn certificate_id(der: &[u8]) -> String {
    sekisho_certificate::certificate_id(der).to_string()
}

/// Every `iot:Certificate.*` policy variable this certificate gives, with its values in order.
#[pyfunction]
pub fn certificate_variables(der: &[u8]) -> PyResult<Vec<(String, Vec<String>)>> {
    sekisho_certificate::read(der).map(|facts| facts.variables).map_err(|cause| error::certificate(&cause))
}

/// The facts of a certificate: `CertificateFacts` of the contract.
#[pyfunction]
pub fn read_certificate(der: &[u8]) -> PyResult<CertificateFacts<'_>> {
    facts::certificate(der).map_err(|cause| error::certificate(&cause))
}

/// A distinguished name: `NameFacts` of the contract.
#[pyfunction]
pub fn read_name(der: &[u8]) -> PyResult<NameFacts<'_>> {
    sekisho_certificate::parse_name(der)
        .map(|name| facts::name(&name))
        .map_err(|cause| error::certificate(&cause))
}

/// The facts of a certificate signing request: `RequestFacts` of the contract.
#[pyfunction]
pub fn read_request(der: &[u8]) -> PyResult<RequestFacts<'_>> {
    facts::request(der).map_err(|cause| error::certificate(&cause))
}

/// Whether a key made an ECDSA signature. False says nothing: not every kind of key and digest is tried.
#[pyfunction]
pub fn verifies_ecdsa(
    python: Python<'_>,
    spki: &[u8],
    digest: &str,
    signed: &[u8],
    signature: &[u8],
) -> bool {
    python.detach(|| sekisho_certificate::verifies_ecdsa(spki, digest, signed, signature))
}

/// `DecisionDict` of the contract.
#[derive(IntoPyObject)]
pub struct DecisionDict {
    decision: &'static str,
    allowed_by: Vec<String>,
    denied_by: Vec<String>,
    missing: Vec<String>,
}

/// Decide for a connection of this identity, without one: one decision per request.
#[pyfunction]
pub fn evaluate(
    python: Python<'_>,
    identity: IdentityDict,
    certificate: Option<Vec<u8>>,
    client_id: Option<String>,
    requests: Vec<(String, String)>,
) -> PyResult<Vec<DecisionDict>> {
    let identity = identity.into();
    python.detach(|| {
        let principal = Principal::without_connection(&identity, certificate.as_deref())
            .map_err(|cause| error::principal(&cause))?;
        Ok(authority::explain(&principal, client_id.as_deref(), &requests)
            .into_iter()
            .map(decision)
            .collect())
    })
}

fn decision(decision: sekisho_policy::Decision) -> DecisionDict {
    let names = |statements: Vec<sekisho_policy::StatementId>| {
        let mut names: Vec<String> = Vec::new();
        for statement in statements {
            // Several statements of one policy count once.
            if !names.iter().any(|name| **name == *statement.policy) {
                names.push(statement.policy.to_string());
            }
        }
        names
    };
    DecisionDict {
        decision: decision.verdict.as_str(),
        allowed_by: names(decision.allowed_by),
        denied_by: names(decision.denied_by),
        missing: decision.missing,
    }
}
