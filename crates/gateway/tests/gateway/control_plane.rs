//! A control plane for tests: one thread that takes batches and answers from a table.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rcgen::PKCS_ECDSA_P256_SHA256;
use sekisho_gateway::{
    Answer, Change, ChangeKind, Config, ConnectedEvent, Event, Gateway, Identity, PolicyDocument, Refusal,
    RefusedEvent, RequestEvent,
};

use crate::device_files::{self, DeviceFiles, Server};

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub const ACCOUNT: &str = "123456789012";
pub const OTHER_ACCOUNT: &str = "210987654321";
pub const REGION: &str = "eu-central-1";

/// Everything is allowed.
pub const ALLOW_ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}"#;

/// An admission request as the control plane saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub id: u64,
    pub account_id: Option<String>,
    pub certificate_id: String,
    pub chain_length: usize,
    pub reexamination: bool,
}

#[derive(Default)]
struct Table {
    /// By (account, certificate id).
    identities: HashMap<(String, String), Identity>,
    asked: Vec<Asked>,
    refusals: Vec<RefusedEvent>,
    requests: Vec<RequestEvent>,
    connected: Vec<ConnectedEvent>,
    asleep: bool,
    /// The thread has noticed.
    dozing: bool,
    /// Taken by the thread and not answered, because it is to hold them.
    held: Vec<Asked>,
    holding: bool,
}

/// A running gateway with its control plane.
pub struct World {
    pub gateway: Arc<Gateway>,
    pub server: Server,
    pub port: u16,
    table: Arc<(Mutex<Table>, Condvar)>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::serving(device_files::server(&PKCS_ECDSA_P256_SHA256), change)
    }

    pub fn serving(server: Server, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { mqtt_port: 0, workers: 2, ..Config::default() };
        change(&mut config);
        let gateway = Arc::new(Gateway::new(config));
        gateway.set_server_certificates(std::slice::from_ref(&server.chain)).unwrap();
        gateway.set_endpoints(&[
            ("localhost".to_owned(), ACCOUNT.to_owned(), REGION.to_owned()),
            ("one.example".to_owned(), ACCOUNT.to_owned(), REGION.to_owned()),
            ("two.example".to_owned(), OTHER_ACCOUNT.to_owned(), REGION.to_owned()),
        ]);
        let port = gateway.start().unwrap();
        let table = Arc::<(Mutex<Table>, Condvar)>::default();
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (gateway, table, ended) = (gateway.clone(), table.clone(), ended.clone());
            move || serve(&gateway, &table, &ended)
        });
        Self { gateway, server, port, table, ended, thread: Some(thread) }
    }

    /// Register a certificate, ACTIVE, mode DEFAULT, allowed everything.
    pub fn register(&self, files: &DeviceFiles) {
        self.register_as(files, |_| {});
    }

    /// Register it with something changed. The gateway is not told: see [`World::changed`].
    pub fn register_as(&self, files: &DeviceFiles, change: impl FnOnce(&mut Identity)) {
        let mut identity = identity();
        change(&mut identity);
        let key = (identity.account_id.clone(), files.certificate_id());
        self.table.0.lock().unwrap().identities.insert(key, identity);
    }

    pub fn unregister(&self, files: &DeviceFiles) {
        self.table.0.lock().unwrap().identities.retain(|(_, id), _| *id != files.certificate_id());
    }

    /// Tell the gateway that this certificate changed.
    pub fn changed(&self, files: &DeviceFiles) {
        self.invalidate(ChangeKind::Certificate, &files.certificate_id());
    }

    pub fn invalidate(&self, kind: ChangeKind, id: &str) {
        self.announce(kind, id, None);
    }

    /// Tell the gateway that this certificate has lost its right.
    pub fn lost(&self, files: &DeviceFiles, refusal: Refusal) {
        self.announce(ChangeKind::Certificate, &files.certificate_id(), Some(refusal));
    }

    fn announce(&self, kind: ChangeKind, id: &str, lost: Option<Refusal>) {
        let change = Change { account_id: ACCOUNT.into(), region: REGION.into(), kind, id: id.into(), lost };
        self.gateway.invalidate(&[change]);
    }

    /// The control plane takes nothing any more.
    pub fn sleep(&self) {
        self.table.0.lock().unwrap().asleep = true;
        eventually_true("sleep", || self.table.0.lock().unwrap().dozing);
    }

    pub fn wake(&self) {
        self.table.0.lock().unwrap().asleep = false;
        self.table.1.notify_all();
    }

    /// From now on admission requests are taken and kept.
    pub fn hold(&self) {
        self.table.0.lock().unwrap().holding = true;
    }

    /// Answer what is held with `answer`, and go on from the table.
    pub fn release(&self, answer: impl Fn(&Asked) -> Answer) {
        let held = {
            let mut table = self.table.0.lock().unwrap();
            table.holding = false;
            std::mem::take(&mut table.held)
        };
        self.gateway.complete(held.iter().map(|asked| (asked.id, answer(asked))).collect());
    }

    pub fn held(&self) -> usize {
        self.table.0.lock().unwrap().held.len()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.table.0.lock().unwrap().asked.clone()
    }

    /// The next request of a client to a service; waits for it.
    pub fn request(&self) -> RequestEvent {
        eventually("a request", || {
            let mut table = self.table.0.lock().unwrap();
            if table.requests.is_empty() {
                Err("there is none".to_owned())
            } else {
                Ok(table.requests.remove(0))
            }
        })
    }

    /// The awaited certificates that have connected so far.
    pub fn connected(&self) -> Vec<ConnectedEvent> {
        self.table.0.lock().unwrap().connected.clone()
    }

    /// The first refusal for this reason; waits for it.
    pub fn refusal(&self, reason: &str) -> RefusedEvent {
        eventually(&format!("a refusal for {reason}"), || {
            let table = self.table.0.lock().unwrap();
            table.refusals.iter().find(|refused| refused.reason == reason).cloned().ok_or_else(|| {
                format!(
                    "refused so far: {:?}",
                    table.refusals.iter().map(|r| (r.reason, &r.detail)).collect::<Vec<_>>()
                )
            })
        })
    }

    /// One number of the statistics; 0 where it does not appear.
    pub fn count(&self, name: &str) -> u64 {
        self.gateway.statistics().into_iter().find(|(other, _)| other == name).map_or(0, |(_, count)| count)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.wake();
        self.gateway.stop(Duration::from_secs(1));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What most certificates are.
pub fn identity() -> Identity {
    Identity {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        status: "ACTIVE".into(),
        mode: "DEFAULT".into(),
        policies: vec![policy("all", ALLOW_ALL)],
        things: Vec::new(),
        is_awaited: false,
    }
}

/// A refusal by the control plane, with the reason's own sentence.
pub fn refused(reason: &str) -> Answer {
    Answer::Refused { reason: reason.into(), detail: None }
}

pub fn policy(name: &str, document: &str) -> PolicyDocument {
    PolicyDocument { name: name.into(), version: "1".into(), document: document.into() }
}

/// Wait for a condition, and say what is missing when it does not come.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(why) => assert!(Instant::now() < deadline, "no {what} came: {why}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`eventually`], for what is true or not.
pub fn eventually_true(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || if condition() { Ok(()) } else { Err("it is not so".to_owned()) });
}

fn serve(gateway: &Gateway, table: &(Mutex<Table>, Condvar), ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        let mut awake = table.0.lock().unwrap();
        while awake.asleep {
            awake.dozing = true;
            awake = table.1.wait(awake).unwrap();
        }
        awake.dozing = false;
        drop(awake);
        let events = gateway.next_batch(1000, Duration::from_millis(20));
        let mut table = table.0.lock().unwrap();
        let mut answers = Vec::new();
        for event in events {
            match event {
                Event::Refused(refused) => table.refusals.push(*refused),
                Event::Request(request) => table.requests.push(*request),
                Event::Connected(connected) => table.connected.push(*connected),
                Event::AcceptFailed { .. } | Event::Dropped { .. } => {}
                Event::Admit { id, request, reexamination } => {
                    let asked = Asked {
                        id,
                        account_id: request.realm.as_ref().map(|realm| realm.account_id.to_string()),
                        certificate_id: request.certificate_id.to_string(),
                        chain_length: request.chain.len(),
                        reexamination,
                    };
                    table.asked.push(asked.clone());
                    if table.holding {
                        table.held.push(asked);
                    } else {
                        answers.push((id, answer(&table, &asked)));
                    }
                }
            }
        }
        drop(table);
        gateway.complete(answers);
    }
}

fn answer(table: &Table, asked: &Asked) -> Answer {
    let found = match &asked.account_id {
        Some(account_id) => table.identities.get(&(account_id.clone(), asked.certificate_id.clone())),
        None => {
            // DEFAULT mode lives in one account only; that is what makes it findable without SNI.
            table
                .identities
                .iter()
                .find(|((_, id), _)| *id == asked.certificate_id)
                .map(|(_, identity)| identity)
        }
    };
    match found {
        Some(identity) => Answer::Registered(identity.clone()),
        None => refused("CA_NOT_REGISTERED"),
    }
}
