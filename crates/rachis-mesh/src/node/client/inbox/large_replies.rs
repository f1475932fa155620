//! Large replies are read beside the inbox: to take one of a mebibyte apart takes milliseconds, in which many small ones
//! would wait behind it.

use crate::node::client::waiting::Waiting;
use crate::redis::queue::EntryId;
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinHandle};

/// The size in bytes from which a reply is large. Smaller ones are read faster than they are handed to another thread.
const LARGE: usize = 64 * 1024;

/// The number of large replies that are read at a time, each on a thread that does nothing else: the system shares the
/// processor out between those and the threads of the runtime. The others wait as the bytes that they are.
const AT_ONCE: usize = 2;

/// The large replies that are being read.
pub(super) struct LargeReplies {
    slots: Arc<Semaphore>,
    /// Those of the read that is being taken in.
    replies: Vec<JoinHandle<()>>,
    /// Ends when everything before that read has reached its caller.
    before: Option<JoinHandle<()>>,
}

impl LargeReplies {
    pub(super) fn new() -> Self {
        LargeReplies { slots: Arc::new(Semaphore::new(AT_ONCE)), replies: Vec::new(), before: None }
    }

    /// Takes in what came as a reply.
    pub(super) fn reply(&mut self, waiting: &Arc<Waiting>, frame: Vec<u8>) {
        if frame.len() < LARGE {
            return waiting.reply(&frame);
        }
        let waiting = waiting.clone();
        let slots = self.slots.clone();
        self.replies.push(tokio::spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let read = tokio::task::spawn_blocking(move || waiting.reply(&frame));
            if read.await.is_err() {
                tracing::error!("a large reply could not be read; its caller will time out");
            }
        }));
    }

    /// Notes that the inbox was read up to there, as soon as every reply until then has reached its caller.
    pub(super) fn read_to(&mut self, waiting: &Arc<Waiting>, position: EntryId) {
        let before = self.before.take().filter(|before| !before.is_finished());
        if self.replies.is_empty() && before.is_none() {
            waiting.inbox_read.send_replace(position);
            return;
        }
        let waiting = waiting.clone();
        let replies = std::mem::take(&mut self.replies);
        self.before = Some(tokio::spawn(async move {
            for earlier in before.into_iter().chain(replies) {
                // A reply whose reading panicked has reached no caller, and no other waits for it.
                let _ = earlier.await;
            }
            waiting.inbox_read.send_replace(position);
        }));
    }

    /// Waits until every reply has reached its caller.
    pub(super) async fn end(mut self) {
        for earlier in self.before.take().into_iter().chain(self.replies) {
            let _ = earlier.await;
        }
    }
}

#[cfg(test)]
mod tests;
