//! A change in the registry acts at once, on new connections and on live ones.

use std::time::Duration;

use sekisho_gateway::{Answer, AttachedThing, ChangeKind, Refusal};
use sekisho_mqtt::{QoS, ReasonCode};

use crate::control_plane::{ALLOW_ALL, DEADLINE, World, eventually_true, identity, policy, refused};
use crate::device::{Device, connect_v3};
use crate::device_files;

const CONNECT_ONLY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}"#;

#[tokio::test]
async fn revoking_a_certificate_ends_its_connection_and_refuses_the_next() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    let mut client = device.connect("c").await.unwrap();
    world.register_as(&files, |identity| identity.status = "REVOKED".into());
    world.changed(&files);
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
    let refused = world.refusal("DEVICE_CERTIFICATE_REVOKED");
    assert_eq!(refused.client_id.as_deref(), Some("c"));
    assert!(device.connect("c").await.is_none());
}

#[tokio::test]
async fn connect_revoke_resume_is_refused() {
    let world = World::with(|config| config.tls13_session_tickets = true);
    let files = device_files::device("pump");
    world.register(&files);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        world.register(&files);
        world.changed(&files);
        let device = Device::speaking(&world, Some(&files), &[version]);
        assert!(device.connect("first").await.unwrap().ping().await);
        let mut second = device.connect("second").await.unwrap();
        assert!(second.is_resumed(), "this client resumes {version:?} sessions");
        world.register_as(&files, |identity| identity.status = "INACTIVE".into());
        world.changed(&files);
        second.ended().await;
        let before = world.count("handshakes_resumed");
        assert!(device.connect("third").await.is_none());
        assert_eq!(
            world.count("handshakes_resumed"),
            before + 1,
            "the third resumed as well, and was refused"
        );
    }
}

#[tokio::test]
async fn tickets_of_tls_1_3_are_sent_where_they_are_wanted() {
    let files = device_files::device("pump");
    for wanted in [false, true] {
        let world = World::with(|config| config.tls13_session_tickets = wanted);
        world.register(&files);
        let device = Device::new(&world, &files);
        let mut first = device.connect("first").await.unwrap();
        assert!(first.ping().await);
        assert_eq!(first.tickets(), u32::from(wanted));
        assert_eq!(device.connect("second").await.unwrap().is_resumed(), wanted);
        // TLS 1.2 sends them to clients that ask for them.
        let device = Device::speaking(&world, Some(&files), &[&rustls::version::TLS12]);
        assert!(device.connect("first").await.unwrap().ping().await);
        assert!(device.connect("second").await.unwrap().is_resumed());
    }
}

#[tokio::test]
async fn a_resumed_session_still_shows_its_certificate_and_name() {
    let world = World::with(|config| config.tls13_session_tickets = true);
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.mode = "SNI_ONLY".into());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let device = Device::speaking(&world, Some(&files), &[version]);
        assert!(device.connect("first").await.unwrap().ping().await);
        assert!(device.connect("second").await.unwrap().is_resumed());
    }
}

#[tokio::test]
async fn a_deleted_certificate_ends_its_connection() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    world.unregister(&files);
    world.changed(&files);
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_right_closes_its_connections_at_once_while_the_control_plane_sleeps() {
    // Longer than the test may take: the control plane's silence closes nothing meanwhile.
    let world = World::with(|config| config.admission_timeout = 10 * DEADLINE);
    let (revoked, other) = (device_files::device("revoked"), device_files::device("other"));
    for files in [&revoked, &other] {
        world.register(files);
    }
    let device = Device::new(&world, &revoked);
    let mut with_sni = device.connect("with-sni").await.unwrap();
    let mut without_sni = device.asking_for("127.0.0.1").connect("without-sni").await.unwrap();
    let mut other = Device::new(&world, &other).connect("other").await.unwrap();
    let asked = world.asked().len();
    world.sleep();
    world.lost(&revoked, Refusal::DeviceCertificateRevoked);
    assert_eq!(with_sni.ended().await, Some(ReasonCode::NotAuthorized));
    assert_eq!(without_sni.ended().await, Some(ReasonCode::NotAuthorized));
    assert!(other.ping().await);
    assert_eq!(world.count("refused.DEVICE_CERTIFICATE_REVOKED"), 2);
    world.wake();
    assert_eq!(
        world.refusal("DEVICE_CERTIFICATE_REVOKED").certificate_id.as_deref(),
        Some(&*revoked.certificate_id())
    );
    assert_eq!(world.asked().len(), asked, "the reason came with the change: there was nothing to ask");
}

#[tokio::test]
async fn a_changed_policy_has_only_the_connections_that_use_it_examined() {
    let world = World::new();
    let mut clients = Vec::new();
    for number in 0..12 {
        let files = device_files::device(&format!("device-{number}"));
        let name = if number < 5 { "changed" } else { "other" };
        world.register_as(&files, |identity| identity.policies = vec![policy(name, ALLOW_ALL)]);
        clients.push(Device::new(&world, &files).connect(&format!("c{number}")).await.unwrap());
    }
    let asked = world.asked().len();
    world.invalidate(ChangeKind::Policy, "changed");
    eventually_true("new authorities", || world.count("authorities_replaced") == 5);
    assert_eq!(world.count("connections_examined"), 5);
    assert_eq!(world.asked().len() - asked, 5);
    for client in &mut clients {
        assert!(client.ping().await);
    }
}

#[tokio::test]
async fn without_sni_a_change_finds_the_connection_too() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let mut client = Device::new(&world, &files).asking_for("127.0.0.1").connect("c").await.unwrap();
    world.register_as(&files, |identity| identity.status = "INACTIVE".into());
    world.changed(&files);
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
}

#[tokio::test]
async fn a_changed_policy_replaces_what_a_live_connection_may_do() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    client.subscribe("t", QoS::AtMostOnce).await;
    client.publish("t", b"1", QoS::AtMostOnce).await.unwrap();
    client.message().await;
    world.register_as(&files, |identity| identity.policies = vec![policy("all", CONNECT_ONLY)]);
    world.invalidate(ChangeKind::Policy, "all");
    eventually_true("new authority", || world.count("authorities_replaced") == 1);
    client.publish("t", b"2", QoS::AtMostOnce).await.unwrap();
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
    world.refusal("PUBLISH_NOT_AUTHORIZED");
}

#[tokio::test]
async fn a_live_connection_that_may_connect_no_more_is_closed_and_its_will_sent() {
    let world = World::new();
    let (files, watcher) = (device_files::device("pump"), device_files::device("watcher"));
    world.register(&files);
    world.register_as(&watcher, |identity| identity.policies = vec![policy("of-the-watcher", ALLOW_ALL)]);
    let mut watcher = Device::new(&world, &watcher).connect("watcher").await.unwrap();
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let mut connect = connect_v3("c");
    connect.will = Some(sekisho_mqtt::Will {
        topic: sekisho_mqtt::TopicName::new("will").unwrap(),
        payload: b"gone".as_slice().into(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay_interval: 0,
        properties: sekisho_mqtt::PublishProperties::new(),
    });
    let mut client = Device::new(&world, &files).connect_with(connect).await.unwrap();
    world.register_as(&files, |identity| identity.policies.clear());
    world.invalidate(ChangeKind::Policy, "all");
    assert_eq!(client.ended().await, None, "MQTT 3.1.1 knows no last word");
    assert_eq!(&*watcher.message().await.payload, b"gone");
    world.refusal("AUTHORIZATION_FAILURE");
    assert!(watcher.ping().await, "a connection with another policy stays");
}

#[tokio::test]
async fn only_what_rests_on_the_change_is_asked_about_again() {
    let world = World::new();
    let (with_thing, without) = (device_files::device("with"), device_files::device("without"));
    world.register_as(&with_thing, |identity| {
        identity.things = vec![AttachedThing {
            name: "pump".into(),
            type_name: None,
            attributes: Vec::new(),
            exclusive: false,
            group_policies: vec![policy("of-the-group", ALLOW_ALL)],
        }];
    });
    world.register(&without);
    let mut first = Device::new(&world, &with_thing).connect("pump").await.unwrap();
    let mut second = Device::new(&world, &without).connect("other").await.unwrap();
    for (kind, id) in [(ChangeKind::Thing, "pump"), (ChangeKind::Policy, "of-the-group")] {
        let before = world.asked().len();
        world.invalidate(kind, id);
        eventually_true("re-examination", || world.asked().len() > before);
        let asked = world.asked()[before..].to_vec();
        assert!(
            asked
                .iter()
                .all(|asked| asked.certificate_id == with_thing.certificate_id() && asked.reexamination)
        );
    }
    let before = world.asked().len();
    world.invalidate(ChangeKind::Realm, "");
    eventually_true("re-examination of both", || world.asked().len() == before + 2);
    assert!(first.ping().await && second.ping().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_overtaken_by_a_change_is_thrown_away_and_asked_again() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    world.hold();
    let attempt = tokio::spawn(async move { device.connect("c").await.is_some() });
    eventually_true("admission request", || world.held() == 1);
    // The control plane has read ACTIVE and is about to say so when the certificate is revoked.
    world.register_as(&files, |identity| identity.status = "REVOKED".into());
    world.changed(&files);
    world.release(|_| Answer::Registered(identity()));
    assert!(!attempt.await.unwrap());
    world.refusal("DEVICE_CERTIFICATE_REVOKED");
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_overtaken_by_a_registration_is_asked_again() {
    let world = World::new();
    let files = device_files::device("pump");
    let device = Device::new(&world, &files);
    world.hold();
    let attempt = tokio::spawn(async move { device.connect("c").await.is_some() });
    eventually_true("admission request", || world.held() == 1);
    world.register(&files);
    world.changed(&files);
    world.release(|_| refused("CA_NOT_REGISTERED"));
    assert!(attempt.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_elsewhere_do_not_hold_up_an_answer() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    world.hold();
    let attempt = tokio::spawn(async move { device.connect("c").await.is_some() });
    eventually_true("admission request", || world.held() == 1);
    world.invalidate(ChangeKind::Thing, "another-thing");
    world.invalidate(ChangeKind::Policy, "another-policy");
    world.invalidate(ChangeKind::Certificate, &"ab".repeat(32));
    world.release(|_| Answer::Registered(identity()));
    assert!(attempt.await.unwrap());
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_without_an_answer_in_time_is_closed() {
    let world = World::with(|config| config.admission_timeout = Duration::from_millis(300));
    let files = device_files::device("pump");
    world.register(&files);
    let mut client = Device::new(&world, &files).connect("c").await.unwrap();
    world.sleep();
    world.changed(&files);
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
    world.wake();
    world.refusal("CONTROL_PLANE_TIMEOUT");
}

#[tokio::test]
async fn a_certificate_shown_without_sni_that_moves_to_another_account_is_cut_off() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let mut client = Device::new(&world, &files).asking_for("127.0.0.1").connect("c").await.unwrap();
    world.unregister(&files);
    world.register_as(&files, |identity| identity.account_id = crate::control_plane::OTHER_ACCOUNT.into());
    world.changed(&files);
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
    world.refusal("CERTIFICATE_MOVED_ACCOUNT");
}
