//! MQTT load over mutual TLS, for `make bench`: one thread, every connection with its device's own certificate.
//!
//! | module | content |
//! |---|---|
//! | [`job`] | the job: a JSON document on standard input |
//! | [`report`] | the result: one line of JSON on standard output |
//! | [`gauge`] | CPU time and memory of the server, from `/proc` |
//! | [`tls`] | TLS 1.3 as a device uses it, at little cost to the load |
//! | [`client`] | one MQTT 3.1.1 connection, up to its CONNACK and SUBACK |
//! | [`connects`] | connect, disconnect, connect ... |
//! | [`attempts`] | every device tries to connect, and is accepted or refused as expected |
//! | [`messages`] | publishers and subscribers, each message counted where it arrives |
//! | [`idle`] | many connections that send nothing |
//!
//! The load itself reads the server's CPU time, at the same moments as its own counters.

mod attempts;
mod client;
mod connects;
mod error;
mod gauge;
mod idle;
mod job;
mod messages;
mod report;
mod tls;

use std::io::{Read, Write};
use std::process::ExitCode;

use tokio::task::LocalSet;

use crate::error::Error;
use crate::job::{Job, Work};
use crate::report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            let written = writeln!(std::io::stdout(), "{report}");
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            // If this fails, there is no other place to report it.
            let _ = writeln!(std::io::stderr(), "sekisho-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(Error::Input)?;
    let job: Job = serde_json::from_str(&text).map_err(Error::Job)?;
    job.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Input)?;
    let report = LocalSet::new().block_on(&runtime, perform(&job))?;
    serde_json::to_string(&report).map_err(Error::Job)
}

async fn perform(job: &Job) -> Result<Report, Error> {
    let dialer = client::Dialer::new(job)?;
    match &job.work {
        Work::Connects(work) => connects::run(dialer, job, work).await.map(Report::Span),
        Work::Messages(work) => messages::run(dialer, job, work).await.map(Report::Span),
        Work::Attempts(work) => attempts::run(dialer, job, work).await.map(Report::Span),
        Work::Idle(work) => idle::run(dialer, job, work).await.map(Report::Memory),
    }
}
