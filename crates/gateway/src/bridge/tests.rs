use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::bridge::admissions::{MAX_CHAINS, MAX_TURN_DEADLINES, Outcome, Urgency};
use crate::bridge::events::{AdmissionRequest, ConnectedEvent, Event, Owner, RefusedEvent, RequestEvent};
use crate::bridge::*;
use crate::credential::Key;
use crate::network::Network;
use crate::realm_name::{RealmId, RealmName};
use crate::refusal::Refusal;

fn key(number: u8) -> Key {
    Key::of_certificate(None, sekisho_certificate::certificate_id(&[number]))
}

fn request_about(number: u8) -> AdmissionRequest {
    let certificate_id = key(number).credential.to_string().into();
    AdmissionRequest {
        key: key(number),
        realm: None,
        certificate_id,
        chain: Arc::new([]),
        client_id: "c".into(),
        owner: owner("A", 1),
    }
}

fn realm(account_id: &str) -> Arc<RealmName> {
    Arc::new(RealmName::new(RealmId::at(0), account_id, "r"))
}

fn owner(account_id: &str, host: u8) -> Owner {
    Owner { account_id: Some(account_id.into()), network: Network::of(peer(host)) }
}

fn peer(host: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, host])
}

/// An admission request about a certificate of its own for each number.
fn request_about_of(account_id: &str, host: u8, number: u32) -> AdmissionRequest {
    let certificate_id = sekisho_certificate::certificate_id(&number.to_be_bytes());
    let key = Key::of_certificate(None, certificate_id);
    AdmissionRequest { key, owner: owner(account_id, host), ..request_about(0) }
}

fn ask_of(bridge: &Bridge, account_id: &str, host: u8, number: u32) -> Option<oneshot::Receiver<Outcome>> {
    let request = request_about_of(account_id, host, number);
    let key = request.key;
    bridge.ask(|| request, &key, &[])
}

/// The accounts of the certificates in a batch.
fn accounts(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Admit { request, .. } => request.owner.account_id.as_deref(),
            Event::Request(request) => Some(&*request.realm.account_id),
            Event::Connected(connected) => Some(&*connected.realm.account_id),
            Event::Refused(refused) => refused.realm.as_ref().map(|realm| &*realm.account_id),
            Event::AcceptFailed { .. } | Event::Dropped { .. } => None,
        })
        .collect()
}

fn refused() -> RefusedEvent {
    RefusedEvent {
        time: 0.0,
        realm: None,
        certificate_id: None,
        client_id: None,
        peer: "127.0.0.1:1".to_owned(),
        sni: None,
        reason: "NOT_TLS",
        detail: String::new(),
        operation: "connect",
    }
}

fn request(bytes: usize) -> RequestEvent {
    request_of("1", bytes)
}

fn request_of(account_id: &str, bytes: usize) -> RequestEvent {
    RequestEvent {
        realm: realm(account_id),
        connection: 1,
        client_id: "c".into(),
        certificate_id: "id".into(),
        topic: "$aws/certificates/create/json".to_owned(),
        payload: vec![0; bytes],
    }
}

#[test]
fn requests_are_bounded_by_what_they_weigh_and_go_on_once_some_are_taken() {
    let bridge = Bridge::new(10);
    let large = MAX_REQUEST_BYTES.account / 2 - REQUEST_BYTES;
    (0..3).for_each(|_| bridge.request(request(large)));
    assert!(matches!(
        take(&bridge, 10)[..],
        [Event::Dropped { queue: "request", count: 1, .. }, Event::Request(_), Event::Request(_)]
    ));
    bridge.request(request(large));
    assert!(matches!(take(&bridge, 10)[..], [Event::Request(_)]));
}

#[test]
fn many_requests_starve_no_other_queue() {
    let bridge = Bridge::new(100);
    let waiters: Vec<_> = (0..50).map(|n| bridge.ask(|| request_about(n), &key(n), &[])).collect();
    (0..50).for_each(|_| bridge.request(request(1)));
    (0..50).for_each(|_| bridge.refused(refused(), peer(1)));
    let (mut admissions, mut requests, mut refusals) = (0, 0, 0);
    for event in take(&bridge, 40) {
        match event {
            Event::Admit { .. } => admissions += 1,
            Event::Request(_) => requests += 1,
            _ => refusals += 1,
        }
    }
    assert_eq!((admissions, requests, refusals), (25, 5, 10));
    drop(waiters);
}

fn take(bridge: &Bridge, limit: usize) -> Vec<Event> {
    bridge.next_batch(limit, Duration::ZERO, || 7)
}

#[test]
fn refusals_beyond_the_bound_are_dropped_and_counted_once() {
    let bridge = Bridge::new(10);
    (0..MAX_REFUSALS.source + 5).for_each(|_| bridge.refused(refused(), peer(1)));
    assert!(matches!(take(&bridge, 2)[..], [Event::Dropped { count: 5, .. }, Event::Refused(_)]));
    assert!(matches!(take(&bridge, 1)[..], [Event::Refused(_)]));
}

#[test]
fn an_account_waits_for_one_certificate_of_each_other_account_per_turn() {
    let bridge = Bridge::new(10_000);
    let waiters: Vec<_> = (0..4_000).map(|number| ask_of(&bridge, "A", 1, number)).collect();
    let other = ask_of(&bridge, "B", 2, 4_000);
    let unnamed = bridge.ask(
        || AdmissionRequest {
            owner: Owner { account_id: None, network: Network::of(peer(3)) },
            ..request_about(9)
        },
        &key(9),
        &[],
    );
    assert!(waiters.iter().all(Option::is_some) && other.is_some() && unnamed.is_some());
    let events = take(&bridge, 4);
    assert_eq!(accounts(&events), ["A", "B", "A"], "and one without an account");
}

#[test]
fn an_account_that_fills_the_queue_is_refused_alone_and_gives_way_to_others() {
    let bridge = Bridge::new(10);
    let mut waiters: Vec<_> = (0..8).map(|number| ask_of(&bridge, "A", 1, number)).collect();
    assert_eq!(waiters.iter().flatten().count(), 5, "half of the queue");
    waiters.extend((100..105).map(|number| ask_of(&bridge, "B", 2, number)));
    assert_eq!(waiters.iter().flatten().count(), 10);
    assert!(
        ask_of(&bridge, "C", 3, 200).is_some(),
        "an account that holds less than the others is not refused"
    );
    let is_refused = |waiter: &mut oneshot::Receiver<Outcome>| {
        let outcome = waiter.try_recv().ok();
        outcome.and_then(Result::err).is_some_and(|told| told.refusal == Refusal::AdmissionQueueFull)
    };
    let refused = waiters.iter_mut().flatten().map(is_refused).filter(|refused| *refused).count();
    assert_eq!((bridge.lengths().admissions, refused), (10, 1), "one was displaced, and told");
}

#[test]
fn a_peer_that_floods_the_endpoint_of_an_account_gives_way_to_its_devices() {
    let bridge = Bridge::new(20);
    let mut flood: Vec<_> = (0..50).filter_map(|number| ask_of(&bridge, "A", 66, number)).collect();
    assert_eq!(flood.len(), 10);
    assert!(ask_of(&bridge, "A", 1, 100).is_some());
    assert!(matches!(flood.last_mut().unwrap().try_recv(), Ok(Err(_))), "its newest is refused");
    let _same_site = ask_of(&bridge, "A", 1, 101).unwrap();
    let events = take(&bridge, 4);
    let hosts: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Admit { request, .. } => request.owner.network,
            _ => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(hosts, [66, 1, 66, 1].map(|host| Network::of(peer(host))));
}

#[test]
fn a_live_connection_whose_request_is_displaced_is_examined_all_the_same() {
    let bridge = Bridge::new(4);
    let _waiters = [1, 2].map(|number| ask_of(&bridge, "A", 1, number));
    bridge.reexamine([request_about_of("A", 1, 2)], Urgency::Ordinary);
    assert!(ask_of(&bridge, "A", 2, 3).is_some(), "of another network: 2 is displaced");
    let events = take(&bridge, 10);
    assert_eq!(events.len(), 3);
    assert!(events.iter().any(|event| matches!(event, Event::Admit { reexamination: true, .. })));
}

#[test]
fn reexaminations_of_accounts_take_turns_also_where_they_are_urgent() {
    let bridge = Bridge::new(10);
    for urgency in [Urgency::Ordinary, Urgency::Urgent] {
        bridge.reexamine((0..1000).map(|number| request_about_of("A", 1, number)), urgency);
        bridge.reexamine([request_about_of("B", 2, 1000)], urgency);
        assert_eq!(accounts(&take(&bridge, 2)), ["A", "B"]);
        while !take(&bridge, 1000).is_empty() {}
        bridge.expire(Duration::ZERO, Instant::now() + Duration::from_secs(1));
    }
}

#[test]
fn requests_and_refusals_of_one_account_neither_delay_nor_displace_those_of_another() {
    let bridge = Bridge::new(10);
    (0..50_000).for_each(|_| bridge.request(request_of("A", 0)));
    bridge.request(request_of("B", 0));
    let events = take(&bridge, 3);
    let dropped = 50_000 - MAX_REQUEST_BYTES.account / REQUEST_BYTES;
    assert!(
        matches!(&events[0], Event::Dropped { queue: "request", account_id: Some(account_id), count }
            if &**account_id == "A" && *count == dropped as u64),
        "{:?}",
        events[0]
    );
    assert_eq!(accounts(&events), ["A", "B"]);
    assert_eq!(bridge.lengths().dropped_requests, dropped as u64);

    let bridge = Bridge::new(10);
    let of = |account_id: &str| RefusedEvent { realm: Some(realm(account_id)), ..refused() };
    for host in 0..8 {
        (0..MAX_REFUSALS.source).for_each(|_| bridge.refused(of("A"), peer(host)));
    }
    bridge.refused(of("B"), peer(9));
    assert_eq!(bridge.lengths().refusals, MAX_REFUSALS.account + 1);
    assert_eq!(accounts(&take(&bridge, 4))[..2], ["A", "B"]);
}

#[test]
fn connected_certificates_of_accounts_take_turns_and_have_a_bound_each() {
    let bridge = Bridge::new(10);
    let connected = |account_id: &str| ConnectedEvent {
        realm: realm(account_id),
        certificate_id: "id".into(),
        client_id: "c".into(),
    };
    let said = (0..=MAX_CONNECTED_PER_ACCOUNT).filter(|_| bridge.connected(connected("A"))).count();
    assert_eq!(said, MAX_CONNECTED_PER_ACCOUNT);
    assert!(bridge.connected(connected("B")));
    assert_eq!(accounts(&take(&bridge, 3)), ["A", "B", "A"]);
}

#[test]
fn failed_accepts_that_were_not_taken_yet_are_one_event() {
    let bridge = Bridge::new(10);
    bridge.accept_failed("first".to_owned(), 1);
    bridge.accept_failed("last".to_owned(), 41);
    assert!(matches!(&take(&bridge, 2)[..], [Event::AcceptFailed { cause, count: 42 }] if cause == "last"));
    assert!(take(&bridge, 2).is_empty());
}

#[test]
fn neither_queue_starves_the_others() {
    let bridge = Bridge::new(100);
    let waiters: Vec<_> = (0..50).map(|n| bridge.ask(|| request_about(n), &key(n), &[])).collect();
    bridge.reexamine((100..150).map(request_about), Urgency::Ordinary);
    (0..50).for_each(|_| bridge.refused(refused(), peer(1)));
    let (mut admissions, mut reexaminations, mut refusals) = (0, 0, 0);
    for event in take(&bridge, 40) {
        match event {
            Event::Admit { reexamination: false, .. } => admissions += 1,
            Event::Admit { .. } => reexaminations += 1,
            _ => refusals += 1,
        }
    }
    assert_eq!((admissions, reexaminations, refusals), (15, 15, 10));
    drop(waiters);
}

#[test]
fn a_full_queue_takes_no_new_certificate_but_more_waiters_for_a_known_one() {
    let bridge = Bridge::new(1);
    let first = bridge.ask(|| request_about(1), &key(1), &[]);
    assert!(first.is_some());
    assert!(bridge.ask(|| request_about(2), &key(2), &[]).is_none());
    assert!(bridge.ask(|| request_about(1), &key(1), &[]).is_some());
    assert_eq!(take(&bridge, 10).len(), 1);
}

#[test]
fn what_is_urgent_goes_ahead_whether_or_not_it_waits_already() {
    let bridge = Bridge::new(10);
    bridge.reexamine((0..100).map(request_about), Urgency::Ordinary);
    for number in [50, 200] {
        bridge.reexamine([request_about(number)], Urgency::Urgent);
        let events = take(&bridge, 1);
        let [Event::Admit { request, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(request.key, key(number));
    }
    assert_eq!(take(&bridge, 1000).len(), 99, "and is asked once");
}

#[test]
fn one_certificate_is_asked_about_with_few_chains_at_a_time() {
    let bridge = Bridge::new(100);
    let chain = |number: u8| vec![CertificateDer::from(vec![number])];
    let ask = |number: u8| {
        let request = || AdmissionRequest { chain: chain(number).into(), ..request_about(1) };
        bridge.ask(request, &key(1), &chain(number))
    };
    let waiters: Vec<_> = (0..=u8::MAX).map(ask).collect();
    assert_eq!(waiters.iter().flatten().count(), MAX_CHAINS);
    assert!(ask(0).is_some(), "what is asked already may be waited for");
    assert!(bridge.ask(|| request_about(2), &key(2), &[]).is_some(), "others are not concerned");
}

#[test]
fn requests_are_answered_once_and_only_after_they_were_taken() {
    let bridge = Bridge::new(10);
    let _waiter = bridge.ask(|| request_about(1), &key(1), &[]);
    assert!(bridge.answer([1].into_iter())[0].is_none(), "it was not taken yet");
    let events = take(&bridge, 10);
    let [Event::Admit { id, .. }] = events[..] else { panic!("{events:?}") };
    let taken = bridge.answer([id, 99].into_iter());
    assert_eq!(taken[0].as_ref().map(|answered| answered.epoch), Some(7));
    assert!(taken[1].is_none(), "there is no such request");
    assert!(bridge.answer([id].into_iter())[0].is_none(), "it is being answered");
    assert_eq!(bridge.finish(id).map(|recipients| recipients.connecting.len()), Some(1));
    assert!(bridge.finish(id).is_none());
}

#[test]
fn a_request_asked_again_keeps_its_recipients() {
    let bridge = Bridge::new(10);
    let _waiter = bridge.ask(|| request_about(1), &key(1), &[]);
    let events = take(&bridge, 10);
    let [Event::Admit { id, .. }] = events[..] else { panic!("{events:?}") };
    assert!(bridge.answer([id].into_iter())[0].is_some());
    bridge.ask_again(id);
    assert_eq!(take(&bridge, 10).len(), 1);
    assert!(bridge.answer([id].into_iter())[0].is_some());
    assert_eq!(bridge.finish(id).map(|recipients| recipients.connecting.len()), Some(1));
}

#[test]
fn connections_that_wait_for_a_request_that_expires_are_told() {
    let bridge = Bridge::new(10);
    let mut waiter = bridge.ask(|| request_about(1), &key(1), &[]).unwrap();
    bridge.reexamine([request_about(2)], Urgency::Ordinary);
    let deadline = Duration::from_secs(60);
    assert_eq!(bridge.expire(deadline, Instant::now()), []);
    assert_eq!(bridge.expire(deadline, Instant::now() + 2 * deadline), [key(2)]);
    assert!(waiter.try_recv().is_err());
    assert!(take(&bridge, 10).is_empty());
    assert_eq!(bridge.lengths().admissions, 0);
}

#[test]
fn live_connections_wait_for_their_turn_while_the_queue_moves_and_not_for_a_lost_answer() {
    let (bridge, deadline) = (Bridge::new(10), Duration::from_secs(5));
    bridge.reexamine([request_about(1), request_about(2)], Urgency::Ordinary);
    assert_eq!(take(&bridge, 1).len(), 1);
    let answers_until = |at| bridge.lock().admissions.set_last_answer(Some(at));
    let later = Instant::now() + 2 * deadline;
    answers_until(later);
    assert_eq!(bridge.expire(deadline, later), [key(1)], "it was taken, and others were answered");
    let much_later = later + MAX_TURN_DEADLINES * deadline;
    answers_until(much_later);
    assert_eq!(bridge.expire(deadline, much_later), [key(2)]);

    bridge.reexamine([request_about(3)], Urgency::Ordinary);
    bridge.lock().admissions.set_last_answer(None);
    assert_eq!(bridge.expire(deadline, later), [key(3)], "nothing moves");
}

#[test]
fn closing_ends_all_waiting() {
    let bridge = Bridge::new(10);
    let mut waiter = bridge.ask(|| request_about(1), &key(1), &[]).unwrap();
    bridge.close();
    assert!(bridge.next_batch(1, Duration::from_secs(60), || 0).is_empty());
    assert!(waiter.try_recv().is_err());
}
