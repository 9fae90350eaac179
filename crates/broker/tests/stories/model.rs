//! Random actions of a few clients, compared with simple rules.
//!
//! Whatever the order of connecting, subscribing, publishing, acknowledging and going away:
//!
//! - each QoS 1 message that a persistent session was subscribed to when it was published reaches its client, in order
//!   at its first delivery;
//! - a client never has more unacknowledged messages than its Receive Maximum, nor two with one packet identifier;
//! - a message comes only on topics that the client subscribed to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sekisho_broker::ConnectionId;

use crate::story::*;

const CLIENTS: usize = 3;
const TOPICS: [&str; 3] = ["a/1", "a/2", "b"];
const FILTERS: [&str; 4] = ["a/+", "b", "#", "a/1"];
const WINDOW: u16 = 2;

#[derive(Debug, Clone)]
enum Step {
    Connect(usize, bool),
    Lose(usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Publish(usize),
    Acknowledge(usize, bool),
    Read(usize),
    StoreAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..CLIENTS, prop::bool::weighted(0.9)).prop_map(|(client, persistent)| Step::Connect(client, persistent)),
        1 => (0..CLIENTS).prop_map(Step::Lose),
        2 => (0..CLIENTS, 0..FILTERS.len()).prop_map(|(client, filter)| Step::Subscribe(client, filter)),
        1 => (0..CLIENTS, 0..FILTERS.len()).prop_map(|(client, filter)| Step::Unsubscribe(client, filter)),
        6 => (0..TOPICS.len()).prop_map(Step::Publish),
        4 => (0..CLIENTS, any::<bool>()).prop_map(|(client, first)| Step::Acknowledge(client, first)),
        2 => (0..CLIENTS).prop_map(Step::Read),
        1 => Just(Step::StoreAll),
    ]
}

/// One client as its owner knows it.
#[derive(Default)]
struct Device {
    connection: Option<ConnectionId>,
    /// Whether its session outlives the connection.
    is_persistent: bool,
    filters: BTreeSet<usize>,
    /// Numbers of the messages it must get, in the order of their publication.
    owed: Vec<u32>,
    /// Seen at least once in this session.
    seen: BTreeSet<u32>,
    /// Packet identifiers it has not acknowledged, in order.
    unacknowledged: Vec<(u16, u32)>,
}

struct Model {
    story: Story,
    publisher: ConnectionId,
    devices: [Device; CLIENTS],
    published: BTreeMap<u32, usize>,
}

impl Model {
    fn new(v5: bool) -> Model {
        let mut story = Story::with(sekisho_broker::Limits { outbox_messages: 3, ..Default::default() });
        story.stores_at_once = false;
        story.reads_at_once = false;
        let publisher = client("publisher");
        let publisher = story.join(if v5 { publisher.v5() } else { publisher });
        Model { story, publisher, devices: Default::default(), published: BTreeMap::new() }
    }

    fn take(&mut self, step: Step, v5: bool) {
        match step {
            Step::Connect(number, persistent) => {
                let connect = client(&format!("device{number}"));
                let connect = if v5 { connect.v5().receive_maximum(WINDOW) } else { connect };
                let connect = if persistent { connect.persistent() } else { connect };
                let connection = self.story.connect(connect);
                let device = &mut self.devices[number];
                let resumes = persistent && device.is_persistent;
                if !resumes {
                    *device = Device::default();
                }
                device.connection = Some(connection);
                device.is_persistent = persistent;
                device.unacknowledged.clear();
                self.look_at_connack(number, resumes);
            }
            Step::Lose(number) => {
                if let Some(connection) = self.devices[number].connection {
                    self.look(number);
                    self.story.lose(connection);
                    let device = &mut self.devices[number];
                    device.connection = None;
                    device.unacknowledged.clear();
                    if !device.is_persistent {
                        *device = Device::default();
                    }
                }
            }
            Step::Subscribe(number, filter) => {
                if let Some(connection) = self.devices[number].connection {
                    // The packet identifier is free again.
                    self.story.store_all();
                    self.story.subscribe(connection, &[(FILTERS[filter], 1)]);
                    self.devices[number].filters.insert(filter);
                }
            }
            Step::Unsubscribe(number, filter) => {
                if let Some(connection) = self.devices[number].connection {
                    self.story.store_all();
                    self.story.unsubscribe(connection, &[FILTERS[filter]]);
                    self.devices[number].filters.remove(&filter);
                }
            }
            Step::Publish(topic) => {
                let message = u32::try_from(self.published.len()).unwrap();
                self.published.insert(message, topic);
                self.story.store_all();
                self.story.publish(self.publisher, publish(TOPICS[topic], &message.to_string()).qos1(1));
                for device in &mut self.devices {
                    if device.filters.iter().any(|filter| matches(FILTERS[*filter], TOPICS[topic])) {
                        device.owed.push(message);
                    }
                }
            }
            Step::Acknowledge(number, first) => {
                self.look(number);
                let device = &mut self.devices[number];
                let Some(connection) = device.connection else { return };
                if device.unacknowledged.is_empty() {
                    return;
                }
                let place = if first { 0 } else { device.unacknowledged.len() - 1 };
                let (id, message) = device.unacknowledged.remove(place);
                device.owed.retain(|owed| *owed != message);
                self.story.puback(connection, id);
            }
            Step::Read(number) => {
                if let Some(connection) = self.devices[number].connection {
                    self.story.client_reads(connection);
                }
            }
            Step::StoreAll => self.story.store_all(),
        }
        for number in 0..CLIENTS {
            self.look(number);
        }
    }

    fn look_at_connack(&mut self, number: usize, resumes: bool) {
        let Some(connection) = self.devices[number].connection else { return };
        let lines = self.story.take(connection);
        let expected = if resumes { "CONNACK 00 present" } else { "CONNACK 00" };
        assert_eq!(lines.first().map(String::as_str), Some(expected));
        self.look_at(number, connection, lines);
    }

    /// The device looks at what came.
    fn look(&mut self, number: usize) {
        let Some(connection) = self.devices[number].connection else { return };
        let lines = self.story.take(connection);
        self.look_at(number, connection, lines);
    }

    fn look_at(&mut self, number: usize, connection: ConnectionId, lines: Vec<String>) {
        assert_eq!(
            self.story.broker.session(&format!("device{number}")).unwrap().connection,
            Some(connection),
            "the connection is the session's"
        );
        let window = if self.story.broker.session(&format!("device{number}")).unwrap().version
            == sekisho_mqtt::Version::V5
        {
            usize::from(WINDOW)
        } else {
            100
        };
        let device = &mut self.devices[number];
        for line in lines {
            let Some(rest) = line.strip_prefix("PUBLISH ") else { continue };
            let (topic, rest) = rest.split_once('=').unwrap();
            let mut parts = rest.split(' ');
            let message: u32 = parts.next().unwrap().parse().unwrap();
            let id: u16 = parts.next_back().unwrap().strip_prefix('#').unwrap().parse().unwrap();
            assert_eq!(TOPICS[self.published[&message]], topic);
            assert!(
                device.owed.contains(&message),
                "device{number} was not owed {message}, or acknowledged it"
            );
            if device.seen.insert(message) {
                let unseen = device.owed.iter().find(|owed| **owed == message || !device.seen.contains(owed));
                assert_eq!(unseen, Some(&message), "first deliveries come in order");
            }
            assert!(
                device.unacknowledged.iter().all(|(other, _)| *other != id),
                "packet identifier {id} twice"
            );
            device.unacknowledged.push((id, message));
            assert!(device.unacknowledged.len() <= window, "the window holds");
        }
    }

    /// All clients connect, read and acknowledge until nothing more comes.
    fn settle(&mut self, v5: bool) {
        self.story.store_all();
        for number in 0..CLIENTS {
            if self.devices[number].connection.is_none() && self.devices[number].is_persistent {
                self.take(Step::Connect(number, true), v5);
            }
            let Some(connection) = self.devices[number].connection else { continue };
            loop {
                self.story.client_reads(connection);
                self.look(number);
                if self.devices[number].unacknowledged.is_empty() {
                    break;
                }
                self.take(Step::Acknowledge(number, true), v5);
            }
            assert_eq!(self.devices[number].owed, Vec::<u32>::new(), "device{number} got everything");
        }
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    sekisho_mqtt::TopicFilter::new(filter).unwrap().matches(topic)
}

proptest! {
    #[test]
    fn no_qos_1_message_for_a_persistent_session_is_lost(
        v5 in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut model = Model::new(v5);
        for step in steps {
            model.take(step, v5);
        }
        model.settle(v5);
        let counters = model.story.broker.counters();
        prop_assert_eq!((counters.dropped_queue_full, counters.dropped_unacknowledged), (0, 0));
    }
}
