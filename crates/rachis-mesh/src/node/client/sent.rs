//! What became of requests on their way into a stream, as the writer tells it.

use super::{
    pending::Left,
    waiting::{Arrived, Waiting},
};
use crate::{
    redis::{
        keys::LOST,
        queue::{EntryId, Senders, Write, WriteOutcome},
    },
    wire::{Abandoned, Frame},
};
use std::{sync::Arc, time::Instant};

/// What the writer asks and tells.
impl Senders for Waiting {
    fn wanted(&self, token: u64, now: Instant) -> bool {
        self.lock().leaves(token, Left { at: now, losses: self.recovery().count() })
    }

    fn kept(&self, token: u64) {
        self.lock().returned(token);
    }

    fn sent(&self, token: u64, stream: &Arc<str>, outcome: WriteOutcome) -> Option<Write> {
        let mut pending = self.lock();
        let failed = match outcome {
            WriteOutcome::Added { entry, .. } if !pending.sent(token, entry) => {
                // Its caller has gone meanwhile.
                return Some(Write::Cancel { stream: stream.clone(), entry, response: None });
            }
            WriteOutcome::Added { entry, length } if length > self.limits.load().max_queue => {
                self.note_full(stream);
                Arrived::TooMany { entry }
            }
            WriteOutcome::Added { .. } => return None,
            WriteOutcome::Unknown(session) => {
                if let Some(waiter) = pending.adrift(token, session) {
                    let _ = waiter.send(Arrived::Resend);
                }
                return None;
            }
            other => {
                pending.returned(token);
                Arrived::Failed(other)
            }
        };
        if let Some(waiter) = pending.wake(token) {
            let _ = waiter.send(failed);
        }
        None
    }

    fn begun(&self, stream: &Arc<str>, entry: EntryId, replica: &[u8]) -> Option<Write> {
        let replica = std::str::from_utf8(replica).ok().filter(|replica| *replica != LOST)?;
        tracing::debug!(%entry, replica, "the caller of a request has gone");
        let inbox = self.keys.inbox(replica);
        let note = Abandoned { stream: stream.to_string(), entry: entry.to_string() };
        let frame = note.encode(self.signer.at(&inbox)).inspect_err(|error| {
            tracing::error!(%error, "no note could be made; the request runs until its deadline");
        });
        Some(Write::Send { inbox: inbox.into(), frame: frame.ok()?.into(), then: None })
    }
}
