//! The job: a JSON document on standard input.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Error;

/// One measurement against one server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Sent as SNI and compared with the server's certificate.
    pub server_name: String,
    /// PEM file of the roots of the server's chain.
    pub root_ca: PathBuf,
    /// The kind of server key to request.
    pub server_key: ServerKey,
    /// The server's process, whose CPU time and memory are read.
    pub server_pid: u32,
    /// The cores of the server and of the load, whose use by other processes is measured. Empty: not measured.
    pub cores: Vec<usize>,
    /// The devices. Work refers to them by their index in this list.
    pub devices: Vec<Device>,
    /// The measurement.
    pub work: Work,
}

/// A device: its client id and PEM files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// MQTT client identifier.
    pub client_id: String,
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// The signature algorithms that the load offers to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKey {
    /// ECDSA only.
    Ecdsa,
    /// RSA only.
    Rsa,
}

/// The kinds of measurement.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Connect up to CONNACK, disconnect, and repeat.
    Connects(Connects),
    /// Publish and receive.
    Messages(Messages),
    /// Connect all devices and do nothing.
    Idle(Idle),
    /// All devices try to connect.
    Attempts(Attempts),
}

/// Connects, as many as the server can do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connects {
    /// Connections being made at any moment.
    pub concurrency: usize,
    /// Not counted.
    pub warmup_seconds: f64,
    /// Counted.
    pub seconds: f64,
}

/// Messages between groups of publishers and subscribers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// Each message of a publisher goes to every subscriber of its group.
    pub groups: Vec<Group>,
    /// 0 or 1, of publishing and subscribing.
    pub qos: u8,
    /// Bytes; at least 12, which hold the numbers of the sender and of the message.
    pub payload: usize,
    /// Maximum messages of one publisher in transit to one subscriber. With QoS 1 also its unacknowledged ones.
    pub window: u64,
    /// Messages per second by all publishers together; absent: as fast as the window allows.
    pub rate: Option<f64>,
    /// Not counted.
    pub warmup_seconds: f64,
    /// Counted.
    pub seconds: f64,
}

/// Publishers and their subscribers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The publishers, each with its own topic.
    pub publishers: Vec<Endpoint>,
    /// The subscribers, which receive all messages of the group.
    pub subscribers: Vec<Endpoint>,
}

/// A device with the topic it publishes to, or the filter it subscribes to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Index into [`Job::devices`].
    pub device: usize,
    /// Topic name of a publisher, topic filter of a subscriber.
    pub topic: String,
}

/// Idle connections, one for each device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idle {
    /// Devices that connect before memory is first read, so that what is allocated once is not counted.
    pub warmup: usize,
    /// Connections being made at any moment.
    pub concurrency: usize,
}

/// Attempts to connect, each device as often as the others.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    /// Attempts at a time.
    pub concurrency: usize,
    /// Attempts of each device, one after another.
    pub rounds: usize,
    /// The expected outcome of every attempt.
    pub expect: Expected,
}

/// The expected outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// CONNACK 0.
    Accepted,
    /// Another CONNACK, or the end of the connection without one.
    Refused,
}

/// Bytes of the sender's number and the message's number at the start of a payload.
pub const STAMP: usize = 12;

impl Job {
    /// Checks that a job is possible, before anything starts.
    pub fn check(&self) -> Result<(), Error> {
        let impossible = |what: &str| Err(Error::Impossible(what.to_owned()));
        let known = |device: usize| device < self.devices.len();
        match &self.work {
            Work::Connects(work) if !(1..=self.devices.len()).contains(&work.concurrency) => {
                impossible("concurrency is at least 1 and at most the number of devices")
            }
            Work::Attempts(work)
                if !(1..=self.devices.len()).contains(&work.concurrency) || work.rounds == 0 =>
            {
                impossible(
                    "concurrency is at least 1 and at most the number of devices, and rounds at least 1",
                )
            }
            Work::Messages(work) if work.payload < STAMP => impossible("a payload has at least 12 bytes"),
            Work::Messages(work) if work.qos > 1 => impossible("qos is 0 or 1"),
            Work::Messages(work) if work.window == 0 => impossible("window is at least 1"),
            Work::Messages(work) if !work.groups.iter().all(|group| group.devices().all(known)) => {
                impossible("a group names a device that is not in the list")
            }
            Work::Idle(work) if work.warmup + 1 > self.devices.len() || work.concurrency == 0 => {
                impossible("warmup leaves at least one device, and concurrency is at least 1")
            }
            _ => Ok(()),
        }
    }
}

impl Group {
    fn devices(&self) -> impl Iterator<Item = usize> {
        self.publishers.iter().chain(&self.subscribers).map(|endpoint| endpoint.device)
    }
}
