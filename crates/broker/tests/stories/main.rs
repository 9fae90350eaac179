//! The life of devices, told as stories of packets and a made-up clock.
//!
//! [`story::Story`] plays the network: it carries effects out at once, and puts what each client would see into words.

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
