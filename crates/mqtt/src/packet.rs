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

use bytes::BytesMut;

use crate::{Version, encode};

/// One control packet of either version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A client asks to connect, section 3.1. Boxed: rare, and larger than all others.
    Connect(Box<Connect>),
    /// The server's answer to CONNECT, section 3.2. Boxed for the same reason.
    ConnAck(Box<ConnAck>),
    /// A message, either way, section 3.3.
    Publish(Publish),
    /// QoS 1 received, section 3.4.
    PubAck(Ack),
    /// QoS 2 received, part 1, section 3.5.
    PubRec(Ack),
    /// QoS 2 released, part 2, section 3.6.
    PubRel(Ack),
    /// QoS 2 complete, part 3, section 3.7.
    PubComp(Ack),
    /// Topic filters to subscribe to, section 3.8.
    Subscribe(Subscribe),
    /// One code for each filter of a SUBSCRIBE, section 3.9.
    SubAck(SubAck),
    /// Topic filters to give up, section 3.10.
    Unsubscribe(Unsubscribe),
    /// The answer to UNSUBSCRIBE, section 3.11.
    UnsubAck(UnsubAck),
    /// Is the server there? Section 3.12.
    PingReq,
    /// It is. Section 3.13.
    PingResp,
    /// The last packet of a connection, section 3.14. From the server in MQTT 5 only.
    Disconnect(Disconnect),
    /// Enhanced authentication, section 3.15. MQTT 5 only.
    Auth(Auth),
}

impl Packet {
    /// The packet for a receiver that announced a Maximum Packet Size: whole where it fits, else without its reason
    /// string and user properties [MQTT-3.2.2-19]. `None` where it does not fit even so, and is not to be sent
    /// [MQTT-3.1.2-24].
    pub fn fitted(mut self, version: Version, maximum_packet_size: Option<u32>) -> Option<Packet> {
        let Some(most) = maximum_packet_size.filter(|_| version == Version::V5) else { return Some(self) };
        let fits = |packet: &Packet| {
            let mut bytes = BytesMut::new();
            // What cannot be encoded is for the writer to report.
            encode(packet, version, &mut bytes).is_err() || bytes.len() <= most as usize
        };
        if fits(&self) {
            return Some(self);
        }
        let (reason_string, user_properties) = match &mut self {
            Packet::ConnAck(connack) => {
                (&mut connack.properties.reason_string, &mut connack.properties.user_properties)
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
                (&mut ack.reason_string, &mut ack.user_properties)
            }
            Packet::SubAck(suback) => (&mut suback.reason_string, &mut suback.user_properties),
            Packet::UnsubAck(unsuback) => (&mut unsuback.reason_string, &mut unsuback.user_properties),
            Packet::Disconnect(disconnect) => {
                (&mut disconnect.reason_string, &mut disconnect.user_properties)
            }
            _ => return None,
        };
        *reason_string = None;
        user_properties.clear();
        Some(self).filter(fits)
    }
}

/// The type in the first four bits of a packet, section 2.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names of section 2.1.2; each is documented on `Packet`")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// Every type, by number.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::ConnAck,
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::SubAck,
        PacketType::Unsubscribe,
        PacketType::UnsubAck,
        PacketType::PingReq,
        PacketType::PingResp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The type of the first four bits; `None` for 0, which is reserved, and above 15.
    pub fn from_number(number: u8) -> Option<PacketType> {
        PacketType::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The name in capitals, as the specification writes it.
    pub fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "CONNECT",
            PacketType::ConnAck => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::PubAck => "PUBACK",
            PacketType::PubRec => "PUBREC",
            PacketType::PubRel => "PUBREL",
            PacketType::PubComp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::SubAck => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::UnsubAck => "UNSUBACK",
            PacketType::PingReq => "PINGREQ",
            PacketType::PingResp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        }
    }
}

impl std::fmt::Display for PacketType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Packet {
    /// The type of the packet.
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
