//! Class `Gateway`.

use pyo3::prelude::*;
use sekisho_gateway::tls::server_certificates::NamedCertificates;
use sekisho_gateway::{BudgetLimits, Config};

use crate::convert::{
    self, AnswerDict, ChangeDict, EndpointDict, PublicationDict, ReplyDict, UnpublishedDict,
};
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
        max_connections = 0, verbose_refusals = false, tls13_session_tickets = false, require_sni = true,
        requests = Vec::new(), max_message_bytes = None, max_retained_bytes = None, max_session_bytes = None,
        max_persistent_sessions = None, account_share = None))]
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
        max_message_bytes: Option<u64>,
        max_retained_bytes: Option<u64>,
        max_session_bytes: Option<u64>,
        max_persistent_sessions: Option<u64>,
        account_share: Option<u64>,
    ) -> PyResult<Self> {
        let default = BudgetLimits::default();
        let budget = BudgetLimits {
            message_bytes: max_message_bytes.unwrap_or(default.message_bytes),
            retained_bytes: max_retained_bytes.unwrap_or(default.retained_bytes),
            session_bytes: max_session_bytes.unwrap_or(default.session_bytes),
            persistent_sessions: max_persistent_sessions.unwrap_or(default.persistent_sessions),
            account_share_percent: account_share.unwrap_or(default.account_share_percent),
            ..default
        };
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
            budget,
            ..Config::default()
        })))
    }

    fn set_server_certificates(&self, chains: Vec<(String, String)>) -> PyResult<()> {
        self.0.set_server_certificates(&chains).map_err(|cause| error::gateway(&cause))
    }

    fn set_named_certificates(&self, named: Vec<NamedCertificates>) -> PyResult<()> {
        self.0.set_named_certificates(&named).map_err(|cause| error::gateway(&cause))
    }

    #[pyo3(signature = (*, max_message_bytes, max_retained_bytes, max_session_bytes, max_persistent_sessions,
        account_share))]
    fn set_memory_limits(
        &self,
        max_message_bytes: u64,
        max_retained_bytes: u64,
        max_session_bytes: u64,
        max_persistent_sessions: u64,
        account_share: u64,
    ) {
        self.0.set_memory_limits(&BudgetLimits {
            message_bytes: max_message_bytes,
            retained_bytes: max_retained_bytes,
            session_bytes: max_session_bytes,
            persistent_sessions: max_persistent_sessions,
            account_share_percent: account_share,
            ..BudgetLimits::default()
        });
    }

    fn set_endpoints(&self, endpoints: Vec<EndpointDict>) {
        self.0.set_endpoints(&convert::all(endpoints));
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
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let timeout = convert::seconds("timeout", timeout)?;
        let events = python.detach(|| self.0.next_batch(limit, timeout));
        events.iter().map(|event| convert::event(python, event)).collect()
    }

    fn complete(&self, python: Python<'_>, answers: Vec<AnswerDict>) {
        let answers = convert::all(answers);
        python.detach(|| self.0.complete(answers));
    }

    fn invalidate(&self, python: Python<'_>, changes: Vec<ChangeDict>) -> PyResult<()> {
        let changes = changes.into_iter().map(convert::change).collect::<PyResult<Vec<_>>>()?;
        python.detach(|| self.0.invalidate(&changes));
        Ok(())
    }

    #[pyo3(signature = (messages, is_service = false))]
    fn publish(
        &self,
        python: Python<'_>,
        messages: Vec<PublicationDict>,
        is_service: bool,
    ) -> PyResult<Vec<Option<UnpublishedDict>>> {
        let messages =
            messages.into_iter().map(|message| convert::publication(is_service, message)).collect();
        let outcomes = python.detach(|| self.0.publish(messages)).map_err(|cause| error::gateway(&cause))?;
        Ok(outcomes.into_iter().map(|outcome| outcome.err().map(UnpublishedDict::from)).collect())
    }

    fn reply(&self, python: Python<'_>, replies: Vec<ReplyDict>) -> PyResult<Vec<Option<UnpublishedDict>>> {
        let replies = replies
            .into_iter()
            .map(|reply| (reply.connection, convert::publication(true, reply.message)))
            .collect();
        let outcomes = python.detach(|| self.0.reply(replies)).map_err(|cause| error::gateway(&cause))?;
        Ok(outcomes.into_iter().map(|outcome| outcome.err().map(UnpublishedDict::from)).collect())
    }

    fn statistics(&self, python: Python<'_>) -> Vec<(String, u64)> {
        python.detach(|| self.0.statistics())
    }
}
