//! The broker's behaviour, as sequences of packets on a simulated clock.
//!
//! [`story::Story`] stands for the network: it carries effects out at once, and records what each client receives as
//! text.

#![allow(clippy::unwrap_used, reason = "a story that does not go as told has failed")]

mod backpressure;
mod budget;
mod connect;
mod durability;
mod lifecycle;
mod model;
mod publish;
mod reserved;
mod retained;
mod session;
mod shared;
mod story;
mod subscribe;
mod taps;
mod will;
