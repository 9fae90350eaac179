//! What an AWS IoT message broker is, without a network, a clock or a thread.
//!
//! A [`Broker`] serves one realm: one account in one region has its own topics, sessions and client ids. Its caller
//! hands in what happens (a packet, a lost socket, a record that is durable now) and the time, and carries out the
//! [`Effect`]s that come back. So a year of a session's life is tested in a millisecond.
//!
//! The journey of one PUBLISH:
//!
//! ```text
//!  Packet::Publish ── publish.rs ── may it? topic, size, alias, rate, Authority::Publish
//!                        │
//!                        ├─ retained.rs     one message per topic
//!                        ├─ topic_tree.rs   filters → sessions, shared groups, taps
//!                        │       │
//!                        │   deliver.rs     one copy per session: Authority::Receive, then
//!                        │       ├─ room: Effect::Send, QoS 1 through inflight.rs
//!                        │       └─ none, or offline: the session's queue (QoS 1), or dropped (QoS 0)
//!                        │
//!                        └─ something must survive a crash?  Effect::Store ── stored(ticket) ──┐
//!                                 nothing must: PUBACK now                             PUBACK ◄┘
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`broker`] | [`Broker`]: everything that a caller can do |
//! | `connect`, `publish`, `subscribe`, `deliver`, `queue`, `disconnect` | what the broker does for each |
//! | [`input`], [`effect`], [`outgoing`], [`record`] | what goes in, what comes out, what is written to a client, what must outlive the process |
//! | [`authority`] | the question whether a principal may do something |
//! | [`refusal`] | every reason to refuse a packet, and every reason why a connection ends |
//! | [`limits`] | AWS IoT's quotas as named constants |
//! | [`budget`] | what clients can make the server hold, for an account and for the process |
//! | `connection`, `session`, `keys` | the state of a connection and of a client id |
//! | `owed`, `inflight`, [`outbox`] | messages that wait, messages without an acknowledgement, messages that are not written yet |
//! | `topic_tree`, `matches`, `shared`, `retained`, `reserved` | the receivers of a message |
//! | `will`, `end`, `waiting` | the message for the end of a connection, how it ends, answers that wait for a record |
//! | [`lifecycle`], `presence` | events of clients, and the version numbers in them |
//! | `rate`, `timers` | events in a second; what is due, and when |
//!
//! The arrows point one way: `broker` and the six modules of its second row use the others, and no module uses itself
//! through others (`tests/unit/test_architecture.py`).
//!
//! Not here: TLS, sockets, policies and writing records down. Rate quotas are off unless asked for, and of them only
//! CONNECT per client id and PUBLISH per connection exist.

pub mod authority;
pub mod broker;
pub mod budget;
mod connect;
mod connection;
mod deliver;
mod disconnect;
pub mod effect;
mod end;
mod inflight;
pub mod input;
mod keys;
pub mod lifecycle;
pub mod limits;
mod matches;
pub mod message;
pub mod outbox;
pub mod outgoing;
mod owed;
mod presence;
mod publish;
mod queue;
mod rate;
pub mod record;
pub mod refusal;
mod reserved;
mod retained;
mod session;
mod shared;
mod subscribe;
mod timers;
mod topic_tree;
mod waiting;
mod will;

pub use authority::{Action, Authority};
pub use broker::{Broker, Counters, Published, SessionView};
pub use budget::{AccountBudget, Budget, BudgetLimits, Charge, Resource};
pub use effect::{Accepted, Effect, Effects, StoreTicket};
pub use input::{ConnectionId, DisconnectClient, Now, Origin, Peer, ServerPublish, TapId};
pub use lifecycle::{Identity, LifecycleEvent, LifecycleKind};
pub use limits::Limits;
pub use message::{Message, Source};
pub use outbox::Outbox;
pub use outgoing::{Delivery, Outgoing};
pub use record::{MessageId, Owner, Record, SessionRecord, SubscriptionRecord, WillRecord};
pub use refusal::{DisconnectReason, Operation, Refusal};
