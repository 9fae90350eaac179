//! Lifecycle events, as messages to their subscribers.

use sekisho_broker::{Action, DisconnectReason, LifecycleKind};
use serde_json::Value;

use crate::story::*;

/// The topic and JSON of each event that a watcher saw.
fn events(story: &mut Story, watcher: sekisho_broker::ConnectionId) -> Vec<(String, Value)> {
    story
        .take(watcher)
        .iter()
        .map(|line| {
            let (topic, rest) = line.strip_prefix("PUBLISH ").unwrap().split_once('=').unwrap();
            let payload = &rest[..=rest.rfind('}').unwrap()];
            (topic.to_owned(), serde_json::from_str(payload).unwrap())
        })
        .collect()
}

fn watched() -> (Story, sekisho_broker::ConnectionId) {
    let mut story = Story::new();
    let watcher = story.join(client("watcher"));
    story.follow(watcher, &[("$aws/events/#", 0)]);
    story.take(watcher);
    (story, watcher)
}

#[test]
fn a_device_s_day_is_told_in_events() {
    let (mut story, watcher) = watched();
    let id = story.join(client("dev1").v5());
    story.subscribe(id, &[("a", 0), ("x/#/y", 0), ("b/#", 1)]);
    story.unsubscribe(id, &["a", "never"]);
    story.say_goodbye(id);
    let session = story.accepted[&id].session_identifier.to_string();
    let events = events(&mut story, watcher);
    let topics: Vec<&str> = events.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "$aws/events/presence/connected/dev1",
            "$aws/events/subscriptions/subscribed/dev1",
            "$aws/events/subscriptions/unsubscribed/dev1",
            "$aws/events/presence/disconnected/dev1",
        ]
    );
    for (_, event) in &events {
        assert_eq!(event["clientId"], "dev1");
        assert_eq!(event["principalIdentifier"], "cert");
        assert_eq!(event["sessionIdentifier"], session.as_str());
        assert_eq!(event["timestamp"], START);
        assert!(event.get("thingName").is_none(), "not attached exclusively");
    }
    assert_eq!(events[0].1["ipAddress"], "192.0.2.1");
    assert_eq!(events[1].1["topics"], serde_json::json!(["a", "b/#"]), "only what was granted");
    assert_eq!(events[2].1["topics"], serde_json::json!(["a"]));
    assert_eq!(events[3].1["clientInitiatedDisconnect"], true);
    assert_eq!(events[3].1["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
    assert_eq!(events[0].1["versionNumber"], events[3].1["versionNumber"]);
}

#[test]
fn the_old_connection_is_the_one_that_was_duplicated() {
    let (mut story, watcher) = watched();
    let old = story.join(client("dev1"));
    let new = story.join(client("dev1"));
    let events = events(&mut story, watcher);
    assert_eq!(events.len(), 3);
    let (_, disconnected) = &events[1];
    assert_eq!(disconnected["disconnectReason"], "DUPLICATE_CLIENTID");
    assert_eq!(disconnected["sessionIdentifier"], &*story.accepted[&old].session_identifier);
    assert_eq!(disconnected["versionNumber"], 0);
    assert_eq!(events[2].1["sessionIdentifier"], &*story.accepted[&new].session_identifier);
    assert_eq!(events[2].1["versionNumber"], 1);
}

#[test]
fn an_exclusive_thing_is_named() {
    let (mut story, watcher) = watched();
    story.join(client("dev1").thing("pump-7"));
    assert_eq!(events(&mut story, watcher)[0].1["thingName"], "pump-7");
}

#[test]
fn connect_failed_is_said_of_connect_and_of_the_will_but_not_of_other_refusals() {
    let (mut story, watcher) = watched();
    story.connect_as(&rules(|action| !matches!(action, Action::Connect { .. })), client("a"));
    story.connect_as(&rules(|action| !matches!(action, Action::Publish(_))), client("b").will("w", "x"));
    story.connect(client("$c"));
    let events = events(&mut story, watcher);
    let topics: Vec<&str> = events.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["$aws/events/presence/connect_failed/a", "$aws/events/presence/connect_failed/b"]);
    assert_eq!(events[0].1["connectFailureReason"], "AUTHORIZATION_FAILED");
}

#[test]
fn the_caller_hears_of_events_that_nobody_subscribed_to() {
    let mut story = Story::new();
    let id = story.join(client("a+b"));
    story.lose(id);
    let kinds: Vec<&LifecycleKind> = story.events.iter().map(|event| &event.kind).collect();
    assert!(matches!(
        kinds[..],
        [
            LifecycleKind::Connected { version_number: 0 },
            LifecycleKind::Disconnected { reason: DisconnectReason::ConnectionLost, .. }
        ]
    ));
}

#[test]
fn readers_of_events_need_receive() {
    let mut story = Story::new();
    let authority = rules(|action| !matches!(action, Action::Receive(topic) if topic.contains("/presence/")));
    let watcher = story.connect_as(&authority, client("watcher"));
    story.take(watcher);
    story.follow(watcher, &[("$aws/events/#", 0)]);
    story.take(watcher);
    let id = story.join(client("dev1"));
    story.follow(id, &[("a", 0)]);
    let events = events(&mut story, watcher);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, "$aws/events/subscriptions/subscribed/dev1");
}
