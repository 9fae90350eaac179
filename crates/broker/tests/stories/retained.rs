//! Retained messages: kept one per topic, sent to clients that subscribe to the exact topic.

use sekisho_broker::{Limits, Record};
use sekisho_mqtt::{RetainHandling, SubscribeFilter, TopicName};

use crate::story::*;

#[test]
fn a_new_subscriber_gets_the_stored_message_with_retain_and_live_ones_without() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    story.publish(publisher, publish("t", "old").qos1(1).retained());
    story.publish(publisher, publish("t", "kept").qos1(1).retained());
    let id = story.join(client("s"));
    story.subscribe(id, &[("t", 1)]);
    assert_eq!(story.take(id), ["SUBACK 01 #1", "PUBLISH t=kept qos1 retained #1"]);
    story.publish(publisher, publish("t", "live").retained());
    story.publish(publisher, publish("t", "plain"));
    assert_eq!(story.take(id), ["PUBLISH t=live qos0", "PUBLISH t=plain qos0"]);
    let later = story.join(client("l"));
    story.subscribe(later, &[("t", 0)]);
    assert_eq!(story.take(later), ["SUBACK 00 #1", "PUBLISH t=live qos0 retained"], "not the plain one");
}

#[test]
fn a_wildcard_filter_gets_no_stored_message() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.publish(id, publish("a/b", "x").retained());
    story.subscribe(id, &[("a/+", 0), ("#", 0), ("a/#", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 00 00 #1"]);
    story.subscribe(id, &[("a/b", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 #1", "PUBLISH a/b=x qos0 retained"]);
}

#[test]
fn an_empty_message_deletes_and_is_delivered_but_not_kept() {
    let mut story = Story::new();
    let id = story.join(client("s"));
    story.publish(id, publish("t", "x").retained());
    story.subscribe(id, &[("t", 0)]);
    story.take(id);
    story.publish(id, publish("t", "").retained());
    assert_eq!(story.take(id), ["PUBLISH t= qos0"]);
    story.subscribe(id, &[("t", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 #1"]);
    assert!(story.broker.retained(story.now(), &TopicName::new("t").unwrap()).is_none());
}

#[test]
fn retain_handling_decides_when_the_stored_message_comes() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    story.publish(id, publish("t", "x").retained());
    let mut ask = |handling| {
        story.subscribe_with(id, 1, vec![sub_handling("t", 0, handling)]);
        story.take(id).len() - 1
    };
    assert_eq!(ask(RetainHandling::DoNotSend), 0);
    assert_eq!(ask(RetainHandling::SendIfNew), 0, "not new any more");
    assert_eq!(ask(RetainHandling::Send), 1);
    assert_eq!(ask(RetainHandling::Send), 1, "every time");
    story.unsubscribe(id, &["t"]);
    story.take(id);
    story.subscribe_with(id, 1, vec![sub_handling("t", 0, RetainHandling::SendIfNew)]);
    assert_eq!(story.take(id).len(), 2);
}

#[test]
fn retain_as_published_keeps_the_flag() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    story.subscribe_with(id, 1, vec![SubscribeFilter { retain_as_published: true, ..sub("t", 0) }]);
    story.take(id);
    story.publish(id, publish("t", "x").retained());
    story.publish(id, publish("t", "y"));
    assert_eq!(story.take(id), ["PUBLISH t=x qos0 retained", "PUBLISH t=y qos0"]);
}

#[test]
fn an_expired_message_is_not_sent_to_new_subscribers() {
    let mut story = Story::new();
    let id = story.join(client("s").v5());
    story.publish(id, publish("t", "x").retained().expiry(30));
    story.wait(29_000);
    story.subscribe(id, &[("t", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 #1", "PUBLISH t=x qos0 retained expiry1"]);
    story.wait(1000);
    story.subscribe(id, &[("t", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 #1"]);
}

#[test]
fn a_full_store_refuses_new_topics_but_replaces_and_deletes() {
    let mut story = Story::with(Limits { retained_messages: 1, ..Limits::default() });
    let (old, new) = (story.join(client("p")), story.join(client("q").v5()));
    story.publish(new, publish("a", "x").qos1(1).retained());
    story.publish(new, publish("b", "x").qos1(2).retained());
    story.publish(old, publish("b", "x").qos1(3).retained());
    assert_eq!(story.take(new), ["PUBACK 00 #1", "PUBACK 97 #2"]);
    assert!(story.take(old).is_empty(), "throttled, not closed");
    story.publish(new, publish("a", "y").qos1(4).retained());
    story.publish(new, publish("a", "").qos1(5).retained());
    story.publish(new, publish("b", "x").qos1(6).retained());
    assert_eq!(story.take(new), ["PUBACK 00 #4", "PUBACK 00 #5", "PUBACK 00 #6"]);
}

#[test]
fn a_retained_publish_is_acknowledged_after_it_is_durable() {
    let mut story = Story::new();
    let id = story.join(client("p"));
    story.stores_at_once = false;
    story.publish(id, publish("t", "x").qos1(1).retained());
    assert!(story.take(id).is_empty());
    assert!(
        matches!(&story.records[..], [Record::Message { retained: true, owners, .. }] if owners.is_empty())
    );
    story.store_all();
    assert_eq!(story.take(id), ["PUBACK 00 #1"]);
}
