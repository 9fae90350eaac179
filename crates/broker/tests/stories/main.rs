//! The life of devices, told as stories of packets and a made-up clock.
//!
//! [`story::Story`] plays the network: it carries effects out at once, and puts what each client would see into words.

mod backpressure;
mod connect;
mod durability;
mod lifecycle;
mod model;
mod publish;
mod retained;
mod session;
mod shared;
mod story;
mod subscribe;
mod taps;
mod will;
