//! CONNECT, section 3.1.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use crate::packet::PublishProperties;
use crate::{QoS, TopicName, UserProperties, Utf8, Version};

/// A client's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The level the client speaks; all that follows on the connection is read in it.
    pub version: Version,
    /// Clean Start in MQTT 5, Clean Session in 3.1.1.
    pub clean_start: bool,
    /// Seconds; zero turns the mechanism off.
    pub keep_alive: u16,
    /// May be empty: the server then assigns one or refuses.
    pub client_id: Utf8,
    /// What to publish when the client is gone without saying goodbye.
    pub will: Option<Will>,
    /// Free text; AWS's SDKs put their metrics here.
    pub username: Option<Utf8>,
    /// Any bytes. In 3.1.1 only together with a user name.
    pub password: Option<Bytes>,
    /// MQTT 5; the defaults in 3.1.1.
    pub properties: ConnectProperties,
}

/// The will message of a CONNECT, section 3.1.3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// What is published.
    pub payload: Bytes,
    /// With which QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds between the end of the connection and the publication. MQTT 5; else 0.
    pub delay_interval: u32,
    /// MQTT 5. Never a topic alias or subscription identifiers.
    pub properties: PublishProperties,
}

/// Properties of CONNECT, section 3.1.2.11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Seconds that the session outlives the connection; absent is 0; `u32::MAX` is for ever.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes unacknowledged; absent is 65 535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet the client takes, in bytes; absent is no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// How many topic aliases the server may use; 0 when absent.
    pub topic_alias_maximum: u16,
    /// Whether CONNACK may carry Response Information; false when absent.
    pub request_response_information: bool,
    /// Whether reason strings and user properties may come on any packet; true when absent.
    pub request_problem_information: bool,
    /// In the order they came.
    pub user_properties: UserProperties,
    /// The name of an enhanced authentication method.
    pub authentication_method: Option<Utf8>,
    /// Its data; only together with a method.
    pub authentication_data: Option<Bytes>,
}

impl Default for ConnectProperties {
    /// What a CONNECT without properties says.
    fn default() -> ConnectProperties {
        ConnectProperties {
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::new(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}
