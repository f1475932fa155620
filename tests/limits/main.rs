//! What a server costs, and what it takes: many sockets, and input that means no good. The server is a process of its own
//! that is looked at from outside, so that its memory is its own; lines that start with `figure:` say what was measured.

// Memory and open files are read from /proc.
#![cfg(all(feature = "gateway", target_os = "linux"))]
// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod bodies;
mod churn;
mod client;
mod endless;
mod heads;
mod idle;
mod queries;
mod rest;
mod server;
mod sockets;
mod tokens;
mod worst;
