//! The gateway from outside: a real listener, real TLS clients, and a control plane that answers as each test says.

mod admission;
mod changes;
mod control_plane;
mod device;
mod messages;
mod papers;
mod reception;
mod tls;
