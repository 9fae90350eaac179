//! Class `Gateway`.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sekisho_gateway::Config;
use sekisho_gateway::tls::server_certificates::NamedCertificates;

use crate::convert::{self, AnswerValue, ChangeTuple, PublicationTuple};
use crate::error;

/// The data plane: one TLS listener for MQTT, its sessions, its messages.
///
/// All methods are synchronous and may be called from any thread; those that wait release the GIL.
#[pyclass(frozen, module = "sekisho._sekisho")]
pub struct Gateway(sekisho_gateway::Gateway);

#[pymethods]
impl Gateway {
    #[new]
    #[pyo3(signature = (*, host, mqtt_port, workers = 0, handshake_timeout = 10.0, admission_timeout = 5.0,
        max_connections = 0, verbose_refusals = false, tls13_session_tickets = false, require_sni = true, requests = Vec::new()))]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python, and each has its default")]
    fn new(
        host: String,
        mqtt_port: u16,
        workers: usize,
        handshake_timeout: f64,
        admission_timeout: f64,
        max_connections: usize,
        verbose_refusals: bool,
        tls13_session_tickets: bool,
        require_sni: bool,
        requests: Vec<String>,
    ) -> PyResult<Self> {
        let requests =
            requests.iter().map(|filter| convert::topic_filter(filter)).collect::<PyResult<_>>()?;
        Ok(Self(sekisho_gateway::Gateway::new(Config {
            host,
            mqtt_port,
            workers,
            handshake_timeout: convert::seconds("handshake_timeout", handshake_timeout)?,
            admission_timeout: convert::seconds("admission_timeout", admission_timeout)?,
            max_connections,
            verbose_refusals,
            tls13_session_tickets,
            require_sni,
            requests,
            ..Config::default()
        })))
    }

    fn set_server_certificates(&self, chains: Vec<(String, String)>) -> PyResult<()> {
        self.0.set_server_certificates(&chains).map_err(|cause| error::gateway(&cause))
    }

    fn set_named_certificates(&self, named: Vec<NamedCertificates>) -> PyResult<()> {
        self.0.set_named_certificates(&named).map_err(|cause| error::gateway(&cause))
    }

    fn set_endpoints(&self, endpoints: Vec<(String, String, String)>) {
        self.0.set_endpoints(&endpoints);
    }

    fn start(&self, python: Python<'_>) -> PyResult<u16> {
        python.detach(|| self.0.start()).map_err(|cause| error::gateway(&cause))
    }

    #[pyo3(signature = (grace = 5.0))]
    fn stop(&self, python: Python<'_>, grace: f64) -> PyResult<()> {
        let grace = convert::seconds("grace", grace)?;
        python.detach(|| self.0.stop(grace));
        Ok(())
    }

    fn next_batch<'py>(
        &self,
        python: Python<'py>,
        limit: usize,
        timeout: f64,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let timeout = convert::seconds("timeout", timeout)?;
        let events = python.detach(|| self.0.next_batch(limit, timeout));
        events.into_iter().map(|event| convert::event(python, event)).collect()
    }

    fn complete(&self, python: Python<'_>, answers: Vec<(u64, AnswerValue)>) {
        let answers = answers.into_iter().map(|(ticket, value)| (ticket, convert::answer(value))).collect();
        python.detach(|| self.0.complete(answers));
    }

    fn invalidate(&self, python: Python<'_>, changes: Vec<ChangeTuple>) -> PyResult<()> {
        let changes = changes.into_iter().map(convert::change).collect::<PyResult<Vec<_>>>()?;
        python.detach(|| self.0.invalidate(&changes));
        Ok(())
    }

    #[pyo3(signature = (messages, is_service = false))]
    fn publish(
        &self,
        python: Python<'_>,
        messages: Vec<PublicationTuple>,
        is_service: bool,
    ) -> PyResult<Vec<Option<String>>> {
        let messages =
            messages.into_iter().map(|message| convert::publication(is_service, message)).collect();
        python.detach(|| self.0.publish(messages)).map_err(|cause| error::gateway(&cause))
    }

    fn reply(
        &self,
        python: Python<'_>,
        replies: Vec<(u64, PublicationTuple)>,
    ) -> PyResult<Vec<Option<String>>> {
        let replies = replies
            .into_iter()
            .map(|(connection, message)| (connection, convert::publication(true, message)))
            .collect();
        let outcomes = python.detach(|| self.0.reply(replies)).map_err(|cause| error::gateway(&cause))?;
        Ok(outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(true) => None,
                Ok(false) => Some("the connection has ended, or has not subscribed to the answer".to_owned()),
                Err(reason) => Some(reason),
            })
            .collect())
    }

    fn statistics(&self, python: Python<'_>) -> Vec<(String, u64)> {
        python.detach(|| self.0.statistics())
    }
}
