//! Sessions: what survives a disconnect, for how long, and in which order it comes back.

use sekisho_broker::Limits;
use sekisho_mqtt::Disconnect;

use crate::story::*;

const HOUR: u64 = 3_600_000;

#[test]
fn a_persistent_session_keeps_subscriptions_and_qos_1_messages() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.join(client("s").persistent());
    story.follow(id, &[("one", 1), ("zero", 0)]);
    story.lose(id);
    story.publish(publisher, publish("one", "kept").qos1(1));
    story.publish(publisher, publish("one", "qos 0 publish"));
    story.publish(publisher, publish("zero", "qos 0 subscription").qos1(2));
    let id = story.connect(client("s").persistent());
    assert_eq!(story.take(id), ["CONNACK 00 present", "PUBLISH one=kept qos1 #1"]);
    story.puback(id, 1);
    story.publish(publisher, publish("one", "live").qos1(3));
    assert_eq!(story.take(id), ["PUBLISH one=live qos1 #2"]);
}

#[test]
fn a_clean_session_begins_and_ends_with_its_connection() {
    let mut story = Story::new();
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.lose(id);
    let id = story.connect(client("s"));
    assert_eq!(story.take(id), ["CONNACK 00"], "the old session is discarded");
    story.follow(id, &[("b", 1)]);
    story.lose(id);
    assert!(story.broker.session("s").is_none());
    let id = story.connect(client("s").persistent());
    assert_eq!(story.take(id), ["CONNACK 00"]);
    assert!(story.broker.session("s").unwrap().subscriptions.is_empty());
}

#[test]
fn an_mqtt_5_session_lives_as_long_as_asked_but_no_longer_than_the_account_allows() {
    for (asked, lives) in [(60, 60_000), (u32::MAX, HOUR)] {
        let mut story = Story::new();
        let connect = || client("s").v5().persistent().expiry(asked);
        let id = story.join(connect());
        story.wait(2 * HOUR);
        story.lose(id);
        story.wait(lives - 1);
        let id = story.connect(connect());
        assert_eq!(story.take(id), ["CONNACK 00 present"]);
        story.lose(id);
        story.wait(lives);
        let id = story.connect(connect());
        assert_eq!(story.take(id), ["CONNACK 00"]);
    }
}

#[test]
fn a_3_1_1_session_expires_as_the_account_is_set() {
    let mut story = Story::with(Limits { session_expiry_seconds: 100, ..Limits::default() });
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.lose(id);
    story.wait(99_999);
    assert!(story.broker.session("s").is_some());
    story.wait(1);
    assert!(story.broker.session("s").is_none());
    let publisher = story.join(client("p"));
    let records = story.records.len();
    story.publish(publisher, publish("a", "x").qos1(1));
    assert_eq!(story.records.len(), records, "its subscriptions are gone");
    assert_eq!(story.broker.next_wake(), None);
}

#[test]
fn a_session_of_the_other_version_is_not_resumed() {
    let mut story = Story::new();
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.lose(id);
    let id = story.connect(client("s").v5().persistent());
    assert_eq!(story.take(id), ["CONNACK 00"]);
    story.lose(id);
    let id = story.connect(client("s").persistent());
    assert_eq!(story.take(id), ["CONNACK 00"], "and the first is gone for good");
}

#[test]
fn an_mqtt_5_session_can_be_resumed_and_left_to_end() {
    let mut story = Story::new();
    let id = story.join(client("s").v5().persistent());
    story.follow(id, &[("a", 1)]);
    story.lose(id);
    let mut last = client("s").v5();
    last.packet.clean_start = false;
    let id = story.connect(last);
    assert_eq!(story.take(id), ["CONNACK 00 present"]);
    story.lose(id);
    assert!(story.broker.session("s").is_none());
}

#[test]
fn disconnect_can_change_the_expiry_but_not_from_zero() {
    let goodbye = |seconds| Disconnect { session_expiry_interval: Some(seconds), ..Disconnect::default() };
    let mut story = Story::new();
    let id = story.join(client("s").v5().persistent());
    story.packet(id, goodbye(5));
    assert_eq!(story.take(id), ["CLOSE CLIENT_INITIATED_DISCONNECT"]);
    story.wait(4_999);
    assert!(story.broker.session("s").is_some());
    story.wait(1);
    assert!(story.broker.session("s").is_none());

    let id = story.join(client("s").v5().persistent());
    story.packet(id, goodbye(0));
    assert!(story.broker.session("s").is_none(), "zero ends it at once");
    assert_eq!(story.take(id), ["CLOSE CLIENT_INITIATED_DISCONNECT"]);

    let id = story.join(client("s").v5());
    story.packet(id, goodbye(5));
    assert_eq!(story.take(id), ["DISCONNECT 82", "CLOSE CLIENT_ERROR"]);
    assert!(story.broker.session("s").is_none());
}

#[test]
fn unacknowledged_messages_come_again_before_those_that_waited() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.join(client("s").v5().persistent());
    story.follow(id, &[("a", 1)]);
    for number in 1..=3 {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    assert_eq!(story.take(id).len(), 3);
    story.puback(id, 2);
    story.lose(id);
    story.publish(publisher, publish("a", "4").qos1(4));
    let id = story.connect(client("s").v5().persistent());
    let seen = story.take_and_acknowledge(id);
    assert_eq!(seen, ["CONNACK 00 present", "PUBLISH a=1 qos1", "PUBLISH a=3 qos1", "PUBLISH a=4 qos1"]);
    assert_eq!(story.broker.session("s").unwrap().inflight, 0);
}

#[test]
fn no_more_are_under_way_than_the_client_and_aws_allow() {
    for (receive_maximum, window) in [(3, 3), (65_535, 100)] {
        let mut story = Story::new();
        let publisher = story.join(client("p"));
        let id = story.join(client("s").v5().receive_maximum(receive_maximum));
        story.follow(id, &[("a", 1)]);
        for number in 1..=150 {
            story.publish(publisher, publish("a", &number.to_string()).qos1(1));
        }
        assert_eq!(story.take(id).len(), window);
        story.puback(id, 2);
        assert_eq!(story.take(id), [format!("PUBLISH a={0} qos1 #{0}", window + 1)]);
        story.puback(id, 2);
        assert!(story.take(id).is_empty(), "an acknowledgement counts once");
    }
}

#[test]
fn a_3_1_1_client_gets_unacknowledged_messages_again_every_30_seconds_for_an_hour() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.join(client("s"));
    story.follow(id, &[("a", 1)]);
    story.publish(publisher, publish("a", "x").qos1(1));
    story.take(id);
    story.wait(29_999);
    assert!(story.take(id).is_empty());
    story.wait(1);
    assert_eq!(story.take(id), ["PUBLISH a=x qos1 #1"]);
    story.wait(HOUR);
    let resent = story.take(id).len();
    assert_eq!(resent, 118, "every 30 s until the hour is over");
    assert_eq!(story.broker.counters().dropped_unacknowledged, 1);
    story.wait(HOUR);
    assert!(story.take(id).is_empty());
    assert_eq!(story.broker.next_wake(), None);
}

#[test]
fn an_mqtt_5_client_gets_an_unacknowledged_message_again_within_a_minute_and_for_16_minutes() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let connect = || client("s").v5().persistent().receive_maximum(1);
    let id = story.join(connect());
    story.follow(id, &[("a", 1)]);
    story.publish(publisher, publish("a", "held").qos1(1));
    story.publish(publisher, publish("a", "next").qos1(2));
    assert_eq!(story.take(id), ["PUBLISH a=held qos1 #1"]);
    story.wait(59_999);
    assert_eq!(story.take(id), ["PUBLISH a=held qos1 #1"], "with DUP 0 and the packet identifier it had");
    story.wait(900_001);
    story.take(id);
    assert_eq!(story.broker.counters().dropped_unacknowledged, 1);
    story.wait(HOUR);
    assert!(story.take(id).is_empty(), "its place in the Receive Maximum is not free");
    story.lose(id);
    let id = story.connect(connect());
    assert_eq!(story.take(id), ["CONNACK 00 present", "PUBLISH a=next qos1 #2"]);
}

#[test]
fn a_queue_is_full_by_its_bytes_too_and_has_room_again_when_they_are_gone() {
    let mut story = Story::with(Limits { queued_bytes_per_session: 1000, ..Limits::default() });
    let publisher = story.join(client("p"));
    let mut id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    for round in 1..=3 {
        story.lose(id);
        for number in 1..=5 {
            story.publish(publisher, publish("a", &"x".repeat(400)).qos1(number));
        }
        assert_eq!(story.broker.counters().dropped_queue_full, 2 * round, "three of five reach the bound");
        id = story.connect(client("s").persistent());
        assert_eq!(story.take_and_acknowledge(id).len(), 1 + 3);
    }
}

#[test]
fn a_full_queue_drops_the_newest() {
    let mut story = Story::with(Limits { queued_messages_per_session: 2, ..Limits::default() });
    let publisher = story.join(client("p"));
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.lose(id);
    for number in 1..=3 {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    assert_eq!(story.take(publisher).len(), 3, "the publisher is not to blame");
    assert_eq!(story.broker.counters().dropped_queue_full, 1);
    let id = story.connect(client("s").persistent());
    assert_eq!(story.take_and_acknowledge(id)[1..], ["PUBLISH a=1 qos1", "PUBLISH a=2 qos1"]);
}
