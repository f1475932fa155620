//! What operators see of a node: its dead letters, its metrics, and the nodes and services that it knows.

pub(super) mod dead;
pub(super) mod info;
pub(super) mod metrics;
