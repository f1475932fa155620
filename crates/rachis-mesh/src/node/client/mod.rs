//! The calling half of a node: sends requests to the apps that serve a path, matches replies to them, and looks after
//! requests that Redis may have lost.

pub(super) mod inbox;
pub(super) mod late;
pub(super) mod partition_selector;
mod pending;
pub(super) mod recovery;
mod recovery_triggers;
pub(super) mod remote;
pub(super) mod requests;
pub(super) mod routes;
pub(super) mod rpc;
mod sent;
mod ticket;
pub(super) mod waiting;
