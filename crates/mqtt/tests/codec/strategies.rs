//! Strategies for any packet that a version can express.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sekisho_mqtt::*;

pub fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

pub fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>()
}

/// Any MQTT string; sometimes a long one, so that lengths of two and more bytes occur.
pub fn utf8() -> impl Strategy<Value = Utf8> {
    prop_oneof![8 => "[^\u{0}]{0,12}", 1 => "[a-z]{120,300}"]
        .prop_map(|text| Utf8::try_from(text).expect("no U+0000"))
}

pub fn binary() -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => vec(any::<u8>(), 0..16), 1 => vec(any::<u8>(), 100..400)].prop_map(Bytes::from)
}

pub fn topic_name() -> impl Strategy<Value = TopicName> {
    "[^\u{0}+#]{1,16}".prop_map(|text| TopicName::new(text).expect("no wildcards"))
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    vec((utf8(), utf8()), 0..3)
}

/// A value only where the version has the field.
fn in_v5<T: Clone + std::fmt::Debug + 'static>(
    version: Version,
    absent: T,
    present: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    match version {
        Version::V311 => Just(absent).boxed(),
        Version::V5 => present.boxed(),
    }
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let codes = ReasonCode::ALL.iter().copied().filter(|code| code.may_travel_in(packet)).collect::<Vec<_>>();
    prop::sample::select(codes)
}

fn publish_properties(aliases: bool, identifiers: bool) -> impl Strategy<Value = PublishProperties> {
    (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(any::<u16>()),
        option::of(topic_name()),
        option::of(binary()),
        user_properties(),
        vec(1..=268_435_455u32, 0..3),
        option::of(utf8()),
    )
        .prop_map(move |(utf8, expiry, alias, response, correlation, user, subscriptions, content)| {
            PublishProperties::from(PublishFields {
                payload_format_indicator: utf8,
                message_expiry_interval: expiry,
                topic_alias: alias.filter(|_| aliases),
                response_topic: response.map(Utf8::from),
                correlation_data: correlation,
                user_properties: user,
                subscription_identifiers: if identifiers { subscriptions } else { Vec::new() },
                content_type: content,
            })
        })
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    (
        topic_name(),
        binary(),
        qos(),
        any::<bool>(),
        in_v5(version, 0, any::<u32>()),
        in_v5(version, PublishProperties::new(), publish_properties(false, false)),
    )
        .prop_map(|(topic, payload, qos, retain, delay_interval, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay_interval,
            properties,
        })
}

fn authentication() -> impl Strategy<Value = (Option<Utf8>, Option<Bytes>)> {
    option::of((utf8(), option::of(binary()))).prop_map(|both| match both {
        Some((method, data)) => (Some(method), data),
        None => (None, None),
    })
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any::<NonZeroU32>()),
        any::<u16>(),
        any::<bool>(),
        any::<bool>(),
        user_properties(),
        authentication(),
    )
        .prop_map(|(expiry, receive, size, aliases, response, problem, user, (method, data))| {
            ConnectProperties {
                session_expiry_interval: expiry,
                receive_maximum: receive,
                maximum_packet_size: size,
                topic_alias_maximum: aliases,
                request_response_information: response,
                request_problem_information: problem,
                user_properties: user,
                authentication_method: method,
                authentication_data: data,
            }
        })
}

fn connect(version: Version) -> impl Strategy<Value = Packet> {
    (
        any::<bool>(),
        any::<u16>(),
        utf8(),
        option::of(will(version)),
        option::of(utf8()),
        option::of(binary()),
        in_v5(version, ConnectProperties::default(), connect_properties()),
    )
        .prop_map(move |(clean_start, keep_alive, client_id, will, username, password, properties)| {
            let password = password.filter(|_| version == Version::V5 || username.is_some());
            Connect { version, clean_start, keep_alive, client_id, will, username, password, properties }
                .into()
        })
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any::<NonZeroU32>()),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
        option::of(prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]),
    );
    let switches = prop::array::uniform4(option::of(any::<bool>()));
    let texts = prop::array::uniform4(option::of(utf8()));
    (numbers, switches, texts, user_properties(), authentication()).prop_map(
        |(numbers, switches, [client_id, reason, response, server], user, (method, data))| {
            ConnAckProperties {
                session_expiry_interval: numbers.0,
                receive_maximum: numbers.1,
                maximum_qos: numbers.5,
                retain_available: switches[0],
                maximum_packet_size: numbers.2,
                assigned_client_identifier: client_id,
                topic_alias_maximum: numbers.3,
                reason_string: reason,
                user_properties: user,
                wildcard_subscription_available: switches[1],
                subscription_identifier_available: switches[2],
                shared_subscription_available: switches[3],
                server_keep_alive: numbers.4,
                response_information: response,
                server_reference: server,
                authentication_method: method,
                authentication_data: data,
            }
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = Packet> {
    let code = reason(PacketType::ConnAck).prop_map(move |code| match version {
        Version::V311 if code.v3_connect_return_code().is_none() => ReasonCode::NotAuthorized,
        _ => code,
    });
    let properties = in_v5(version, ConnAckProperties::default(), connack_properties());
    (any::<bool>(), code, properties).prop_map(|(present, code, properties)| {
        ConnAck { session_present: present && !code.is_failure(), code, properties }.into()
    })
}

fn publish(version: Version, sender: Sender) -> impl Strategy<Value = Packet> {
    (
        (any::<bool>(), qos(), any::<bool>(), any::<bool>()),
        topic_name(),
        packet_id(),
        binary(),
        in_v5(version, PublishProperties::new(), publish_properties(true, sender == Sender::Server)),
    )
        .prop_map(|((dup, qos, retain, by_alias), topic, packet_id, payload, properties)| {
            let acknowledged = qos > QoS::AtMostOnce;
            let by_alias = by_alias && properties.topic_alias.is_some();
            Publish {
                dup: dup && acknowledged,
                qos,
                retain,
                topic: if by_alias { Utf8::new() } else { topic.into() },
                packet_id: acknowledged.then_some(packet_id),
                payload,
                properties,
            }
            .into()
        })
}

fn ack(version: Version, packet: PacketType) -> impl Strategy<Value = Ack> {
    (
        packet_id(),
        in_v5(version, ReasonCode::Success, reason(packet)),
        in_v5(version, None, option::of(utf8())),
        in_v5(version, UserProperties::new(), user_properties()),
    )
        .prop_map(|(packet_id, reason, reason_string, user_properties)| Ack {
            packet_id,
            reason,
            reason_string,
            user_properties,
        })
}

fn subscribe_filter(version: Version) -> impl Strategy<Value = SubscribeFilter> {
    let raw = prop_oneof![
        4 => "[a-c+#/$]{0,8}".prop_map(|text| Utf8::try_from(text).expect("no U+0000")),
        2 => topic_name().prop_map(Utf8::from),
        1 => "\\$share/[a-c]{1,3}/[a-c]/[+#]".prop_map(|text| Utf8::try_from(text).expect("no U+0000")),
    ];
    let handling = prop_oneof![
        Just(RetainHandling::Send),
        Just(RetainHandling::SendIfNew),
        Just(RetainHandling::DoNotSend)
    ];
    let options =
        in_v5(version, (false, false, RetainHandling::Send), (any::<bool>(), any::<bool>(), handling));
    (raw, qos(), options).prop_map(|(raw, qos, (no_local, as_published, handling))| {
        let mut filter = SubscribeFilter::new(raw, qos);
        filter.no_local = no_local && !filter.raw.starts_with("$share/");
        filter.retain_as_published = as_published;
        filter.retain_handling = handling;
        filter
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    (
        packet_id(),
        vec(subscribe_filter(version), 1..5),
        in_v5(version, None, option::of(1..=268_435_455u32)),
        in_v5(version, UserProperties::new(), user_properties()),
    )
        .prop_map(|(packet_id, filters, subscription_identifier, user_properties)| {
            Subscribe { packet_id, filters, subscription_identifier, user_properties }.into()
        })
}

fn suback(version: Version) -> impl Strategy<Value = Packet> {
    let code = reason(PacketType::SubAck).prop_map(move |code| match version {
        Version::V311 if code.is_failure() => ReasonCode::UnspecifiedError,
        _ => code,
    });
    (
        packet_id(),
        vec(code, 1..5),
        in_v5(version, None, option::of(utf8())),
        in_v5(version, UserProperties::new(), user_properties()),
    )
        .prop_map(|(packet_id, codes, reason_string, user_properties)| {
            SubAck { packet_id, codes, reason_string, user_properties }.into()
        })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet> {
    (packet_id(), vec(utf8(), 1..5), in_v5(version, UserProperties::new(), user_properties())).prop_map(
        |(packet_id, filters, user_properties)| Unsubscribe { packet_id, filters, user_properties }.into(),
    )
}

fn unsuback(version: Version) -> impl Strategy<Value = Packet> {
    (
        packet_id(),
        in_v5(version, Vec::new(), vec(reason(PacketType::UnsubAck), 1..5)),
        in_v5(version, None, option::of(utf8())),
        in_v5(version, UserProperties::new(), user_properties()),
    )
        .prop_map(|(packet_id, codes, reason_string, user_properties)| {
            UnsubAck { packet_id, codes, reason_string, user_properties }.into()
        })
}

fn disconnect(version: Version, sender: Sender) -> impl Strategy<Value = Packet> {
    (
        reason(PacketType::Disconnect),
        option::of(any::<u32>()),
        prop::array::uniform2(option::of(utf8())),
        user_properties(),
    )
        .prop_map(move |(reason, expiry, [reason_string, server_reference], user_properties)| {
            if version == Version::V311 {
                return Disconnect::default().into();
            }
            Disconnect {
                reason,
                session_expiry_interval: expiry.filter(|_| sender == Sender::Client),
                reason_string,
                server_reference,
                user_properties,
            }
            .into()
        })
}

fn auth() -> impl Strategy<Value = Packet> {
    (reason(PacketType::Auth), utf8(), option::of(binary()), option::of(utf8()), user_properties()).prop_map(
        |(reason, method, data, reason_string, user_properties)| {
            Auth {
                reason,
                authentication_method: Some(method),
                authentication_data: data,
                reason_string,
                user_properties,
            }
            .into()
        },
    )
}

/// Any packet that `sender` may send in `version`.
pub fn packet(sender: Sender, version: Version) -> BoxedStrategy<Packet> {
    let mut packets = vec![
        publish(version, sender).boxed(),
        ack(version, PacketType::PubAck).prop_map(Packet::PubAck).boxed(),
        ack(version, PacketType::PubRec).prop_map(Packet::PubRec).boxed(),
        ack(version, PacketType::PubRel).prop_map(Packet::PubRel).boxed(),
        ack(version, PacketType::PubComp).prop_map(Packet::PubComp).boxed(),
    ];
    match sender {
        Sender::Client => packets.extend([
            connect(version).boxed(),
            subscribe(version).boxed(),
            unsubscribe(version).boxed(),
            Just(Packet::PingReq).boxed(),
        ]),
        Sender::Server => packets.extend([
            connack(version).boxed(),
            suback(version).boxed(),
            unsuback(version).boxed(),
            Just(Packet::PingResp).boxed(),
        ]),
    }
    if sender == Sender::Client || version == Version::V5 {
        packets.push(disconnect(version, sender).boxed());
    }
    if version == Version::V5 {
        packets.push(auth().boxed());
    }
    prop::strategy::Union::new(packets).boxed()
}

/// A sender, a version, and any packet that this sender may send in it.
pub fn sent_packet() -> impl Strategy<Value = (Sender, Version, Packet)> {
    (prop_oneof![Just(Sender::Client), Just(Sender::Server)], version())
        .prop_flat_map(|(sender, version)| (Just(sender), Just(version), packet(sender, version)))
}
