//! The only folder that says Redis: typed verbs over bytes, nothing of services.
//!
//! [`connection`] reaches servers and [`resp`] speaks to them; on these stand [`queue`] (calls), [`registry`] (discovery),
//! [`pubsub`] and [`event_log`] (events), [`idempotency`] and [`dead_letters`], and [`application`], the connections for the
//! application's own commands. [`keys`] has every name, [`scripts`] all Lua.

pub(crate) mod application;
pub(crate) mod connection;
pub(crate) mod dead_letters;
pub(crate) mod event_log;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod pubsub;
pub(crate) mod queue;
#[cfg(test)]
mod refused_scripts;
pub(crate) mod registry;
mod resp;
mod scripts;

pub use application::{RedisConnection, RedisManager, RedisPool, RedisPoolError, RedisSession};
pub use connection::credentials::{CredentialProvider, Credentials};
pub use connection::server_info::server_warnings;

/// What Redis, or the way to it, failed with.
pub(crate) type Failure = ::redis::RedisError;
