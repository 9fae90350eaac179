//! Packets for receivers that announced a Maximum Packet Size.

use bytes::BytesMut;

use crate::{Packet, Version, encode};

impl Packet {
    /// Returns the packet for a receiver that announced a Maximum Packet Size: complete if it fits, else without its
    /// reason string and user properties [MQTT-3.2.2-19]; `None` if it does not fit even then and must not be sent
    /// [MQTT-3.1.2-24].
    pub fn fitted(mut self, version: Version, maximum_packet_size: Option<u32>) -> Option<Packet> {
        let Some(most) = maximum_packet_size.filter(|_| version == Version::V5) else { return Some(self) };
        let fits = |packet: &Packet| {
            let mut bytes = BytesMut::new();
            // `encode` reports a packet that cannot be encoded.
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
