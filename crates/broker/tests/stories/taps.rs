//! Taps: what services hear.

use sekisho_broker::TapId;
use sekisho_mqtt::TopicFilter;

use crate::story::*;

fn tap(story: &mut Story, number: u32, filter: &str) {
    story.broker.add_tap(TapId(number), &TopicFilter::new(filter).unwrap());
}

#[test]
fn a_tap_hears_each_matching_message_once() {
    let mut story = Story::new();
    tap(&mut story, 1, "a/#");
    tap(&mut story, 1, "a/+");
    tap(&mut story, 2, "a/b");
    tap(&mut story, 3, "c");
    let id = story.join(client("p"));
    story.publish(id, publish("a/b", "x"));
    let mut taps: Vec<u32> = story.tapped.iter().map(|(tap, _)| tap.0).collect();
    taps.sort_unstable();
    assert_eq!(taps, [1, 2]);
    let source = &story.tapped[0].1.source;
    assert_eq!((source.client_id.as_deref(), source.principal.as_deref()), (Some("p"), Some("cert")));
}

#[test]
fn a_removed_tap_hears_nothing() {
    let mut story = Story::new();
    tap(&mut story, 1, "a/#");
    tap(&mut story, 1, "b");
    story.broker.remove_tap(TapId(1));
    let id = story.join(client("p"));
    story.publish(id, publish("a/b", "x"));
    story.publish(id, publish("b", "x"));
    assert!(story.tapped.is_empty());
}

#[test]
fn basic_ingest_reaches_its_tap_and_no_subscriber() {
    let mut story = Story::new();
    tap(&mut story, 1, "$aws/rules/#");
    let id = story.join(client("p").v5());
    story.follow(id, &[("$aws/#", 0)]);
    story.publish(id, publish("$aws/rules/r/a/b", "x").qos1(1));
    assert_eq!(story.take(id), ["PUBACK 00 #1"]);
    assert_eq!(story.tapped.len(), 1);
}
