//! CONNACK, section 3.2.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use crate::{QoS, ReasonCode, UserProperties, Utf8};

/// The server's answer to CONNECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server goes on with a session it had. Always false with a failure.
    pub session_present: bool,
    /// Success or the refusal. To a 3.1.1 client only those that have a
    /// [return code](ReasonCode::v3_connect_return_code) can be sent.
    pub code: ReasonCode,
    /// MQTT 5; not sent to a 3.1.1 client.
    pub properties: ConnAckProperties,
}

/// Properties of CONNACK, section 3.2.2.3. Absent means the default that the section names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Seconds; absent means that the client's value is in use.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes unacknowledged; absent is 65 535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS of a PUBLISH the server takes: 0 or 1; absent is 2.
    pub maximum_qos: Option<QoS>,
    /// Absent is true.
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes; absent is no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The identifier the server made for a client that sent an empty one.
    pub assigned_client_identifier: Option<Utf8>,
    /// How many topic aliases the client may use; absent is 0.
    pub topic_alias_maximum: Option<u16>,
    /// For people to read.
    pub reason_string: Option<Utf8>,
    /// In the order they came.
    pub user_properties: UserProperties,
    /// Absent is true.
    pub wildcard_subscription_available: Option<bool>,
    /// Absent is true.
    pub subscription_identifier_available: Option<bool>,
    /// Absent is true.
    pub shared_subscription_available: Option<bool>,
    /// Seconds; the client must use it in place of its own.
    pub server_keep_alive: Option<u16>,
    /// A topic prefix for responses.
    pub response_information: Option<Utf8>,
    /// Another server to use.
    pub server_reference: Option<Utf8>,
    /// The enhanced authentication method.
    pub authentication_method: Option<Utf8>,
    /// Its data; only together with a method.
    pub authentication_data: Option<Bytes>,
}
