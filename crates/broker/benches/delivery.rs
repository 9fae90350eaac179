//! What the broker's half of a delivery costs, without sockets: `cargo bench -p sekisho-broker`, or
//! `cargo bench -p sekisho-broker -- pairs` for the measurements whose name contains a word.
//!
//! Prints nanoseconds for each delivery (or each PUBLISH where there are none), the best of many rounds, shorter than a
//! turn of the scheduler, so that other programs on the machine leave some of them undisturbed. Not a test: the figure depends on the machine. Compare two commits
//! by running them in turns.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people to run and read")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sekisho_broker::{
    Action, Authority, Broker, ConnectionId, Effect, Effects, Limits, Now, Outbox, Outgoing, Peer,
};
use sekisho_mqtt::{
    Ack, Connect, ConnectProperties, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscribeFilter,
    Utf8, Version,
};

/// `true`: one statement allows everything. `false`: every topic has to be looked at.
struct Policy(bool);

impl Authority for Policy {
    fn allows(&self, action: Action<'_>) -> bool {
        match action {
            Action::Receive(topic) => topic.starts_with("fleet/"),
            _ => true,
        }
    }

    fn receives_everything(&self) -> bool {
        self.0
    }
}

struct Bench {
    broker: Broker,
    effects: Effects,
    outboxes: Vec<(ConnectionId, Arc<Outbox>)>,
    now: Now,
}

impl Bench {
    fn new() -> Bench {
        let broker = Broker::new(Limits::default(), [1; 32]);
        Bench { broker, effects: Effects::new(), outboxes: Vec::new(), now: Now::from_unix_ms(1) }
    }

    fn connect(&mut self, name: String, open: bool) -> ConnectionId {
        let packet = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 60,
            client_id: Utf8::try_from(name).unwrap(),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        let authority = |_: &Arc<str>| -> Arc<dyn Authority> { Arc::new(Policy(open)) };
        let remote = "127.0.0.1:1".parse().unwrap();
        let peer = Peer { principal: "cert".into(), remote, thing_name: None, authority: &authority };
        let id = self.broker.connect(self.now, packet, &peer, &mut self.effects);
        for effect in self.effects.drain() {
            if let Effect::Accepted(accepted) = effect {
                let index = accepted.connection.index();
                if self.outboxes.len() <= index {
                    self.outboxes.resize(index + 1, (accepted.connection, Arc::clone(&accepted.outbox)));
                }
                self.outboxes[index] = (accepted.connection, accepted.outbox);
            }
        }
        id
    }

    fn subscribe(&mut self, id: ConnectionId, filter: &str) {
        let filters = vec![SubscribeFilter::new(Utf8::try_from(filter).unwrap(), QoS::AtLeastOnce)];
        let packet_id = PacketId::MIN;
        let packet =
            Subscribe { packet_id, filters, subscription_identifier: None, user_properties: Vec::new() };
        self.broker.packet(self.now, id, packet.into(), &mut self.effects);
        self.effects.drain();
    }

    /// One PUBLISH, everything that follows written and acknowledged at once. The deliveries it made.
    fn publish(&mut self, id: ConnectionId, topic: &Utf8, payload: &Bytes, qos: QoS) -> u64 {
        let packet = Publish {
            qos,
            topic: topic.clone(),
            packet_id: (qos == QoS::AtLeastOnce).then_some(PacketId::MIN),
            payload: payload.clone(),
            ..Publish::default()
        };
        self.broker.packet(self.now, id, Packet::Publish(packet), &mut self.effects);
        let mut acks = Vec::new();
        let mut deliveries = 0;
        for effect in self.effects.drain() {
            if let Effect::Send { connection, outgoing: Outgoing::Deliver(delivery) } = effect {
                deliveries += 1;
                black_box(self.outboxes[connection.index()].1.written(1, u64::from(delivery.cost())));
                if let Some(packet_id) = delivery.packet_id {
                    acks.push((connection, packet_id));
                }
                black_box(delivery);
            }
        }
        for (connection, packet_id) in acks {
            let packet = Packet::PubAck(Ack::new(packet_id, ReasonCode::Success));
            self.broker.packet(self.now, connection, packet, &mut self.effects);
        }
        deliveries
    }
}

/// Measures `once`, which says how many deliveries it made: the best of 2,000 rounds of 1 ms, in nanoseconds for each.
fn measure(name: &str, mut once: impl FnMut() -> u64) {
    let is_wanted = |word: String| word.starts_with('-') || name.contains(&word);
    if !std::env::args().skip(1).all(is_wanted) {
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..2000 {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(1) {
            for _ in 0..10 {
                count += once();
            }
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / count as f64;
        best = best.min(nanoseconds);
    }
    println!("{name:<52} {best:>8.1} ns");
}

fn main() {
    let payload = Bytes::from(vec![b'x'; 128]);
    let topic = Utf8::try_from("fleet/site-7/pump-0042/temperature").unwrap();
    for (qos, label) in [(QoS::AtMostOnce, "QoS 0"), (QoS::AtLeastOnce, "QoS 1 with acknowledgement")] {
        for (open, policy) in [(true, "open policy"), (false, "narrow policy")] {
            let mut bench = Bench::new();
            let publisher = bench.connect("publisher".into(), true);
            for number in 0..200 {
                let id = bench.connect(format!("subscriber{number}"), open);
                bench.subscribe(id, "fleet/+/pump-0042/temperature");
            }
            measure(&format!("1 to 200, {label}, {policy}"), || {
                bench.publish(publisher, &topic, &payload, qos)
            });
        }
        let mut bench = Bench::new();
        let pairs: Vec<_> = (0..50)
            .map(|number| {
                let publisher = bench.connect(format!("publisher{number}"), true);
                let subscriber = bench.connect(format!("subscriber{number}"), true);
                let topic = format!("fleet/pair/{number}/temperature");
                bench.subscribe(subscriber, &topic);
                (publisher, Utf8::try_from(topic).unwrap())
            })
            .collect();
        let mut turn = 0;
        measure(&format!("50 pairs, {label}"), || {
            turn = (turn + 1) % pairs.len();
            bench.publish(pairs[turn].0, &pairs[turn].1, &payload, qos)
        });
    }
    let mut bench = Bench::new();
    let publisher = bench.connect("publisher".into(), true);
    for number in 0..10_000 {
        let id = bench.connect(format!("subscriber{number}"), true);
        bench.subscribe(id, &format!("fleet/{number}/command"));
    }
    measure("a PUBLISH nobody gets, 10,000 other filters", || {
        bench.publish(publisher, &topic, &payload, QoS::AtMostOnce) + 1
    });
}
