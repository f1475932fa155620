//! The writer of a node: everything that is due for a server leaves in one write.
//!
//! Throughput depends on this: with a thousand calls in flight a write carries dozens of requests, replies and
//! acknowledgements. One write to a server is in flight at a time, and what comes meanwhile forms the next.

use super::{
    shard_writers::ShardWriters,
    write::{Senders, Write},
};
use crate::redis::connection::link::Links;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A handle to the queues of the shard writers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    writers: Arc<ShardWriters>,
}

impl Writer {
    /// Starts the writer, which connects when there is a first write. It ends with `stop`, and not when dropped.
    pub(crate) fn start(links: Links, senders: Arc<dyn Senders>, stop: CancellationToken) -> Self {
        Writer { writers: ShardWriters::new(links, senders, stop) }
    }

    /// Waits until everything pushed so far has been written, or the writer has ended.
    pub(crate) async fn flush(&self) {
        self.writers.flush().await;
    }

    /// Queues a write. Returns `false` when the writer has ended.
    pub(crate) fn push(&self, write: Write) -> bool {
        self.writers.push(write)
    }
}
