//! Errors of a run, which then has no result.

use std::io;
use std::path::PathBuf;

use sekisho_mqtt::{DecodeError, EncodeError, ReasonCode};

/// What went wrong; a run with an error has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard input or the runtime.
    #[error("cannot start: {0}")]
    Input(io::Error),
    /// The job is not JSON, or not of the form in [`crate::job`].
    #[error("the job on standard input: {0}")]
    Job(serde_json::Error),
    /// The job asks for something impossible.
    #[error("the job on standard input: {0}")]
    Impossible(String),
    /// A file that the job names.
    #[error("{path}: {what}")]
    File { path: PathBuf, what: String },
    /// Keys, certificates, protocol versions.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The connection broke, or the handshake failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server sent bytes that are not MQTT.
    #[error("the server's packet: {0}")]
    Decode(#[from] DecodeError),
    /// A packet of the load that MQTT cannot express.
    #[error("our own packet: {0}")]
    Encode(#[from] EncodeError),
    /// CONNACK or SUBACK refuses.
    #[error("the server refused {0}: {1:?}")]
    Refused(&'static str, ReasonCode),
    /// Another packet than the expected one.
    #[error("expected {0}, the server sent something else")]
    Unexpected(&'static str),
    /// End of file in place of an answer.
    #[error("the server closed the connection")]
    Closed,
    /// The server's process has ended, or `/proc` is missing.
    #[error("cannot read {0} of the server: is it running?")]
    Gauge(String),
    /// Too many failures for a measurement.
    #[error("{count} connections failed; the last: {last}")]
    Failing { count: u64, last: String },
    /// A step reached its timeout.
    #[error("{0} did not end in time")]
    TimedOut(&'static str),
}
