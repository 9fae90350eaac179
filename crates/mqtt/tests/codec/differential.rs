//! Comparison with `mqtt-proto`, an independent codec, in both directions.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytes::Bytes;
use mqtt_proto::{
    Pid, Protocol, QoS as TheirQoS, QosPid, TopicFilter as TheirFilter, TopicName as TheirTopic, v3, v5,
};
use proptest::prelude::*;
use sekisho_mqtt::*;

use crate::strategies::sent_packet;
use crate::{decode, encoded};

/// Returns the bytes that mqtt-proto writes after it has read `bytes`.
fn there_and_back(version: Version, bytes: &[u8]) -> Vec<u8> {
    match version {
        Version::V311 => {
            let packet = v3::Packet::decode(bytes).expect("they take our packet").expect("it is whole");
            packet.encode().expect("they can write it").as_ref().to_vec()
        }
        Version::V5 => {
            let packet = v5::Packet::decode(bytes).expect("they take our packet").expect("it is whole");
            packet.encode().expect("they can write it").as_ref().to_vec()
        }
    }
}

/// Changes a packet to one that mqtt-proto supports; it does not support the whole specification.
fn within_their_means(version: Version, mut packet: Packet) -> Option<Packet> {
    match &mut packet {
        Packet::Publish(publish) => {
            // mqtt-proto checks the payload against the indicator, and keeps one subscription identifier.
            let fields = &mut *publish.properties;
            fields.payload_format_indicator = fields.payload_format_indicator.map(|_| false);
            fields.subscription_identifiers.truncate(1);
        }
        Packet::Connect(connect) => {
            if let Some(will) = &mut connect.will {
                let fields = &mut *will.properties;
                fields.payload_format_indicator = fields.payload_format_indicator.map(|_| false);
            }
        }
        Packet::Subscribe(subscribe) => {
            subscribe.filters.retain(|filter| filter.filter.is_some());
            if subscribe.filters.is_empty() {
                return None;
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            unsubscribe.filters.retain(|filter| TopicFilter::new(filter.clone()).is_ok());
            if unsubscribe.filters.is_empty() {
                return None;
            }
        }
        // mqtt-proto 0.4.0 writes the failure code of a 3.1.1 SUBACK as 3.
        Packet::SubAck(suback) if version == Version::V311 => {
            suback.codes.retain(|code| !code.is_failure());
            if suback.codes.is_empty() {
                return None;
            }
        }
        // Section 2.4 lists 0x8C for DISCONNECT, section 3.14.2.1 does not; mqtt-proto follows the latter.
        Packet::Disconnect(disconnect) if disconnect.reason == ReasonCode::BadAuthenticationMethod => {
            return None;
        }
        _ => {}
    }
    Some(packet)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn a_packet_survives_the_way_through_the_other_codec((sender, version, packet) in sent_packet()) {
        let Some(packet) = within_their_means(version, packet) else { return Ok(()) };
        let bytes = there_and_back(version, &encoded(&packet, version));
        prop_assert_eq!(decode(sender, version, &bytes), Ok(Some(packet)));
    }
}

fn text(text: &str) -> Utf8 {
    Utf8::try_from(text).expect("an MQTT string")
}

fn user() -> UserProperties {
    vec![(text("site"), text("kyoto")), (text("site"), text("nara"))]
}

fn their_user() -> Vec<v5::UserProperty> {
    ["kyoto", "nara"].map(|value| v5::UserProperty { name: "site".into(), value: value.into() }).to_vec()
}

fn some(text: &str) -> Option<Arc<str>> {
    Some(text.into())
}

fn their_topic(topic: &str) -> TheirTopic {
    TheirTopic::try_from(topic).expect("a topic name")
}

fn their_filter(filter: &str) -> TheirFilter {
    TheirFilter::try_from(filter).expect("a topic filter")
}

fn pid() -> Pid {
    Pid::try_from(513).expect("not zero")
}

fn packet_id() -> PacketId {
    NonZeroU16::new(513).expect("not zero")
}

/// Checks that each of the two codecs reads what the other writes, with every field under the expected name.
fn agree_v5(sender: Sender, theirs: impl Into<v5::Packet>, ours: impl Into<Packet>) {
    let (theirs, ours) = (theirs.into(), ours.into());
    let bytes = theirs.encode().expect("they can write it");
    assert_eq!(decode(sender, Version::V5, bytes.as_ref()), Ok(Some(ours.clone())));
    assert_eq!(v5::Packet::decode(&encoded(&ours, Version::V5)), Ok(Some(theirs)));
}

/// The same for 3.1.1.
fn agree_v3(sender: Sender, theirs: impl Into<v3::Packet>, ours: impl Into<Packet>) {
    let (theirs, ours) = (theirs.into(), ours.into());
    let bytes = theirs.encode().expect("they can write it");
    assert_eq!(decode(sender, Version::V311, bytes.as_ref()), Ok(Some(ours.clone())));
    assert_eq!(v3::Packet::decode(&encoded(&ours, Version::V311)), Ok(Some(theirs)));
}

#[test]
fn connect_means_the_same_to_both() {
    let will = v5::LastWill {
        qos: TheirQoS::Level1,
        retain: true,
        topic_name: their_topic("dt/gone"),
        payload: Bytes::from_static(b"bye"),
        properties: v5::WillProperties {
            delay_interval: Some(30),
            payload_is_utf8: Some(true),
            message_expiry_interval: Some(60),
            content_type: some("text/plain"),
            response_topic: Some(their_topic("re/ply")),
            correlation_data: Some(Bytes::from_static(b"\x00\x01")),
            user_properties: their_user(),
        },
    };
    let theirs = v5::Connect {
        protocol: Protocol::V500,
        clean_start: true,
        keep_alive: 1200,
        properties: v5::ConnectProperties {
            session_expiry_interval: Some(3600),
            receive_max: Some(100),
            max_packet_size: Some(131_072),
            topic_alias_max: Some(8),
            request_response_info: Some(true),
            request_problem_info: Some(false),
            user_properties: their_user(),
            auth_method: some("SCRAM"),
            auth_data: Some(Bytes::from_static(b"\x01")),
        },
        client_id: "sensor-1".into(),
        last_will: Some(will),
        username: Some("?SDK=Test".into()),
        password: Some(Bytes::from_static(b"\xff")),
    };
    let will = Will {
        topic: TopicName::new("dt/gone").unwrap(),
        payload: Bytes::from_static(b"bye"),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay_interval: 30,
        properties: PublishFields {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(60),
            content_type: Some(text("text/plain")),
            response_topic: Some(text("re/ply")),
            correlation_data: Some(Bytes::from_static(b"\x00\x01")),
            user_properties: user(),
            ..PublishFields::default()
        }
        .into(),
    };
    let ours = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 1200,
        client_id: text("sensor-1"),
        will: Some(will.clone()),
        username: Some(text("?SDK=Test")),
        password: Some(Bytes::from_static(b"\xff")),
        properties: ConnectProperties {
            session_expiry_interval: Some(3600),
            receive_maximum: NonZeroU16::new(100),
            maximum_packet_size: NonZeroU32::new(131_072),
            topic_alias_maximum: 8,
            request_response_information: true,
            request_problem_information: false,
            user_properties: user(),
            authentication_method: Some(text("SCRAM")),
            authentication_data: Some(Bytes::from_static(b"\x01")),
        },
    };
    agree_v5(Sender::Client, theirs, ours.clone());

    let theirs = v3::Connect {
        protocol: Protocol::V311,
        clean_session: false,
        keep_alive: 30,
        client_id: "sensor-1".into(),
        last_will: Some(v3::LastWill {
            qos: TheirQoS::Level1,
            retain: true,
            topic_name: their_topic("dt/gone"),
            message: Bytes::from_static(b"bye"),
        }),
        username: Some("user".into()),
        password: Some(Bytes::from_static(b"secret")),
    };
    let ours = Connect {
        version: Version::V311,
        clean_start: false,
        keep_alive: 30,
        will: Some(Will { delay_interval: 0, properties: PublishProperties::new(), ..will }),
        username: Some(text("user")),
        password: Some(Bytes::from_static(b"secret")),
        properties: ConnectProperties::default(),
        ..ours
    };
    agree_v3(Sender::Client, theirs, ours);
}

#[test]
fn connack_means_the_same_to_both() {
    let theirs = v5::Connack {
        session_present: true,
        reason_code: v5::ConnectReasonCode::Success,
        properties: v5::ConnackProperties {
            session_expiry_interval: Some(3600),
            receive_max: Some(100),
            max_qos: Some(TheirQoS::Level1),
            retain_available: Some(true),
            max_packet_size: Some(149_504),
            assigned_client_id: some("$GEN/1"),
            topic_alias_max: Some(8),
            reason_string: some("welcome"),
            user_properties: their_user(),
            wildcard_subscription_available: Some(true),
            subscription_id_available: Some(false),
            shared_subscription_available: Some(true),
            server_keep_alive: Some(1200),
            response_info: some("re/"),
            server_reference: some("other"),
            auth_method: some("SCRAM"),
            auth_data: Some(Bytes::from_static(b"\x01")),
        },
    };
    let ours = ConnAck {
        session_present: true,
        code: ReasonCode::Success,
        properties: ConnAckProperties {
            session_expiry_interval: Some(3600),
            receive_maximum: NonZeroU16::new(100),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(true),
            maximum_packet_size: NonZeroU32::new(149_504),
            assigned_client_identifier: Some(text("$GEN/1")),
            topic_alias_maximum: Some(8),
            reason_string: Some(text("welcome")),
            user_properties: user(),
            wildcard_subscription_available: Some(true),
            subscription_identifier_available: Some(false),
            shared_subscription_available: Some(true),
            server_keep_alive: Some(1200),
            response_information: Some(text("re/")),
            server_reference: Some(text("other")),
            authentication_method: Some(text("SCRAM")),
            authentication_data: Some(Bytes::from_static(b"\x01")),
        },
    };
    agree_v5(Sender::Server, theirs, ours);

    let theirs = v3::Connack { session_present: false, code: v3::ConnectReturnCode::NotAuthorized };
    let ours = ConnAck { code: ReasonCode::NotAuthorized, ..ConnAck::default() };
    agree_v3(Sender::Server, theirs, ours);
}

#[test]
fn publish_means_the_same_to_both() {
    let theirs = v5::Publish {
        dup: true,
        retain: true,
        qos_pid: QosPid::Level1(pid()),
        topic_name: their_topic("dt/temp"),
        payload: Bytes::from_static(b"21.5"),
        properties: v5::PublishProperties {
            payload_is_utf8: Some(true),
            message_expiry_interval: Some(60),
            topic_alias: Some(3),
            response_topic: Some(their_topic("re/ply")),
            correlation_data: Some(Bytes::from_static(b"\x00\x01")),
            user_properties: their_user(),
            subscription_id: Some(v5::VarByteInt::try_from(300).expect("in range")),
            content_type: some("text/plain"),
        },
    };
    let ours = Publish {
        dup: true,
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: text("dt/temp"),
        packet_id: Some(packet_id()),
        payload: Bytes::from_static(b"21.5"),
        properties: PublishFields {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(60),
            topic_alias: Some(3),
            response_topic: Some(text("re/ply")),
            correlation_data: Some(Bytes::from_static(b"\x00\x01")),
            user_properties: user(),
            subscription_identifiers: vec![300],
            content_type: Some(text("text/plain")),
        }
        .into(),
    };
    agree_v5(Sender::Server, theirs, ours.clone());

    let theirs = v3::Publish {
        dup: true,
        retain: true,
        qos_pid: QosPid::Level1(pid()),
        topic_name: their_topic("dt/temp"),
        payload: Bytes::from_static(b"21.5"),
    };
    agree_v3(Sender::Server, theirs, Publish { properties: PublishProperties::new(), ..ours });
}

#[test]
fn acknowledgements_mean_the_same_to_both() {
    let ours = |reason| Ack {
        reason_string: Some(text("why")),
        user_properties: user(),
        ..Ack::new(packet_id(), reason)
    };
    let theirs = v5::Puback {
        pid: pid(),
        reason_code: v5::PubackReasonCode::QuotaExceeded,
        properties: v5::PubackProperties { reason_string: some("why"), user_properties: their_user() },
    };
    agree_v5(Sender::Server, theirs, Packet::PubAck(ours(ReasonCode::QuotaExceeded)));
    let theirs = v5::Pubrec {
        pid: pid(),
        reason_code: v5::PubrecReasonCode::NotAuthorized,
        properties: v5::PubrecProperties { reason_string: some("why"), user_properties: their_user() },
    };
    agree_v5(Sender::Server, theirs, Packet::PubRec(ours(ReasonCode::NotAuthorized)));
    let theirs = v5::Pubrel {
        pid: pid(),
        reason_code: v5::PubrelReasonCode::PacketIdentifierNotFound,
        properties: v5::PubrelProperties { reason_string: some("why"), user_properties: their_user() },
    };
    agree_v5(Sender::Client, theirs, Packet::PubRel(ours(ReasonCode::PacketIdentifierNotFound)));
    let theirs = v5::Pubcomp {
        pid: pid(),
        reason_code: v5::PubcompReasonCode::PacketIdentifierNotFound,
        properties: v5::PubcompProperties { reason_string: some("why"), user_properties: their_user() },
    };
    agree_v5(Sender::Server, theirs, Packet::PubComp(ours(ReasonCode::PacketIdentifierNotFound)));

    let ours = || Ack::new(packet_id(), ReasonCode::Success);
    agree_v3(Sender::Client, v3::Packet::Puback(pid()), Packet::PubAck(ours()));
    agree_v3(Sender::Client, v3::Packet::Pubrec(pid()), Packet::PubRec(ours()));
    agree_v3(Sender::Client, v3::Packet::Pubrel(pid()), Packet::PubRel(ours()));
    agree_v3(Sender::Client, v3::Packet::Pubcomp(pid()), Packet::PubComp(ours()));
}

#[test]
fn subscriptions_mean_the_same_to_both() {
    let options = v5::SubscriptionOptions {
        max_qos: TheirQoS::Level1,
        no_local: true,
        retain_as_published: true,
        retain_handling: v5::RetainHandling::DoNotSend,
    };
    let theirs = v5::Subscribe {
        pid: pid(),
        properties: v5::SubscribeProperties {
            subscription_id: Some(v5::VarByteInt::try_from(300).expect("in range")),
            user_properties: their_user(),
        },
        topics: vec![
            (their_filter("dt/+/#"), options),
            (their_filter("$share/g/a"), v5::SubscriptionOptions::new(TheirQoS::Level0)),
        ],
    };
    let mut all = SubscribeFilter::new(text("dt/+/#"), QoS::AtLeastOnce);
    all.no_local = true;
    all.retain_as_published = true;
    all.retain_handling = RetainHandling::DoNotSend;
    // The default of mqtt-proto; ours is 0, as in a SUBSCRIBE without options.
    let mut shared = SubscribeFilter::new(text("$share/g/a"), QoS::AtMostOnce);
    shared.retain_as_published = true;
    let ours = Subscribe {
        packet_id: packet_id(),
        filters: vec![all, shared],
        subscription_identifier: Some(300),
        user_properties: user(),
    };
    agree_v5(Sender::Client, theirs, ours);

    let theirs = v3::Subscribe { pid: pid(), topics: vec![(their_filter("dt/+/#"), TheirQoS::Level1)] };
    let ours = Subscribe {
        packet_id: packet_id(),
        filters: vec![SubscribeFilter::new(text("dt/+/#"), QoS::AtLeastOnce)],
        subscription_identifier: None,
        user_properties: vec![],
    };
    agree_v3(Sender::Client, theirs, ours);

    let theirs = v5::Unsubscribe {
        pid: pid(),
        properties: v5::UnsubscribeProperties { user_properties: their_user() },
        topics: vec![their_filter("a"), their_filter("b/#")],
    };
    let ours = Unsubscribe {
        packet_id: packet_id(),
        filters: vec![text("a"), text("b/#")],
        user_properties: user(),
    };
    agree_v5(Sender::Client, theirs, ours);

    let theirs = v3::Unsubscribe { pid: pid(), topics: vec![their_filter("a")] };
    let ours = Unsubscribe { packet_id: packet_id(), filters: vec![text("a")], user_properties: vec![] };
    agree_v3(Sender::Client, theirs, ours);
}

#[test]
fn answers_to_subscriptions_mean_the_same_to_both() {
    let theirs = v5::Suback {
        pid: pid(),
        properties: v5::SubackProperties { reason_string: some("why"), user_properties: their_user() },
        topics: vec![v5::SubscribeReasonCode::GrantedQoS1, v5::SubscribeReasonCode::TopicFilterInvalid],
    };
    let ours = SubAck {
        packet_id: packet_id(),
        codes: vec![ReasonCode::GrantedQoS1, ReasonCode::TopicFilterInvalid],
        reason_string: Some(text("why")),
        user_properties: user(),
    };
    agree_v5(Sender::Server, theirs, ours.clone());

    // Read only: mqtt-proto 0.4.0 writes the failure code of a 3.1.1 SUBACK as 3.
    let theirs = v3::Suback {
        pid: pid(),
        topics: vec![v3::SubscribeReturnCode::MaxLevel1, v3::SubscribeReturnCode::Failure],
    };
    let bytes = encoded(&ours.into(), Version::V311);
    assert_eq!(v3::Packet::decode(&bytes), Ok(Some(theirs.into())), "0x8F is 0x80 in 3.1.1");
    let theirs = v3::Suback { pid: pid(), topics: vec![v3::SubscribeReturnCode::MaxLevel1] };
    let ours = SubAck {
        packet_id: packet_id(),
        codes: vec![ReasonCode::GrantedQoS1],
        reason_string: None,
        user_properties: vec![],
    };
    agree_v3(Sender::Server, theirs, ours);

    let theirs = v5::Unsuback {
        pid: pid(),
        properties: v5::UnsubackProperties { reason_string: some("why"), user_properties: their_user() },
        topics: vec![v5::UnsubscribeReasonCode::Success, v5::UnsubscribeReasonCode::NoSubscriptionExisted],
    };
    let ours = UnsubAck {
        packet_id: packet_id(),
        codes: vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
        reason_string: Some(text("why")),
        user_properties: user(),
    };
    agree_v5(Sender::Server, theirs, ours.clone());
    let bytes = encoded(&ours.into(), Version::V311);
    assert_eq!(v3::Packet::decode(&bytes), Ok(Some(v3::Packet::Unsuback(pid()))));
}

#[test]
fn the_end_of_a_connection_means_the_same_to_both() {
    let theirs = v5::Disconnect {
        reason_code: v5::DisconnectReasonCode::SessionTakenOver,
        properties: v5::DisconnectProperties {
            session_expiry_interval: None,
            reason_string: some("why"),
            user_properties: their_user(),
            server_reference: some("other"),
        },
    };
    let ours = Disconnect {
        reason: ReasonCode::SessionTakenOver,
        session_expiry_interval: None,
        reason_string: Some(text("why")),
        server_reference: Some(text("other")),
        user_properties: user(),
    };
    agree_v5(Sender::Server, theirs, ours);

    let theirs = v5::Disconnect {
        reason_code: v5::DisconnectReasonCode::NormalDisconnect,
        properties: v5::DisconnectProperties { session_expiry_interval: Some(60), ..Default::default() },
    };
    agree_v5(
        Sender::Client,
        theirs,
        Disconnect { session_expiry_interval: Some(60), ..Disconnect::default() },
    );
    agree_v3(Sender::Client, v3::Packet::Disconnect, Disconnect::default());

    let theirs = v5::Auth {
        reason_code: v5::AuthReasonCode::ContinueAuthentication,
        properties: v5::AuthProperties {
            auth_method: some("SCRAM"),
            auth_data: Some(Bytes::from_static(b"\x01")),
            reason_string: some("go on"),
            user_properties: their_user(),
        },
    };
    let ours = Auth {
        reason: ReasonCode::ContinueAuthentication,
        authentication_method: Some(text("SCRAM")),
        authentication_data: Some(Bytes::from_static(b"\x01")),
        reason_string: Some(text("go on")),
        user_properties: user(),
    };
    agree_v5(Sender::Client, theirs, ours);
}
