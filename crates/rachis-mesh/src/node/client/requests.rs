//! Requests on their way to the writer, and back out of their streams.

use super::waiting::Waiting;
use crate::{
    redis::queue::{EntryId, Write, Writer},
    wire,
};
use rachis_core::{Error, Result};
use std::{sync::Arc, time::Instant};
use tokio::sync::oneshot;

/// Sends and withdraws the requests of a node.
pub(crate) struct Requests {
    waiting: Arc<Waiting>,
    writer: Writer,
}

impl Requests {
    pub(crate) fn new(waiting: Arc<Waiting>, writer: Writer) -> Self {
        Requests { waiting, writer }
    }

    pub(super) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    /// Hands the request of this number to the writer.
    ///
    /// # Errors
    /// `Unavailable` when the node has shut down.
    pub(super) fn send(&self, id: u64, stream: Arc<str>, frame: Vec<u8>, deadline: Instant) -> Result<()> {
        if self.writer.push(Write::Request { stream, frame, deadline, stamp: wire::stamp, token: id }) {
            return Ok(());
        }
        Err(Error::unavailable("This node has shut down and makes no more calls"))
    }

    /// Deletes a request that no replica has started. Returns whether that was so, `false` where it is not known.
    pub(super) async fn cancel(&self, stream: &Arc<str>, entry: EntryId) -> bool {
        let (response, answer) = oneshot::channel();
        self.write_cancel(stream.clone(), entry, Some(response));
        answer.await.unwrap_or(false)
    }

    /// Does so, soon, for a request whose caller has gone, or tells the replica that has begun it.
    pub(super) fn withdraw(&self, stream: Arc<str>, entry: EntryId) {
        self.write_cancel(stream, entry, None);
    }

    // With all else that is written: however many give up at once, it leaves in a few writes and takes no connection from
    // others.
    fn write_cancel(&self, stream: Arc<str>, entry: EntryId, response: Option<oneshot::Sender<bool>>) {
        self.writer.push(Write::Cancel { stream, entry, response });
    }
}
