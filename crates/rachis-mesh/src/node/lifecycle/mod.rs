//! The life of a node: joins the mesh, beats, takes a new configuration while it runs, and leaves.

pub(super) mod heartbeat;
pub(super) mod join;
pub(super) mod membership;
pub(super) mod reload;
mod rhythm;
pub(super) mod shutdown;
