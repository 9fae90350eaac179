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
//! | module | what it knows |
//! |---|---|
//! | [`broker`] | the façade: everything a caller can do |
//! | `connect`, `publish`, `subscribe`, `deliver`, `queue`, `disconnect` | what the broker does for each |
//! | [`input`], [`effect`], [`record`] | what goes in, what comes out, what must outlive the process |
//! | [`authority`] | the question "may this principal do that?" |
//! | [`refusal`] | every reason to say no, and every reason a connection ends |
//! | [`limits`] | AWS IoT's quotas as named constants |
//! | [`budget`] | what clients can make the server hold, for an account and for the process |
//! | `session`, `inflight`, [`outbox`] | what is owed to a client, and how much of it is under way |
//! | `topic_tree`, `shared`, `retained`, `will`, `reserved` | who gets what |
//! | [`lifecycle`], `presence` | connected, disconnected, subscribed: who, when, why, and the number of the connection |
//! | `timers` | what is due, and when |
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
mod inflight;
pub mod input;
pub mod lifecycle;
pub mod limits;
pub mod message;
pub mod outbox;
mod presence;
mod publish;
mod queue;
pub mod record;
pub mod refusal;
mod reserved;
mod retained;
mod session;
mod shared;
mod subscribe;
mod timers;
mod topic_tree;
mod will;

pub use authority::{Action, Authority};
pub use broker::{Broker, Counters, Published, SessionView};
pub use budget::{AccountBudget, Budget, BudgetLimits, Charge, Resource};
pub use effect::{Accepted, Delivery, Effect, Effects, Outgoing, StoreTicket};
pub use input::{ConnectionId, DisconnectClient, Now, Origin, Peer, ServerPublish, TapId};
pub use lifecycle::{Identity, LifecycleEvent, LifecycleKind};
pub use limits::Limits;
pub use message::{Message, Source};
pub use outbox::Outbox;
pub use record::{MessageId, Owner, Record, SessionRecord, SubscriptionRecord, WillRecord};
pub use refusal::{DisconnectReason, Operation, Refusal};
