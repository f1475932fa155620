//! Redis behind Sentinel and as a Cluster: real processes, and masters that die.

// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod cluster;
mod load;
mod own_redis;
#[path = "../mesh/proxy.rs"]
#[allow(dead_code)]
mod proxy;
mod replicas;
#[cfg(feature = "schema")]
mod schemas;
mod sentinel;
mod servers;
mod shards;
