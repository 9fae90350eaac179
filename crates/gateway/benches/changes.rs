//! What a changed policy costs a realm with many live connections, without sockets: `cargo bench -p sekisho-gateway`.
//!
//! 20,000 connections, of which five use the changed policy. Beside it, what was done before live connections were
//! indexed: examine each of them. Prints microseconds, the best of several rounds. Not a test: the figures depend on the
//! machine. That exactly five are examined is asserted by a test of `reexamine`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people to run and read")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sekisho_broker::{Budget, BudgetLimits, Limits};
use sekisho_gateway::admitted::{Admitted, Presented};
use sekisho_gateway::bridge::Bridge;
use sekisho_gateway::change_log::{Recorded, Standing};
use sekisho_gateway::clock::Clock;
use sekisho_gateway::credential::Key;
use sekisho_gateway::handle::ConnectionHandle;
use sekisho_gateway::metrics::Metrics;
use sekisho_gateway::principals::Principals;
use sekisho_gateway::realm::Realm;
use sekisho_gateway::realms::Realms;
use sekisho_gateway::reexamine::Reexamination;
use sekisho_gateway::reports::Reports;
use sekisho_gateway::{Change, ChangeKind, Identity, PolicyDocument};
use sekisho_mqtt::{Connect, ConnectProperties, Utf8, Version};

const CONNECTIONS: u32 = 20_000;
const USING: u32 = 5;
const ROUNDS: u32 = 20;

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";
const ALLOW_ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

struct Plane {
    realm: Arc<Realm>,
    principals: Arc<Principals>,
    metrics: Arc<Metrics>,
    reexamination: Reexamination,
}

impl Plane {
    fn new() -> Self {
        let metrics = Arc::<Metrics>::default();
        let reports =
            Reports { bridge: Arc::new(Bridge::new(10)), metrics: metrics.clone(), clock: Clock::system() };
        let budget = Budget::new(&BudgetLimits::default());
        let realms =
            Arc::new(Realms::new(Limits::default(), budget, Vec::new(), reports.clone(), Box::new(|_| {})));
        let principals = Arc::new(Principals::new(1_000_000));
        let reexamination = Reexamination {
            realms: realms.clone(),
            principals: principals.clone(),
            reports,
            timeout: Duration::from_secs(5),
            require_sni: true,
        };
        Self { realm: realms.get_or_create(ACCOUNT, REGION), principals, metrics, reexamination }
    }

    fn connect(&self, number: u32) {
        let policy = if number < USING { "changed" } else { "other" };
        let identity = Identity {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            status: "ACTIVE".into(),
            mode: "DEFAULT".into(),
            policies: vec![PolicyDocument {
                name: policy.into(),
                version: "1".into(),
                document: ALLOW_ALL.into(),
            }],
            things: Vec::new(),
            is_awaited: false,
        };
        let name = self.realm.name().clone();
        let certificate_id = sekisho_certificate::certificate_id(&number.to_be_bytes());
        let key = Key::of_certificate(Some(name.id), certificate_id);
        let epoch = self.principals.changes().epoch();
        let principal = Arc::new(self.principals.make(key, name, None, &identity, epoch).unwrap());
        let client_id = format!("c{number}");
        let presented = Presented {
            client_id: client_id.as_str().into(),
            ..Presented::nothing(SocketAddr::from(([127, 0, 0, 1], 50_000)))
        };
        let admitted = Admitted::examine(principal, &presented, true, 0).unwrap();
        let handle = Arc::new(ConnectionHandle::new(&admitted, presented));
        let connect = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 60,
            client_id: Utf8::try_from(client_id).unwrap(),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        self.realm.connect(&handle, connect);
        self.realm.live().add(&handle);
    }

    /// The connections that use the change are looked up. Returns how many were examined.
    fn by_index(&self) -> u64 {
        let before = self.metrics.connections_examined.get();
        self.reexamination.invalidate(&[Change {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            kind: ChangeKind::Policy,
            id: "changed".into(),
            lost: None,
        }]);
        self.metrics.connections_examined.get() - before
    }

    /// Each connection of the realm is examined. Returns how many.
    fn by_sweep(&self) -> u64 {
        let realm = Some(self.realm.name().id);
        let change = Recorded { realm, kind: ChangeKind::Policy, id: "changed", lost: None };
        self.principals.changes().record([change].into_iter());
        let handles = self.realm.live().using(ChangeKind::Realm, "");
        let stale = handles
            .iter()
            .filter(|handle| self.principals.changes().standing(&handle.principal()) == Standing::Stale)
            .count();
        assert_eq!(stale, USING as usize);
        handles.len() as u64
    }
}

fn best(what: &str, act: impl Fn() -> u64) {
    let rounds: Vec<(Duration, u64)> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let examined = act();
            (start.elapsed(), examined)
        })
        .collect();
    let (time, examined) = rounds.iter().min().unwrap();
    println!("{what:<28} {examined:>6} examined {:>10.1} µs", time.as_secs_f64() * 1e6);
}

fn main() {
    let plane = Plane::new();
    (0..CONNECTIONS).for_each(|number| plane.connect(number));
    println!("{CONNECTIONS} live connections, {USING} of them use the changed policy");
    best("each connection examined", || plane.by_sweep());
    best("connections by what they use", || plane.by_index());
}
