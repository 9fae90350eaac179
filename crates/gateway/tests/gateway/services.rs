//! What clients ask of services, and what services are told of clients.

use sekisho_gateway::{Answer, Publication, TopicFilter};
use sekisho_mqtt::QoS;

use crate::control_plane::{ACCOUNT, REGION, World, eventually_true, refused};
use crate::device::Device;
use crate::device_files;

const CREATE: &str = "$aws/certificates/create/json";
const ACCEPTED: &str = "$aws/certificates/create/json/accepted";

fn listening() -> World {
    World::with(|config| config.requests = vec![TopicFilter::new("$aws/certificates/create/+").unwrap()])
}

fn accepted(payload: &[u8]) -> Publication {
    Publication {
        account_id: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        is_service: true,
        topic: ACCEPTED.to_owned(),
        payload: payload.to_vec(),
        qos: 1,
        ..Publication::default()
    }
}

#[tokio::test]
async fn a_request_comes_to_the_control_plane_and_its_answer_to_the_connection_alone() {
    let world = listening();
    let files = device_files::device("claim");
    world.register(&files);
    let device = Device::new(&world, &files);
    let mut asks = device.connect("asks").await.unwrap();
    let mut listens = device.connect("listens").await.unwrap();
    for client in [&mut asks, &mut listens] {
        client.subscribe(ACCEPTED, QoS::AtLeastOnce).await;
    }
    asks.publish(CREATE, b"{}", QoS::AtMostOnce).await.unwrap();
    let request = world.request();
    assert_eq!((&*request.client_id, &*request.certificate_id), ("asks", &*files.certificate_id()));
    assert_eq!((request.topic.as_str(), &*request.payload), (CREATE, &b"{}"[..]));
    let sent = world.gateway.reply(vec![(request.connection, accepted(b"secret"))]).unwrap();
    assert_eq!(sent, [Ok(())]);
    assert_eq!(&*asks.message().await.payload, b"secret");
    assert!(listens.ping().await, "a PINGRESP comes first: nothing else was sent");
}

fn is_sent(world: &World, connection: u64) -> bool {
    let sent = world.gateway.reply(vec![(connection, accepted(b"x"))]).unwrap().remove(0);
    sent.inspect_err(|unsent| assert!(unsent.detail.contains("has ended"), "{unsent:?}")).is_ok()
}

#[tokio::test]
async fn an_answer_to_a_connection_that_is_gone_is_told_from_one_that_was_sent() {
    let world = listening();
    let files = device_files::device("claim");
    world.register(&files);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    client.subscribe(ACCEPTED, QoS::AtLeastOnce).await;
    client.publish(CREATE, b"", QoS::AtMostOnce).await.unwrap();
    let connection = world.request().connection;
    drop(client);
    eventually_true("the connection is gone", || !is_sent(&world, connection));
    assert!(!is_sent(&world, u64::MAX));
}

#[tokio::test]
async fn that_an_awaited_certificate_has_connected_is_told_once() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.is_awaited = true);
    let device = Device::new(&world, &files);
    let mut first = device.connect("first").await.unwrap();
    eventually_true("it is told", || !world.connected().is_empty());
    let mut second = device.connect("second").await.unwrap();
    assert!(first.ping().await && second.ping().await);
    let told = world.connected();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&*told[0].certificate_id, &*told[0].client_id), (&*files.certificate_id(), "first"));
}

#[tokio::test]
async fn one_that_was_connected_already_is_told_of_when_it_comes_to_be_awaited() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    assert!(client.ping().await);
    assert!(world.connected().is_empty());
    world.register_as(&files, |identity| identity.is_awaited = true);
    world.changed(&files);
    eventually_true("it is told", || world.connected().len() == 1);
}

#[tokio::test]
async fn a_certificate_that_is_refused_after_tls_is_not_told_of() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| {
        identity.is_awaited = true;
        identity.policies.clear();
    });
    assert!(Device::new(&world, &files).connect("c").await.is_none());
    assert!(world.connected().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_provisioned_the_certificate_ends_and_the_next_is_let_in() {
    let world = World::new();
    let files = device_files::device("pump");
    world.hold();
    let device = Device::new(&world, &files);
    let attempt = tokio::spawn(async move { (device.connect("c").await.is_none(), device) });
    eventually_true("it is asked about", || world.held() == 1);
    // Provisioning changed what the question was about, before it is answered.
    world.register(&files);
    world.changed(&files);
    world.release(|_| refused("DEVICE_CERTIFICATE_PROVISIONED"));
    let (is_refused, device) = attempt.await.unwrap();
    assert!(is_refused);
    assert!(device.connect("c").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_detail_of_a_reason_reaches_the_report() {
    let world = World::new();
    let files = device_files::device("pump");
    world.hold();
    let device = Device::new(&world, &files);
    let attempt = tokio::spawn(async move { device.connect("c").await.is_none() });
    eventually_true("it is asked about", || world.held() == 1);
    world.release(|_| Answer::Refused {
        reason: "PROVISIONING_FAILED".to_owned(),
        detail: Some("line 3: there is no group g".to_owned()),
    });
    assert!(attempt.await.unwrap());
    assert_eq!(world.refusal("PROVISIONING_FAILED").detail, "line 3: there is no group g");
}
