//! MQTT 3.1.1 and 5: bytes to packets and back. No I/O, no clock, no policy.
//!
//! | module | what it knows |
//! |---|---|
//! | [`codec`] | the fixed header, the packet size limit, [`Decoder`] and [`encode`] |
//! | [`packet`] | one control packet per file, both protocol versions side by side |
//! | [`property`] | the MQTT 5 property table: identifier, type, packets that may carry it |
//! | [`reason`] | every reason code, the packets it may travel in, its 3.1.1 return code |
//! | [`topic`] | [`TopicName`] and [`TopicFilter`]: validated once, then trusted |
//! | [`text`] | [`Utf8`], a string that is a slice of the packet it came in |
//! | [`error`] | what a peer did wrong, with the normative statement it broke |
//!
//! The decoder is strict: what the specifications forbid on the wire is an error that cites the
//! statement, as in `[MQTT-3.1.2-3]`. Numbers are those of MQTT 5 unless they say 3.1.1.
//! What depends on state (packet identifiers in use, topic aliases, the receive maximum) and what
//! AWS IoT refuses on top (QoS 2, long topics) is for the broker to judge.
//!
//! Strings and payloads of a decoded packet share the memory of the buffer it was read into. Copy
//! what must outlive the message by far, or a small topic keeps a large buffer alive.

pub mod codec;
pub mod error;
pub mod packet;
pub mod property;
pub mod reason;
pub mod text;
pub mod topic;
mod wire;

pub use codec::{Decoder, Limits, Sender, encode};
pub use error::{DecodeError, EncodeError};
pub use packet::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, Packet, PacketType,
    Publish, PublishFields, PublishHead, PublishProperties, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, UnsubAck, Unsubscribe, Will, encode_publish, publish_len,
};
pub use reason::ReasonCode;
pub use text::{Utf8, Utf8Error};
pub use topic::{TopicError, TopicFilter, TopicName};

/// The protocol version of a connection, from the level in its CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.1, level 4.
    V311,
    /// MQTT 5, level 5.
    V5,
}

/// Quality of service, MQTT section 4.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// Delivered as the network allows, never acknowledged.
    #[default]
    AtMostOnce = 0,
    /// Acknowledged with PUBACK; may arrive more than once.
    AtLeastOnce = 1,
    /// The four-packet exchange. Decoded here, refused by the broker as AWS IoT does.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS of two bits on the wire; `None` for 3, which both versions forbid.
    pub fn from_bits(bits: u8) -> Option<QoS> {
        match bits {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet identifier: never zero, MQTT section 2.2.1.
pub type PacketId = std::num::NonZeroU16;

/// User properties in the order they came. The same name may appear more than once, section 3.1.2.11.8.
pub type UserProperties = Vec<(Utf8, Utf8)>;
