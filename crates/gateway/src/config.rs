//! What the control plane sets before the start: plain data.

use std::time::Duration;

use sekisho_broker::BudgetLimits;
use sekisho_mqtt::TopicFilter;

/// Settings of a [`Gateway`](crate::Gateway).
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on, or a name of it.
    pub host: String,
    /// The port for MQTT over TLS; 0 takes a free one.
    pub mqtt_port: u16,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// For the TLS handshake and the CONNECT packet together.
    pub handshake_timeout: Duration,
    /// For the control plane's answer about one certificate.
    pub admission_timeout: Duration,
    /// Connections at a time, half-open ones included; 0 is as many as the process may open.
    pub max_connections: usize,
    /// Certificates in the cache. The default holds a large fleet; a certificate takes one to two kilobytes.
    pub principals: usize,
    /// Certificates that may wait for the control plane at a time, half as many of one account; beyond it connections
    /// are refused.
    pub admission_queue: usize,
    /// Send MQTT 3.1.1 return codes where AWS IoT closes without a word.
    pub verbose_refusals: bool,
    /// Send session tickets in TLS 1.3, which AWS IoT does not do.
    pub tls13_session_tickets: bool,
    /// Refuse certificates in SNI_ONLY mode where the client sends no SNI, as AWS IoT does.
    pub require_sni: bool,
    /// What clients can make the server hold, and the share of one account.
    pub budget: BudgetLimits,
    /// Topic filters of the services: what clients publish there goes to the control plane, as requests.
    pub requests: Vec<TopicFilter>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            mqtt_port: 8883,
            workers: 0,
            handshake_timeout: Duration::from_secs(10),
            admission_timeout: Duration::from_secs(5),
            max_connections: 0,
            principals: 1_000_000,
            admission_queue: 20_000,
            verbose_refusals: false,
            tls13_session_tickets: false,
            require_sni: true,
            budget: BudgetLimits::default(),
            requests: Vec::new(),
        }
    }
}
