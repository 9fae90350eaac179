//! Sockets: TLS, admission, and the carrying out of what the broker asks for.
//!
//! ```text
//!  socket ─ reception ─ TLS ─ CONNECT ─ admission ─ connection ⇄ realm (broker) ⇄ other connections
//!                                          ⇅                      ⇅
//!                                        bridge ⇄ control plane ⇄ reexamine
//! ```
//!
//! Modules are listed so that each uses those above it alone; a test holds them to that they form no circle.
//!
//! | module | what it does |
//! |---|---|
//! | [`clock`], [`fair_queue`], [`network`], [`vitals`] | time; queues that serve accounts in turn; signs of life |
//! | [`refusal`], [`realm_name`], [`credential`] | every reason to refuse; account and region; what identifies a connection |
//! | [`config`], [`identity`] | plain data from the control plane |
//! | [`metrics`] | everything that is counted |
//! | [`tls`] | take any client certificate, demand proof of its key |
//! | [`half_open`] | connections that are not admitted yet, and which of them is displaced |
//! | [`compiled_policies`], [`principal`] | what is known of one certificate, with its policies |
//! | [`change_log`], [`principals`] | which changes make a principal stale; the cache of principals |
//! | [`authority`] | policies over the facts of one connection |
//! | [`admitted`] | what was presented; the proof that it was examined |
//! | [`bridge`], [`reports`] | bounded queues to the control plane |
//! | [`handle`] | a connection without its socket |
//! | [`live`], [`realm`], [`realms`] | live connections by what they use; an account in a region with its broker; all of them |
//! | [`admission`] | what was presented becomes admitted or refused |
//! | [`reexamine`] | answers and changes of the control plane reach live connections |
//! | [`connection`] | one task per connection |
//! | [`reception`], [`listener`] | from a bare socket to an admitted connection; the accept loop |
//! | [`gateway`] | start, stop, own the runtime; everything the control plane can say |
//!
//! The rules of MQTT and of policies are in other crates. Messages and sessions are kept in memory and do not outlive
//! the process yet.

pub mod admission;
pub mod admitted;
pub mod authority;
pub mod bridge;
pub mod change_log;
pub mod clock;
pub mod compiled_policies;
pub mod config;
pub mod connection;
pub mod credential;
pub mod fair_queue;
pub mod gateway;
pub mod half_open;
pub mod handle;
pub mod identity;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod network;
pub mod principal;
pub mod principals;
pub mod realm;
pub mod realm_name;
pub mod realms;
pub mod reception;
pub mod reexamine;
pub mod refusal;
pub mod reports;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod vitals;

pub use bridge::events::{ConnectedEvent, Event, RefusedEvent, RequestEvent};
pub use config::Config;
pub use gateway::{Gateway, GatewayError, Publication, Unpublished};
pub use identity::{Answer, AttachedThing, Change, ChangeKind, Identity, PolicyDocument};
pub use refusal::Refusal;
pub use sekisho_broker::BudgetLimits;
pub use sekisho_mqtt::TopicFilter;
