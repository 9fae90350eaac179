//! The client's Maximum Packet Size is respected by every packet that has a reason string.

#![allow(clippy::unwrap_used, reason = "a packet of the test that cannot be made has failed it")]

use bytes::BytesMut;
use sekisho_mqtt::{
    Ack, ConnAck, ConnAckProperties, Disconnect, Packet, PacketId, ReasonCode, SubAck, UnsubAck, Utf8,
    Version, encode,
};

fn len(packet: &Packet, version: Version) -> usize {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes).unwrap();
    bytes.len()
}

/// Returns each packet with a reason string of 100 bytes and a user property.
fn packets() -> Vec<Packet> {
    let reason_string = Some(Utf8::try_from("r".repeat(100)).unwrap());
    let user_properties = vec![(Utf8::from_static("name").unwrap(), Utf8::from_static("value").unwrap())];
    let packet_id = PacketId::MIN;
    vec![
        Packet::ConnAck(Box::new(ConnAck {
            session_present: false,
            code: ReasonCode::NotAuthorized,
            properties: ConnAckProperties {
                reason_string: reason_string.clone(),
                user_properties: user_properties.clone(),
                ..ConnAckProperties::default()
            },
        })),
        Packet::PubAck(Ack {
            reason_string: reason_string.clone(),
            user_properties: user_properties.clone(),
            ..Ack::new(packet_id, ReasonCode::NotAuthorized)
        }),
        Packet::SubAck(SubAck {
            packet_id,
            codes: vec![ReasonCode::NotAuthorized],
            reason_string: reason_string.clone(),
            user_properties: user_properties.clone(),
        }),
        Packet::UnsubAck(UnsubAck {
            packet_id,
            codes: vec![ReasonCode::NotAuthorized],
            reason_string: reason_string.clone(),
            user_properties: user_properties.clone(),
        }),
        Packet::Disconnect(Disconnect {
            reason_string,
            user_properties,
            ..Disconnect::new(ReasonCode::NotAuthorized)
        }),
    ]
}

#[test]
fn a_packet_that_is_too_large_is_sent_without_its_reason_string() {
    for packet in packets() {
        let whole = len(&packet, Version::V5);
        let most = u32::try_from(whole).unwrap();
        assert_eq!(packet.clone().fitted(Version::V5, None), Some(packet.clone()));
        assert_eq!(packet.clone().fitted(Version::V5, Some(most)), Some(packet.clone()));
        let short = packet.clone().fitted(Version::V5, Some(most - 1)).unwrap();
        assert!(len(&short, Version::V5) <= 8, "{short:?}");
        assert_eq!(short.packet_type(), packet.packet_type());
        assert_eq!(packet.fitted(Version::V5, Some(2)), None, "nothing fits");
    }
}

#[test]
fn without_mqtt_5_nothing_can_be_left_out() {
    let connack = packets().swap_remove(0);
    assert_eq!(connack.clone().fitted(Version::V311, Some(2)), Some(connack));
}
