//! Decoding is the inverse of encoding, for bytes in any pieces, and no bytes cause a panic.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_mqtt::*;

use crate::strategies::{self, sent_packet};
use crate::{decode, decoder, encoded};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn decoding_undoes_encoding((sender, version, packet) in sent_packet()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(decode(sender, version, &bytes), Ok(Some(packet)));
    }

    #[test]
    fn a_packet_fed_byte_by_byte_is_the_packet_fed_at_once((sender, version, packet) in sent_packet()) {
        let bytes = encoded(&packet, version);
        let mut decoder = decoder(sender, version);
        let mut buffer = BytesMut::new();
        for byte in &bytes[..bytes.len() - 1] {
            buffer.put_u8(*byte);
            prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
        }
        buffer.put_u8(bytes[bytes.len() - 1]);
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(packet)));
    }

    #[test]
    fn packets_in_one_read_come_out_one_by_one(
        packets in strategies::version().prop_flat_map(|version| {
            vec(strategies::packet(Sender::Client, version), 1..6).prop_map(move |packets| (version, packets))
        }),
    ) {
        let (version, packets) = packets;
        let mut buffer = BytesMut::new();
        for packet in &packets {
            encode(packet, version, &mut buffer).expect("the packet can be encoded");
        }
        let mut decoder = decoder(Sender::Client, version);
        for packet in packets {
            prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(packet)));
        }
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_a_panic(
        version in strategies::version(),
        client in any::<bool>(),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let room = buffer.capacity();
        let mut decoder = decoder(if client { Sender::Client } else { Sender::Server }, version);
        while let Ok(Some(packet)) = decoder.decode(&mut buffer) {
            // What was read can be written again.
            let _ = encoded(&packet, version);
        }
        prop_assert!(buffer.capacity() <= room, "the decoder grew the buffer");
    }

    #[test]
    fn a_packet_with_one_byte_changed_is_decoded_or_refused_without_a_panic(
        (sender, version, packet) in sent_packet(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = BytesMut::from(encoded(&packet, version));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Some(packet)) = decoder(sender, version).decode(&mut bytes) {
            let again = encoded(&packet, version);
            prop_assert_eq!(decode(sender, version, &again), Ok(Some(packet)));
        }
    }

    #[test]
    fn the_announced_length_of_a_publish_is_its_length(
        version in strategies::version(),
        packet in strategies::packet(Sender::Server, Version::V5),
        expiry in prop::option::of(any::<u32>()),
    ) {
        let Packet::Publish(publish) = packet else { return Ok(()) };
        prop_assume!(!publish.topic.is_empty());
        let Publish { dup, qos, retain, topic, packet_id, payload, properties } = &publish;
        let head = PublishHead { dup: *dup, qos: *qos, retain: *retain, packet_id: *packet_id };
        let mut out = BytesMut::from(&b"before"[..]);
        encode_publish(&mut out, version, head, topic, payload, properties, expiry).unwrap();
        out.advance(b"before".len());
        prop_assert_eq!(publish_len(version, *qos, topic, payload.len(), properties, expiry), out.len());

        let mut expected = publish.clone();
        match (version, expiry) {
            (Version::V311, _) => expected.properties = PublishProperties::new(),
            (Version::V5, Some(_)) => expected.properties.message_expiry_interval = expiry,
            (Version::V5, None) => {}
        }
        prop_assert_eq!(decode(Sender::Server, version, &out), Ok(Some(expected.into())));
    }
}

#[test]
fn a_payload_is_a_slice_of_the_buffer_it_was_read_into() {
    let publish = Publish { payload: Bytes::from_static(b"21.5"), ..to("dt/sensor-1/temp") };
    let mut buffer = BytesMut::from(encoded(&publish.into(), Version::V311));
    let memory = buffer.as_ptr_range();
    let Ok(Some(Packet::Publish(publish))) = decoder(Sender::Client, Version::V311).decode(&mut buffer)
    else {
        panic!("a PUBLISH was encoded");
    };
    assert!(memory.contains(&publish.payload.as_ptr()));
    assert!(memory.contains(&publish.topic.as_ptr()));
}

#[test]
fn the_version_is_learnt_from_connect() {
    for version in [Version::V311, Version::V5] {
        let mut buffer = BytesMut::new();
        for packet in [connect(version), to("a").into()] {
            encode(&packet, version, &mut buffer).unwrap();
        }
        let mut decoder = Decoder::new(Limits::UNLIMITED);
        assert_eq!(decoder.version(), None);
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(connect(version))));
        assert_eq!(decoder.version(), Some(version));
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(to("a").into())));
    }
}

#[test]
fn nothing_is_read_before_connect() {
    for packet in [to("a").into(), Packet::PingReq, Disconnect::default().into()] {
        let mut buffer = BytesMut::from(encoded(&packet, Version::V311));
        let error = Decoder::new(Limits::UNLIMITED).decode(&mut buffer).unwrap_err();
        assert_eq!(error, DecodeError::ConnectExpected(packet.packet_type()));
        // The first byte is sufficient.
        let error = Decoder::new(Limits::UNLIMITED).decode(&mut BytesMut::from(&buffer[..1])).unwrap_err();
        assert_eq!(error, DecodeError::ConnectExpected(packet.packet_type()));
    }
}

#[test]
fn a_connect_refused_after_its_level_still_tells_the_version() {
    let Packet::Connect(good) = connect(Version::V5) else { panic!("a CONNECT was made") };
    let mut bytes = BytesMut::from(encoded(&Packet::Connect(good), Version::V5));
    // The connect flags follow fixed header, protocol name and level; their lowest bit is reserved.
    bytes[9] |= 1;
    let mut decoder = Decoder::new(Limits::UNLIMITED);
    assert_eq!(decoder.decode(&mut bytes), Err(DecodeError::ReservedConnectFlag));
    assert_eq!(decoder.version(), Some(Version::V5), "so that CONNACK 0x81 can be written");
}

#[test]
fn a_second_connect_does_not_change_the_version() {
    let mut decoder = decoder(Sender::Client, Version::V311);
    let mut buffer = BytesMut::from(encoded(&connect(Version::V5), Version::V5));
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(connect(Version::V5))));
    assert_eq!(decoder.version(), Some(Version::V311));
}

#[test]
fn a_packet_over_the_limit_is_refused_from_its_fixed_header() {
    let limits = Limits { max_packet_size: 131_072 };
    let mut decoder = Decoder::new(limits);
    // 0xFF 0xFF 0x07: a remaining length of 131071, with the four bytes in front 131075 in all.
    let mut buffer = BytesMut::from(&[0x10, 0xFF, 0xFF, 0x07][..]);
    let error = decoder.decode(&mut buffer).unwrap_err();
    assert_eq!(error, DecodeError::PacketTooLarge { size: 131_075, limit: 131_072 });
    assert_eq!(error.reason(), ReasonCode::PacketTooLarge);
    // The largest that fits waits for its body.
    let mut buffer = BytesMut::from(&[0x10, 0xFC, 0xFF, 0x07][..]);
    assert_eq!(Decoder::new(limits).decode(&mut buffer), Ok(None));
}

#[test]
fn what_cannot_be_encoded_leaves_the_buffer_as_it_was() {
    let packet_id = PacketId::new(1).unwrap();
    let long = Bytes::from(vec![0; 65_536]);
    let text = |text: &str| Utf8::try_from(text).unwrap();
    let with = |fields: PublishFields| Publish { properties: fields.into(), ..to("a") };
    let Packet::Connect(connect) = connect(Version::V5) else { panic!("a CONNECT was made") };
    let refused: Vec<(Packet, Version)> = vec![
        (ConnAck { code: ReasonCode::QuotaExceeded, ..ConnAck::default() }.into(), Version::V311),
        (ConnAck { code: ReasonCode::KeepAliveTimeout, ..ConnAck::default() }.into(), Version::V5),
        (
            ConnAck { session_present: true, code: ReasonCode::NotAuthorized, ..ConnAck::default() }.into(),
            Version::V5,
        ),
        (Auth::default().into(), Version::V311),
        (Auth { reason: ReasonCode::ReAuthenticate, ..Auth::default() }.into(), Version::V5),
        (Disconnect::new(ReasonCode::GrantedQoS1).into(), Version::V5),
        (Packet::PubAck(Ack::new(packet_id, ReasonCode::PacketIdentifierNotFound)), Version::V5),
        (to("a/+").into(), Version::V5),
        (to("").into(), Version::V5),
        (Publish { packet_id: Some(packet_id), ..to("a") }.into(), Version::V5),
        (Publish { qos: QoS::AtLeastOnce, ..to("a") }.into(), Version::V5),
        (Publish { dup: true, ..to("a") }.into(), Version::V5),
        (
            with(PublishFields { correlation_data: Some(long.clone()), ..Default::default() }).into(),
            Version::V5,
        ),
        (with(PublishFields { subscription_identifiers: vec![0], ..Default::default() }).into(), Version::V5),
        (
            with(PublishFields { response_topic: Some(text("re/#")), ..Default::default() }).into(),
            Version::V5,
        ),
        (Connect { password: Some(long.clone()), ..(*connect).clone() }.into(), Version::V5),
        (
            Connect { version: Version::V311, password: Some(Bytes::new()), ..(*connect).clone() }.into(),
            Version::V311,
        ),
        (
            Subscribe { packet_id, filters: vec![], subscription_identifier: None, user_properties: vec![] }
                .into(),
            Version::V5,
        ),
        (
            SubAck { packet_id, codes: vec![], reason_string: None, user_properties: vec![] }.into(),
            Version::V5,
        ),
        (Unsubscribe { packet_id, filters: vec![], user_properties: vec![] }.into(), Version::V311),
    ];
    for (packet, version) in refused {
        let mut out = BytesMut::from(&b"before"[..]);
        assert!(encode(&packet, version, &mut out).is_err(), "{packet:?}");
        assert_eq!(out, &b"before"[..], "{packet:?}");
    }
}

fn to(topic: &str) -> Publish {
    Publish { topic: Utf8::try_from(topic).expect("an MQTT string"), ..Publish::default() }
}

fn connect(version: Version) -> Packet {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: Utf8::try_from("sensor-1").expect("an MQTT string"),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
    .into()
}
