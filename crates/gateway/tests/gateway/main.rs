//! The gateway from outside: a real listener, real TLS clients, and a control plane that answers as each test says.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing good has failed")]

mod admission;
mod budget;
mod changes;
mod control_plane;
mod device;
mod device_files;
mod messages;
mod reception;
mod services;
mod tls;
