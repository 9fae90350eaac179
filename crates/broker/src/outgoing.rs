//! What is to be written to a connection.

use std::sync::Arc;

use sekisho_mqtt::{Packet, PacketId, PublishHead, QoS, ReasonCode};

use crate::message::Message;

/// A packet to write. Messages and acknowledgements, the most frequent ones, need no allocation.
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
    /// Shared by all receivers: with equal pointers (`Arc::ptr_eq`), encoded bytes can be shared too.
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
    /// Returns the bytes to subtract from the [`Outbox`](crate::Outbox) when it is written.
    pub fn cost(&self) -> u32 {
        self.message.cost()
    }

    /// Returns what the packet has besides the message. DUP is never set, as in AWS IoT (MQTT page).
    pub fn head(&self) -> PublishHead {
        PublishHead { dup: false, qos: self.qos, retain: self.retain, packet_id: self.packet_id }
    }
}
