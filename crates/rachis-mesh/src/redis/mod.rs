//! The only folder that says Redis: typed verbs over bytes, nothing of services.

mod cluster;
pub(crate) mod connection;
pub(crate) mod credentials;
pub(crate) mod dead_letters;
pub(crate) mod event_log;
mod first_answer;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod login;
pub(crate) mod pool;
pub(crate) mod pubsub;
pub(crate) mod queue;
pub(crate) mod registry;
mod sentinel;
pub(crate) mod server;
pub(crate) mod servers;
pub(crate) mod socket;
pub(crate) mod streams;
pub(crate) mod tls;

pub use credentials::{CredentialProvider, Credentials};

/// What Redis, or the way to it, failed with.
pub(crate) type Failure = ::redis::RedisError;
