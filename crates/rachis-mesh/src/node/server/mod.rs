//! The answering half of a node: takes requests from the streams of its app, runs each at most once, answers, and takes
//! over what dead replicas left.

pub(super) mod admission;
mod completed_cache;
pub(super) mod execution;
mod in_flight;
pub(super) mod partitions;
mod replay_guard;
mod responder;
pub(super) mod slots;
pub(super) mod takeover;
pub(super) mod tasks;
pub(super) mod work;
