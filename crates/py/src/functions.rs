//! The policy engine and the certificate reader of the data plane, lent to the control plane.

use pyo3::prelude::*;
use sekisho_gateway::principal::Principal;
use sekisho_gateway::{authority, refusal};

use crate::convert::{self, IdentityTuple};
use crate::error;
use crate::facts::{self, CertificateFacts, NameTuple, RequestFacts};

/// Every reason for which the gate may refuse: (NAME, sentence).
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

/// A distinguished name: `NameTuple` of the contract.
#[pyfunction]
pub fn read_name(der: &[u8]) -> PyResult<NameTuple<'_>> {
    sekisho_certificate::parse_name(der)
        .map(|name| facts::name(&name))
        .map_err(|cause| error::certificate(&cause))
}

/// The facts of a certificate signing request: `RequestFacts` of the contract.
#[pyfunction]
pub fn read_request(der: &[u8]) -> PyResult<RequestFacts<'_>> {
    facts::request(der).map_err(|cause| error::certificate(&cause))
}

/// One decision: (verdict, policies that allow, policies that deny, missing context values).
type DecisionTuple = (&'static str, Vec<String>, Vec<String>, Vec<String>);

/// What the gate would decide for a connection of this identity: one decision per request.
#[pyfunction]
pub fn evaluate(
    python: Python<'_>,
    identity: IdentityTuple,
    certificate: Option<Vec<u8>>,
    client_id: Option<String>,
    requests: Vec<(String, String)>,
) -> PyResult<Vec<DecisionTuple>> {
    let identity = convert::identity(identity);
    python.detach(|| {
        let principal = Principal::without_connection(&identity, certificate.as_deref())
            .map_err(|cause| error::principal(&cause))?;
        Ok(authority::explain(&principal, client_id.as_deref(), &requests)
            .into_iter()
            .map(decision)
            .collect())
    })
}

fn decision(decision: sekisho_policy::Decision) -> DecisionTuple {
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
    (decision.verdict.as_str(), names(decision.allowed_by), names(decision.denied_by), decision.missing)
}
