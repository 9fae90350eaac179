//! Taps: the messages that services get.

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
fn basic_ingest_reaches_its_tap_and_no_subscriber() {
    let mut story = Story::new();
    tap(&mut story, 1, "$aws/rules/#");
    let id = story.join(client("p").v5());
    story.follow(id, &[("$aws/#", 0)]);
    story.publish(id, publish("$aws/rules/r/a/b", "x").qos1(1));
    assert_eq!(story.take(id), ["PUBACK 00 #1"]);
    assert_eq!(story.tapped.len(), 1);
}

const CREATE: &str = "$aws/certificates/create/json";
const ACCEPTED: &str = "$aws/certificates/create/json/accepted";

#[test]
fn a_request_reaches_the_service_alone_and_says_whose_it_is() {
    let mut story = Story::new();
    tap(&mut story, 1, "$aws/certificates/create/+");
    let (asks, listens) = (story.join(client("asks")), story.join(client("listens")));
    story.follow(listens, &[("$aws/certificates/create/#", 1)]);
    story.publish(asks, publish(CREATE, "{}"));
    assert_eq!(story.tapped_from, [Some(asks)]);
    assert!(story.take(listens).is_empty());
    let _ = story.publish_from_server(CREATE, "{}", qos(0));
    assert_eq!(story.tapped_from, [Some(asks), None]);
}

#[test]
fn a_reply_reaches_the_connection_that_asked_and_nobody_else() {
    let mut story = Story::new();
    let (asks, listens) = (story.join(client("asks")), story.join(client("listens")));
    for id in [asks, listens] {
        story.follow(id, &[("$aws/certificates/create/#", 0), (ACCEPTED, 1)]);
    }
    assert_eq!(story.reply(asks, ACCEPTED, "secret"), Ok(true));
    assert_eq!(story.take(asks), [format!("PUBLISH {ACCEPTED}=secret qos1 #1")]);
    assert!(story.take(listens).is_empty());
    let now = story.now();
    assert_eq!(story.broker.retained_messages(now).count(), 0);
}

#[test]
fn a_reply_needs_a_subscription_the_right_to_receive_and_a_connection() {
    let mut story = Story::new();
    let mute = story.join(client("mute"));
    assert_eq!(story.reply(mute, ACCEPTED, "x"), Ok(false));
    let may_not = rules(|action| !matches!(action, sekisho_broker::Action::Receive(_)));
    let denied = story.connect_as(&may_not, client("denied"));
    story.take(denied);
    story.follow(denied, &[(ACCEPTED, 1)]);
    let _ = story.reply(denied, ACCEPTED, "x");
    assert!(story.take(denied).iter().all(|line| !line.contains('x')));
    story.follow(mute, &[(ACCEPTED, 1)]);
    story.lose(mute);
    assert_eq!(story.reply(mute, ACCEPTED, "x"), Ok(false));
}
