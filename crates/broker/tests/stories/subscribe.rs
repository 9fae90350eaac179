//! SUBSCRIBE and UNSUBSCRIBE.

use sekisho_broker::{Action, Limits};
use sekisho_mqtt::{Subscribe, SubscribeFilter, Version};

use crate::story::*;

#[test]
fn each_filter_gets_its_own_answer() {
    let mut story = Story::new();
    let authority = rules(|action| action != Action::Subscribe("secret"));
    let id = story.connect_as(&authority, client("s").v5());
    story.take(id);
    story.subscribe(id, &[("a", 0), ("a/#/b", 1), ("secret", 1), ("$invalid/reserved/topic", 0), ("b", 1)]);
    assert_eq!(story.take(id), ["SUBACK 00 8F 87 8F 01 #1"]);
    assert_eq!(story.take_refused(), ["FILTER_INVALID", "SUBSCRIBE_NOT_AUTHORIZED", "FILTER_RESERVED"]);
    assert_eq!(story.broker.session("s").unwrap().subscriptions.len(), 2);
}

#[test]
fn a_3_1_1_client_learns_of_a_refused_filter_by_being_closed_and_nothing_of_the_packet_stays() {
    for filter in ["secret", "$aws/rules/r/#"] {
        let mut story = Story::new();
        let authority = rules(|action| action != Action::Subscribe("secret"));
        let id = story.connect_as(&authority, client("s").persistent());
        story.take(id);
        story.subscribe(id, &[("a", 0), (filter, 1)]);
        let seen = story.take(id);
        assert_eq!(seen.len(), 1);
        assert!(seen[0].starts_with("CLOSE"), "{seen:?}");
        assert!(story.broker.session("s").unwrap().subscriptions.is_empty());
    }
}

#[test]
fn a_3_1_1_client_gets_0x80_where_it_can_be_told() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.subscribe(id, &[("a/#/b", 1), ("a", 1)]);
    assert_eq!(story.take(id), ["SUBACK 8F 01 #1"], "the codec writes every failure as 0x80");

    let mut story = Story::with(Limits { suback_on_refusal: true, ..Limits::default() });
    let id = story.connect_as(&rules(|action| !matches!(action, Action::Subscribe(_))), client("s"));
    story.take(id);
    story.subscribe(id, &[("a", 1)]);
    assert_eq!(story.take(id), ["SUBACK 87 #1"]);
}

#[test]
fn more_than_eight_filters_end_the_connection() {
    for version in [Version::V311, Version::V5] {
        let mut story = Story::new();
        let mut connect = client("s").persistent();
        connect.packet.version = version;
        connect.packet.properties.session_expiry_interval = Some(60);
        let id = story.join(connect);
        let nine: Vec<String> = (0..9).map(|number| format!("t/{number}")).collect();
        let filters: Vec<(&str, u8)> = nine.iter().map(|filter| (filter.as_str(), 0)).collect();
        story.follow(id, &filters[..8]);
        story.subscribe(id, &filters);
        match version {
            Version::V311 => assert_eq!(story.take(id), ["CLOSE CLIENT_ERROR"]),
            Version::V5 => assert_eq!(story.take(id), ["DISCONNECT 97", "CLOSE CLIENT_ERROR"]),
        }
        let mut connect = client("s").persistent();
        connect.packet.version = version;
        connect.packet.properties.session_expiry_interval = Some(60);
        let id = story.join(connect);
        let names: Vec<&str> = nine.iter().map(String::as_str).collect();
        story.unsubscribe(id, &names);
        assert!(story.take(id).last().unwrap().starts_with("CLOSE"));
        assert_eq!(story.broker.session("s").unwrap().subscriptions.len(), 8, "nothing was removed");
    }
}

#[test]
fn the_51st_subscription_is_refused_and_the_connection_stays() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    for number in 0..50 {
        story.follow(id, &[(format!("t/{number}").as_str(), 0)]);
    }
    story.subscribe(id, &[("t/50", 0), ("t/49", 1)]);
    assert_eq!(story.take(id), ["SUBACK 97 01 #1"], "replacing one of the fifty is no new subscription");
    story.unsubscribe(id, &["t/0"]);
    story.subscribe(id, &[("t/50", 0), ("t/51", 0)]);
    assert_eq!(story.take(id), ["UNSUBACK 00 #2", "SUBACK 00 97 #1"]);
}

#[test]
fn qos_2_in_a_subscribe_ends_the_connection_unless_downgraded() {
    let mut story = Story::new();
    let (old, new) = (story.join(client("a")), story.join(client("b").v5()));
    story.subscribe(old, &[("t", 2)]);
    story.subscribe(new, &[("t", 2)]);
    assert_eq!(story.take(old), ["CLOSE CLIENT_ERROR"]);
    assert_eq!(story.take(new), ["DISCONNECT 9B", "CLOSE CLIENT_ERROR"]);

    let mut story = Story::with(Limits { downgrade_subscribe_qos: true, ..Limits::default() });
    let id = story.join(client("b").v5());
    story.subscribe(id, &[("t", 2)]);
    assert_eq!(story.take(id), ["SUBACK 01 #1"]);
}

#[test]
fn subscription_identifiers_end_the_connection() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    let packet = Subscribe {
        packet_id: packet_id(1),
        filters: vec![sub("a", 0)],
        subscription_identifier: Some(5),
        user_properties: Vec::new(),
    };
    story.packet(id, packet);
    assert_eq!(story.take(id), ["DISCONNECT A1", "CLOSE CLIENT_ERROR"]);
}

#[test]
fn filters_have_a_longest_length_and_a_greatest_depth_without_the_share_prefix() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    let (fits, too_long) = (format!("$share/g/{}", "x".repeat(256)), "x".repeat(257));
    let name = "n".repeat(129);
    let long_name = format!("$share/{name}/a");
    story.subscribe(
        id,
        &[
            (&fits, 0),
            ("$share/g/1/2/3/4/5/6/7/8", 0),
            ("1/2/3/4/5/6/7/8", 0),
            (&too_long, 0),
            ("1/2/3/4/5/6/7/8/9", 0),
            ("$share/g/1/2/3/4/5/6/7/8/9", 0),
            (&long_name, 0),
        ],
    );
    assert_eq!(story.take(id), ["SUBACK 00 00 00 8F 8F 8F 8F #1"]);
}

#[test]
fn subscribing_again_replaces_the_qos() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.follow(id, &[("a", 0)]);
    story.follow(id, &[("a", 1)]);
    story.publish(id, publish("a", "x").qos1(1));
    assert_eq!(story.take(id), ["PUBLISH a=x qos1 #1", "PUBACK 00 #1"]);
    assert_eq!(story.broker.session("s").unwrap().subscriptions, [("a".into(), qos(1))]);
}

#[test]
fn after_unsubscribe_nothing_comes_and_unknown_filters_are_no_error() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    story.follow(id, &[("a", 0), ("b", 0)]);
    story.unsubscribe(id, &["a", "never", "x/#/y"]);
    assert_eq!(story.take(id), ["UNSUBACK 00 00 8F #2"]);
    story.publish(id, publish("a", "x"));
    story.publish(id, publish("b", "y"));
    assert_eq!(story.take(id), ["PUBLISH b=y qos0"]);
}

#[test]
fn an_invalid_filter_in_unsubscribe_ends_a_3_1_1_connection_and_removes_nothing() {
    for invalid in ["x/#/y", "a+", "$share/g", "$share//a", ""] {
        let mut story = Story::new();
        let id = story.join(client("s").persistent());
        story.follow(id, &[("a", 0)]);
        story.unsubscribe(id, &["a", invalid]);
        assert_eq!(story.take(id), ["CLOSE CLIENT_ERROR"], "{invalid}");
        assert_eq!(story.take_refused(), ["FILTER_INVALID"]);
        assert_eq!(story.broker.session("s").unwrap().subscriptions.len(), 1);
    }
}

#[test]
fn leading_wildcards_do_not_see_reserved_topics() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.follow(id, &[("#", 0), ("+/things/t/shadow/update", 0)]);
    story.publish(id, publish("$aws/things/t/shadow/update", "x"));
    assert!(story.take(id).is_empty());
    story.follow(id, &[("$aws/things/+/shadow/#", 0)]);
    story.publish(id, publish("$aws/things/t/shadow/update", "y"));
    assert_eq!(story.take(id), ["PUBLISH $aws/things/t/shadow/update=y qos0"]);
}

#[test]
fn no_local_is_ignored_as_aws_does_unless_the_switch_says_otherwise() {
    for (honoured, expected) in [(false, 1), (true, 0)] {
        let mut story = Story::with(Limits { no_local: honoured, ..Limits::default() });
        let (id, other) = (story.join(client("s").v5()), story.join(client("o")));
        story.subscribe_with(id, 1, vec![SubscribeFilter { no_local: true, ..sub("a", 0) }]);
        story.take(id);
        story.publish(id, publish("a", "own"));
        assert_eq!(story.take(id).len(), expected);
        story.publish(other, publish("a", "other"));
        assert_eq!(story.take(id), ["PUBLISH a=other qos0"]);
    }
}

#[test]
fn a_packet_identifier_that_is_not_answered_yet_is_in_use() {
    let mut story = Story::new();
    let id = story.join(client("s").v5().persistent());
    story.stores_at_once = false;
    story.subscribe(id, &[("a", 1)]);
    story.subscribe(id, &[("b", 1)]);
    story.publish(id, publish("t", "x").qos1(1));
    assert_eq!(story.take(id), ["SUBACK 91 #1", "PUBACK 91 #1"], "the first waits for its record");
    story.store_all();
    assert_eq!(story.take(id), ["SUBACK 01 #1"]);
}
