//! A subscriber that stops reading delays no other.

use sekisho_broker::Limits;

use crate::story::*;

fn narrow() -> Story {
    let mut story = Story::with(Limits { outbox_messages: 4, ..Limits::default() });
    story.reads_at_once = false;
    story
}

#[test]
fn qos_0_is_dropped_for_the_one_that_does_not_read_and_for_nobody_else() {
    let mut story = narrow();
    let publisher = story.join(client("p"));
    let (stuck, reader) = (story.join(client("stuck")), story.join(client("reader")));
    story.follow(stuck, &[("a", 0)]);
    story.follow(reader, &[("a", 0)]);
    for number in 1..=10 {
        story.publish(publisher, publish("a", &number.to_string()));
        story.client_reads(reader);
    }
    assert_eq!(story.take(reader).len(), 10);
    assert_eq!(story.take(stuck).len(), 4);
    assert_eq!(story.broker.counters().dropped_outbox_full, 6);
    story.client_reads(stuck);
    story.publish(publisher, publish("a", "11"));
    assert_eq!(story.take(stuck), ["PUBLISH a=11 qos0"]);
}

#[test]
fn qos_1_waits_and_follows_in_order_when_the_client_reads_again() {
    let mut story = narrow();
    let publisher = story.join(client("p"));
    let stuck = story.join(client("stuck").v5());
    story.follow(stuck, &[("a", 1)]);
    for number in 1..=10 {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    assert_eq!(story.take(publisher).len(), 10, "the publisher does not wait for it");
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.extend(story.take(stuck));
        story.client_reads(stuck);
    }
    let expected: Vec<String> = (1..=10).map(|number| format!("PUBLISH a={number} qos1 #{number}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_bound_on_bytes_holds_too() {
    let mut story = Story::with(Limits { outbox_bytes: 1000, ..Limits::default() });
    story.reads_at_once = false;
    let publisher = story.join(client("p"));
    let stuck = story.join(client("stuck"));
    story.follow(stuck, &[("a", 0)]);
    for _ in 0..10 {
        story.publish(publisher, publish("a", &"x".repeat(400)));
    }
    assert_eq!(story.take(stuck).len(), 3, "room is judged before a message, not after");
}

#[test]
fn messages_of_a_group_wait_for_members_that_do_not_read() {
    let mut story = narrow();
    let publisher = story.join(client("p"));
    let member = story.join(client("m").v5().persistent());
    story.follow(member, &[("$share/g/a", 1)]);
    for number in 1..=10 {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    let mut seen = 0;
    for _ in 0..10 {
        seen += story.take(member).len();
        story.client_reads(member);
    }
    assert_eq!(seen, 10);
}

#[test]
fn acknowledgements_and_answers_pass_a_full_outbox() {
    let mut story = narrow();
    let id = story.join(client("a"));
    story.follow(id, &[("a", 0)]);
    for _ in 0..10 {
        story.publish(id, publish("a", "x"));
    }
    story.take(id);
    story.publish(id, publish("b", "x").qos1(1));
    story.packet(id, sekisho_mqtt::Packet::PingReq);
    assert_eq!(story.take(id), ["PUBACK 00 #1", "PINGRESP"]);
}

#[test]
fn a_new_message_does_not_overtake_those_that_wait() {
    let mut story = narrow();
    let publisher = story.join(client("p"));
    let slow = story.join(client("slow"));
    story.follow(slow, &[("a", 1)]);
    for number in 1..=5 {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    assert_eq!(story.take(slow).len(), 4);
    // One is written: there is room, but not enough for a report to the broker.
    let (_, bytes) = story.outbox(slow).queued();
    assert!(!story.outbox(slow).written(1, bytes / 4));
    story.publish(publisher, publish("a", "6").qos1(6));
    assert_eq!(story.take(slow), ["PUBLISH a=5 qos1 #5"]);
}
