//! Messages, sessions and ends of connections, through real sockets.

use std::time::Duration;

use sekisho_gateway::{Config, Gateway, GatewayError, Publication};
use sekisho_mqtt::{Packet, QoS, ReasonCode};
use tokio::time::timeout;

use crate::control_plane::{ACCOUNT, DEADLINE, REGION, World, eventually_true};
use crate::device::{Device, connect, connect_v3};
use crate::device_files::{self, DeviceFiles};

fn registered(world: &World) -> (DeviceFiles, Device) {
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(world, &files);
    (files, device)
}

#[tokio::test]
async fn qos_1_is_acknowledged_and_delivered_across_versions() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut old = device.connect_with(connect_v3("old")).await.unwrap();
    old.subscribe("t", QoS::AtLeastOnce).await;
    let mut new = device.connect("new").await.unwrap();
    new.publish("t", b"payload", QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(new.receive().await, Some(Packet::PubAck(_))));
    let message = old.message().await;
    assert_eq!((message.qos, &*message.payload), (QoS::AtLeastOnce, &b"payload"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_arrives_whole_and_in_order() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut subscriber = device.connect("subscriber").await.unwrap();
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = device.connect("publisher").await.unwrap();
    let sender = tokio::spawn(async move {
        for number in 0..5000_u32 {
            publisher.publish("t", &number.to_be_bytes(), QoS::AtMostOnce).await.unwrap();
        }
        publisher
    });
    for number in 0..5000_u32 {
        assert_eq!(&*subscriber.message().await.payload, &number.to_be_bytes());
    }
    sender.await.unwrap();
}

#[tokio::test]
async fn a_large_message_passes_whole() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut client = device.connect("c").await.unwrap();
    client.subscribe("t", QoS::AtLeastOnce).await;
    let payload: Vec<u8> = (0..128 * 1024_u32).map(|n| n as u8).collect();
    client.publish("t", &payload, QoS::AtMostOnce).await.unwrap();
    assert!(*client.message().await.payload == *payload);
}

#[tokio::test]
async fn a_packet_beyond_the_limit_ends_the_connection_with_a_reason() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut client = device.connect("c").await.unwrap();
    // A fixed header that announces a megabyte, and some of it.
    client.send_bytes(&[0x30, 0x80, 0x80, 0x40]).await.unwrap();
    client.send_bytes(&[0; 60_000]).await.unwrap();
    assert!(client.ended().await.is_some_and(|reason| reason.is_failure()));
    world.refusal("PACKET_TOO_LARGE");
}

#[tokio::test]
async fn a_report_says_which_operation_was_refused() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut client = device.connect("c").await.unwrap();
    client.publish("$SYS/x", b"", QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(client.receive().await, Some(Packet::PubAck(ack)) if ack.reason.is_failure()));
    assert!(client.try_subscribe("$SYS/#", QoS::AtLeastOnce).await.is_failure());
    client.send_bytes(&[0xf0, 0]).await.unwrap();
    assert!(client.ended().await.is_some());
    let operations = ["TOPIC_RESERVED", "FILTER_RESERVED", "UNEXPECTED_PACKET"]
        .map(|reason| world.refusal(reason).operation);
    assert_eq!(operations, ["publish", "subscribe", "packet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_costs_only_itself() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut stuck = device.connect("stuck").await.unwrap();
    stuck.subscribe("t", QoS::AtMostOnce).await;
    let mut awake = device.connect("awake").await.unwrap();
    awake.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = device.connect("publisher").await.unwrap();
    let payload = vec![7; 64 * 1024];
    // Far more than the sockets and the outbox hold together.
    for _ in 0..400 {
        publisher.publish("t", &payload, QoS::AtMostOnce).await.unwrap();
        assert_eq!(awake.message().await.payload.len(), payload.len());
    }
    assert!(world.count("messages_dropped.outbox_full") > 0);
    assert!(publisher.ping().await && awake.ping().await);
    // When it reads again it is served on.
    let first = stuck.message().await;
    assert_eq!(first.payload.len(), payload.len());
    stuck.send(Packet::PingReq).await.unwrap();
    let pong = timeout(DEADLINE, async {
        while !matches!(stuck.receive().await.expect("it is still connected"), Packet::PingResp) {}
    });
    assert!(pong.await.is_ok());
}

#[tokio::test]
async fn a_silent_client_is_ended_after_one_and_a_half_keep_alives() {
    // The shortest keep alive that AWS IoT grants is 30 s, so this one is watched through the settings of the broker
    // in its own tests; here it is shown that what is effective comes back to the client.
    let world = World::new();
    let (_, device) = registered(&world);
    let mut asked = connect("c");
    asked.keep_alive = 5;
    let (_, connack) = device.attempt(asked).await.unwrap();
    assert_eq!(connack.properties.server_keep_alive, Some(30));
}

#[tokio::test]
async fn the_same_client_id_elsewhere_takes_over() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut first = device.connect("same").await.unwrap();
    let mut second = device.connect("same").await.unwrap();
    assert_eq!(first.ended().await, Some(ReasonCode::SessionTakenOver));
    assert!(second.ping().await);
    eventually_true("end of the first", || world.count("connections") == 1);
}

#[tokio::test]
async fn the_will_of_a_lost_connection_is_sent() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut watcher = device.connect("watcher").await.unwrap();
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let mut with_will = connect("c");
    with_will.will = Some(sekisho_mqtt::Will {
        topic: sekisho_mqtt::TopicName::new("will").unwrap(),
        payload: b"gone".as_slice().into(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay_interval: 0,
        properties: sekisho_mqtt::PublishProperties::new(),
    });
    drop(device.connect_with(with_will).await.unwrap());
    assert_eq!(&*watcher.message().await.payload, b"gone");
}

#[tokio::test]
async fn a_session_waits_for_its_client() {
    let world = World::new();
    let (_, device) = registered(&world);
    let persistent = || {
        let mut connect = connect_v3("c");
        connect.clean_start = false;
        connect
    };
    let mut client = device.connect_with(persistent()).await.unwrap();
    client.subscribe("t", QoS::AtLeastOnce).await;
    drop(client);
    eventually_true("end of the connection", || world.count("connections") == 0);
    let mut publisher = device.connect("publisher").await.unwrap();
    publisher.publish("t", b"kept", QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(publisher.receive().await, Some(Packet::PubAck(_))));
    let (mut client, connack) = device.attempt(persistent()).await.unwrap();
    assert!(connack.session_present);
    assert_eq!(&*client.message().await.payload, b"kept");
}

#[tokio::test]
async fn the_control_plane_publishes_with_no_connection() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut client = device.connect("c").await.unwrap();
    client.subscribe("t", QoS::AtLeastOnce).await;
    let message = Publication {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        topic: "t".into(),
        payload: b"from the API".to_vec(),
        qos: 1,
        content_type: Some("text/plain".into()),
        user_properties: vec![("k".into(), "v".into())],
        ..Publication::default()
    };
    let wrong = Publication { topic: "a/#".into(), ..message.clone() };
    let reserved = Publication { topic: "$reserved".into(), ..message.clone() };
    let results = world.gateway.publish(vec![message, wrong, reserved]).unwrap();
    assert_eq!(results[0], Ok(()));
    let [wrong, reserved] = [1, 2].map(|index| results[index].clone().unwrap_err());
    assert_eq!(wrong.reason, None);
    assert!(wrong.detail.contains("a/#"), "{wrong:?}");
    assert_eq!(reserved.reason, Some("TOPIC_RESERVED"));
    assert!(reserved.detail.starts_with("The topic begins with $"), "{reserved:?}");
    let received = client.message().await;
    assert_eq!(&*received.payload, b"from the API");
    assert_eq!(received.properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(received.properties.user_properties.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_goodbye_and_is_done_once() {
    let world = World::new();
    let (_, device) = registered(&world);
    let mut client = device.connect("c").await.unwrap();
    let gateway = world.gateway.clone();
    let stopped = tokio::task::spawn_blocking(move || gateway.stop(Duration::from_secs(5)));
    assert_eq!(client.ended().await, Some(ReasonCode::ServerShuttingDown));
    drop(client);
    stopped.await.unwrap();
    world.gateway.stop(Duration::ZERO);
    assert!(world.gateway.next_batch(1, Duration::from_secs(60)).is_empty(), "at once, not after a minute");
    assert!(matches!(world.gateway.start(), Err(GatewayError::Stopped)));
    assert!(matches!(world.gateway.publish(Vec::new()), Err(GatewayError::Stopped)));
}

#[test]
fn a_port_in_use_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::new(Config { mqtt_port: taken.local_addr().unwrap().port(), ..Config::default() });
    assert!(matches!(gateway.start(), Err(GatewayError::NoServerCertificate)));
    let server = device_files::server(&rcgen::PKCS_ECDSA_P256_SHA256);
    gateway.set_server_certificates(&[server.chain]).unwrap();
    let error = gateway.start().unwrap_err().to_string();
    assert!(error.contains("choose another"), "{error}");
}
