//! Every reason the broker has to refuse something or to end a connection, in one enumeration.
//!
//! The same [`Refusal`] goes into the log, the metric label and the explanation an operator reads; its
//! [name](Refusal::as_str) is stable. Which MQTT 5 code it becomes is decided here, in one table.

use sekisho_mqtt::ReasonCode;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $sentence:literal;)*) => {
        /// The reason of a refusal by the broker.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Refusal {
            $(#[doc = $sentence] $(#[$doc])* $name,)*
        }

        impl Refusal {
            /// Every refusal, for documentation and for declaring metrics.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name),*];

            /// Returns the stable name, as it appears in logs, metric labels and explanations.
            pub fn as_str(self) -> &'static str {
                match self { $(Refusal::$name => $text,)* }
            }

            /// Returns the MQTT 5 reason code for the client.
            pub fn reason_code(self) -> ReasonCode {
                match self { $(Refusal::$name => ReasonCode::$code,)* }
            }

            /// Returns one sentence for an operator: what was wrong and what to do.
            pub fn sentence(self) -> &'static str {
                match self { $(Refusal::$name => $sentence,)* }
            }
        }
    };
}

refusals! {
    ClientIdEmpty = "CLIENT_ID_EMPTY", ClientIdentifierNotValid,
        "The client id is empty and a session is to be kept; send a client id or ask for a clean session [MQTT-3.1.3-8].";
    ClientIdTooLong = "CLIENT_ID_TOO_LONG", ClientIdentifierNotValid,
        "The client id is longer than 128 bytes; shorten it.";
    ClientIdReserved = "CLIENT_ID_RESERVED", ClientIdentifierNotValid,
        "Client ids that begin with $ are reserved for the service; choose another.";
    ConnectTooLarge = "CONNECT_TOO_LARGE", QuotaExceeded,
        "The CONNECT is larger than 128 KB; shorten its will, user name or password.";
    MaximumPacketSizeTooSmall = "MAXIMUM_PACKET_SIZE_TOO_SMALL", UnspecifiedError,
        "The client announces a Maximum Packet Size below 512 bytes; raise it or leave it out.";
    EnhancedAuthentication = "ENHANCED_AUTHENTICATION_NOT_SUPPORTED", UnspecifiedError,
        "The client names an Authentication Method; AWS IoT has no enhanced authentication, connect without it.";
    ConnectRate = "CLIENT_ID_THROTTLED", QuotaExceeded,
        "More than one CONNECT in a second with this client id; let the client wait longer between attempts.";
    WillQosNotSupported = "WILL_QOS_NOT_SUPPORTED", QoSNotSupported,
        "The will asks for QoS 2; use 0 or 1.";
    WillTopicInvalid = "WILL_TOPIC_INVALID", TopicNameInvalid,
        "The will topic is longer than 256 bytes or has more than 7 slashes; shorten it.";
    WillTopicReserved = "WILL_TOPIC_RESERVED", TopicNameInvalid,
        "The will topic is a reserved topic that takes no will; choose one that does not begin with $.";
    WillTooLarge = "WILL_TOO_LARGE", QuotaExceeded,
        "The will's payload or one of its properties is larger than allowed; shorten it.";
    ConnectNotAuthorized = "CONNECT_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:Connect for this client id; attach one that does.";
    WillNotAuthorized = "WILL_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:Publish on the will topic; allow it or connect without a will.";
    WillRetainNotAuthorized = "WILL_RETAIN_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:RetainPublish on the will topic; allow it or do not retain the will.";
    SecondConnect = "SECOND_CONNECT", ProtocolError,
        "A second CONNECT arrived on a connection [MQTT-3.1.0-2]; open a new connection instead.";
    UnexpectedPacket = "UNEXPECTED_PACKET", ProtocolError,
        "The client sent a packet that only a server sends, or one that AWS IoT does not take.";
    MalformedPacket = "MALFORMED_PACKET", MalformedPacket,
        "The bytes are not an MQTT packet of the connection's version; look for a faulty client library.";
    ProtocolError = "PROTOCOL_ERROR", ProtocolError,
        "The packet breaks a rule of MQTT; the detail names it.";
    UnsupportedVersion = "UNSUPPORTED_PROTOCOL_VERSION", UnsupportedProtocolVersion,
        "The client speaks neither MQTT 3.1.1 nor MQTT 5.";
    PacketTooLarge = "PACKET_TOO_LARGE", QuotaExceeded,
        "The packet is larger than 146 KB; shorten it.";
    QosNotSupported = "QOS_NOT_SUPPORTED", QoSNotSupported,
        "QoS 2 is not available in AWS IoT; publish and subscribe with 0 or 1.";
    TopicInvalid = "TOPIC_INVALID", TopicNameInvalid,
        "The topic name is empty, holds a wildcard, or is longer than 256 bytes or 7 slashes; publish to another.";
    TopicReserved = "TOPIC_RESERVED", TopicNameInvalid,
        "The topic begins with $ and is none that clients may publish to; choose another.";
    RetainOnReservedTopic = "RETAIN_ON_RESERVED_TOPIC", TopicNameInvalid,
        "A message on a reserved topic cannot be retained; publish it without RETAIN.";
    TopicAliasInvalid = "TOPIC_ALIAS_INVALID", TopicAliasInvalid,
        "The topic alias is 0 or above the 8 that CONNACK announces; use 1 to 8.";
    TopicAliasUnknown = "TOPIC_ALIAS_UNKNOWN", ProtocolError,
        "The topic is empty and its alias was given no topic on this connection; send the topic with the alias first.";
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", QuotaExceeded,
        "The payload is larger than 128 KB; send it in parts.";
    PropertiesTooLarge = "PROPERTIES_TOO_LARGE", QuotaExceeded,
        "User properties or correlation data exceed 8 KB, or the content type 256 bytes; shorten them.";
    PublishNotAuthorized = "PUBLISH_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:Publish on this topic; attach one that does.";
    RetainNotAuthorized = "RETAIN_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:RetainPublish on this topic; allow it or publish without RETAIN.";
    ReceiveNotAuthorized = "RECEIVE_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:Receive on this topic, so a message was not delivered.";
    PublishRate = "PUBLISH_RATE", QuotaExceeded,
        "More than 100 messages in a second on one connection; the message was discarded, send fewer.";
    RetainedStoreFull = "RETAINED_STORE_FULL", QuotaExceeded,
        "The account has as many retained messages, or bytes of them, as it may; delete some with an empty retained message, or raise max_retained_bytes.";
    MessageMemoryFull = "MESSAGE_MEMORY_FULL", QuotaExceeded,
        "The messages that wait for clients of the account take as much memory as they may; let its subscribers read and acknowledge, or raise max_message_bytes.";
    TooManySessions = "TOO_MANY_SESSIONS", QuotaExceeded,
        "The account has as many persistent sessions as it may; connect with a clean session, let others expire, or raise max_persistent_sessions.";
    SessionMemoryFull = "SESSION_MEMORY_FULL", QuotaExceeded,
        "Persistent sessions, subscriptions and wills of the account take as much memory as they may; let some end, or raise max_session_bytes.";
    PacketIdInUse = "PACKET_ID_IN_USE", PacketIdentifierInUse,
        "The packet identifier belongs to a packet that is not acknowledged yet; use another.";
    ReceiveMaximumExceeded = "RECEIVE_MAXIMUM_EXCEEDED", ReceiveMaximumExceeded,
        "The client has more than 100 unacknowledged QoS 1 messages under way; wait for PUBACK.";
    TooManyFilters = "TOO_MANY_FILTERS", QuotaExceeded,
        "One SUBSCRIBE or UNSUBSCRIBE has more than 8 topic filters; split it.";
    SubscriptionIdentifier = "SUBSCRIPTION_IDENTIFIER_NOT_SUPPORTED", SubscriptionIdentifiersNotSupported,
        "Subscription identifiers are not available in AWS IoT; subscribe without.";
    FilterInvalid = "FILTER_INVALID", TopicFilterInvalid,
        "The topic filter misplaces a wildcard, or is longer than 256 bytes or 7 slashes; correct it.";
    FilterReserved = "FILTER_RESERVED", TopicFilterInvalid,
        "The topic filter begins with $ and meets no topic that clients may subscribe to; choose another.";
    SubscribeNotAuthorized = "SUBSCRIBE_NOT_AUTHORIZED", NotAuthorized,
        "No policy of the certificate allows iot:Subscribe for this topic filter; attach one that does.";
    TooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS", QuotaExceeded,
        "The session has 50 subscriptions; unsubscribe from some or use wildcards.";
    SharedGroupFull = "SHARED_GROUP_FULL", QuotaExceeded,
        "The shared subscription has 100 members, or the account 100 shared subscriptions.";
    SessionExpiryFromZero = "SESSION_EXPIRY_FROM_ZERO", ProtocolError,
        "The DISCONNECT sets a Session Expiry Interval although CONNECT had none (MQTT 5 section 3.14.2.2.2).";
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.as_str(), self.sentence())
    }
}

impl std::error::Error for Refusal {}

/// The request of a client that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// To connect.
    Connect,
    /// To publish a message.
    Publish,
    /// To subscribe with a topic filter.
    Subscribe,
    /// To remove a subscription.
    Unsubscribe,
    /// To receive a message that matched one of its subscriptions.
    Receive,
    /// Any other packet, or one that cannot be read.
    Packet,
}

impl Operation {
    /// Returns the stable name, for the control plane.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::Publish => "publish",
            Operation::Subscribe => "subscribe",
            Operation::Unsubscribe => "unsubscribe",
            Operation::Receive => "receive",
            Operation::Packet => "packet",
        }
    }
}

impl Refusal {
    /// Returns the reason in the `disconnected` event when the refusal ends an open connection.
    pub fn disconnect_reason(self) -> DisconnectReason {
        match self {
            Refusal::PublishNotAuthorized
            | Refusal::RetainNotAuthorized
            | Refusal::SubscribeNotAuthorized
            | Refusal::ReceiveNotAuthorized => DisconnectReason::AuthError,
            _ => DisconnectReason::ClientError,
        }
    }
}

/// Why a connection ended: the `disconnectReason` of lifecycle events and GetConnection (lifecycle events page; API
/// enum DisconnectReasonValue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DisconnectReason {
    /// The client sent DISCONNECT or a WebSocket Close frame.
    ClientInitiatedDisconnect,
    /// The socket was closed without DISCONNECT.
    ConnectionLost,
    /// The client broke a rule of MQTT or of AWS IoT.
    ClientError,
    /// The same client id connected again; the reason of the old connection.
    DuplicateClientid,
    /// An authorisation failed on the open connection, or its certificate is no longer valid.
    AuthError,
    /// The connection is no longer allowed to exist.
    ForbiddenAccess,
    /// No packet came for 1.5 times the keep alive.
    MqttKeepAliveTimeout,
    /// DeleteConnection was called.
    ApiInitiatedDisconnect,
    /// A quota was exceeded.
    Throttled,
    /// A WebSocket lived for 24 hours.
    WebsocketTtlExpiration,
    /// The custom authorizer's permission ran out.
    CustomauthTtlExpiration,
    /// The server is shutting down.
    ServerInitiatedDisconnect,
    /// The server failed.
    ServerError,
}

impl DisconnectReason {
    /// Every reason.
    pub const ALL: [DisconnectReason; 13] = [
        DisconnectReason::ClientInitiatedDisconnect,
        DisconnectReason::ConnectionLost,
        DisconnectReason::ClientError,
        DisconnectReason::DuplicateClientid,
        DisconnectReason::AuthError,
        DisconnectReason::ForbiddenAccess,
        DisconnectReason::MqttKeepAliveTimeout,
        DisconnectReason::ApiInitiatedDisconnect,
        DisconnectReason::Throttled,
        DisconnectReason::WebsocketTtlExpiration,
        DisconnectReason::CustomauthTtlExpiration,
        DisconnectReason::ServerInitiatedDisconnect,
        DisconnectReason::ServerError,
    ];

    /// Returns the value in events and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            DisconnectReason::ClientInitiatedDisconnect => "CLIENT_INITIATED_DISCONNECT",
            DisconnectReason::ConnectionLost => "CONNECTION_LOST",
            DisconnectReason::ClientError => "CLIENT_ERROR",
            DisconnectReason::DuplicateClientid => "DUPLICATE_CLIENTID",
            DisconnectReason::AuthError => "AUTH_ERROR",
            DisconnectReason::ForbiddenAccess => "FORBIDDEN_ACCESS",
            DisconnectReason::MqttKeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            DisconnectReason::ApiInitiatedDisconnect => "API_INITIATED_DISCONNECT",
            DisconnectReason::Throttled => "THROTTLED",
            DisconnectReason::WebsocketTtlExpiration => "WEBSOCKET_TTL_EXPIRATION",
            DisconnectReason::CustomauthTtlExpiration => "CUSTOMAUTH_TTL_EXPIRATION",
            DisconnectReason::ServerInitiatedDisconnect => "SERVER_INITIATED_DISCONNECT",
            DisconnectReason::ServerError => "SERVER_ERROR",
        }
    }

    /// Returns the code of the DISCONNECT for an MQTT 5 client; `None` if the client has closed the connection. AWS
    /// lists the codes without their reasons; where the names do not decide, the choice is ours.
    pub fn reason_code(self) -> Option<ReasonCode> {
        match self {
            DisconnectReason::ClientInitiatedDisconnect | DisconnectReason::ConnectionLost => None,
            DisconnectReason::ClientError => Some(ReasonCode::ProtocolError),
            DisconnectReason::DuplicateClientid => Some(ReasonCode::SessionTakenOver),
            DisconnectReason::AuthError
            | DisconnectReason::ForbiddenAccess
            | DisconnectReason::CustomauthTtlExpiration => Some(ReasonCode::NotAuthorized),
            DisconnectReason::MqttKeepAliveTimeout => Some(ReasonCode::KeepAliveTimeout),
            DisconnectReason::ApiInitiatedDisconnect | DisconnectReason::WebsocketTtlExpiration => {
                Some(ReasonCode::AdministrativeAction)
            }
            DisconnectReason::Throttled => Some(ReasonCode::QuotaExceeded),
            DisconnectReason::ServerInitiatedDisconnect | DisconnectReason::ServerError => {
                Some(ReasonCode::ServerShuttingDown)
            }
        }
    }
}

impl std::fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_mqtt::PacketType;
    use std::collections::HashSet;

    #[test]
    fn every_refusal_has_a_name_of_its_own_and_a_failure_code() {
        let names: HashSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert!(
                refusal
                    .as_str()
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
            );
            assert!(refusal.reason_code().is_failure(), "{refusal:?}");
        }
    }

    #[test]
    fn the_code_of_every_disconnect_reason_may_travel_in_disconnect() {
        for reason in DisconnectReason::ALL {
            if let Some(code) = reason.reason_code() {
                assert!(code.may_travel_in(PacketType::Disconnect), "{reason}: {code}");
            }
        }
    }
}
