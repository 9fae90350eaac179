//! Reason codes: MQTT 5 section 2.4, and the return codes of MQTT 3.1.1.

use crate::packet_type::PacketType;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $byte:literal, $phrase:literal, [$($packet:ident)*];)*) => {
        /// Every reason code of MQTT 5 (section 2.4), used for both versions.
        ///
        /// One byte can have several names: 0x00 is also [`ReasonCode::GRANTED_QOS_0`] in SUBACK and
        /// [`ReasonCode::NORMAL_DISCONNECTION`] in DISCONNECT.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* #[doc = $phrase] $name = $byte,)*
        }

        impl ReasonCode {
            /// Every code, in the order of its byte.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$name),*];

            /// Returns the code of a byte; `None` when MQTT 5 does not define one.
            pub fn from_byte(byte: u8) -> Option<ReasonCode> {
                match byte {
                    $($byte => Some(ReasonCode::$name),)*
                    _ => None,
                }
            }

            /// Returns the name of the code in the specification.
            pub fn phrase(self) -> &'static str {
                match self {
                    $(ReasonCode::$name => $phrase,)*
                }
            }

            /// Returns whether section 2.4 lists the code for a packet. Only that section lists 0x8C for DISCONNECT.
            pub fn may_travel_in(self, packet: PacketType) -> bool {
                match self {
                    $(ReasonCode::$name => [$(PacketType::$packet),*].contains(&packet),)*
                }
            }
        }
    };
}

reason_codes! {
    #[default]
    Success = 0x00, "Success",
        [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];
    GrantedQoS1 = 0x01, "Granted QoS 1", [SubAck];
    GrantedQoS2 = 0x02, "Granted QoS 2", [SubAck];
    DisconnectWithWill = 0x04, "Disconnect with Will Message", [Disconnect];
    NoMatchingSubscribers = 0x10, "No matching subscribers", [PubAck PubRec];
    NoSubscriptionExisted = 0x11, "No subscription existed", [UnsubAck];
    ContinueAuthentication = 0x18, "Continue authentication", [Auth];
    ReAuthenticate = 0x19, "Re-authenticate", [Auth];
    UnspecifiedError = 0x80, "Unspecified error", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    MalformedPacket = 0x81, "Malformed Packet", [ConnAck Disconnect];
    ProtocolError = 0x82, "Protocol Error", [ConnAck Disconnect];
    ImplementationSpecificError = 0x83, "Implementation specific error",
        [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version", [ConnAck];
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid", [ConnAck];
    BadUserNameOrPassword = 0x86, "Bad User Name or Password", [ConnAck];
    NotAuthorized = 0x87, "Not authorized", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    ServerUnavailable = 0x88, "Server unavailable", [ConnAck];
    ServerBusy = 0x89, "Server busy", [ConnAck Disconnect];
    Banned = 0x8A, "Banned", [ConnAck];
    ServerShuttingDown = 0x8B, "Server shutting down", [Disconnect];
    BadAuthenticationMethod = 0x8C, "Bad authentication method", [ConnAck Disconnect];
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", [Disconnect];
    SessionTakenOver = 0x8E, "Session taken over", [Disconnect];
    TopicFilterInvalid = 0x8F, "Topic Filter invalid", [SubAck UnsubAck Disconnect];
    TopicNameInvalid = 0x90, "Topic Name invalid", [ConnAck PubAck PubRec Disconnect];
    PacketIdentifierInUse = 0x91, "Packet Identifier in use", [PubAck PubRec SubAck UnsubAck];
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found", [PubRel PubComp];
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", [Disconnect];
    TopicAliasInvalid = 0x94, "Topic Alias invalid", [Disconnect];
    PacketTooLarge = 0x95, "Packet too large", [ConnAck Disconnect];
    MessageRateTooHigh = 0x96, "Message rate too high", [Disconnect];
    QuotaExceeded = 0x97, "Quota exceeded", [ConnAck PubAck PubRec SubAck Disconnect];
    AdministrativeAction = 0x98, "Administrative action", [Disconnect];
    PayloadFormatInvalid = 0x99, "Payload format invalid", [ConnAck PubAck PubRec Disconnect];
    RetainNotSupported = 0x9A, "Retain not supported", [ConnAck Disconnect];
    QoSNotSupported = 0x9B, "QoS not supported", [ConnAck Disconnect];
    UseAnotherServer = 0x9C, "Use another server", [ConnAck Disconnect];
    ServerMoved = 0x9D, "Server moved", [ConnAck Disconnect];
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported", [SubAck Disconnect];
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded", [ConnAck Disconnect];
    MaximumConnectTime = 0xA0, "Maximum connect time", [Disconnect];
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported", [SubAck Disconnect];
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported", [SubAck Disconnect];
}

impl ReasonCode {
    /// 0x00 in SUBACK.
    pub const GRANTED_QOS_0: ReasonCode = ReasonCode::Success;
    /// 0x00 in DISCONNECT.
    pub const NORMAL_DISCONNECTION: ReasonCode = ReasonCode::Success;

    /// Returns the byte of the code.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Returns whether the code is from 0x80 up, which means a failure (section 2.4).
    pub fn is_failure(self) -> bool {
        self.byte() >= 0x80
    }

    /// Returns the CONNACK return code of MQTT 3.1.1 (its table 3.1) with the same meaning; `None` when that
    /// version has no such code and can only close the connection.
    pub fn v3_connect_return_code(self) -> Option<u8> {
        match self {
            ReasonCode::Success => Some(0),
            ReasonCode::UnsupportedProtocolVersion => Some(1),
            ReasonCode::ClientIdentifierNotValid => Some(2),
            ReasonCode::ServerUnavailable => Some(3),
            ReasonCode::BadUserNameOrPassword => Some(4),
            ReasonCode::NotAuthorized => Some(5),
            _ => None,
        }
    }

    /// Returns the reason of a 3.1.1 CONNACK return code; `None` for 6 to 255, which are reserved.
    pub fn from_v3_connect_return_code(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::UnsupportedProtocolVersion),
            2 => Some(ReasonCode::ClientIdentifierNotValid),
            3 => Some(ReasonCode::ServerUnavailable),
            4 => Some(ReasonCode::BadUserNameOrPassword),
            5 => Some(ReasonCode::NotAuthorized),
            _ => None,
        }
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:02X} {}", self.byte(), self.phrase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_a_code_exactly_when_the_specification_lists_it() {
        let known: Vec<u8> = (0..=255).filter(|byte| ReasonCode::from_byte(*byte).is_some()).collect();
        assert_eq!(known.len(), ReasonCode::ALL.len());
        for byte in known {
            assert_eq!(ReasonCode::from_byte(byte).unwrap().byte(), byte);
        }
        assert_eq!(ReasonCode::from_byte(0x03), None);
    }

    #[test]
    fn return_codes_of_3_1_1_translate_both_ways() {
        for code in 0..=5 {
            let reason = ReasonCode::from_v3_connect_return_code(code).unwrap();
            assert_eq!(reason.v3_connect_return_code(), Some(code));
            assert!(reason.may_travel_in(PacketType::ConnAck));
        }
        assert_eq!(ReasonCode::from_v3_connect_return_code(6), None);
        assert_eq!(ReasonCode::QuotaExceeded.v3_connect_return_code(), None);
    }
}
