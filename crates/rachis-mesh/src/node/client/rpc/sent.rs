//! What became of requests on their way into a stream, as the writer tells it.

use super::{Arrived, Rpc};
use crate::{
    node::client::pending::Left,
    redis::{
        keys::LOST,
        queue::{EntryId, Senders, Write, WriteOutcome},
    },
    wire::{Abandoned, Frame},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a queue that was found full counts as full without asking Redis.
const FULL_FOR: Duration = Duration::from_millis(100);

/// What the writer asks and tells.
impl Senders for Rpc {
    fn wanted(&self, token: u64, now: Instant) -> bool {
        self.lock().leaves(token, Left { at: now, losses: self.recovery.count() })
    }

    fn kept(&self, token: u64) {
        self.lock().returned(token);
    }

    fn sent(&self, token: u64, stream: &Arc<str>, outcome: WriteOutcome) {
        let mut pending = self.lock();
        let failed = match outcome {
            WriteOutcome::Added { entry, .. } if !pending.sent(token, entry) => {
                drop(pending);
                return self.withdraw(stream.clone(), entry);
            }
            WriteOutcome::Added { entry, length } if length > self.limits.load().max_queue => {
                self.full.lock().insert(stream.clone(), Instant::now() + FULL_FOR);
                Arrived::TooMany { entry }
            }
            WriteOutcome::Added { .. } => return,
            WriteOutcome::Unknown(session) => {
                if let Some(waiter) = pending.adrift(token, session) {
                    let _ = waiter.send(Arrived::Resend);
                }
                return;
            }
            other => {
                pending.returned(token);
                Arrived::Failed(other)
            }
        };
        if let Some(waiter) = pending.wake(token) {
            let _ = waiter.send(failed);
        }
    }

    fn begun(&self, stream: &Arc<str>, entry: EntryId, replica: &[u8]) {
        let Some(replica) = std::str::from_utf8(replica).ok().filter(|replica| *replica != LOST) else { return };
        tracing::debug!(%entry, replica, "the caller of a request has gone");
        let inbox = self.keys.inbox(replica);
        let note = Abandoned { stream: stream.to_string(), entry: entry.to_string() };
        match note.encode(self.signer.at(&inbox)) {
            Ok(frame) => {
                if let Some(writer) = self.writer.get() {
                    writer.push(Write::Send { inbox: inbox.into(), frame: frame.into(), then: None });
                }
            }
            Err(error) => tracing::error!(%error, "no note could be made; the request runs until its deadline"),
        }
    }
}
