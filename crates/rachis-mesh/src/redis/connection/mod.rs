//! Connections to Redis: finds the server of a key, connects, logs in, and connects again after a failure.
//!
//! [`Connector`] makes one attempt or as many as it takes; [`link`] and [`pool`] keep connections for others; [`topology`] is
//! the only place that knows standalone Redis, Sentinel and Cluster apart.

mod backoff;
mod connector;
pub(crate) mod credentials;
pub(crate) mod duplex;
mod faults;
pub(crate) mod link;
pub(crate) mod login;
pub(crate) mod pool;
pub(crate) mod server_info;
pub(crate) mod session;
mod signs;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod topology;
mod trouble;

pub(crate) use backoff::{Backoff, ReconnectBackoff, pause_unless};
pub(crate) use connector::{Connector, LONGEST_PAUSE, Opened, Options, PROBE_AFTER, WaitFor};
pub(crate) use faults::{is_elsewhere, is_fatal, is_redirect, timed_out};
pub(crate) use signs::{Sign, Signs};
pub(crate) use trouble::Trouble;
