//! Sockets: TLS, admission, and the carrying out of what the broker asks for.
//!
//! ```text
//!  socket ─ reception ─ TLS ─ CONNECT ─ admission ─ connection ⇄ realm (broker) ⇄ other connections
//!                                          ⇅
//!                                        bridge ⇄ the control plane
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`gateway`] | start, stop, own the runtime; everything the control plane can say |
//! | [`config`], [`identity`] | plain data from the control plane |
//! | [`clock`] | the only source of time |
//! | [`listener`] | the accept loop |
//! | [`half_open`] | connections that are not admitted yet, and which of them gives way |
//! | [`reception`] | from a bare socket to an admitted connection |
//! | [`tls`] | take any client certificate, demand proof of its key |
//! | [`admission`] | what was presented becomes admitted or refused |
//! | [`principals`] | the cache of known certificates, and how it learns of changes |
//! | [`authority`] | policies over the facts of one connection |
//! | [`connection`] | one task per connection |
//! | [`outlet`] | where effects wait for that task |
//! | [`realm`] | an account in a region, its broker, its live connections |
//! | [`bridge`] | questions out, answers in: bounded queues |
//! | [`fair_queue`] | a bounded queue that serves accounts in turn |
//! | [`refusal`] | every reason to say no |
//! | [`metrics`], [`vitals`] | everything that is counted; whether the data plane is at work |
//!
//! What lives here knows sockets and tasks; what a broker or a policy is, is decided elsewhere. Messages and sessions
//! are kept in memory and do not outlive the process yet.

pub mod admission;
pub mod authority;
pub mod bridge;
pub mod clock;
pub mod config;
pub mod connection;
pub mod fair_queue;
pub mod gateway;
pub mod half_open;
pub mod identity;
pub mod listener;
pub mod metrics;
pub mod outlet;
pub mod principals;
pub mod realm;
pub mod reception;
pub mod refusal;
pub mod tls;
pub mod vitals;

pub use bridge::{ConnectedEvent, Event, RefusedEvent, RequestEvent};
pub use config::Config;
pub use gateway::{Gateway, GatewayError, Publication};
pub use identity::{Answer, AttachedThing, Change, ChangeKind, Identity, PolicyDocument};
pub use refusal::Refusal;
pub use sekisho_broker::BudgetLimits;
pub use sekisho_mqtt::TopicFilter;
