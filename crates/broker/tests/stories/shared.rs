//! Shared subscriptions: one copy for each group.

use std::collections::HashMap;

use sekisho_broker::{Action, Limits, Owner, Record};

use crate::story::*;

#[test]
fn each_group_gets_one_copy_and_each_online_member_its_turn() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let members: Vec<_> = (0..3).map(|number| story.join(client(&format!("m{number}")))).collect();
    for member in &members {
        story.follow(*member, &[("$share/g/a/#", 0)]);
    }
    let other = story.join(client("other").v5());
    story.follow(other, &[("$share/g/a/b", 0), ("a/+", 0)]);
    for _ in 0..60 {
        story.publish(publisher, publish("a/b", "x"));
    }
    let counts: Vec<usize> = members.iter().map(|member| story.take(*member).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(
        story.take(other).len(),
        120,
        "its own subscription comes on top, and $share/g/a/b is another group"
    );
}

#[test]
fn offline_members_are_passed_over() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let (gone, here) = (story.join(client("gone").persistent()), story.join(client("here")));
    story.follow(gone, &[("$share/g/a", 1)]);
    story.follow(here, &[("$share/g/a", 1)]);
    story.lose(gone);
    for number in 1..=20 {
        story.publish(publisher, publish("a", "x").qos1(number));
    }
    assert_eq!(story.take(here).len(), 20);
}

#[test]
fn with_no_member_online_qos_1_waits_when_a_session_is_persistent() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let first = story.join(client("first").persistent());
    story.follow(first, &[("$share/g/a", 1)]);
    story.lose(first);
    story.publish(publisher, publish("a", "1").qos1(1));
    story.publish(publisher, publish("a", "qos 0"));
    story.publish(publisher, publish("a", "2").qos1(2));
    let second = story.join(client("second"));
    story.subscribe(second, &[("$share/g/a", 1)]);
    let seen = story.take_and_acknowledge(second);
    assert!(
        seen.contains(&"PUBLISH a=1 qos1".to_owned()) && seen.contains(&"PUBLISH a=2 qos1".to_owned()),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 3, "with the SUBACK; a new member takes what waits");
    let first = story.connect(client("first").persistent());
    assert_eq!(story.take(first), ["CONNACK 00 present"]);
}

#[test]
fn a_group_of_clean_sessions_keeps_nothing() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let member = story.join(client("m"));
    story.follow(member, &[("$share/g/a", 1)]);
    story.lose(member);
    story.publish(publisher, publish("a", "x").qos1(1));
    let member = story.join(client("m"));
    story.follow(member, &[("$share/g/a", 1)]);
    assert!(story.take(member).is_empty());
}

#[test]
fn a_busy_member_leaves_messages_to_the_others() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let (slow, quick) =
        (story.join(client("slow").v5().receive_maximum(1)), story.join(client("quick").v5()));
    for member in [slow, quick] {
        story.follow(member, &[("$share/g/a", 1)]);
    }
    for number in 1..=30 {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    assert_eq!(story.take(slow).len(), 1);
    assert_eq!(story.take(quick).len(), 29);
}

/// Publishes numbered messages before anything is acknowledged, as a burst arrives; then acknowledges all that `quick`
/// is sent until nothing more comes. What `quick` and `stuck` saw.
fn burst(story: &mut Story, stuck: Client, quick: Client, count: u16) -> (Vec<String>, Vec<String>) {
    let publisher = story.join(client("p"));
    let (stuck, quick) = (story.join(stuck), story.join(quick));
    for member in [stuck, quick] {
        story.follow(member, &[("$share/g/a", 1)]);
    }
    for number in 1..=count {
        story.publish(publisher, publish("a", &number.to_string()).qos1(number));
    }
    let seen = story.take_and_acknowledge(quick);
    (seen, story.take(stuck))
}

#[test]
fn a_member_that_never_acknowledges_keeps_its_window_and_no_more() {
    for persistent in [false, true] {
        let member = |id: &str| {
            let member = client(id);
            if persistent { member.persistent() } else { member }
        };
        let mut story = Story::new();
        let (quick, stuck) = burst(&mut story, member("stuck"), member("quick"), 1000);
        assert_eq!((stuck.len(), quick.len()), (100, 900));
        assert_eq!(story.broker.session("stuck").unwrap().queued, 0, "what waits belongs to the group");
        assert_eq!(story.broker.counters().dropped_queue_full, 0);
    }
}

#[test]
fn what_a_member_did_not_acknowledge_goes_to_another_as_soon_as_its_connection_ends() {
    for persistent in [false, true] {
        let mut story = Story::new();
        let stuck = if persistent { client("stuck").persistent() } else { client("stuck") };
        let (mut seen, _) = burst(&mut story, stuck, client("quick"), 300);
        let connection = |story: &Story, id: &str| story.broker.session(id).unwrap().connection.unwrap();
        let (stuck, quick) = (connection(&story, "stuck"), connection(&story, "quick"));
        story.lose(stuck);
        seen.extend(story.take_and_acknowledge(quick));
        let mut numbers: Vec<u32> = seen
            .iter()
            .map(|line| line.trim_start_matches("PUBLISH a=").trim_end_matches(" qos1").parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=300).collect::<Vec<u32>>(), "each once");
    }
}

#[test]
fn what_a_member_did_not_acknowledge_before_it_left_the_group_goes_to_another_too() {
    let mut story = Story::new();
    let (seen, _) = burst(&mut story, client("stuck"), client("quick"), 20);
    let connection = |story: &Story, id: &str| story.broker.session(id).unwrap().connection.unwrap();
    let (stuck, quick) = (connection(&story, "stuck"), connection(&story, "quick"));
    story.unsubscribe(stuck, &["$share/g/a"]);
    assert!(story.take(quick).is_empty(), "MQTT lets a delivery that has begun go on (section 3.10.4)");
    story.lose(stuck);
    assert_eq!(seen.len() + story.take_and_acknowledge(quick).len(), 20);
}

#[test]
fn what_a_member_did_not_acknowledge_goes_to_another_when_its_session_ends() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let first = story.join(client("first"));
    story.follow(first, &[("$share/g/a", 1)]);
    story.publish(publisher, publish("a", "1").qos1(1));
    assert_eq!(story.take(first).len(), 1);
    let second = story.join(client("second"));
    story.follow(second, &[("$share/g/a", 1)]);
    story.lose(first);
    assert_eq!(story.take(second), ["PUBLISH a=1 qos1 #1"]);
}

#[test]
fn a_persistent_member_keeps_what_it_was_given_over_a_reconnect() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let member = story.join(client("m").persistent());
    story.follow(member, &[("$share/g/a", 1)]);
    story.publish(publisher, publish("a", "1").qos1(1));
    story.lose(member);
    let member = story.connect(client("m").persistent());
    assert_eq!(story.take_and_acknowledge(member), ["CONNACK 00 present", "PUBLISH a=1 qos1"]);
}

#[test]
fn members_that_may_not_receive_are_passed_over() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let deaf = story.connect_as(&rules(|action| !matches!(action, Action::Receive(_))), client("deaf"));
    story.take(deaf);
    let other = story.join(client("other"));
    story.follow(deaf, &[("$share/g/a", 1)]);
    story.follow(other, &[("$share/g/a", 1)]);
    for number in 1..=20 {
        story.publish(publisher, publish("a", "x").qos1(number));
    }
    assert!(story.take(deaf).is_empty());
    assert_eq!(story.take(other).len(), 20);
}

#[test]
fn a_shared_filter_brings_no_stored_message() {
    let mut story = Story::new();
    let id = story.join(client("m"));
    story.publish(id, publish("a", "kept").retained());
    story.subscribe(id, &[("$share/g/a", 1)]);
    assert_eq!(story.take(id), ["SUBACK 01 #1"]);
    story.publish(id, publish("a", "live").retained());
    assert_eq!(story.take(id), ["PUBLISH a=live qos0"]);
}

#[test]
fn policies_see_the_whole_filter_on_subscribe_and_the_topic_on_receive() {
    let mut story = Story::new();
    let authority = rules(|action| match action {
        Action::Subscribe(filter) => filter == "$share/g/a/#",
        Action::Receive(topic) => topic == "a/b",
        _ => true,
    });
    let id = story.connect_as(&authority, client("m").v5());
    story.take(id);
    story.subscribe(id, &[("$share/g/a/#", 0), ("$share/h/a/#", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 87 #1"]);
    story.publish(id, publish("a/b", "x"));
    assert_eq!(story.take(id), ["PUBLISH a/b=x qos0"]);
}

#[test]
fn groups_and_their_members_are_limited() {
    let mut story = Story::with(Limits { shared_groups: 2, ..Limits::default() });
    let id = story.join(client("m").v5());
    story.subscribe(id, &[("$share/1/a", 0), ("$share/2/a", 0), ("$share/3/a", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 00 97 #1"]);
    for number in 0..99 {
        let other = story.join(client(&format!("o{number}")));
        story.follow(other, &[("$share/1/a", 0)]);
    }
    let last = story.join(client("last").v5());
    story.subscribe(last, &[("$share/1/a", 0), ("$share/2/a", 0)]);
    assert_eq!(story.take(last), ["SUBACK 97 00 #1"]);
}

#[test]
fn a_group_owes_its_message_until_a_member_has_acknowledged_it() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let (clean, kept) = (story.join(client("clean")), story.join(client("kept").persistent()));
    story.follow(clean, &[("$share/g/a", 1)]);
    story.follow(kept, &[("$share/g/a", 1)]);
    story.lose(kept);
    story.records.clear();
    story.publish(publisher, publish("a", "x").qos1(1));
    let owner = Owner::Group("g/a".into());
    let [Record::Message { id, owners, .. }] = &story.records[..] else { panic!("{:?}", story.records) };
    assert_eq!(*owners, std::slice::from_ref(&owner));
    let settled = Record::Settled { owner, message: *id };
    story.records.clear();
    assert_eq!(story.take_and_acknowledge(clean), ["PUBLISH a=x qos1"]);
    assert_eq!(story.records, [settled]);
}

#[test]
fn what_waits_in_a_group_is_forgotten_after_the_accounts_session_expiry() {
    let mut story = Story::with(Limits { session_expiry_seconds: 100, ..Limits::default() });
    let publisher = story.join(client("p"));
    let member = story.join(client("m").persistent());
    story.follow(member, &[("$share/g/a", 1)]);
    story.lose(member);
    story.publish(publisher, publish("a", "old").qos1(1));
    story.wait(60_000);
    story.publish(publisher, publish("a", "new").qos1(2));
    // It comes and goes, so that its session lives on.
    let deaf =
        story.connect_as(&rules(|action| !matches!(action, Action::Receive(_))), client("m").persistent());
    story.lose(deaf);
    story.wait(50_000);
    let member = story.connect(client("m").persistent());
    assert_eq!(story.take_and_acknowledge(member), ["CONNACK 00 present", "PUBLISH a=new qos1"]);
    assert_eq!(story.broker.counters().dropped_expired, 1);
}

#[test]
fn leaving_the_group_ends_the_share() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let members: HashMap<&str, _> =
        ["a", "b"].into_iter().map(|name| (name, story.join(client(name)))).collect();
    for member in members.values() {
        story.follow(*member, &[("$share/g/t", 0)]);
    }
    story.unsubscribe(members["a"], &["$share/g/t"]);
    story.take(members["a"]);
    for _ in 0..10 {
        story.publish(publisher, publish("t", "x"));
    }
    assert!(story.take(members["a"]).is_empty());
    assert_eq!(story.take(members["b"]).len(), 10);
    story.unsubscribe(members["b"], &["$share/g/t"]);
    story.publish(publisher, publish("t", "x"));
    assert_eq!(story.take(members["b"]), ["UNSUBACK 00 #2"]);
}

#[test]
fn a_group_with_nothing_for_a_member_does_not_hold_up_its_other_groups() {
    let mut story = Story::new();
    let publisher = story.join(client("p"));
    let persistent = story.join(client("k").persistent());
    story.follow(persistent, &[("$share/g/secret", 1), ("$share/g/open", 1)]);
    story.lose(persistent);
    story.publish(publisher, publish("secret", "1").qos1(1));
    story.publish(publisher, publish("open", "2").qos1(2));
    let member = story.connect_as(&rules(|action| action != Action::Receive("secret")), client("m"));
    story.take(member);
    story.subscribe(member, &[("$share/g/secret", 1), ("$share/g/open", 1)]);
    let seen = story.take_and_acknowledge(member);
    assert!(seen.contains(&"PUBLISH open=2 qos1".to_owned()) && seen.len() == 2, "{seen:?}");
    let back = story.connect(client("k").persistent());
    assert_eq!(story.take_and_acknowledge(back), ["CONNACK 00 present", "PUBLISH secret=1 qos1"]);
}
