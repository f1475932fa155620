//! What most parts of a node read.

use super::{clock::Clock, identity::Identity, metrics::Metrics};
use crate::{redis::keys::Keys, wire::Signer};
use std::sync::Arc;

/// Who a node is, how it names its keys and signs its frames, what time it is, and what has been counted.
///
/// Nothing in it does I/O or leads to another part of the node.
pub(crate) struct NodeContext {
    pub(crate) identity: Arc<Identity>,
    pub(crate) keys: Keys,
    pub(crate) signer: Signer,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
}
