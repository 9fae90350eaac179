//! The module `sekisho._sekisho`: what Python sees of the data plane. `python/sekisho/_sekisho.pyi` is its contract.
//!
//! Plain data in, plain data out. No Python object is kept, Python is never called, and a call that may wait releases
//! the GIL first. A panic in Rust reaches Python as `pyo3_runtime.PanicException` of the one call.

mod convert;
mod error;
mod facts;
mod functions;
mod gateway;

/// Everything that Python sees.
#[pyo3::pymodule(gil_used = false)]
mod _sekisho {
    #[pymodule_export]
    use crate::error::{CertificateError, GatewayError, PolicyError};
    #[pymodule_export]
    use crate::functions::{
        certificate_id, certificate_variables, check_policy, evaluate, read_certificate, read_name,
        read_request, refusal_reasons, verifies_ecdsa,
    };
    #[pymodule_export]
    use crate::gateway::Gateway;

    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
