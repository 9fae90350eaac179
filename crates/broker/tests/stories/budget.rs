//! What clients can make the server hold is bounded, for each account and for the process.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sekisho_broker::{AccountBudget, Budget, BudgetLimits, ConnectionId, Limits, Resource};
use sekisho_mqtt::QoS;

use crate::story::*;

const KB: u64 = 1024;

/// Limits of which an account may use all.
fn all_of(limits: BudgetLimits) -> BudgetLimits {
    BudgetLimits { account_share_percent: 100, ..limits }
}

fn with_messages(message_bytes: u64) -> BudgetLimits {
    all_of(BudgetLimits { message_bytes, ..BudgetLimits::default() })
}

fn story(limits: &BudgetLimits) -> (Story, Arc<AccountBudget>) {
    let budget = AccountBudget::new(Budget::new(limits));
    (Story::of_account(Limits::default(), Arc::clone(&budget)), budget)
}

/// A persistent session that has subscribed and gone.
fn absent(story: &mut Story, client_id: &str, filter: &str) {
    let id = story.join(client(client_id).persistent());
    story.follow(id, &[(filter, 1)]);
    story.lose(id);
}

/// Publishes messages of 1 KB until one is refused; how many were taken.
fn fill(story: &mut Story, publisher: ConnectionId, topic: &str) -> usize {
    let payload = "x".repeat(1024);
    for taken in 0..100_000 {
        story.publish(publisher, publish(topic, &payload).qos1(1));
        match &story.take(publisher)[..] {
            [ack] if ack == "PUBACK 00 #1" => {}
            [ack] if ack == "PUBACK 97 #1" => return taken,
            other => panic!("{other:?}"),
        }
    }
    panic!("nothing is refused");
}

#[test]
fn a_message_that_could_only_wait_is_refused_when_the_budget_is_used_up() {
    let (mut story, budget) = story(&with_messages(100 * KB));
    let publisher = story.join(client("p").v5());
    absent(&mut story, "sleeper", "a");
    let taken = fill(&mut story, publisher, "a");
    assert!((50..80).contains(&taken), "{taken} messages in 80 % of 100 KB, each with what it takes besides");
    assert_eq!(story.take_refused(), ["MESSAGE_MEMORY_FULL"]);
    assert_eq!(story.broker.counters().dropped_budget, 0, "nothing that was acknowledged is lost");

    let old = story.join(client("old"));
    story.publish(old, publish("a", "x").qos1(1));
    assert!(story.take(old).is_empty(), "3.1.1 has no code: no PUBACK, so that it is sent again");
    assert!(matches!(
        story.publish_from_server("a", "x", QoS::AtLeastOnce),
        Err(sekisho_broker::Refusal::MessageMemoryFull)
    ));

    let sleeper = story.connect(client("sleeper").persistent());
    assert_eq!(story.take_and_acknowledge(sleeper).len(), 1 + taken);
    story.records.clear();
    story.publish(publisher, publish("a", "x").qos1(1));
    assert_eq!(story.take(publisher), ["PUBACK 00 #1"]);
    assert!(budget.used(Resource::Messages) < KB);
}

#[test]
fn no_acknowledged_message_is_lost_at_the_bound_whatever_its_size() {
    for bytes in [1, 1000, 3333, 10_000, 15_000, 19_000] {
        for filter in ["a", "$share/g/a"] {
            let (mut story, _) = story(&with_messages(100 * KB));
            let publisher = story.join(client("p").v5());
            absent(&mut story, "sleeper", filter);
            let payload = "x".repeat(bytes);
            let mut taken = 0;
            loop {
                story.publish(publisher, publish("a", &payload).qos1(1));
                if story.take(publisher) != ["PUBACK 00 #1"] {
                    break;
                }
                taken += 1;
            }
            assert_eq!(story.broker.counters().dropped_budget, 0, "{bytes} bytes, {filter}");
            let sleeper = story.connect(client("sleeper").persistent());
            assert_eq!(story.take_and_acknowledge(sleeper).len(), 1 + taken, "{bytes} bytes, {filter}");
        }
    }
}

#[test]
fn full_queues_delay_no_message_to_a_client_that_reads() {
    let (mut story, _) = story(&with_messages(100 * KB));
    let publisher = story.join(client("p").v5());
    let reader = story.join(client("reader"));
    story.follow(reader, &[("live", 1), ("both", 1)]);
    absent(&mut story, "sleeper", "a");
    absent(&mut story, "other", "both");
    fill(&mut story, publisher, "a");
    for qos_1 in [false, true] {
        let message = publish("live", "x");
        story.publish(publisher, if qos_1 { message.qos1(1) } else { message });
        assert_eq!(story.take_and_acknowledge(reader).len(), 1);
    }
    story.take(publisher);
    // One can be sent it now, the other could only wait: it is taken, and the loss is counted.
    story.publish(publisher, publish("both", "x").qos1(1));
    assert_eq!(story.take(publisher), ["PUBACK 00 #1"]);
    assert_eq!(story.take_and_acknowledge(reader), ["PUBLISH both=x qos1"]);
    assert_eq!(story.broker.counters().dropped_budget, 1);
}

#[test]
fn a_shared_group_waits_within_the_budget_too() {
    let (mut story, budget) = story(&with_messages(100 * KB));
    let publisher = story.join(client("p").v5());
    absent(&mut story, "sleeper", "$share/g/a");
    let taken = fill(&mut story, publisher, "a");
    assert!((50..80).contains(&taken), "{taken}");
    let sleeper = story.connect(client("sleeper").persistent());
    assert_eq!(story.take_and_acknowledge(sleeper).len(), 1 + taken);
    story.records.clear();
    assert_eq!(budget.used(Resource::Messages), 0);
}

#[test]
fn a_payload_counts_once_however_many_wait_for_it() {
    let (mut story, budget) = story(&with_messages(1024 * KB));
    let publisher = story.join(client("p").v5());
    for number in 0..50 {
        absent(&mut story, &format!("sleeper{number}"), "a");
    }
    story.publish(publisher, publish("a", &"x".repeat(100 * 1024)).qos1(1));
    let used = budget.used(Resource::Messages);
    assert!((100 * KB..110 * KB).contains(&used), "{used} bytes");
    for number in 0..50 {
        assert!(budget.used(Resource::Messages) >= 100 * KB, "the others still wait for it");
        let id = story.connect(client(&format!("sleeper{number}")).persistent());
        assert_eq!(story.take_and_acknowledge(id).len(), 2);
        // The log has written down what it was asked to.
        story.records.clear();
    }
    assert_eq!(budget.used(Resource::Messages), 0);
}

#[test]
fn a_message_holds_no_read_buffer_while_it_is_under_way_or_waits() {
    for (client, qos) in [(client("s"), 0), (client("s"), 1), (client("s").persistent(), 1)] {
        let mut story = Story::new();
        story.reads_at_once = false;
        let publisher = story.join(self::client("p").v5());
        let reader = story.join(client);
        story.follow(reader, &[("a", qos)]);
        // As the decoder does it: a slice of all that was read.
        let read = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut message = publish("a", "").qos1(1);
        message.0.payload = read.slice(..1);
        story.publish(publisher, message);
        assert_eq!(story.take(reader).len(), 1);
        assert!(read.is_unique(), "QoS {qos}: one byte holds 64 KB");
    }
}

#[test]
fn persistent_sessions_are_limited_and_clean_ones_are_not() {
    let limits = all_of(BudgetLimits { persistent_sessions: 2, ..BudgetLimits::default() });
    let (mut story, budget) = story(&limits);
    let first = story.join(client("first").persistent());
    story.join(client("second").v5().persistent());
    let refused = story.connect(client("third").v5().persistent());
    assert_eq!(story.take(refused), ["CONNACK 97", "CLOSE THROTTLED"]);
    let refused = story.connect(client("third").persistent());
    assert_eq!(story.take(refused), ["CONNACK 88", "CLOSE THROTTLED"], "in 3.1.1: 3, server unavailable");
    assert_eq!(story.take_refused(), ["TOO_MANY_SESSIONS", "TOO_MANY_SESSIONS"]);
    story.join(client("clean"));
    story.join(client("clean5").v5());

    // Who has one already keeps it, whether resumed or begun anew.
    let again = story.connect(client("second").v5().persistent());
    assert_eq!(story.take(again), ["CONNACK 00 present"]);
    let anew = story.connect(client("second").v5().persistent().clean_start());
    assert_eq!(story.take(anew), ["CONNACK 00"]);
    let other_version = story.connect(client("second").persistent());
    assert_eq!(story.take(other_version), ["CONNACK 00"]);
    assert_eq!(budget.used(Resource::PersistentSessions), 2);

    story.say_goodbye(first);
    story.wait(3_600_000);
    assert_eq!(budget.used(Resource::PersistentSessions), 1, "the first has expired");
    story.join(client("third").persistent());
    story.join(client("third"));
    assert_eq!(budget.used(Resource::PersistentSessions), 1, "a clean session takes its place");
}

#[test]
fn wills_are_held_within_the_budget_delayed_or_not() {
    let limits = all_of(BudgetLimits { session_bytes: 20 * KB, ..BudgetLimits::default() });
    let (mut story, budget) = story(&limits);
    let will = "x".repeat(6 * 1024);
    let delayed = |id: &str| {
        client(id).v5().persistent().will("w", &will).change_will(|will| will.delay_interval = 500)
    };
    for id in ["a", "b"] {
        let id = story.join(delayed(id));
        story.lose(id);
    }
    let refused = story.connect(delayed("c"));
    assert_eq!(story.take(refused), ["CONNACK 97", "CLOSE THROTTLED"]);
    assert_eq!(story.take_refused(), ["SESSION_MEMORY_FULL"]);
    story.join(client("c").v5());
    story.wait(500_000);
    story.records.clear();
    assert!(budget.used(Resource::Sessions) < 3 * KB, "the wills have been sent");
    story.wait(100_000);
    assert_eq!(budget.used(Resource::Sessions), 0);
}

#[test]
fn subscriptions_are_held_within_the_budget() {
    let limits = all_of(BudgetLimits { session_bytes: 4 * KB, ..BudgetLimits::default() });
    let (mut story, budget) = story(&limits);
    let id = story.join(client("a").v5());
    let mut granted = 0;
    loop {
        story.subscribe(id, &[(&format!("a/b/{granted}"), 1)]);
        match &story.take(id)[..] {
            [suback] if suback == "SUBACK 01 #1" => granted += 1,
            [suback] if suback == "SUBACK 97 #1" => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((3..8).contains(&granted), "{granted}");
    assert_eq!(story.take_refused(), ["SESSION_MEMORY_FULL"]);
    story.subscribe(id, &[("a/b/0", 0)]);
    assert_eq!(story.take(id), ["SUBACK 00 #1"], "one that is replaced takes nothing");
    story.unsubscribe(id, &["a/b/0"]);
    story.take(id);
    story.subscribe(id, &[("a/b/9", 1)]);
    assert_eq!(story.take(id), ["SUBACK 01 #1"]);
    let old = story.join(client("old"));
    story.subscribe(old, &[("one/more/of/many/levels", 1)]);
    assert_eq!(story.take(old), ["SUBACK 97 #1"], "which is written as 0x80 in 3.1.1");
    story.say_goodbye(old);
    story.say_goodbye(id);
    assert_eq!(budget.used(Resource::Sessions), 0);
}

#[test]
fn retained_messages_are_held_within_the_budget() {
    let limits = all_of(BudgetLimits { retained_bytes: 10 * KB, ..BudgetLimits::default() });
    let (mut story, budget) = story(&limits);
    let id = story.join(client("a").v5());
    let payload = "x".repeat(1024);
    let mut kept = 0;
    loop {
        story.publish(id, publish(&format!("t/{kept}"), &payload).qos1(1).retained());
        match &story.take(id)[..] {
            [ack] if ack == "PUBACK 00 #1" => kept += 1,
            [ack] if ack == "PUBACK 97 #1" => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kept, 6);
    assert_eq!(story.take_refused(), ["RETAINED_STORE_FULL"]);
    for number in 0..kept {
        story.publish(id, publish(&format!("t/{number}"), &payload).qos1(1).retained());
        assert_eq!(story.take(id), ["PUBACK 00 #1"], "replacing takes nothing more");
    }
    for number in 0..kept {
        story.publish(id, publish(&format!("t/{number}"), "").qos1(1).retained());
    }
    assert_eq!(budget.used(Resource::Retained), 0);
}

#[test]
fn one_account_that_takes_all_it_can_leaves_another_its_share() {
    let process = Budget::new(&BudgetLimits {
        message_bytes: 200 * KB,
        persistent_sessions: 20,
        session_bytes: 100 * KB,
        retained_bytes: 20 * KB,
        ..BudgetLimits::default()
    });
    let account = || {
        let budget = AccountBudget::new(Arc::clone(&process));
        Story::of_account(Limits::default(), budget)
    };
    let fill_all = |story: &mut Story| {
        let publisher = story.join(client("p").v5());
        let mut sessions = 0;
        loop {
            let id = story.connect(client(&format!("s{sessions}")).v5().persistent());
            if story.take(id).first().is_some_and(|line| line != "CONNACK 00") {
                break;
            }
            story.follow(id, &[("a", 1)]);
            story.lose(id);
            sessions += 1;
        }
        (publisher, sessions, fill(story, publisher, "a"))
    };
    let (mut greedy, mut other) = (account(), account());
    let (_, sessions, messages) = fill_all(&mut greedy);
    let (publisher, same_sessions, same_messages) = fill_all(&mut other);
    assert_eq!((sessions, sessions), (10, same_sessions));
    assert_eq!(messages, same_messages);
    let reader = other.join(client("reader"));
    other.follow(reader, &[("live", 1)]);
    other.publish(publisher, publish("live", "x").qos1(1));
    assert_eq!(other.take(reader), ["PUBLISH live=x qos1 #1"]);
    drop((greedy, other));
    for resource in Resource::ALL {
        assert_eq!(process.used(resource), 0, "{resource:?}");
    }
}

const CLIENTS: usize = 4;
const FILTERS: [&str; 5] = ["a", "b/+", "#", "$share/g/a", "$share/g/b/+"];
const TOPICS: [&str; 3] = ["a", "b/1", "b/2"];

#[derive(Debug, Clone)]
enum Step {
    Connect { client: usize, persistent: bool, v5: bool, will: Option<usize> },
    Lose(usize),
    Goodbye(usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Publish { topic: usize, bytes: usize, qos: u8, retained: bool, expiry: bool },
    Acknowledge(usize),
    Read(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let will = proptest::option::weighted(0.3, 0_usize..3000);
    prop_oneof![
        3 => (0..CLIENTS, any::<bool>(), any::<bool>(), will)
            .prop_map(|(client, persistent, v5, will)| Step::Connect { client, persistent, v5, will }),
        1 => (0..CLIENTS).prop_map(Step::Lose),
        1 => (0..CLIENTS).prop_map(Step::Goodbye),
        3 => (0..CLIENTS, 0..FILTERS.len()).prop_map(|(client, filter)| Step::Subscribe(client, filter)),
        1 => (0..CLIENTS, 0..FILTERS.len()).prop_map(|(client, filter)| Step::Unsubscribe(client, filter)),
        8 => (0..TOPICS.len(), 0_usize..3000, 0_u8..2, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(topic, bytes, qos, retained, expiry)| {
                Step::Publish { topic, bytes, qos, retained, expiry }
            }),
        2 => (0..CLIENTS).prop_map(Step::Acknowledge),
        1 => (0..CLIENTS).prop_map(Step::Read),
        1 => (0_u64..4_000_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn what_is_held_stays_within_the_limits_and_comes_back_when_all_has_ended(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let limits = BudgetLimits {
            message_bytes: 20 * KB,
            retained_bytes: 6 * KB,
            persistent_sessions: 3,
            session_bytes: 10 * KB,
            presence_records: 3,
            account_share_percent: 100,
        };
        let (mut story, budget) = story(&limits);
        story.reads_at_once = false;
        let publisher = story.join(client("publisher").v5());
        let mut connections: [Option<ConnectionId>; CLIENTS] = [None; CLIENTS];
        for step in steps {
            match step {
                Step::Connect { client: number, persistent, v5, will } => {
                    let mut connect = client(&format!("device{number}"));
                    if v5 { connect = connect.v5(); }
                    if persistent { connect = connect.persistent(); }
                    if let Some(bytes) = will {
                        let delay = u32::try_from(bytes).unwrap();
                        let text = "w".repeat(bytes);
                        connect = connect.will("a", &text).change_will(|will| will.delay_interval = delay);
                    }
                    let id = story.connect(connect);
                    let is_in = story.take(id).first().is_some_and(|line| line.starts_with("CONNACK 00"));
                    // Who was connected and is refused stays connected.
                    if is_in {
                        connections[number] = Some(id);
                    }
                }
                Step::Lose(number) => {
                    if let Some(id) = connections[number].take() { story.lose(id); }
                }
                Step::Goodbye(number) => {
                    if let Some(id) = connections[number].take() { story.say_goodbye(id); }
                }
                Step::Subscribe(number, filter) => {
                    if let Some(id) = connections[number] { story.subscribe(id, &[(FILTERS[filter], 1)]); }
                }
                Step::Unsubscribe(number, filter) => {
                    if let Some(id) = connections[number] { story.unsubscribe(id, &[FILTERS[filter]]); }
                }
                Step::Publish { topic, bytes, qos, retained, expiry } => {
                    let mut message = publish(TOPICS[topic], &"x".repeat(bytes));
                    if qos == 1 { message = message.qos1(1); }
                    if retained { message = message.retained(); }
                    if expiry { message = message.expiry(100); }
                    story.publish(publisher, message);
                }
                Step::Acknowledge(number) => {
                    if let Some(id) = connections[number] {
                        let last = story.take(id).iter().rev().find_map(|line| {
                            line.starts_with("PUBLISH").then(|| line.split_once('#')?.1.parse().ok()).flatten()
                        });
                        if let Some(packet_id) = last { story.puback(id, packet_id); }
                    }
                }
                Step::Read(number) => {
                    if let Some(id) = connections[number] { story.client_reads(id); }
                }
                Step::Wait(milliseconds) => story.wait(milliseconds),
            }
            // The story keeps no message of its own, so the network holds none either.
            for (resource, most) in [
                (Resource::Messages, limits.message_bytes),
                (Resource::Retained, limits.retained_bytes),
                (Resource::PersistentSessions, limits.persistent_sessions),
                (Resource::Sessions, limits.session_bytes),
                (Resource::Presence, limits.presence_records),
            ] {
                prop_assert!(budget.used(resource) <= most, "{:?}: {}", resource, budget.used(resource));
            }
            story.records.clear();
        }
        for id in connections.into_iter().flatten() {
            story.say_goodbye(id);
        }
        story.wait(8 * 24 * 3_600_000);
        for topic in TOPICS {
            story.publish(publisher, publish(topic, "").qos1(1).retained());
        }
        story.say_goodbye(publisher);
        story.records.clear();
        for resource in [Resource::Messages, Resource::Retained, Resource::PersistentSessions, Resource::Sessions] {
            prop_assert_eq!(budget.used(resource), 0, "{:?}", resource);
        }
        drop(story);
        prop_assert_eq!(budget.used(Resource::Presence), 0);
    }
}
