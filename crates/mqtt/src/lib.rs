//! MQTT 3.1.1 and 5: bytes to packets and back. No I/O, no clock, no policy.
//!
//! | module | content |
//! |---|---|
//! | [`codec`] | the fixed header, the packet size limit, [`Decoder`] and [`encode`] |
//! | [`packet`] | one control packet per file, both protocol versions side by side |
//! | `fitted` | a packet without what does not fit the receiver's Maximum Packet Size |
//! | [`packet_type`] | the type in the first byte of a packet |
//! | [`protocol`] | version, side, QoS, packet identifier, user properties |
//! | [`property`] | the MQTT 5 property table: identifier, type, packets that may have it |
//! | [`reason`] | every reason code, the packets that may have it, its 3.1.1 return code |
//! | [`topic`] | [`TopicName`] and [`TopicFilter`]: validated when they are made |
//! | [`text`] | [`Utf8`], a string that is a slice of its packet |
//! | `wire` | reads and writes integers, strings and binary data (section 1.5) |
//! | [`error`] | errors of a peer, with the normative statement that each breaks |
//!
//! The decoder is strict: what the specifications forbid is an error that cites the
//! statement, as in `[MQTT-3.1.2-3]`. Numbers are those of MQTT 5 unless they say 3.1.1.
//! The broker checks what depends on state (packet identifiers in use, topic aliases, the receive maximum) and
//! what AWS IoT refuses in addition (QoS 2, long topics).
//!
//! Strings and payloads of a decoded packet share the memory of the buffer that they were read into. Copy
//! what must live much longer than the message, because a small topic keeps a large buffer alive.

pub mod codec;
pub mod error;
mod fitted;
pub mod packet;
pub mod packet_type;
pub mod property;
pub mod protocol;
pub mod reason;
pub mod text;
pub mod topic;
mod wire;

pub use codec::{Decoder, Limits, encode};
pub use error::{DecodeError, EncodeError};
pub use packet::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, Packet, Publish,
    PublishFields, PublishHead, PublishProperties, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    UnsubAck, Unsubscribe, Will, encode_publish, publish_len,
};
pub use packet_type::PacketType;
pub use protocol::{PacketId, QoS, Sender, UserProperties, Version};
pub use reason::ReasonCode;
pub use text::{Utf8, Utf8Error};
pub use topic::{TopicError, TopicFilter, TopicName};
