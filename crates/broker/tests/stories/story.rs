//! A broker with a clock that the test sets, and clients that record what they receive.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytes::Bytes;
use sekisho_broker::{
    Accepted, AccountBudget, Action, Authority, Broker, Budget, BudgetLimits, ConnectionId, Effect, Effects,
    LifecycleEvent, Limits, Message, Now, Origin, Outbox, Outgoing, Peer, Published, Record, Refusal,
    ServerPublish, StoreTicket, TapId,
};
use sekisho_mqtt::{
    Ack, Connect, ConnectProperties, Disconnect, Packet, PacketId, Publish, PublishFields, PublishProperties,
    QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, TopicName, Unsubscribe, Utf8, Version, Will,
};

/// Where the clock starts: a Tuesday in November.
pub const START: u64 = 1_795_000_000_000;

/// Decides by a function; what it does not mention is allowed.
pub struct Rules(Box<dyn Fn(Action<'_>) -> bool + Send + Sync>);

impl Authority for Rules {
    fn allows(&self, action: Action<'_>) -> bool {
        (self.0)(action)
    }
}

pub fn rules(decide: impl Fn(Action<'_>) -> bool + Send + Sync + 'static) -> Arc<dyn Authority> {
    Arc::new(Rules(Box::new(decide)))
}

pub struct Story {
    pub broker: Broker,
    pub now: u64,
    /// Whether records are durable as soon as they are asked for.
    pub stores_at_once: bool,
    /// Whether clients read what is sent to them.
    pub reads_at_once: bool,
    pub records: Vec<Record>,
    pub unstored: Vec<StoreTicket>,
    pub events: Vec<Arc<LifecycleEvent>>,
    pub tapped: Vec<(TapId, Arc<Message>)>,
    /// The connection of each of them.
    pub tapped_from: Vec<Option<ConnectionId>>,
    pub refused: Vec<(Refusal, String)>,
    pub accepted: HashMap<ConnectionId, Accepted>,
    seen: HashMap<ConnectionId, Vec<String>>,
    unread: HashMap<ConnectionId, (u64, u64)>,
    effects: Effects,
}

impl Story {
    pub fn new() -> Story {
        Story::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Story {
        Story::of_account(limits, AccountBudget::new(Budget::new(&BudgetLimits::default())))
    }

    pub fn of_account(limits: Limits, budget: Arc<AccountBudget>) -> Story {
        Story {
            broker: Broker::with_budget(limits, [7; 32], budget),
            now: START,
            stores_at_once: true,
            reads_at_once: true,
            records: Vec::new(),
            unstored: Vec::new(),
            events: Vec::new(),
            tapped: Vec::new(),
            tapped_from: Vec::new(),
            refused: Vec::new(),
            accepted: HashMap::new(),
            seen: HashMap::new(),
            unread: HashMap::new(),
            effects: Effects::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now::from_unix_ms(self.now)
    }

    /// Does something with the broker and carries out what it asks for.
    pub fn turn<T>(&mut self, act: impl FnOnce(&mut Broker, Now, &mut Effects) -> T) -> T {
        let now = self.now();
        let answer = act(&mut self.broker, now, &mut self.effects);
        self.carry_out();
        answer
    }

    fn carry_out(&mut self) {
        while !self.effects.is_empty() {
            let effects: Vec<Effect> = self.effects.drain().collect();
            for effect in effects {
                self.carry_out_one(effect);
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Accepted(accepted) => {
                self.accepted.insert(accepted.connection, *accepted);
            }
            Effect::Send { connection, outgoing } => {
                if let Outgoing::Deliver(delivery) = &outgoing {
                    let unread = self.unread.entry(connection).or_default();
                    *unread = (unread.0 + 1, unread.1 + u64::from(delivery.cost()));
                    if self.reads_at_once {
                        self.read(connection);
                    }
                }
                self.seen.entry(connection).or_default().push(words(&outgoing));
            }
            Effect::Close { connection, reason, .. } => {
                self.seen.entry(connection).or_default().push(format!("CLOSE {reason}"));
            }
            Effect::Reading { connection, paused } => {
                let text = if paused { "READ NO MORE" } else { "READ ON" };
                self.seen.entry(connection).or_default().push(text.to_owned());
            }
            Effect::Store { ticket, record } => {
                self.records.push(record);
                if self.stores_at_once {
                    let now = self.now();
                    self.broker.stored(now, ticket, &mut self.effects);
                } else {
                    self.unstored.push(ticket);
                }
            }
            Effect::Tapped { tap, message, from } => {
                self.tapped.push((tap, message));
                self.tapped_from.push(from);
            }
            Effect::Lifecycle(event) => self.events.push(event),
            Effect::Refused { refusal, about, .. } => self.refused.push((refusal, about)),
        }
    }

    /// The client reads everything that was sent to it.
    pub fn read(&mut self, connection: ConnectionId) {
        let (messages, bytes) = self.unread.remove(&connection).unwrap_or_default();
        let now = self.now();
        if self.outbox(connection).written(messages, bytes) {
            self.broker.drained(now, connection, &mut self.effects);
        }
    }

    pub fn client_reads(&mut self, connection: ConnectionId) {
        self.read(connection);
        self.carry_out();
    }

    pub fn outbox(&self, connection: ConnectionId) -> Arc<Outbox> {
        Arc::clone(&self.accepted[&connection].outbox)
    }

    /// All records so far are durable now.
    pub fn store_all(&mut self) {
        for ticket in std::mem::take(&mut self.unstored) {
            self.turn(|broker, now, effects| broker.stored(now, ticket, effects));
        }
    }

    /// What a client saw since it was asked last.
    pub fn take(&mut self, connection: ConnectionId) -> Vec<String> {
        self.seen.remove(&connection).unwrap_or_default()
    }

    /// The messages a client saw since it was asked last, acknowledged one by one until no more come.
    pub fn take_and_acknowledge(&mut self, connection: ConnectionId) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let seen = self.take(connection);
            if seen.is_empty() {
                return messages;
            }
            for line in seen {
                if let Some((message, id)) =
                    line.split_once(" #").filter(|(start, _)| start.starts_with("PUBLISH"))
                {
                    self.puback(connection, id.parse().unwrap());
                    messages.push(message.to_owned());
                } else {
                    messages.push(line);
                }
            }
        }
    }

    pub fn connect_as(&mut self, authority: &Arc<dyn Authority>, connect: Client) -> ConnectionId {
        let thing_name = connect.thing_name.map(Arc::from);
        let remote: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let give = |_: &Arc<str>| Arc::clone(authority);
        let peer = Peer { principal: "cert".into(), remote, thing_name, authority: &give };
        self.turn(|broker, now, effects| broker.connect(now, connect.packet, &peer, effects))
    }

    pub fn connect(&mut self, connect: Client) -> ConnectionId {
        self.connect_as(&rules(|_| true), connect)
    }

    /// Connects and drops the CONNACK.
    pub fn join(&mut self, connect: Client) -> ConnectionId {
        let id = self.connect(connect);
        let seen = self.take(id);
        assert!(seen.first().is_some_and(|line| line.starts_with("CONNACK 00")), "{seen:?}");
        id
    }

    pub fn packet(&mut self, connection: ConnectionId, packet: impl Into<Packet>) {
        let packet = packet.into();
        self.turn(|broker, now, effects| broker.packet(now, connection, packet, effects));
    }

    pub fn publish(&mut self, connection: ConnectionId, publish: Pub) {
        self.packet(connection, publish.0);
    }

    pub fn puback(&mut self, connection: ConnectionId, id: u16) {
        self.packet(connection, Packet::PubAck(Ack::new(packet_id(id), ReasonCode::Success)));
    }

    pub fn subscribe(&mut self, connection: ConnectionId, filters: &[(&str, u8)]) {
        let filters = filters.iter().map(|(filter, qos)| sub(filter, *qos)).collect();
        self.subscribe_with(connection, 1, filters);
    }

    pub fn subscribe_with(&mut self, connection: ConnectionId, id: u16, filters: Vec<SubscribeFilter>) {
        let packet = Subscribe {
            packet_id: packet_id(id),
            filters,
            subscription_identifier: None,
            user_properties: Vec::new(),
        };
        self.packet(connection, packet);
    }

    /// Subscribes and drops the SUBACK.
    pub fn follow(&mut self, connection: ConnectionId, filters: &[(&str, u8)]) {
        self.subscribe(connection, filters);
        let seen = self.take(connection);
        let granted = seen.first().is_some_and(|line| line.starts_with("SUBACK") && !line.contains('8'));
        assert!(granted, "{seen:?}");
    }

    pub fn unsubscribe(&mut self, connection: ConnectionId, filters: &[&str]) {
        let filters = filters.iter().map(|filter| text(filter)).collect();
        self.packet(
            connection,
            Unsubscribe { packet_id: packet_id(2), filters, user_properties: Vec::new() },
        );
    }

    pub fn say_goodbye(&mut self, connection: ConnectionId) {
        self.packet(connection, Disconnect::default());
        self.take(connection);
    }

    /// The socket is gone.
    pub fn lose(&mut self, connection: ConnectionId) {
        let reason = sekisho_broker::DisconnectReason::ConnectionLost;
        self.turn(|broker, now, effects| broker.closed(now, connection, reason, effects));
        self.take(connection);
    }

    /// Lets time pass, waking the broker whenever it asked to be.
    pub fn wait(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(due) = self.broker.next_wake().filter(|due| due.unix_ms <= end) {
            self.now = self.now.max(due.unix_ms);
            self.turn(|broker, now, effects| broker.wake(now, effects));
        }
        self.now = end;
    }

    pub fn publish_from_server(
        &mut self,
        topic: &str,
        payload: &str,
        qos: QoS,
    ) -> Result<Published, Refusal> {
        let publish = ServerPublish {
            topic: TopicName::new(topic).unwrap(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            qos,
            retain: false,
            properties: PublishProperties::new(),
            origin: Origin::Api { principal: "AIDA".into() },
        };
        self.turn(|broker, now, effects| broker.publish(now, publish, effects))
    }

    /// A service answers a connection.
    pub fn reply(&mut self, connection: ConnectionId, topic: &str, payload: &str) -> Result<bool, Refusal> {
        let reply = ServerPublish {
            topic: TopicName::new(topic).unwrap(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: PublishProperties::new(),
            origin: Origin::Service,
        };
        self.turn(|broker, now, effects| broker.reply(now, connection, reply, effects))
    }

    /// The names of what was refused since it was asked last.
    pub fn take_refused(&mut self) -> Vec<&'static str> {
        self.refused.drain(..).map(|(refusal, _)| refusal.as_str()).collect()
    }
}

pub fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub fn text(text: &str) -> Utf8 {
    Utf8::try_from(text).unwrap()
}

pub fn qos(number: u8) -> QoS {
    QoS::from_bits(number).unwrap()
}

pub fn sub(filter: &str, number: u8) -> SubscribeFilter {
    SubscribeFilter::new(text(filter), qos(number))
}

pub fn sub_handling(filter: &str, number: u8, retain_handling: RetainHandling) -> SubscribeFilter {
    SubscribeFilter { retain_handling, ..sub(filter, number) }
}

/// A CONNECT in the making: version 3.1.1 and a clean session unless said otherwise.
pub struct Client {
    pub packet: Connect,
    thing_name: Option<&'static str>,
}

pub fn client(client_id: &str) -> Client {
    let packet = Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive: 60,
        client_id: text(client_id),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    Client { packet, thing_name: None }
}

impl Client {
    pub fn v5(mut self) -> Client {
        self.packet.version = Version::V5;
        self
    }

    /// 3.1.1: clean session 0. MQTT 5: clean start 0 and an expiry of ten minutes.
    pub fn persistent(mut self) -> Client {
        self.packet.clean_start = false;
        if self.packet.version == Version::V5 {
            self.packet.properties.session_expiry_interval = Some(600);
        }
        self
    }

    pub fn clean_start(mut self) -> Client {
        self.packet.clean_start = true;
        self
    }

    pub fn expiry(mut self, seconds: u32) -> Client {
        self.packet.properties.session_expiry_interval = Some(seconds);
        self
    }

    pub fn receive_maximum(mut self, most: u16) -> Client {
        self.packet.properties.receive_maximum = NonZeroU16::new(most);
        self
    }

    pub fn maximum_packet_size(mut self, most: u32) -> Client {
        self.packet.properties.maximum_packet_size = NonZeroU32::new(most);
        self
    }

    pub fn keep_alive(mut self, seconds: u16) -> Client {
        self.packet.keep_alive = seconds;
        self
    }

    pub fn thing(mut self, name: &'static str) -> Client {
        self.thing_name = Some(name);
        self
    }

    pub fn will(mut self, topic: &str, payload: &str) -> Client {
        self.packet.will = Some(Will {
            topic: TopicName::new(topic).unwrap(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_interval: 0,
            properties: PublishProperties::new(),
        });
        self
    }

    pub fn change_will(mut self, change: impl FnOnce(&mut Will)) -> Client {
        change(self.packet.will.as_mut().unwrap());
        self
    }
}

/// A PUBLISH in the making.
pub struct Pub(pub Publish);

pub fn publish(topic: &str, payload: &str) -> Pub {
    Pub(Publish {
        topic: text(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Publish::default()
    })
}

impl Pub {
    /// QoS 1 with a packet identifier.
    pub fn qos1(mut self, id: u16) -> Pub {
        self.0.qos = QoS::AtLeastOnce;
        self.0.packet_id = Some(packet_id(id));
        self
    }

    pub fn retained(mut self) -> Pub {
        self.0.retain = true;
        self
    }

    pub fn alias(mut self, alias: u16) -> Pub {
        self.0.properties.topic_alias = Some(alias);
        self
    }

    pub fn expiry(mut self, seconds: u32) -> Pub {
        self.0.properties.message_expiry_interval = Some(seconds);
        self
    }

    pub fn properties(mut self, fields: PublishFields) -> Pub {
        self.0.properties = PublishProperties::from(fields);
        self
    }
}

fn words(outgoing: &Outgoing) -> String {
    match outgoing {
        Outgoing::Deliver(delivery) => {
            let message = &delivery.message;
            let mut words = format!(
                "PUBLISH {}={} qos{}",
                message.topic.as_str(),
                String::from_utf8_lossy(&message.payload),
                delivery.qos as u8
            );
            if delivery.retain {
                words.push_str(" retained");
            }
            if let Some(seconds) = delivery.message_expiry {
                words.push_str(&format!(" expiry{seconds}"));
            }
            if let Some(id) = delivery.packet_id {
                words.push_str(&format!(" #{id}"));
            }
            assert!(!delivery.head().dup, "AWS IoT never sets DUP");
            words
        }
        Outgoing::PubAck { packet_id, reason } => format!("PUBACK {:02X} #{packet_id}", reason.byte()),
        Outgoing::PingResp => "PINGRESP".to_owned(),
        Outgoing::Packet(packet) => match &**packet {
            Packet::ConnAck(packet) => {
                let present = if packet.session_present { " present" } else { "" };
                format!("CONNACK {:02X}{present}", packet.code.byte())
            }
            Packet::SubAck(packet) => format!("SUBACK {} #{}", hex(&packet.codes), packet.packet_id),
            Packet::UnsubAck(packet) => format!("UNSUBACK {} #{}", hex(&packet.codes), packet.packet_id),
            Packet::Disconnect(packet) => format!("DISCONNECT {:02X}", packet.reason.byte()),
            other => panic!("a broker does not send {}", other.packet_type()),
        },
    }
}

fn hex(codes: &[ReasonCode]) -> String {
    codes.iter().map(|code| format!("{:02X}", code.byte())).collect::<Vec<_>>().join(" ")
}
