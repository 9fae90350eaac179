//! What is to be written to a connection.

use std::sync::Arc;

use sekisho_mqtt::{Packet, PacketId, PublishHead, QoS, ReasonCode};

use crate::message::Message;

/// What to write. Messages and acknowledgements, the packets of the hot path, take no allocation.
#[derive(Debug)]
pub enum Outgoing {
    /// A message.
    Deliver(Delivery),
    /// The answer to a QoS 1 PUBLISH.
    PubAck {
        /// Of the PUBLISH.
        packet_id: PacketId,
        /// Success, or why not (MQTT 5 only).
        reason: ReasonCode,
    },
    /// PINGRESP.
    PingResp,
    /// Any other packet.
    Packet(Box<Packet>),
}

/// One message for one subscriber.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Shared by all who get it: `Arc::ptr_eq` tells that encoded bytes can be shared too.
    pub message: Arc<Message>,
    /// Seconds to forward as Message Expiry Interval (MQTT 5 receivers).
    pub message_expiry: Option<u32>,
    /// Present with QoS 1.
    pub packet_id: Option<PacketId>,
    /// The lower of the publisher's and the subscription's.
    pub qos: QoS,
    /// Set when it is a stored message sent because of a SUBSCRIBE, or when the subscription asked to keep the flag.
    pub retain: bool,
}

impl Delivery {
    /// What to subtract from the [`Outbox`](crate::Outbox) when it is written.
    pub fn cost(&self) -> u32 {
        self.message.cost()
    }

    /// The fixed header's half of the packet. DUP is never set, as AWS IoT never does (MQTT page).
    pub fn head(&self) -> PublishHead {
        PublishHead { dup: false, qos: self.qos, retain: self.retain, packet_id: self.packet_id }
    }
}
