//! What unit tests of several modules start from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sekisho_broker::{Budget, BudgetLimits, Limits};
use sekisho_mqtt::{Connect, ConnectProperties, Utf8, Version};

use crate::admitted::{Admitted, Presented};
use crate::bridge::Bridge;
use crate::clock::Clock;
use crate::credential::Key;
use crate::handle::ConnectionHandle;
use crate::identity::{AttachedThing, Identity, PolicyDocument};
use crate::metrics::Metrics;
use crate::principals::Principals;
use crate::realm::Realm;
use crate::realms::Realms;
use crate::reexamine::Reexamination;
use crate::reports::Reports;

const ALLOW_ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

/// A policy that allows everything.
pub fn policy(name: &str) -> PolicyDocument {
    PolicyDocument { name: name.to_owned(), version: "1".to_owned(), document: ALLOW_ALL.to_owned() }
}

/// Active, and allowed everything by the policy `all`.
pub fn identity() -> Identity {
    Identity {
        account_id: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        status: "ACTIVE".to_owned(),
        mode: "DEFAULT".to_owned(),
        policies: vec![policy("all")],
        things: Vec::new(),
        is_awaited: false,
    }
}

/// With the policy `own`, and the thing `pump` whose group has the policy `of-the-group`.
pub fn identity_with_thing() -> Identity {
    Identity {
        policies: vec![policy("own")],
        things: vec![AttachedThing {
            name: "pump".to_owned(),
            type_name: None,
            attributes: Vec::new(),
            exclusive: false,
            group_policies: vec![policy("of-the-group")],
        }],
        ..identity()
    }
}

/// A data plane without sockets.
pub struct Plane {
    pub realms: Arc<Realms>,
    pub principals: Arc<Principals>,
    pub bridge: Arc<Bridge>,
    pub metrics: Arc<Metrics>,
    pub reexamination: Reexamination,
}

impl Plane {
    pub fn new() -> Self {
        let (bridge, metrics) = (Arc::new(Bridge::new(10)), Arc::<Metrics>::default());
        let reports = Reports { bridge: bridge.clone(), metrics: metrics.clone(), clock: Clock::system() };
        let budget = Budget::new(&BudgetLimits::default());
        let created = Box::new(|_: &_| {});
        let realms = Arc::new(Realms::new(Limits::default(), budget, Vec::new(), reports.clone(), created));
        let principals = Arc::new(Principals::new(1000));
        let reexamination = Reexamination {
            realms: realms.clone(),
            principals: principals.clone(),
            reports,
            timeout: Duration::from_secs(5),
            require_sni: true,
        };
        Self { realms, principals, bridge, metrics, reexamination }
    }

    /// The realm of [`identity`].
    pub fn realm(&self) -> Arc<Realm> {
        let identity = identity();
        self.realms.get_or_create(&identity.account_id, &identity.region)
    }

    /// Admit the certificate of this number, in the realm of [`identity`].
    pub fn admit(&self, certificate: u32, identity: &Identity) -> Admitted {
        let realm = self.realm().name().clone();
        let certificate_id = sekisho_certificate::certificate_id(&certificate.to_be_bytes());
        let key = Key::of_certificate(Some(realm.id), certificate_id);
        let epoch = self.principals.changes().epoch();
        let principal = self.principals.make(key, realm, None, identity, epoch).expect("a sound identity");
        Admitted::examine(Arc::new(principal), &presented("c"), true, 0).expect("it may connect")
    }

    /// Connect with this client id.
    pub fn connect(&self, admitted: &Admitted, client_id: &str, version: Version) -> Arc<ConnectionHandle> {
        let handle = Arc::new(ConnectionHandle::new(admitted, presented(client_id)));
        let realm = self.realm();
        realm.connect(&handle, connect(client_id, version));
        realm.live().add(&handle);
        handle
    }
}

fn presented(client_id: &str) -> Presented {
    let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
    Presented { client_id: client_id.into(), ..Presented::nothing(peer) }
}

fn connect(client_id: &str, version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: Utf8::try_from(client_id).expect("a client id"),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}
