//! PUBLISH: what is taken, what is refused and how, what is forwarded.

use bytes::Bytes;
use sekisho_broker::{Action, Limits, Refusal};
use sekisho_mqtt::{PublishFields, QoS, Version};

use crate::story::*;

#[test]
fn a_message_reaches_its_subscribers_with_the_lower_qos() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let (zero, one) = (story.join(client("s0")), story.join(client("s1").v5()));
    story.follow(zero, &[("a/+", 0)]);
    story.follow(one, &[("a/#", 1)]);
    story.publish(publisher, publish("a/b", "x").qos1(9));
    story.publish(publisher, publish("a/b", "y"));
    assert_eq!(story.take(publisher), ["PUBACK 00 #9"]);
    assert_eq!(story.take(zero), ["PUBLISH a/b=x qos0", "PUBLISH a/b=y qos0"]);
    assert_eq!(story.take(one), ["PUBLISH a/b=x qos1 #1", "PUBLISH a/b=y qos0"]);
    assert!(story.records.is_empty(), "no persistent session: nothing touches the disk");
}

#[test]
fn a_publish_that_nobody_gets_is_acknowledged_with_success() {
    let mut story = Story::new();
    let id = story.join(client("p").v5());
    story.publish(id, publish("a", "x").qos1(1));
    assert_eq!(story.take(id), ["PUBACK 00 #1"]);
}

#[test]
fn a_client_with_overlapping_filters_gets_one_copy_with_the_highest_qos() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.follow(id, &[("a/#", 0), ("a/b", 1), ("+/b", 0)]);
    let publisher = story.join(client("p"));
    story.publish(publisher, publish("a/b", "x").qos1(1));
    assert_eq!(story.take(id), ["PUBLISH a/b=x qos1 #1"]);
}

#[test]
fn a_multi_level_wildcard_misses_its_parent() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.follow(id, &[("sensor/#", 0)]);
    story.publish(id, publish("sensor", "no"));
    story.publish(id, publish("sensor/", "yes"));
    assert_eq!(story.take(id), ["PUBLISH sensor/=yes qos0"]);
}

#[test]
fn qos_2_ends_the_connection() {
    for version in [Version::V311, Version::V5] {
        let mut story = Story::new();
        let mut connect = client("p");
        connect.packet.version = version;
        let id = story.join(connect);
        let mut packet = publish("a", "x").qos1(1);
        packet.0.qos = QoS::ExactlyOnce;
        story.publish(id, packet);
        match version {
            Version::V311 => assert_eq!(story.take(id), ["CLOSE CLIENT_ERROR"]),
            Version::V5 => assert_eq!(story.take(id), ["DISCONNECT 9B", "CLOSE CLIENT_ERROR"]),
        }
        assert_eq!(story.take_refused(), ["QOS_NOT_SUPPORTED"]);
    }
}

/// What each kind of client sees of a PUBLISH that is refused: 3.1.1 with either QoS, MQTT 5 with QoS 0 and QoS 1.
fn refused(
    authority: impl Fn(Action<'_>) -> bool + Send + Sync + Clone + 'static,
    make: impl Fn() -> Pub,
) -> [Vec<String>; 4] {
    let see = |version: Version, acknowledged: bool| {
        let mut story = Story::new();
        let mut connect = client("p");
        connect.packet.version = version;
        let id = story.connect_as(&rules(authority.clone()), connect);
        story.take(id);
        story.publish(id, if acknowledged { make().qos1(7) } else { make() });
        assert_eq!(story.refused.len(), 1);
        assert_eq!(story.broker.counters().published, 0);
        story.take(id)
    };
    [see(Version::V311, false), see(Version::V311, true), see(Version::V5, false), see(Version::V5, true)]
}

#[test]
fn a_publish_that_policies_do_not_allow_closes_unless_mqtt_5_can_be_told() {
    let seen = refused(|action| !matches!(action, Action::Publish(_)), || publish("a", "x"));
    assert_eq!(seen[0], ["CLOSE AUTH_ERROR"]);
    assert_eq!(seen[1], ["CLOSE AUTH_ERROR"]);
    assert_eq!(seen[2], ["DISCONNECT 87", "CLOSE AUTH_ERROR"]);
    assert_eq!(seen[3], ["PUBACK 87 #7"]);
}

#[test]
fn retain_needs_its_own_permission() {
    let seen = refused(|action| !matches!(action, Action::RetainPublish(_)), || publish("a", "x").retained());
    assert_eq!(seen[0], ["CLOSE AUTH_ERROR"]);
    assert_eq!(seen[3], ["PUBACK 87 #7"]);
}

#[test]
fn reserved_topics_are_refused_before_policies_are_asked() {
    let topic = "$aws/events/presence/connected/x";
    let seen = refused(
        |action| {
            assert!(!matches!(action, Action::Publish(_)), "policies are asked");
            true
        },
        || publish(topic, "x"),
    );
    assert_eq!(seen[0], ["CLOSE CLIENT_ERROR"]);
    assert_eq!(seen[2], ["DISCONNECT 90", "CLOSE CLIENT_ERROR"]);
    assert_eq!(seen[3], ["PUBACK 90 #7"]);
}

#[test]
fn a_message_on_a_reserved_topic_cannot_be_retained() {
    let seen = refused(|_| true, || publish("$aws/things/t/shadow/update", "x").retained());
    assert_eq!(seen[1], ["CLOSE CLIENT_ERROR"]);
    assert_eq!(seen[3], ["PUBACK 90 #7"]);
}

#[test]
fn topics_have_a_longest_length_and_a_greatest_depth() {
    for topic in ["x".repeat(257), "1/2/3/4/5/6/7/8/9".to_owned()] {
        let seen = refused(|_| true, || publish(&topic, "x"));
        assert_eq!(seen[1], ["CLOSE CLIENT_ERROR"]);
        assert_eq!(seen[2], ["DISCONNECT 90", "CLOSE CLIENT_ERROR"]);
        assert_eq!(seen[3], ["PUBACK 90 #7"]);
    }
    let mut story = Story::new();
    let id = story.join(client("p"));
    let long = "x".repeat(256);
    for topic in [long.as_str(), "1/2/3/4/5/6/7/8", "$aws/rules/my_rule/1/2/3/4/5/6/7/8"] {
        story.publish(id, publish(topic, "x").qos1(1));
        assert_eq!(story.take(id), ["PUBACK 00 #1"], "{topic}");
    }
}

#[test]
fn a_payload_over_128_kb_ends_the_connection() {
    let mut story = Story::new();
    let id = story.join(client("p").v5());
    let mut largest = publish("a", "").qos1(1);
    largest.0.payload = Bytes::from(vec![b'x'; 128 * 1024]);
    story.publish(id, largest);
    assert_eq!(story.take(id), ["PUBACK 00 #1"]);
    let mut too_large = publish("a", "").qos1(2);
    too_large.0.payload = Bytes::from(vec![b'x'; 128 * 1024 + 1]);
    story.publish(id, too_large);
    assert_eq!(story.take(id), ["DISCONNECT 97", "CLOSE CLIENT_ERROR"]);
}

#[test]
fn properties_over_their_limits_end_the_connection() {
    let cases = [
        PublishFields { content_type: Some(text(&"x".repeat(257))), ..PublishFields::default() },
        PublishFields { correlation_data: Some(Bytes::from(vec![0; 8193])), ..PublishFields::default() },
        PublishFields {
            user_properties: vec![(text("k"), text(&"x".repeat(8192)))],
            ..PublishFields::default()
        },
    ];
    for fields in cases {
        let mut story = Story::new();
        let id = story.join(client("p").v5());
        story.publish(id, publish("a", "x").qos1(1).properties(fields));
        assert_eq!(story.take(id), ["DISCONNECT 97", "CLOSE CLIENT_ERROR"]);
        assert_eq!(story.take_refused(), ["PROPERTIES_TOO_LARGE"]);
    }
}

#[test]
fn properties_are_forwarded_without_those_of_the_connection() {
    let mut story = Story::new();
    let tap = sekisho_broker::TapId(1);
    story.broker.add_tap(tap, &sekisho_mqtt::TopicFilter::new("#").unwrap());
    let id = story.join(client("p").v5());
    let sent = PublishFields {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        topic_alias: Some(3),
        response_topic: Some(text("answer")),
        correlation_data: Some(Bytes::from_static(b"c")),
        user_properties: vec![(text("k"), text("1")), (text("k"), text("2"))],
        content_type: Some(text("text/plain")),
        ..PublishFields::default()
    };
    story.publish(id, publish("a", "x").properties(sent.clone()));
    let forwarded = PublishFields { message_expiry_interval: None, topic_alias: None, ..sent };
    assert_eq!(*story.tapped[0].1.properties, forwarded);
    assert_eq!(story.tapped[0].1.expires_at, Some(START + 60_000));
}

#[test]
fn topic_aliases_stand_for_the_topic_last_given() {
    let mut story = Story::new();
    let (id, reader) = (story.join(client("p").v5()), story.join(client("s")));
    story.follow(reader, &[("#", 0)]);
    story.publish(id, publish("a", "1").alias(8));
    story.publish(id, publish("", "2").alias(8));
    story.publish(id, publish("b", "3").alias(8));
    story.publish(id, publish("", "4").alias(8));
    assert_eq!(
        story.take(reader),
        ["PUBLISH a=1 qos0", "PUBLISH a=2 qos0", "PUBLISH b=3 qos0", "PUBLISH b=4 qos0"]
    );
}

#[test]
fn aliases_that_are_out_of_range_or_unknown_end_the_connection() {
    for (packet, code) in [
        (publish("a", "x").alias(0), 0x94),
        (publish("a", "x").alias(9), 0x94),
        (publish("", "x").alias(0), 0x94),
        (publish("", "x").alias(9), 0x94),
        (publish("", "x").alias(8), 0x82),
        (publish("", "x").alias(1).qos1(1), 0x82),
    ] {
        let mut story = Story::new();
        let id = story.join(client("p").v5());
        story.publish(id, packet);
        assert_eq!(story.take(id), [format!("DISCONNECT {code:02X}"), "CLOSE CLIENT_ERROR".to_owned()]);
    }
}

#[test]
fn an_alias_keeps_no_topic_that_is_too_long_to_be_published_to() {
    let long = ["t".repeat(1000), format!("$aws/rules/{}/t", "r".repeat(1000))];
    for topic in long {
        let mut story = Story::new();
        let id = story.join(client("p").v5());
        story.publish(id, publish(&topic, "x").alias(1).qos1(1));
        assert_eq!(story.take(id), ["PUBACK 90 #1"]);
        story.publish(id, publish("", "x").alias(1));
        assert_eq!(story.take(id), ["DISCONNECT 82", "CLOSE CLIENT_ERROR"]);
    }
}

#[test]
fn what_is_left_of_a_message_expiry_is_rounded_up() {
    let mut story = Story::new();
    let publisher = story.join(client("p").v5());
    for (waited, left) in [(0, 2), (1, 2), (999, 2), (1000, 1), (1001, 1), (1600, 1), (1999, 1)] {
        let id = story.join(client("s").v5().persistent());
        story.follow(id, &[("a", 1)]);
        story.lose(id);
        story.publish(publisher, publish("a", "x").qos1(1).expiry(2));
        story.wait(waited);
        let id = story.connect(client("s").v5().persistent());
        let seen = story.take_and_acknowledge(id);
        assert_eq!(seen[1..], [format!("PUBLISH a=x qos1 expiry{left}")], "after {waited} ms");
        story.wait(10_000);
        story.lose(id);
    }
}

#[test]
fn receive_is_asked_at_every_delivery_and_not_at_subscribe() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.connect_as(&rules(|action| action != Action::Receive("a/secret")), client("s"));
    story.take(id);
    story.follow(id, &[("a/#", 1)]);
    story.publish(publisher, publish("a/secret", "1").qos1(1));
    story.publish(publisher, publish("a/open", "2").qos1(2));
    assert_eq!(story.take(id), ["PUBLISH a/open=2 qos1 #1"]);
    assert_eq!(story.take_refused(), ["RECEIVE_NOT_AUTHORIZED"]);
    assert_eq!(story.broker.counters().dropped_not_authorized, 1);

    story.broker.replace_authority(id, rules(|action| !matches!(action, Action::Receive(_))));
    story.publish(publisher, publish("a/open", "3").qos1(3));
    assert!(story.take(id).is_empty(), "a changed policy acts on the live subscription");
    assert_eq!(story.broker.session("s").unwrap().subscriptions.len(), 1);
}

#[test]
fn messages_larger_than_a_client_takes_are_not_sent_to_it() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let (small, large) = (story.join(client("s").v5().maximum_packet_size(512)), story.join(client("l")));
    story.follow(small, &[("a", 1)]);
    story.follow(large, &[("a", 0)]);
    story.publish(publisher, publish("a", &"x".repeat(600)).qos1(1));
    story.publish(publisher, publish("a", "y").qos1(2));
    assert_eq!(story.take(small), ["PUBLISH a=y qos1 #1"]);
    assert_eq!(story.take(large).len(), 2);
    assert_eq!(story.broker.counters().dropped_too_large, 1);
}

#[test]
fn message_expiry_counts_down_and_is_kept_between_a_second_and_a_week() {
    let mut story = Story::new();
    let publisher = story.join(client("p").v5());
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.publish(publisher, publish("a", "0").qos1(1).expiry(0));
    story.publish(publisher, publish("a", "1").qos1(1).expiry(u32::MAX));
    assert_eq!(story.take(id), ["PUBLISH a=0 qos1 expiry1 #1", "PUBLISH a=1 qos1 expiry604800 #2"]);
    story.puback(id, 1);
    story.puback(id, 2);
    story.lose(id);
    story.publish(publisher, publish("a", "2").qos1(1).expiry(10));
    story.publish(publisher, publish("a", "3").qos1(1).expiry(100));
    story.wait(10_500);
    let id = story.connect(client("s").persistent());
    assert_eq!(
        story.take(id),
        ["CONNACK 00 present", "PUBLISH a=3 qos1 expiry90 #3"],
        "the version of the publisher decides: a 3.1.1 subscriber gets no expired message either"
    );
    assert_eq!(story.broker.counters().dropped_expired, 1);
}

#[test]
fn publishes_over_the_rate_are_discarded_and_the_connection_stays() {
    let mut story = Story::with(Limits { publishes_per_second: Some(2), ..Limits::default() });
    let (old, new) = (story.join(client("a")), story.join(client("b").v5()));
    for id in 1..=3 {
        story.publish(old, publish("t", "x").qos1(id));
        story.publish(new, publish("t", "x").qos1(id));
    }
    assert_eq!(story.take(old), ["PUBACK 00 #1", "PUBACK 00 #2"]);
    assert_eq!(story.take(new), ["PUBACK 00 #1", "PUBACK 00 #2", "PUBACK 97 #3"]);
    story.wait(1000);
    story.publish(old, publish("t", "x").qos1(3));
    assert_eq!(story.take(old), ["PUBACK 00 #3"]);
}

#[test]
fn the_https_api_publishes_like_a_device_but_without_a_connection() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.follow(id, &[("a/#", 1)]);
    assert!(story.publish_from_server("a/b", "x", QoS::AtLeastOnce).unwrap().wait_for.is_none());
    assert_eq!(story.take(id), ["PUBLISH a/b=x qos1 #1"]);
    assert_eq!(
        story.publish_from_server("$aws/events/presence/connected/x", "x", QoS::AtMostOnce),
        Err(Refusal::TopicReserved)
    );
    assert_eq!(
        story.publish_from_server("1/2/3/4/5/6/7/8/9", "x", QoS::AtMostOnce),
        Err(Refusal::TopicInvalid)
    );
    assert_eq!(story.publish_from_server("a", "x", QoS::ExactlyOnce), Err(Refusal::QosNotSupported));
}

#[test]
fn a_refusal_repeats_no_more_of_a_topic_than_a_log_should_keep() {
    let mut story = Story::new();
    let id = story.join(client("p"));
    story.publish(id, publish(&"\u{e9}".repeat(30_000), "x"));
    let (refusal, about) = &story.refused[0];
    assert_eq!((*refusal, about.len()), (Refusal::TopicInvalid, sekisho_broker::effect::ABOUT_BYTES));
}
