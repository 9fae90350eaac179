//! Types of the whole protocol: version, side, quality of service, packet identifier, user properties.

use crate::text::Utf8;

/// The protocol version of a connection, from the level in its CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.1, level 4.
    V311,
    /// MQTT 5, level 5.
    V5,
}

/// The side that sends the packets which a [`Decoder`](crate::Decoder) reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A client: the decoder is a server's.
    Client,
    /// A server: the decoder is a client's.
    Server,
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
    /// Returns the QoS of two bits; `None` for 3, which both versions forbid.
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

/// User properties in the order of the packet. The same name may appear more than once, section 3.1.2.11.8.
pub type UserProperties = Vec<(Utf8, Utf8)>;
