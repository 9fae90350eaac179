//! CONNECT: which clients are accepted, what CONNACK has in it, what a refusal looks like.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sekisho_broker::{
    Action, Broker, DisconnectClient, DisconnectReason, Effect, Effects, Limits, Now, Outgoing, Peer, Refusal,
};
use sekisho_mqtt::{ConnAck, Packet, QoS, ReasonCode, Version};

use crate::story::*;

/// The CONNACK of a CONNECT, in full.
fn connack(story: &mut Story, connect: Client) -> ConnAck {
    let authority = rules(|_| true);
    let give = |_: &Arc<str>| Arc::clone(&authority);
    let peer = Peer {
        principal: "cert".into(),
        remote: "[::1]:1".parse().unwrap(),
        thing_name: None,
        authority: &give,
    };
    let mut effects = Effects::new();
    story.broker.connect(story.now(), connect.packet, &peer, &mut effects);
    let found = effects.iter().find_map(|effect| match effect {
        sekisho_broker::Effect::Send { outgoing: Outgoing::Packet(packet), .. } => match &**packet {
            Packet::ConnAck(connack) => Some((**connack).clone()),
            _ => None,
        },
        _ => None,
    });
    found.expect("a CONNACK")
}

#[test]
fn an_mqtt_5_client_learns_the_limits_of_aws() {
    let connack = connack(&mut Story::new(), client("dev1").v5());
    assert_eq!(connack.code, ReasonCode::Success);
    let properties = connack.properties;
    assert_eq!(properties.receive_maximum, NonZeroU16::new(100));
    assert_eq!(properties.maximum_qos, Some(QoS::AtLeastOnce));
    assert_eq!(properties.retain_available, Some(true));
    assert_eq!(properties.maximum_packet_size, NonZeroU32::new(149_504));
    assert_eq!(properties.topic_alias_maximum, Some(8));
    assert_eq!(properties.wildcard_subscription_available, Some(true));
    assert_eq!(properties.subscription_identifier_available, Some(false));
    assert_eq!(properties.shared_subscription_available, None);
    assert_eq!(properties.server_keep_alive, None, "unchanged");
    assert_eq!(properties.assigned_client_identifier, None);
}

#[test]
fn session_expiry_comes_back_only_when_it_was_lowered() {
    let lowered = connack(&mut Story::new(), client("a").v5().expiry(86_400));
    assert_eq!(lowered.properties.session_expiry_interval, Some(3600));
    let kept = connack(&mut Story::new(), client("a").v5().expiry(60));
    assert_eq!(kept.properties.session_expiry_interval, None);
    let absent = connack(&mut Story::new(), client("a").v5());
    assert_eq!(absent.properties.session_expiry_interval, None);
}

#[test]
fn a_keep_alive_out_of_range_is_corrected_and_an_mqtt_5_client_is_told() {
    for (asked, effective) in [(0, 1200), (5, 30), (1201, 1200)] {
        let mut story = Story::new();
        let connack = connack(&mut story, client("a").v5().keep_alive(asked));
        assert_eq!(connack.properties.server_keep_alive, Some(effective));
        let id = story.connect(client("b").keep_alive(asked));
        assert_eq!(
            (story.accepted[&id].keep_alive, story.accepted[&id].requested_keep_alive),
            (effective, asked)
        );
    }
}

#[test]
fn an_empty_client_id_gets_one_that_policies_and_the_client_see() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let authority = rules(move |action| {
        if let Action::Connect { client_id, .. } = action {
            heard.lock().unwrap().push(client_id.to_owned());
        }
        true
    });
    let mut story = Story::new();
    let id = story.connect_as(&authority, client("").v5());
    let assigned = story.accepted[&id].client_id.to_string();
    assert_eq!(assigned.len(), 36);
    assert_eq!(*asked.lock().unwrap(), std::slice::from_ref(&assigned));
    let told = connack(&mut story, client("").v5()).properties.assigned_client_identifier.unwrap();
    assert_ne!(told, *assigned, "a second client gets another");

    let id = story.connect(client(""));
    assert_eq!(story.take(id), ["CONNACK 00"], "3.1.1 too, with a clean session");
}

#[test]
fn an_empty_client_id_cannot_keep_a_3_1_1_session() {
    let mut story = Story::new();
    let id = story.connect(client("").persistent());
    assert_eq!(story.take(id), ["CONNACK 85", "CLOSE CLIENT_ERROR"]);
    assert_eq!(story.take_refused(), ["CLIENT_ID_EMPTY"]);
}

#[test]
fn client_ids_too_long_or_reserved_are_refused() {
    let mut story = Story::new();
    for version in [Version::V311, Version::V5] {
        for (client_id, name) in
            [("x".repeat(129), "CLIENT_ID_TOO_LONG"), ("$x".to_owned(), "CLIENT_ID_RESERVED")]
        {
            let mut connect = client(&client_id);
            connect.packet.version = version;
            let id = story.connect(connect);
            assert_eq!(story.take(id), ["CONNACK 85", "CLOSE CLIENT_ERROR"]);
            assert_eq!(story.take_refused(), [name]);
        }
    }
    story.join(client(&"x".repeat(128)));
    assert_eq!(story.broker.connection_count(), 1);
}

#[test]
fn what_an_mqtt_5_client_announces_must_be_something_aws_takes() {
    let mut story = Story::new();
    let id = story.connect(client("a").v5().maximum_packet_size(511));
    assert_eq!(story.take(id), ["CONNACK 80", "CLOSE CLIENT_ERROR"]);
    story.join(client("a").v5().maximum_packet_size(512));

    let mut connect = client("b").v5();
    connect.packet.properties.authentication_method = Some(text("SCRAM"));
    let id = story.connect(connect);
    assert_eq!(story.take(id), ["CONNACK 80", "CLOSE CLIENT_ERROR"]);
    assert_eq!(
        story.take_refused(),
        ["MAXIMUM_PACKET_SIZE_TOO_SMALL", "ENHANCED_AUTHENTICATION_NOT_SUPPORTED"]
    );
}

#[test]
fn a_connect_larger_than_128_kb_is_refused() {
    let mut connect = client("a").v5();
    connect.packet.username = Some(text("u"));
    connect.packet.password = Some(Bytes::from(vec![0; 60_000]));
    let mut too_large = client("b").v5().will("w", &"x".repeat(80_000));
    too_large.packet.password = Some(Bytes::from(vec![0; 60_000]));
    let mut story = Story::new();
    story.join(connect);
    let id = story.connect(too_large);
    assert_eq!(story.take(id), ["CONNACK 97", "CLOSE CLIENT_ERROR"]);
}

#[test]
fn metrics_in_the_user_name_are_tolerated() {
    let mut connect = client("a");
    connect.packet.username =
        Some(text("?SDK=IoTDeviceSDK/Python&Platform=Unix&Metadata=(CRTVersion=0.38.1;F/5,G/A)"));
    Story::new().join(connect);
}

#[test]
fn a_client_id_that_policies_do_not_allow_is_refused_and_takes_nothing_over() {
    let mut story = Story::new();
    let first = story.join(client("dev1"));
    let nobody = rules(|action| !matches!(action, Action::Connect { .. }));
    let id = story.connect_as(&nobody, client("dev1"));
    assert_eq!(story.take(id), ["CLOSE AUTH_ERROR"], "3.1.1 hears nothing");
    let id = story.connect_as(&nobody, client("dev1").v5());
    assert_eq!(story.take(id), ["CONNACK 87", "CLOSE AUTH_ERROR"]);
    assert_eq!(story.take_refused(), ["CONNECT_NOT_AUTHORIZED"; 2]);
    assert!(story.take(first).is_empty());
    assert_eq!(story.broker.session("dev1").unwrap().connection, Some(first));
}

#[test]
fn a_3_1_1_client_hears_why_when_the_switch_says_so() {
    let mut story = Story::with(Limits { connack_on_refusal: true, ..Limits::default() });
    let id = story.connect_as(&rules(|_| false), client("dev1"));
    assert_eq!(story.take(id), ["CONNACK 87", "CLOSE AUTH_ERROR"]);
}

#[test]
fn policies_are_asked_about_the_will_and_the_kind_of_session() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let authority = rules(move |action| {
        heard.lock().unwrap().push(format!("{action:?}"));
        true
    });
    let mut story = Story::new();
    story.connect_as(
        &authority,
        client("a").persistent().will("w", "x").change_will(|will| will.retain = true),
    );
    story.connect_as(&authority, client("b").v5().clean_start().expiry(5));
    assert_eq!(
        *asked.lock().unwrap(),
        [
            r#"Connect { client_id: "a", persistent: true, will_topic: Some("w") }"#,
            r#"Publish("w")"#,
            r#"RetainPublish("w")"#,
            r#"Connect { client_id: "b", persistent: true, will_topic: None }"#,
        ]
    );
}

#[test]
fn one_connect_per_second_and_client_id_when_quotas_are_on() {
    let mut story = Story::with(Limits { connects_per_second: Some(1), ..Limits::default() });
    let first = story.join(client("a").v5());
    let second = story.connect(client("a").v5());
    assert_eq!(story.take(second), ["CONNACK 97", "CLOSE THROTTLED"]);
    assert!(story.take(first).is_empty(), "the attempt takes nothing over");
    story.wait(1000);
    story.join(client("a").v5());
    assert_eq!(story.take(first), ["DISCONNECT 8E", "CLOSE DUPLICATE_CLIENTID"]);
}

#[test]
fn a_second_client_with_the_same_id_takes_over() {
    for version in [Version::V311, Version::V5] {
        let mut story = Story::new();
        let mut connect = client("a");
        connect.packet.version = version;
        let old = story.join(connect);
        let new = story.join(client("a"));
        let goodbye = story.take(old);
        match version {
            Version::V311 => assert_eq!(goodbye, ["CLOSE DUPLICATE_CLIENTID"]),
            Version::V5 => assert_eq!(goodbye, ["DISCONNECT 8E", "CLOSE DUPLICATE_CLIENTID"]),
        }
        assert_eq!(story.broker.session("a").unwrap().connection, Some(new));
        story.publish(old, publish("t", "from the grave"));
        assert_eq!(story.broker.counters().published, 0);
    }
}

#[test]
fn packets_that_have_no_place_end_the_connection() {
    let packets: [(Packet, &str, Refusal); 4] = [
        (client("a").packet.into(), "DISCONNECT 82", Refusal::SecondConnect),
        (Packet::PingResp, "DISCONNECT 82", Refusal::UnexpectedPacket),
        (
            Packet::PubRel(sekisho_mqtt::Ack::new(packet_id(1), ReasonCode::Success)),
            "DISCONNECT 82",
            Refusal::UnexpectedPacket,
        ),
        (Packet::Auth(sekisho_mqtt::Auth::default()), "DISCONNECT 82", Refusal::UnexpectedPacket),
    ];
    for (packet, disconnect, refusal) in packets {
        let mut story = Story::new();
        let id = story.join(client("a").v5());
        story.packet(id, packet);
        assert_eq!(story.take(id), [disconnect, "CLOSE CLIENT_ERROR"]);
        assert_eq!(story.take_refused(), [refusal.as_str()]);
        assert_eq!(story.broker.connection_count(), 0);
        assert!(story.broker.session("a").is_none() && story.broker.session("b").is_none());
    }
}

#[test]
fn bytes_that_are_no_packet_end_the_connection_with_their_code() {
    use sekisho_mqtt::{DecodeError, PacketType};
    let cases = [
        (DecodeError::ReservedPacketType(0), "DISCONNECT 81"),
        (DecodeError::PacketIdZero(PacketType::Publish), "DISCONNECT 82"),
        (DecodeError::PacketTooLarge { size: 200_000, limit: 149_504 }, "DISCONNECT 97"),
    ];
    for (error, disconnect) in cases {
        let mut story = Story::new();
        let id = story.join(client("a").v5());
        story.turn(|broker, now, effects| broker.decode_error(now, id, &error, effects));
        assert_eq!(story.take(id), [disconnect, "CLOSE CLIENT_ERROR"]);
        assert_eq!(story.refused[0].1, error.to_string());
    }
}

#[test]
fn ping_is_answered() {
    let mut story = Story::new();
    let id = story.join(client("a"));
    story.packet(id, Packet::PingReq);
    assert_eq!(story.take(id), ["PINGRESP"]);
}

#[test]
fn the_server_tells_mqtt_5_clients_why_it_disconnects() {
    let cases = [
        (DisconnectReason::MqttKeepAliveTimeout, "8D"),
        (DisconnectReason::AuthError, "87"),
        (DisconnectReason::ForbiddenAccess, "87"),
        (DisconnectReason::Throttled, "97"),
        (DisconnectReason::ServerInitiatedDisconnect, "8B"),
    ];
    for (reason, code) in cases {
        let mut story = Story::new();
        let id = story.join(client("a").v5());
        story.turn(|broker, now, effects| broker.disconnect(now, id, reason, effects));
        assert_eq!(story.take(id), [format!("DISCONNECT {code}"), format!("CLOSE {reason}")]);
        let old = story.join(client("b"));
        story.turn(|broker, now, effects| broker.disconnect(now, old, reason, effects));
        assert_eq!(story.take(old), [format!("CLOSE {reason}")], "3.1.1 is closed without a word");
    }
}

#[test]
fn delete_connection_ends_the_connection_and_if_asked_the_session() {
    let mut story = Story::new();
    let id = story.join(client("a").v5().persistent());
    let how = DisconnectClient::because(DisconnectReason::ApiInitiatedDisconnect);
    assert!(story.turn(|broker, now, effects| broker.disconnect_client(now, "a", how, effects)));
    assert_eq!(story.take(id), ["DISCONNECT 98", "CLOSE API_INITIATED_DISCONNECT"]);
    assert!(story.broker.session("a").is_some());
    let wipe = DisconnectClient { clean_session: true, ..how };
    assert!(story.turn(|broker, now, effects| broker.disconnect_client(now, "a", wipe, effects)));
    assert!(story.broker.session("a").is_none());
    assert!(
        !story.turn(|broker, now, effects| broker.disconnect_client(now, "a", wipe, effects)),
        "nothing is left"
    );
}

#[test]
fn shutdown_says_goodbye_to_everyone() {
    let mut story = Story::new();
    let (a, b) = (story.join(client("a").v5()), story.join(client("b")));
    story.turn(|broker, now, effects| broker.shutdown(now, effects));
    assert_eq!(story.take(a), ["DISCONNECT 8B", "CLOSE SERVER_INITIATED_DISCONNECT"]);
    assert_eq!(story.take(b), ["CLOSE SERVER_INITIATED_DISCONNECT"]);
    assert_eq!(story.broker.connection_count(), 0);
    assert!(story.broker.session("a").is_none() && story.broker.session("b").is_none());
}

/// The encoded packets that a client was sent.
fn sizes(effects: &Effects, version: Version) -> Vec<usize> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { outgoing: Outgoing::Packet(packet), .. } => {
                let mut bytes = bytes::BytesMut::new();
                sekisho_mqtt::encode(packet, version, &mut bytes).unwrap();
                Some(bytes.len())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn no_answer_is_larger_than_the_clients_maximum_packet_size() {
    let refused_connect = |most: u32| {
        let mut broker = Broker::new(Limits::default(), [7; 32]);
        let mut effects = Effects::new();
        let authority = rules(|_| true);
        let give = |_: &Arc<str>| Arc::clone(&authority);
        let remote = "192.0.2.1:5000".parse().unwrap();
        let peer = Peer { principal: "cert".into(), remote, thing_name: None, authority: &give };
        let connect = client("$reserved").v5().maximum_packet_size(most).packet;
        broker.connect(Now::from_unix_ms(START), connect, &peer, &mut effects);
        sizes(&effects, Version::V5)
    };
    // Fixed header, flags, code and property length: below, nothing can be said [MQTT-3.1.2-24].
    assert!(refused_connect(4).is_empty());
    for most in [5, 20, 100] {
        assert_eq!(refused_connect(most), [5], "the reason string is left out [MQTT-3.2.2-19]");
    }
    assert!(refused_connect(1000)[0] > 100, "where there is room it is sent");
}
