//! The answering half of a node: takes requests from the streams of its app, runs each at most once, answers, and takes
//! over what dead replicas left.

pub(super) mod completed_cache;
pub(super) mod fired;
pub(super) mod in_flight;
pub(super) mod partitions;
pub(super) mod replay_guard;
pub(super) mod responder;
pub(super) mod takeover;
