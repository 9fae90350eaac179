//! One device that takes all it can, and a device of another account that goes on.

use sekisho_broker::BudgetLimits;
use sekisho_mqtt::{Connect, ConnectProperties, Packet, QoS, ReasonCode};

use crate::control_plane::{OTHER_ACCOUNT, World, eventually_true};
use crate::device::{Client, Device, connect};
use crate::device_files;

const MB: u64 = 1024 * 1024;

/// What one account gets of the messages: half of the process' limit.
const SHARE: u64 = 2 * MB;

fn world() -> World {
    let budget = BudgetLimits { message_bytes: 2 * SHARE, ..BudgetLimits::default() };
    World::with(|config| config.budget = budget)
}

/// A device of the first account, and one of the other.
fn devices(world: &World) -> (Device, Device) {
    let (greedy, other) = (device_files::device("greedy"), device_files::device("other"));
    world.register(&greedy);
    world.register_as(&other, |identity| identity.account_id = OTHER_ACCOUNT.into());
    (Device::new(world, &greedy), Device::new(world, &other).asking_for("two.example"))
}

fn persistent(client_id: &str) -> Connect {
    let properties = ConnectProperties { session_expiry_interval: Some(600), ..ConnectProperties::default() };
    Connect { properties, clean_start: false, ..connect(client_id) }
}

/// Publishes with QoS 1; the code of the PUBACK.
async fn publish(client: &mut Client, topic: &str, payload: &[u8]) -> ReasonCode {
    client.publish(topic, payload, QoS::AtLeastOnce).await.unwrap();
    match client.receive().await {
        Some(Packet::PubAck(ack)) => ack.reason,
        other => panic!("{other:?} came in place of PUBACK"),
    }
}

/// Makes persistent sessions that queue a topic of their own, and goes.
async fn sleepers(device: &Device, count: usize) {
    for number in 0..count {
        let mut sleeper = device.connect_with(persistent(&format!("sleeper{number}"))).await.unwrap();
        sleeper.subscribe(&format!("t/{number}"), QoS::AtLeastOnce).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_fills_queues_gets_its_accounts_share_and_another_account_goes_on() {
    let world = world();
    let (greedy, other) = devices(&world);
    sleepers(&greedy, 5).await;
    let mut publisher = greedy.connect("publisher").await.unwrap();
    let payload = vec![7; 100_000];
    let mut taken = 0;
    for number in 0.. {
        match publish(&mut publisher, &format!("t/{}", number % 5), &payload).await {
            ReasonCode::Success => taken += 1,
            ReasonCode::QuotaExceeded => break,
            code => panic!("{code}"),
        }
        assert!(taken < 100, "there is no end of it");
    }
    world.refusal("MESSAGE_MEMORY_FULL");
    assert!(taken >= 10, "only {taken} of 100 KB were taken in a share of 2 MB");
    let held = world.count("held.message_bytes");
    assert!(held <= SHARE, "{held} bytes");

    // The other account queues, publishes and receives.
    sleepers(&other, 1).await;
    let mut publisher = other.connect("publisher").await.unwrap();
    for _ in 0..5 {
        assert_eq!(publish(&mut publisher, "t/0", &payload).await, ReasonCode::Success);
    }
    let mut sleeper = other.connect_with(persistent("sleeper0")).await.unwrap();
    for _ in 0..5 {
        assert_eq!(sleeper.message().await.payload.len(), 100_000);
    }
    assert_eq!(world.count("messages_dropped.budget"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_never_end_are_held_within_the_accounts_share() {
    let world = world();
    let (greedy, other) = devices(&world);
    let mut clients = Vec::new();
    for number in 0..60 {
        let mut client = greedy.connect(&format!("c{number}")).await.unwrap();
        // A PUBLISH of 128 KB, and 60 KB of it.
        if client.send_bytes(&[0x30, 0x80, 0x80, 0x08]).await.is_ok() {
            let _ = client.send_bytes(&[b'x'; 60_000]).await;
        }
        clients.push(client);
        let held = world.count("held.message_bytes");
        assert!(held <= SHARE, "{held} bytes");
    }
    eventually_true("connection that ends", || world.count("connections") < 60);
    let mut other = other.connect("c").await.unwrap();
    other.subscribe("t", QoS::AtLeastOnce).await;
    assert!(other.ping().await);
    drop(clients);
    eventually_true("memory that comes back", || world.count("held.message_bytes") == 0);
}
