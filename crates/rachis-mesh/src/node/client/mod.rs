//! The calling half of a node: sends requests to the apps that serve a path, matches replies to them, and looks after
//! requests that Redis may have lost.

mod caller;
pub(super) mod partition_selector;
pub(super) mod pending;
pub(super) mod recovery;
pub(super) mod remote;
pub(super) mod rpc;
