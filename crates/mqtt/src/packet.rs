//! The control packets: one file each, MQTT 3.1.1 and 5 side by side (section 3 of both).

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will};
pub use disconnect::Disconnect;
pub use publish::{Publish, PublishFields, PublishHead, PublishProperties, encode_publish, publish_len};
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilter};
pub use unsuback::UnsubAck;
pub use unsubscribe::Unsubscribe;

use crate::packet_type::PacketType;

/// One control packet of either version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A client asks to connect, section 3.1. Boxed: rare, and larger than all others.
    Connect(Box<Connect>),
    /// The server's answer to CONNECT, section 3.2. Boxed for the same reason.
    ConnAck(Box<ConnAck>),
    /// A message from a client or a server, section 3.3.
    Publish(Publish),
    /// The receiver has a QoS 1 message, section 3.4.
    PubAck(Ack),
    /// QoS 2 exchange, part 1: received, section 3.5.
    PubRec(Ack),
    /// QoS 2 exchange, part 2: released, section 3.6.
    PubRel(Ack),
    /// QoS 2 exchange, part 3: complete, section 3.7.
    PubComp(Ack),
    /// Topic filters to subscribe to, section 3.8.
    Subscribe(Subscribe),
    /// One code for each filter of a SUBSCRIBE, section 3.9.
    SubAck(SubAck),
    /// Topic filters to unsubscribe from, section 3.10.
    Unsubscribe(Unsubscribe),
    /// The answer to UNSUBSCRIBE, section 3.11.
    UnsubAck(UnsubAck),
    /// The client asks whether the server is there, section 3.12.
    PingReq,
    /// The answer to PINGREQ, section 3.13.
    PingResp,
    /// The last packet of a connection, section 3.14. From the server in MQTT 5 only.
    Disconnect(Disconnect),
    /// Enhanced authentication, section 3.15. MQTT 5 only.
    Auth(Auth),
}

impl Packet {
    /// Returns the type of the packet.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}

impl From<Connect> for Packet {
    fn from(packet: Connect) -> Packet {
        Packet::Connect(Box::new(packet))
    }
}

impl From<ConnAck> for Packet {
    fn from(packet: ConnAck) -> Packet {
        Packet::ConnAck(Box::new(packet))
    }
}

macro_rules! into_packet {
    ($($name:ident),*) => {
        $(impl From<$name> for Packet {
            fn from(packet: $name) -> Packet {
                Packet::$name(packet)
            }
        })*
    };
}

into_packet!(Publish, Subscribe, SubAck, Unsubscribe, UnsubAck, Disconnect, Auth);
