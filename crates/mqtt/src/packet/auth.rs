//! AUTH, section 3.15: enhanced authentication, MQTT 5 only. Decoded here, refused by the broker as AWS IoT does.

use bytes::Bytes;

use crate::{ReasonCode, UserProperties, Utf8};

/// One step of an enhanced authentication exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// The method of the CONNECT. Required but in the shortest form, which means success.
    pub authentication_method: Option<Utf8>,
    /// What the method wants to say.
    pub authentication_data: Option<Bytes>,
    /// For people to read.
    pub reason_string: Option<Utf8>,
    /// In the order they came.
    pub user_properties: UserProperties,
}
