//! Bad input before CONNECT: a reason for each, and no harm to others.

use std::time::Duration;

use sekisho_mqtt::{Packet, ReasonCode, Utf8, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::control_plane::{DEADLINE, World, eventually_true};
use crate::device::{Client, Device, connect};
use crate::device_files::{self, DeviceFiles};

/// Send bytes to the bare port and wait for the end; gives what came back.
async fn bare(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, socket.read_to_end(&mut answer)).await.expect("the server closes");
    answer
}

#[tokio::test]
async fn http_is_told_from_tls() {
    let world = World::new();
    assert_eq!(bare(&world, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await, b"");
    world.refusal("HTTP_ON_MQTT_PORT");
}

#[tokio::test]
async fn mqtt_without_tls_is_told_from_tls() {
    let world = World::new();
    assert_eq!(bare(&world, &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'c']).await, b"");
    world.refusal("MQTT_WITHOUT_TLS");
}

#[tokio::test]
async fn garbage_is_refused() {
    let world = World::new();
    assert_eq!(bare(&world, &[0xff; 100]).await, b"");
    world.refusal("NOT_TLS");
    // The first byte of TLS, and then nonsense.
    bare(&world, &[22, 3, 1, 0, 4, 99, 99, 99, 99]).await;
    world.refusal("TLS_FAILED");
}

#[tokio::test]
async fn a_probe_of_the_port_is_noted_and_nothing_more() {
    let world = World::new();
    drop(TcpStream::connect(("127.0.0.1", world.port)).await.unwrap());
    world.refusal("CLOSED_DURING_HANDSHAKE");
}

fn quick(world_timeout: u64) -> World {
    World::with(|config| config.handshake_timeout = Duration::from_millis(world_timeout))
}

fn registered(world: &World) -> DeviceFiles {
    let files = device_files::device("pump");
    world.register(&files);
    files
}

#[tokio::test]
async fn half_a_handshake_and_silence_is_ended() {
    let world = quick(200);
    assert_eq!(bare(&world, &[22, 3, 1, 2, 0, 1]).await, b"");
    world.refusal("HANDSHAKE_TIMEOUT");
}

#[tokio::test]
async fn an_alert_after_the_handshake_is_named() {
    let world = World::new();
    let files = registered(&world);
    for (number, version) in (1..).zip([&rustls::version::TLS12, &rustls::version::TLS13]) {
        let stream = Device::speaking(&world, Some(&files), &[version]).tls().await.unwrap();
        // Until then an alert is one of the handshake.
        eventually_true("the server has finished the handshake", || world.count("handshakes") == number);
        Client::new(stream, Version::V5).end_with_alert().await;
        let refused = world.refusal("TLS_ALERT_RECEIVED");
        assert_eq!(refused.certificate_id.unwrap().as_ref(), files.certificate_id());
        assert!(refused.detail.contains("(alert "), "{}", refused.detail);
        assert_eq!(refused.operation, "connect");
    }
    eventually_true("both are counted", || world.count("refused.TLS_ALERT_RECEIVED") == 2);
    assert!(world.asked().is_empty(), "admission happens at CONNECT");
}

#[tokio::test]
async fn an_alert_after_connect_is_named() {
    let world = World::new();
    let files = registered(&world);
    Device::new(&world, &files).connect("c").await.unwrap().end_with_alert().await;
    let refused = world.refusal("TLS_ALERT_RECEIVED");
    assert_eq!((refused.client_id.as_deref(), refused.operation), (Some("c"), "connection"));
    assert!(refused.detail.contains("(alert "), "{}", refused.detail);
    // An end that says nothing is no news.
    drop(Device::new(&world, &files).connect("d").await.unwrap());
    eventually_true("the second connection has ended", || world.count("disconnected") == 2);
    assert_eq!(world.count("refused.TLS_ALERT_RECEIVED"), 1);
}

#[tokio::test]
async fn tls_and_silence_is_ended() {
    let world = quick(500);
    let files = registered(&world);
    let stream = Device::new(&world, &files).tls().await.unwrap();
    assert_eq!(Client::new(stream, Version::V5).ended().await, None);
    assert_eq!(world.refusal("CONNECT_TIMEOUT").certificate_id.unwrap().as_ref(), files.certificate_id());
    assert!(world.asked().is_empty(), "admission happens at CONNECT");
}

#[tokio::test]
async fn tls_and_goodbye_is_named_as_a_probe() {
    let world = World::new();
    let files = registered(&world);
    let mut stream = Device::new(&world, &files).tls().await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    world.refusal("CLOSED_BEFORE_CONNECT");
}

async fn first_bytes(world: &World, files: &DeviceFiles, bytes: &[u8]) -> Vec<u8> {
    let mut stream = Device::new(world, files).tls().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    answer
}

#[tokio::test]
async fn nothing_is_answered_to_a_first_packet_that_is_no_connect() {
    let world = World::new();
    let files = registered(&world);
    // PINGREQ, SUBSCRIBE, PUBLISH, DISCONNECT.
    let packets: [&[u8]; 4] =
        [&[0xc0, 0], &[0x82, 6, 0, 1, 0, 1, b't', 0], &[0x30, 4, 0, 1, b't', b'x'], &[0xe0, 0]];
    for packet in packets {
        assert_eq!(first_bytes(&world, &files, packet).await, b"");
    }
    eventually_true("refusal of each", || world.count("refused.FIRST_PACKET_NOT_CONNECT") == 4);
    assert_eq!(world.count("messages_published"), 0, "and nothing happens");
}

#[tokio::test]
async fn a_refusal_tells_no_more_of_a_client_id_than_one_may_have() {
    let world = World::new();
    let unregistered = device_files::device("unregistered");
    assert!(Device::new(&world, &unregistered).connect(&"é".repeat(30_000)).await.is_none());
    assert_eq!(world.refusal("CA_NOT_REGISTERED").client_id.unwrap().as_ref(), "é".repeat(64));
}

#[tokio::test]
async fn user_properties_of_a_connect_that_are_too_large_are_refused_by_name() {
    let world = World::new();
    let files = registered(&world);
    let property = |value: &str| (Utf8::try_from("name").unwrap(), Utf8::try_from(value).unwrap());
    let mut fits = connect("c");
    fits.properties.user_properties = vec![property("value"); 100];
    assert!(Device::new(&world, &files).connect_with(fits).await.is_some());
    let mut too_large = connect("c");
    too_large.properties.user_properties = vec![property(&"x".repeat(1000)); 100];
    assert!(Device::new(&world, &files).connect_with(too_large).await.is_none());
    world.refusal("CONNECT_TOO_LARGE");
}

#[tokio::test]
async fn a_malformed_connect_is_refused_without_a_word() {
    let world = World::new();
    let files = registered(&world);
    // The reserved connect flag is set [MQTT-3.1.2-3].
    let bytes = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 60, 0, 1, b'c'];
    assert_eq!(first_bytes(&world, &files, &bytes).await, b"");
    assert!(world.refusal("CONNECT_MALFORMED").detail.contains("MQTT-3.1.2-3"));
}

#[tokio::test]
async fn mqtt_3_1_is_told_that_it_is_too_old() {
    let world = World::new();
    let files = registered(&world);
    let bytes = [0x10, 15, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 60, 0, 1, b'c'];
    assert_eq!(first_bytes(&world, &files, &bytes).await, [0x20, 2, 0, 1]);
    world.refusal("PROTOCOL_VERSION_UNSUPPORTED");
}

#[tokio::test]
async fn https_on_the_mqtt_port_is_named() {
    let world = World::new();
    let files = registered(&world);
    assert_eq!(first_bytes(&world, &files, b"GET / HTTP/1.1\r\n\r\n").await, b"");
    world.refusal("HTTP_IN_TLS");
}

#[tokio::test]
async fn packets_sent_along_with_connect_are_served() {
    let world = World::new();
    let files = registered(&world);
    let stream = Device::new(&world, &files).tls().await.unwrap();
    let mut client = Client::new(stream, Version::V5);
    let mut bytes = bytes::BytesMut::new();
    sekisho_mqtt::encode(&Packet::Connect(Box::new(connect("c"))), Version::V5, &mut bytes).unwrap();
    sekisho_mqtt::encode(&Packet::PingReq, Version::V5, &mut bytes).unwrap();
    client.send_bytes(&bytes).await.unwrap();
    assert!(matches!(client.receive().await, Some(Packet::ConnAck(_))));
    assert!(matches!(client.receive().await, Some(Packet::PingResp)));
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_half_open_handshakes_keep_no_client_out() {
    let world = World::new();
    let files = registered(&world);
    let mut half_open = Vec::new();
    for _ in 0..500 {
        let mut socket = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        socket.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        half_open.push(socket);
    }
    eventually_true("acceptance of all", || world.count("accepted") >= 500);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    assert!(client.ping().await);
    drop(half_open);
}

#[tokio::test]
async fn one_connection_too_many_is_refused_by_name() {
    let world = World::with(|config| config.max_connections = 1);
    let files = registered(&world);
    let device = Device::new(&world, &files);
    let mut first = device.connect("first").await.unwrap();
    assert!(device.connect("second").await.is_none());
    world.refusal("TOO_MANY_CONNECTIONS");
    assert!(first.ping().await);
    drop(first);
    eventually_true("end of the first", || world.count("connections") == 0);
    let mut again = None;
    // The permit comes back with the socket, a moment after the broker has forgotten the connection.
    for _ in 0..100 {
        again = device.connect("second").await;
        if again.is_some() {
            break;
        }
    }
    assert!(again.is_some());
}

#[tokio::test]
async fn half_open_connections_make_room_for_devices_and_devices_do_not_for_them() {
    let world = World::with(|config| config.max_connections = 4);
    let files = registered(&world);
    let device = Device::new(&world, &files);
    let mut first = device.connect("first").await.unwrap();
    let mut half_open = Vec::new();
    for count in 1..=50 {
        let mut socket = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        socket.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        half_open.push(socket);
        eventually_true("acceptance", || world.count("accepted") > count);
    }
    let mut second = device.connect("second").await.unwrap();
    world.refusal("TOO_MANY_CONNECTIONS");
    assert!(world.count("half_open_displaced") >= 40);
    assert!(first.ping().await);
    assert!(second.ping().await);
    drop(half_open);
}

#[tokio::test]
async fn a_second_connect_ends_the_connection() {
    let world = World::new();
    let files = registered(&world);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    client.send(Packet::Connect(Box::new(connect("c")))).await.unwrap();
    assert_eq!(client.ended().await, Some(ReasonCode::ProtocolError));
    world.refusal("SECOND_CONNECT");
}
