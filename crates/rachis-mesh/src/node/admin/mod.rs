//! What operators see of a node: its dead letters, its metrics, and the nodes and services that it knows.

pub(super) mod dead_letters;
pub(super) mod info;
pub(super) mod metrics;
