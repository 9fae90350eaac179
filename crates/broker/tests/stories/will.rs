//! Wills: when they are sent, when not, and when later.

use bytes::Bytes;
use sekisho_broker::{Action, DisconnectClient, DisconnectReason, Limits};
use sekisho_mqtt::{Disconnect, Packet, PublishFields, QoS, ReasonCode, TopicName};

use crate::story::*;

fn watched() -> (Story, sekisho_broker::ConnectionId) {
    let mut story = Story::new();
    let watcher = story.join(client("watcher"));
    story.follow(watcher, &[("w", 1)]);
    (story, watcher)
}

#[test]
fn every_end_but_a_clients_goodbye_sends_the_will() {
    for reason in DisconnectReason::ALL
        .into_iter()
        .filter(|reason| *reason != DisconnectReason::ClientInitiatedDisconnect)
    {
        let (mut story, watcher) = watched();
        let id = story.join(client("dev").will("w", "gone"));
        story.turn(|broker, now, effects| broker.disconnect(now, id, reason, effects));
        assert_eq!(story.take(watcher), ["PUBLISH w=gone qos1 #1"], "{reason}");
    }
    let (mut story, watcher) = watched();
    let id = story.join(client("dev").will("w", "gone"));
    story.say_goodbye(id);
    assert!(story.take(watcher).is_empty());
}

#[test]
fn a_lost_socket_and_a_takeover_send_the_will() {
    let (mut story, watcher) = watched();
    let id = story.join(client("dev").will("w", "1"));
    story.lose(id);
    story.join(client("dev").will("w", "2"));
    story.join(client("dev").will("w", "3"));
    assert_eq!(story.take(watcher), ["PUBLISH w=1 qos1 #1", "PUBLISH w=2 qos1 #2"]);
}

#[test]
fn disconnect_with_will_sends_it_all_the_same() {
    let (mut story, watcher) = watched();
    let id = story.join(client("dev").v5().will("w", "gone"));
    story.packet(id, Disconnect::new(ReasonCode::DisconnectWithWill));
    assert_eq!(story.take(watcher), ["PUBLISH w=gone qos1 #1"]);
}

#[test]
fn a_protocol_error_sends_the_will() {
    let (mut story, watcher) = watched();
    let id = story.join(client("dev").v5().will("w", "gone"));
    story.packet(id, Packet::PingResp);
    assert_eq!(story.take(watcher), ["PUBLISH w=gone qos1 #1"]);
}

#[test]
fn wills_with_qos_2_or_on_topics_that_cannot_be_are_refused() {
    let mut story = Story::new();
    let wills = [
        (
            client("a").will("w", "x").change_will(|will| will.qos = QoS::ExactlyOnce),
            "CONNACK 9B",
            "WILL_QOS_NOT_SUPPORTED",
        ),
        (client("a").will("$aws/things/t/shadow/update", "x"), "CONNACK 90", "WILL_TOPIC_RESERVED"),
        (client("a").will("1/2/3/4/5/6/7/8/9", "x"), "CONNACK 90", "WILL_TOPIC_INVALID"),
        (
            client("a").will("w", "x").change_will(|will| {
                will.topic = TopicName::new("x".repeat(257).as_str()).unwrap();
            }),
            "CONNACK 90",
            "WILL_TOPIC_INVALID",
        ),
        (
            client("a").will("w", "x").change_will(|will| {
                will.properties.correlation_data = Some(Bytes::from(vec![0; 8193]));
            }),
            "CONNACK 97",
            "WILL_TOO_LARGE",
        ),
    ];
    for (connect, connack, name) in wills {
        let mut old = client("b");
        old.packet.will = connect.packet.will.clone();
        let id = story.connect(connect.v5());
        assert_eq!(story.take(id), [connack, "CLOSE CLIENT_ERROR"]);
        assert_eq!(story.take_refused(), [name]);
        let id = story.connect(old);
        assert_eq!(story.take(id), ["CLOSE CLIENT_ERROR"], "3.1.1: no CONNACK");
        story.take_refused();
    }
}

#[test]
fn a_will_needs_publish_and_a_retained_one_retain_publish() {
    let mut story = Story::new();
    let no_publish = rules(|action| !matches!(action, Action::Publish("w")));
    let id = story.connect_as(&no_publish, client("a").v5().will("w", "x"));
    assert_eq!(story.take(id), ["CONNACK 87", "CLOSE AUTH_ERROR"]);
    let no_retain = rules(|action| !matches!(action, Action::RetainPublish(_)));
    let id = story.connect_as(&no_retain, client("a").v5().will("w", "x"));
    assert_eq!(story.take(id), ["CONNACK 00"]);
    let id =
        story.connect_as(&no_retain, client("b").v5().will("w", "x").change_will(|will| will.retain = true));
    assert_eq!(story.take(id), ["CONNACK 87", "CLOSE AUTH_ERROR"]);
    assert_eq!(story.take_refused(), ["WILL_NOT_AUTHORIZED", "WILL_RETAIN_NOT_AUTHORIZED"]);
}

#[test]
fn a_delayed_will_waits_and_a_client_that_is_back_in_time_takes_it_back() {
    let delayed =
        || client("dev").v5().persistent().will("w", "gone").change_will(|will| will.delay_interval = 30);
    let (mut story, watcher) = watched();
    let id = story.join(delayed());
    story.lose(id);
    story.wait(29_999);
    assert!(story.take(watcher).is_empty());
    let id = story.join(delayed());
    story.wait(60_000);
    assert!(story.take(watcher).is_empty(), "taken back");
    story.lose(id);
    story.wait(30_000);
    assert_eq!(story.take(watcher), ["PUBLISH w=gone qos1 #1"]);
    story.wait(3_600_000);
    assert!(
        story.take(watcher).iter().all(|line| line.ends_with("#1")),
        "sent once, resent until acknowledged"
    );
}

#[test]
fn a_delay_ends_with_the_session() {
    let delayed = |expiry| {
        client("dev")
            .v5()
            .clean_start()
            .expiry(expiry)
            .will("w", "gone")
            .change_will(|will| will.delay_interval = 300)
    };
    // The session ends with the connection, so the will is sent at once.
    let (mut story, watcher) = watched();
    let id = story.join(delayed(0));
    story.lose(id);
    assert_eq!(story.take(watcher).len(), 1);
    // It ends before the delay does.
    let (mut story, watcher) = watched();
    let id = story.join(delayed(10));
    story.lose(id);
    story.wait(10_000);
    assert_eq!(story.take(watcher).len(), 1);
    // A clean start ends it.
    let (mut story, watcher) = watched();
    let id = story.join(delayed(100));
    story.lose(id);
    story.join(client("dev").v5());
    assert_eq!(story.take(watcher).len(), 1);
}

#[test]
fn delete_connection_can_keep_the_will_from_being_sent() {
    for (prevent_will, expected) in [(false, 1), (true, 0)] {
        let (mut story, watcher) = watched();
        story.join(client("dev").will("w", "gone"));
        let reason = DisconnectReason::ApiInitiatedDisconnect;
        let how = DisconnectClient { reason, clean_session: false, prevent_will };
        story.turn(|broker, now, effects| broker.disconnect_client(now, "dev", how, effects));
        assert_eq!(story.take(watcher).len(), expected);
    }
}

#[test]
fn a_will_for_which_the_retained_store_has_no_room_is_sent_and_not_kept() {
    let mut story = Story::with(Limits { retained_messages: 1, ..Limits::default() });
    let watcher = story.join(client("watcher"));
    story.follow(watcher, &[("w", 0)]);
    story.publish(watcher, publish("a", "x").retained());
    let id = story.join(client("dev").will("w", "gone").change_will(|will| will.retain = true));
    story.lose(id);
    assert_eq!(story.take(watcher), ["PUBLISH w=gone qos0"]);
    assert_eq!(story.broker.retained_messages(story.now()).count(), 1);
}

#[test]
fn a_retained_will_is_kept_and_its_expiry_counts_from_its_sending() {
    let mut story = Story::new();
    let connect = client("dev").v5().will("w", "gone").change_will(|will| {
        will.retain = true;
        will.properties = PublishFields {
            message_expiry_interval: Some(60),
            content_type: Some(text("text/plain")),
            ..PublishFields::default()
        }
        .into();
    });
    let id = story.join(connect);
    story.wait(500_000);
    story.lose(id);
    story.wait(10_000);
    let reader = story.join(client("r").v5());
    story.subscribe(reader, &[("w", 1)]);
    assert_eq!(story.take(reader), ["SUBACK 01 #1", "PUBLISH w=gone qos1 retained expiry50 #1"]);
    let kept = story.broker.retained(story.now(), &TopicName::new("w").unwrap()).unwrap();
    assert_eq!(kept.properties.content_type, Some(text("text/plain")));
}

#[test]
fn a_will_that_was_taken_back_or_prevented_does_not_come_with_the_end_of_the_session() {
    let delayed =
        || client("dev").v5().persistent().will("w", "gone").change_will(|will| will.delay_interval = 30);
    let (mut story, watcher) = watched();
    let id = story.join(delayed());
    story.lose(id);
    let id = story.join(client("dev").v5().persistent());
    story.lose(id);
    story.wait(600_000);
    assert!(story.broker.session("dev").is_none());
    assert!(story.take(watcher).is_empty(), "taken back");

    let id = story.join(delayed());
    story.lose(id);
    let reason = DisconnectReason::ApiInitiatedDisconnect;
    let how = DisconnectClient { reason, clean_session: true, prevent_will: true };
    assert!(story.turn(|broker, now, effects| broker.disconnect_client(now, "dev", how, effects)));
    assert!(story.broker.session("dev").is_none());
    assert!(story.take(watcher).is_empty(), "prevented");
}
