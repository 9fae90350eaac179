//! Errors in packets, each with the normative statement that it breaks.

use thiserror::Error;

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::{ReasonCode, TopicError, Utf8Error};

/// Bytes that are not a packet which is allowed here. The connection must be closed: MQTT section 4.13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    // The fixed header.
    /// Packet type 0, or 15 before MQTT 5 (section 2.1.2).
    #[error("packet type {0} is reserved (section 2.1.2)")]
    ReservedPacketType(u8),
    /// Flags of the first byte other than those that section 2.1.3 requires.
    #[error("{packet} with flags 0b{flags:04b}, which are reserved [MQTT-2.1.3-1]")]
    ReservedFlags {
        /// The packet with the flags.
        packet: PacketType,
        /// The low four bits.
        flags: u8,
    },
    /// A variable byte integer of more than four bytes.
    #[error("a variable byte integer of more than four bytes (section 1.5.5)")]
    VariableByteIntegerTooLong,
    /// A variable byte integer with bytes it does not need, in MQTT 5.
    #[error("a variable byte integer that uses more bytes than it needs [MQTT-1.5.5-1]")]
    VariableByteIntegerNotMinimal,
    /// The packet is larger than the limit; refused from its fixed header.
    #[error("a packet of {size} bytes where {limit} is the limit [MQTT-3.2.2-15]")]
    PacketTooLarge {
        /// Bytes, the fixed header included.
        size: u32,
        /// The limit.
        limit: u32,
    },
    /// A packet that only the other side sends.
    #[error("{0} may not come from this side (section 2.1.2)")]
    WrongDirection(PacketType),
    /// Something other than CONNECT before CONNECT.
    #[error("{0} before CONNECT [MQTT-3.1.0-1]")]
    ConnectExpected(PacketType),

    // Any packet.
    /// The packet ends in the middle of a field.
    #[error("{0} ends before its fields do (section 2.1.4)")]
    Truncated(PacketType),
    /// Bytes after the last field.
    #[error("{packet} has {bytes} bytes after its last field (section 2.1.4)")]
    TrailingBytes {
        /// The packet.
        packet: PacketType,
        /// The number of bytes.
        bytes: usize,
    },
    /// An invalid string.
    #[error("{packet}: {error}")]
    Text {
        /// The packet.
        packet: PacketType,
        /// What is wrong with it.
        error: Utf8Error,
    },
    /// Packet identifier zero.
    #[error("{0} with packet identifier 0 [MQTT-2.2.1-3]")]
    PacketIdZero(PacketType),
    /// A byte that is not a reason code of this packet.
    #[error("0x{code:02X} is not a reason code of {packet} (section 2.4)")]
    ReasonCode {
        /// The packet.
        packet: PacketType,
        /// The byte.
        code: u8,
    },

    // Properties.
    /// An identifier that is not in table 2-4.
    #[error("unknown property identifier 0x{0:02X} (section 2.2.2.2)")]
    UnknownProperty(u32),
    /// A property that the packet or the will cannot have.
    #[error("{1} is not a property of {0} (section 2.2.2.2)")]
    PropertyNotAllowed(Carrier, PropertyId),
    /// A property that may appear once and appears twice.
    #[error("{0} more than once (section 2.2.2.2)")]
    DuplicateProperty(PropertyId),
    /// A value that the property cannot have.
    #[error("{0} cannot be {1} ({section})", section = .0.section())]
    PropertyValue(PropertyId, u32),
    /// The property length reaches beyond the packet, or ends inside a property.
    #[error("the property length of {0} does not fit its properties (section 2.2.2.1)")]
    PropertyLength(PacketType),
    /// Authentication data without a method.
    #[error("authentication data without an authentication method (section 3.1.2.11.10)")]
    AuthenticationDataWithoutMethod,
    /// AUTH with properties but no method.
    #[error("AUTH without an authentication method (section 3.15.2.2.2)")]
    AuthenticationMethodMissing,

    // CONNECT.
    /// The protocol name is not `MQTT`.
    #[error("the protocol name is not MQTT [MQTT-3.1.2-1]")]
    ProtocolName,
    /// A level other than 4 and 5; 3 is MQTT 3.1, `MQIsdp`.
    #[error("protocol level {0} is not supported, 4 (MQTT 3.1.1) and 5 are [MQTT-3.1.2-2]")]
    UnsupportedVersion(u8),
    /// The lowest connect flag is set.
    #[error("the reserved connect flag is set [MQTT-3.1.2-3]")]
    ReservedConnectFlag,
    /// Will QoS or Will Retain without the Will Flag.
    #[error("will QoS or will retain without a will [MQTT-3.1.2-11, MQTT-3.1.2-13]")]
    WillFlagsWithoutWill,
    /// Will QoS 3.
    #[error("will QoS 3 [MQTT-3.1.2-12]")]
    WillQoS,
    /// The will's topic is not a topic name.
    #[error("the will topic: {0}")]
    WillTopic(TopicError),
    /// A password without a user name, which 3.1.1 forbids and MQTT 5 allows.
    #[error("a password without a user name [MQTT-3.1.2-22 of 3.1.1]")]
    PasswordWithoutUsername,

    // CONNACK.
    /// A bit of the acknowledge flags other than Session Present.
    #[error("reserved acknowledge flags are set [MQTT-3.2.2-1]")]
    ReservedConnAckFlags,
    /// Session Present together with a failure.
    #[error("session present with a failure [MQTT-3.2.2-6]")]
    SessionPresentWithFailure,

    // PUBLISH.
    /// QoS 3.
    #[error("PUBLISH with QoS 3 [MQTT-3.3.1-4]")]
    PublishQoS,
    /// DUP with QoS 0.
    #[error("PUBLISH with DUP and QoS 0 [MQTT-3.3.1-2]")]
    DupWithoutQoS,
    /// The topic is not a topic name.
    #[error("the topic of PUBLISH: {0}")]
    TopicName(TopicError),
    /// No topic and no alias for one.
    #[error("PUBLISH with neither a topic nor a topic alias (section 3.3.2.1)")]
    TopicMissing,
    /// The response topic is not a topic name.
    #[error("the response topic: {0} [MQTT-3.3.2-14]")]
    ResponseTopic(TopicError),
    /// Subscription identifiers on a PUBLISH from a client.
    #[error("PUBLISH from a client with a subscription identifier [MQTT-3.3.4-6]")]
    SubscriptionIdentifierFromClient,

    // SUBSCRIBE, UNSUBSCRIBE and their answers.
    /// No filter.
    #[error("{0} without a topic filter [{statement}]", statement = if *.0 == PacketType::Subscribe { "MQTT-3.8.3-2" } else { "MQTT-3.10.3-2" })]
    NoTopicFilter(PacketType),
    /// Reserved bits, QoS 3 or retain handling 3.
    #[error("subscription options 0b{0:08b}: reserved bits, QoS 3 or retain handling 3 [MQTT-3.8.3-5]")]
    SubscriptionOptions(u8),
    /// No Local on a shared subscription.
    #[error("no local on a shared subscription [MQTT-3.8.3-4]")]
    NoLocalShared,
    /// SUBACK or an MQTT 5 UNSUBACK without reason codes.
    #[error("{0} without reason codes [MQTT-3.8.4-6, MQTT-3.10.4-6]")]
    NoReasonCodes(PacketType),

    // DISCONNECT.
    /// A server's DISCONNECT with a session expiry interval.
    #[error("DISCONNECT from a server with a session expiry interval [MQTT-3.14.2-2]")]
    SessionExpiryFromServer,
}

impl DecodeError {
    /// Returns the reason code to send in CONNACK or DISCONNECT before the connection is closed (section 4.13).
    pub fn reason(&self) -> ReasonCode {
        match self {
            DecodeError::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            DecodeError::UnsupportedVersion(_) | DecodeError::ProtocolName => {
                ReasonCode::UnsupportedProtocolVersion
            }
            DecodeError::WillTopic(_) | DecodeError::TopicName(_) => ReasonCode::TopicNameInvalid,
            DecodeError::WrongDirection(_)
            | DecodeError::ConnectExpected(_)
            | DecodeError::PacketIdZero(_)
            | DecodeError::DuplicateProperty(_)
            | DecodeError::PropertyValue(..)
            | DecodeError::AuthenticationDataWithoutMethod
            | DecodeError::AuthenticationMethodMissing
            | DecodeError::SessionPresentWithFailure
            | DecodeError::TopicMissing
            | DecodeError::ResponseTopic(_)
            | DecodeError::SubscriptionIdentifierFromClient
            | DecodeError::NoTopicFilter(_)
            | DecodeError::NoLocalShared
            | DecodeError::NoReasonCodes(_)
            | DecodeError::SessionExpiryFromServer => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }
}

/// A packet that cannot be written: an error of this program, never of the peer. Nothing has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The version has no such packet or no such reason.
    #[error("{0} cannot be said in this protocol version: {1}")]
    NotInVersion(PacketType, &'static str),
    /// A field has a value that the specification forbids.
    #[error("{0}: {1}")]
    Forbidden(PacketType, &'static str),
    /// Longer than MQTT can express: 65 535 bytes for binary data, 268 435 455 for a packet.
    #[error("{0}: {1} bytes are more than MQTT can carry here")]
    TooLong(PacketType, usize),
}
