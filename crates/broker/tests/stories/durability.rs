//! What is asked to be written down, and what waits for it.

use sekisho_broker::{Owner, Record};
use sekisho_mqtt::{QoS, Version};

use crate::story::*;

#[test]
fn a_qos_1_publish_for_a_persistent_session_is_acknowledged_once_it_is_durable() {
    for online in [false, true] {
        let mut story = Story::new();
        let publisher = story.join(client("p").v5());
        let id = story.join(client("s").persistent());
        story.follow(id, &[("a", 1)]);
        if !online {
            story.lose(id);
        }
        story.stores_at_once = false;
        story.records.clear();
        story.publish(publisher, publish("a", "x").qos1(5));
        assert!(story.take(publisher).is_empty());
        let [Record::Message { message, retained: false, owners, .. }] = &story.records[..] else {
            panic!("{:?}", story.records)
        };
        assert_eq!((message.topic.as_str(), &message.payload[..]), ("a", &b"x"[..]));
        assert_eq!(*owners, [Owner::Session("s".into())]);
        story.store_all();
        assert_eq!(story.take(publisher), ["PUBACK 00 #5"]);
    }
}

#[test]
fn nothing_that_need_not_be_durable_is_stored() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let (clean, zero) = (story.join(client("c")), story.join(client("z").persistent()));
    story.follow(clean, &[("a", 1)]);
    story.follow(zero, &[("a", 0)]);
    story.records.clear();
    story.publish(publisher, publish("a", "qos 0"));
    story.publish(publisher, publish("a", "no persistent QoS 1 subscription").qos1(1));
    assert!(story.records.is_empty());
    assert_eq!(story.take(publisher), ["PUBACK 00 #1"]);
}

#[test]
fn an_acknowledged_message_is_settled_and_a_dropped_one_too() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.join(client("s").v5().persistent().maximum_packet_size(512));
    story.follow(id, &[("a", 1)]);
    story.records.clear();
    story.publish(publisher, publish("a", "x").qos1(1));
    story.puback(id, 1);
    story.publish(publisher, publish("a", &"x".repeat(600)).qos1(2));
    let settled = story.records.iter().filter(|record| {
        matches!(record, Record::Settled { owner: Owner::Session(client_id), .. } if **client_id == *"s")
    });
    assert_eq!(settled.count(), 2);
    assert_eq!(story.records.len(), 4);
}

#[test]
fn the_life_of_a_persistent_session_is_on_record() {
    let mut story = Story::new();
    let id = story.join(client("s").v5().persistent().will("w", "gone"));
    story.follow(id, &[("a", 1), ("$share/g/b", 0)]);
    story.unsubscribe(id, &["a"]);
    story.lose(id);
    story.wait(600_000);
    let [
        Record::Session(begun),
        Record::Subscribed { subscriptions, .. },
        Record::Unsubscribed { filters, .. },
        Record::Session(left),
        Record::SessionEnded { client_id },
    ] = &story.records[..]
    else {
        panic!("{:?}", story.records)
    };
    assert_eq!((begun.version, begun.expiry_seconds, begun.disconnected_at), (Version::V5, 600, None));
    assert_eq!(begun.will.as_ref().unwrap().message.topic.as_str(), "w");
    let names: Vec<(&str, QoS)> =
        subscriptions.iter().map(|subscription| (&*subscription.filter, subscription.qos)).collect();
    assert_eq!(names, [("a", QoS::AtLeastOnce), ("$share/g/b", QoS::AtMostOnce)]);
    assert_eq!(*filters, ["a".into()]);
    assert_eq!((left.disconnected_at, left.will.is_none()), (Some(START), true), "the will is sent");
    assert_eq!(&**client_id, "s");
}

#[test]
fn a_clean_session_leaves_no_record() {
    let mut story = Story::new();
    let id = story.join(client("s").will("w", "gone"));
    story.follow(id, &[("a", 1)]);
    story.publish(id, publish("a", "x").qos1(1));
    story.lose(id);
    assert!(story.records.is_empty());
}

#[test]
fn suback_waits_until_the_subscription_is_durable_and_stored_messages_come_after_it() {
    let mut story = Story::new();
    let id = story.join(client("s").persistent());
    story.publish(id, publish("a", "kept").retained());
    story.stores_at_once = false;
    story.subscribe(id, &[("a", 0)]);
    assert!(story.take(id).is_empty());
    story.store_all();
    assert_eq!(story.take(id), ["SUBACK 00 #1", "PUBLISH a=kept qos0 retained"]);
    story.unsubscribe(id, &["a"]);
    assert!(story.take(id).is_empty());
    story.store_all();
    assert_eq!(story.take(id), ["UNSUBACK 00 #2"]);
}

#[test]
fn an_answer_for_a_connection_that_is_gone_goes_nowhere() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.stores_at_once = false;
    story.publish(publisher, publish("a", "x").qos1(1));
    story.lose(publisher);
    let successor = story.join(client("p"));
    story.store_all();
    assert!(story.take(publisher).is_empty() && story.take(successor).is_empty());
}

#[test]
fn more_than_a_hundred_publishes_without_answer_end_an_mqtt_5_connection_and_pause_a_3_1_1_one() {
    let mut story = Story::new();
    let sleeper = story.join(client("s").persistent());
    story.follow(sleeper, &[("a", 1)]);
    story.lose(sleeper);
    let (old, new) = (story.join(client("old")), story.join(client("new").v5()));
    story.stores_at_once = false;
    for number in 1..=100 {
        story.publish(old, publish("a", "x").qos1(number));
        story.publish(new, publish("a", "x").qos1(number));
    }
    assert_eq!(story.take(old), ["READ NO MORE"]);
    assert!(story.take(new).is_empty());
    story.publish(new, publish("a", "x").qos1(101));
    assert_eq!(story.take(new), ["DISCONNECT 93", "CLOSE CLIENT_ERROR"]);
    story.store_all();
    let seen = story.take(old);
    assert_eq!(seen.iter().filter(|line| line.starts_with("PUBACK 00")).count(), 100);
    assert_eq!(seen.iter().filter(|line| *line == "READ ON").count(), 1);
}

#[test]
fn an_https_publish_names_the_record_to_wait_for() {
    let mut story = Story::new();
    let id = story.join(client("s").persistent());
    story.follow(id, &[("a", 1)]);
    story.stores_at_once = false;
    let published = story.publish_from_server("a", "x", QoS::AtLeastOnce).unwrap();
    assert_eq!(published.wait_for, story.unstored.last().copied());
    assert!(published.wait_for.is_some());
}

#[test]
fn a_session_left_to_end_needs_no_more_records() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let id = story.join(client("s").v5().persistent());
    story.follow(id, &[("a", 1), ("$share/g/a", 1)]);
    story.publish(publisher, publish("a", "x").qos1(1));
    story.lose(id);
    story.records.clear();
    let mut last = client("s").v5();
    last.packet.clean_start = false;
    let id = story.connect(last);
    assert_eq!(story.records, [Record::SessionEnded { client_id: "s".into() }]);
    let seen = story.take_and_acknowledge(id);
    assert_eq!(seen, ["CONNACK 00 present", "PUBLISH a=x qos1", "PUBLISH a=x qos1"]);
    story.records.clear();
    story.publish(publisher, publish("a", "y").qos1(2));
    assert_eq!(story.take_and_acknowledge(id).len(), 2);
    assert!(story.records.is_empty(), "{:?}", story.records);
}
