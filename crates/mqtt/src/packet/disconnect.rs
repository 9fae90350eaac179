//! DISCONNECT, section 3.14.

use crate::{ReasonCode, UserProperties, Utf8};

/// The last packet of a connection. In 3.1.1 it comes from the client only and says nothing more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// MQTT 5; [`ReasonCode::NORMAL_DISCONNECTION`] in 3.1.1.
    pub reason: ReasonCode,
    /// MQTT 5, from a client: seconds, in place of the value of its CONNECT.
    pub session_expiry_interval: Option<u32>,
    /// MQTT 5: for people to read.
    pub reason_string: Option<Utf8>,
    /// MQTT 5, from a server: another server to use.
    pub server_reference: Option<Utf8>,
    /// MQTT 5: in the order they came.
    pub user_properties: UserProperties,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    pub fn new(reason: ReasonCode) -> Disconnect {
        Disconnect { reason, ..Disconnect::default() }
    }
}
