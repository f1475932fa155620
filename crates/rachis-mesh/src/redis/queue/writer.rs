//! One writer per node: whatever is due for a server when it wakes goes out in one write.
//!
//! This is where the speed is: at a thousand calls under way a write carries dozens of requests, replies and
//! acknowledgements. One write to a server is under way at a time, and what comes meanwhile forms the next.

use super::{
    shard_writers::ShardWriters,
    write::{Senders, Write},
};
use crate::redis::connection::link::Links;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Puts things in the queue of the writer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    writers: Arc<ShardWriters>,
}

impl Writer {
    /// Starts the writer. It ends with `stop`, since those it reports to hold it in turn.
    pub(crate) fn start(links: Links, senders: Arc<dyn Senders>, stop: CancellationToken) -> Self {
        Writer { writers: ShardWriters::new(links, &senders, stop) }
    }

    /// Waits until everything pushed so far has been written, or the writer has ended.
    pub(crate) async fn flush(&self) {
        self.writers.flush().await;
    }

    /// Hands something to the writer; `false` when it has ended.
    pub(crate) fn push(&self, write: Write) -> bool {
        self.writers.push(write)
    }
}
