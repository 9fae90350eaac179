//! The admission table, row by row.

use std::time::Duration;

use sekisho_gateway::Answer;
use sekisho_mqtt::ReasonCode;

use crate::control_plane::{ALLOW_ALL, OTHER_ACCOUNT, World, eventually_true, identity, policy};
use crate::device::{Device, connect, connect_v3};
use crate::device_files::{self, DeviceFiles};

#[tokio::test]
async fn an_active_certificate_is_admitted_and_its_messages_arrive() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    let mut subscriber = device.connect("subscriber").await.unwrap();
    subscriber.subscribe("dt/#", sekisho_mqtt::QoS::AtMostOnce).await;
    let mut publisher = device.connect("publisher").await.unwrap();
    publisher.publish("dt/pump", b"42", sekisho_mqtt::QoS::AtMostOnce).await.unwrap();
    let message = subscriber.message().await;
    assert_eq!((&*message.topic, &*message.payload), ("dt/pump", &b"42"[..]));
}

#[tokio::test]
async fn the_certificate_is_asked_about_once_and_known_from_then_on() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    for round in 0..3 {
        assert!(device.connect(&format!("client-{round}")).await.is_some());
    }
    assert_eq!(world.asked().len(), 1);
    world.sleep();
    assert!(device.connect("while-asleep").await.is_some(), "a known certificate needs no control plane");
}

#[tokio::test]
async fn no_sni_is_enough_for_a_certificate_in_default_mode() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    assert!(Device::new(&world, &files).asking_for("127.0.0.1").connect("c").await.is_some());
    assert_eq!(world.asked()[0].account_id, None);
}

#[tokio::test]
async fn no_sni_is_not_enough_for_a_certificate_in_sni_only_mode() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.mode = "SNI_ONLY".into());
    let device = Device::new(&world, &files);
    assert!(device.clone().asking_for("127.0.0.1").connect("c").await.is_none());
    let refused = world.refusal("CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI");
    assert!(refused.detail.contains("a name without a dot such as localhost"), "{}", refused.detail);
    assert!(device.connect("c").await.is_some(), "with SNI it is");
}

#[tokio::test]
async fn no_sni_is_enough_in_sni_only_mode_where_the_server_does_not_require_it() {
    let world = World::with(|config| config.require_sni = false);
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.mode = "SNI_ONLY".into());
    let mut client = Device::new(&world, &files).asking_for("127.0.0.1").connect("c").await.unwrap();
    assert_eq!(world.asked()[0].account_id, None);
    // A change has the certificate examined again, which lets it go on.
    world.changed(&files);
    eventually_true("asked again", || world.asked().len() == 2);
    assert!(client.ping().await);
    world.register_as(&files, |identity| {
        identity.mode = "SNI_ONLY".into();
        identity.status = "REVOKED".into();
    });
    world.changed(&files);
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
}

#[tokio::test]
async fn a_name_of_no_account_is_refused_after_the_handshake() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files).asking_for("unknown.example");
    assert!(device.tls().await.is_ok());
    assert!(device.connect("c").await.is_none());
    let refused = world.refusal("SNI_MISUSED");
    assert_eq!(refused.sni.as_deref(), Some("unknown.example"));
    assert!(refused.detail.contains("unknown.example"));
}

#[tokio::test]
async fn a_certificate_of_one_account_is_unregistered_in_another() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    assert!(device.connect("c").await.is_some());
    assert!(device.asking_for("two.example").connect("c").await.is_none());
    let refused = world.refusal("CA_NOT_REGISTERED");
    assert_eq!(refused.realm.unwrap().account_id.as_ref(), OTHER_ACCOUNT);
    assert_eq!(refused.certificate_id.unwrap().as_ref(), files.certificate_id());
}

#[tokio::test]
async fn accounts_do_not_hear_each_other() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    world.register_as(&files, |identity| identity.account_id = OTHER_ACCOUNT.into());
    let device = Device::new(&world, &files);
    let mut here = device.connect("same-id").await.unwrap();
    let mut there = device.clone().asking_for("two.example").connect("same-id").await.unwrap();
    here.subscribe("t", sekisho_mqtt::QoS::AtMostOnce).await;
    there.subscribe("t", sekisho_mqtt::QoS::AtMostOnce).await;
    there.publish("t", b"there", sekisho_mqtt::QoS::AtMostOnce).await.unwrap();
    here.publish("t", b"here", sekisho_mqtt::QoS::AtMostOnce).await.unwrap();
    assert_eq!(&*here.message().await.payload, b"here", "and no client id was taken over");
    assert_eq!(&*there.message().await.payload, b"there");
}

async fn refused_for_status(status: &str, reason: &str) {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.status = status.into());
    let device = Device::new(&world, &files);
    assert!(device.tls().await.is_ok(), "the handshake is finished first");
    assert!(device.attempt(connect_v3("c")).await.is_none(), "and no CONNACK is sent");
    assert!(device.attempt(connect("c")).await.is_none());
    assert_eq!(world.refusal(reason).client_id.as_deref(), Some("c"));
}

#[tokio::test]
async fn an_inactive_certificate_is_refused() {
    refused_for_status("INACTIVE", "DEVICE_CERTIFICATE_INACTIVE").await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    refused_for_status("REVOKED", "DEVICE_CERTIFICATE_REVOKED").await;
}

#[tokio::test]
async fn a_certificate_in_transfer_is_refused() {
    refused_for_status("PENDING_TRANSFER", "DEVICE_CERTIFICATE_PENDING_TRANSFER").await;
}

#[tokio::test]
async fn a_certificate_awaiting_activation_is_refused() {
    refused_for_status("PENDING_ACTIVATION", "DEVICE_CERTIFICATE_PENDING_ACTIVATION").await;
}

#[tokio::test]
async fn each_attempt_of_a_certificate_awaiting_activation_reaches_the_control_plane() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.status = "PENDING_ACTIVATION".into());
    let device = Device::new(&world, &files);
    for _ in 0..3 {
        assert!(device.connect("c").await.is_none());
    }
    assert_eq!(world.asked().len(), 3);
}

#[tokio::test]
async fn validity_is_read_from_the_certificate_itself() {
    let world = World::new();
    let expired = device_files::device_with("expired", &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let early = device_files::device_with("early", &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = rcgen::date_time_ymd(2095, 1, 1);
        params.not_after = rcgen::date_time_ymd(2096, 1, 1);
    });
    for files in [&expired, &early] {
        world.register(files);
        assert!(Device::new(&world, files).connect("c").await.is_none());
    }
    world.refusal("DEVICE_CERTIFICATE_EXPIRED");
    world.refusal("DEVICE_CERTIFICATE_NOT_YET_VALID");
}

#[tokio::test]
async fn the_control_plane_sees_the_chain_as_it_was_sent() {
    let world = World::new();
    let mut files = device_files::device("pump");
    files.chain.push(device_files::device("ca").chain.remove(0));
    assert!(Device::new(&world, &files).connect("c").await.is_none());
    world.refusal("CA_NOT_REGISTERED");
    assert_eq!(world.asked()[0].chain_length, 2);
}

#[tokio::test]
async fn an_unregistered_certificate_is_asked_about_each_time() {
    let world = World::new();
    let files = device_files::device("pump");
    let device = Device::new(&world, &files);
    assert!(device.connect("c").await.is_none());
    world.register(&files);
    assert!(device.connect("c").await.is_some(), "no refusal is remembered");
}

#[tokio::test]
async fn no_policy_means_no_connack_for_3_1_1_and_not_authorized_for_5() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.policies.clear());
    let device = Device::new(&world, &files);
    assert!(device.attempt(connect_v3("c")).await.is_none());
    let (mut client, connack) = device.attempt(connect("c")).await.unwrap();
    assert_eq!(connack.code, ReasonCode::NotAuthorized);
    assert_eq!(client.ended().await, None);
    world.refusal("CONNECT_NOT_AUTHORIZED");
}

#[tokio::test]
async fn policy_variables_know_the_client_the_thing_and_the_certificate() {
    const DOCUMENT: &str = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"],
         "Resource": "arn:aws:iot:eu-central-1:123456789012:topic/${iot:Certificate.Subject.CommonName}/${iot:ClientId}"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}]}"#;
    let world = World::new();
    let files = device_files::device("hall-7");
    world.register_as(&files, |identity| {
        identity.policies = vec![policy("mine", DOCUMENT)];
        identity.things = vec![sekisho_gateway::AttachedThing {
            name: "pump".into(),
            type_name: None,
            attributes: Vec::new(),
            exclusive: false,
            group_policies: Vec::new(),
        }];
    });
    let device = Device::new(&world, &files);
    assert!(device.connect("another").await.is_none(), "the client id names no attached thing");
    let mut client = device.connect("pump").await.unwrap();
    client.subscribe("hall-7/pump", sekisho_mqtt::QoS::AtMostOnce).await;
    client.publish("hall-7/pump", b"1", sekisho_mqtt::QoS::AtMostOnce).await.unwrap();
    assert_eq!(&*client.message().await.payload, b"1");
    client.publish("hall-8/pump", b"2", sekisho_mqtt::QoS::AtMostOnce).await.unwrap();
    assert_eq!(client.ended().await, Some(ReasonCode::NotAuthorized));
    assert!(world.refusal("PUBLISH_NOT_AUTHORIZED").detail.contains("hall-8/pump"));
}

#[tokio::test]
async fn an_exclusive_thing_is_spoken_for_by_any_client_id_and_brings_its_groups_policies() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| {
        identity.policies.clear();
        identity.things = vec![sekisho_gateway::AttachedThing {
            name: "pump".into(),
            type_name: Some("Pump".into()),
            attributes: vec![("hall".into(), "7".into())],
            exclusive: true,
            group_policies: vec![policy("of-the-group", ALLOW_ALL)],
        }];
    });
    assert!(Device::new(&world, &files).connect("whatever").await.is_some());
}

#[tokio::test]
async fn an_unreadable_policy_allows_nothing() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.policies.push(policy("broken", "{")));
    assert!(Device::new(&world, &files).connect("c").await.is_none());
    assert!(world.refusal("POLICY_UNREADABLE").detail.contains("broken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_another_account_is_not_believed() {
    let world = World::new();
    let files = device_files::device("pump");
    let device = Device::new(&world, &files);
    world.hold();
    let attempt = tokio::spawn(async move { device.connect("c").await.is_some() });
    eventually_true("admission request", || world.held() == 1);
    world.release(|_| {
        Answer::Registered(sekisho_gateway::Identity { account_id: OTHER_ACCOUNT.into(), ..identity() })
    });
    assert!(!attempt.await.unwrap());
    world.refusal("CONTROL_PLANE_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_with_one_certificate_make_one_admission_request() {
    let world = World::new();
    let files = device_files::device("pump");
    world.register(&files);
    let device = Device::new(&world, &files);
    world.hold();
    let crowd: Vec<_> = (0..30)
        .map(|number| {
            let device = device.clone();
            tokio::spawn(async move { device.connect(&format!("c{number}")).await })
        })
        .collect();
    // All thirty have finished TLS; one admission request is held, and no other has come.
    eventually_true("handshake of all", || world.count("handshakes") == 30);
    eventually_true("admission request", || world.held() == 1);
    world.release(|_| Answer::Registered(identity()));
    for member in crowd {
        assert!(member.await.unwrap().is_some());
    }
    assert_eq!(world.asked().iter().filter(|asked| !asked.reexamination).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_control_plane_refuses_certificates_that_are_not_cached_and_no_others() {
    let world = World::with(|config| config.admission_timeout = Duration::from_millis(300));
    let (known, uncached) = (device_files::device("known"), device_files::device("uncached"));
    world.register(&known);
    world.register(&uncached);
    let known = Device::new(&world, &known);
    let mut subscriber = known.connect("subscriber").await.unwrap();
    subscriber.subscribe("t", sekisho_mqtt::QoS::AtLeastOnce).await;
    world.sleep();
    let device = Device::new(&world, &uncached);
    let uncached = tokio::spawn(async move { device.connect("uncached").await.is_some() });
    let mut publisher = known.connect("publisher").await.unwrap();
    publisher.publish("t", b"meanwhile", sekisho_mqtt::QoS::AtMostOnce).await.unwrap();
    assert_eq!(&*subscriber.message().await.payload, b"meanwhile");
    assert!(!uncached.await.unwrap());
    world.wake();
    world.refusal("CONTROL_PLANE_TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_admission_queue_refuses_at_once() {
    let world = World::with(|config| config.admission_queue = 1);
    world.sleep();
    let unregistered: Vec<DeviceFiles> =
        (0..8).map(|number| device_files::device(&format!("uncached-{number}"))).collect();
    for files in &unregistered {
        let device = Device::new(&world, files);
        tokio::spawn(async move { device.connect("c").await.is_some() });
    }
    eventually_true("refusal", || world.count("refused.ADMISSION_QUEUE_FULL") > 0);
}

#[tokio::test]
async fn verbose_refusals_say_why() {
    let world = World::with(|config| config.verbose_refusals = true);
    let files = device_files::device("pump");
    world.register_as(&files, |identity| identity.status = "INACTIVE".into());
    let device = Device::new(&world, &files);
    let (_, connack) = device.attempt(connect("c")).await.unwrap();
    assert_eq!(connack.code, ReasonCode::NotAuthorized);
    assert!(connack.properties.reason_string.unwrap().contains("not active"));
    assert_eq!(device.attempt(connect_v3("c")).await.unwrap().1.code, ReasonCode::NotAuthorized);
}
