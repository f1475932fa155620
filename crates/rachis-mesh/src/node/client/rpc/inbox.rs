//! What comes into a node's inbox: replies to its calls, and notes of requests to its app.

use super::{Arrived, Rpc, large_replies::LargeReplies};
use crate::{
    redis::queue::{Inbox, InboxRead},
    wire::{self, Abandoned, Frame, Handoff, Reply},
};
use std::sync::Arc;

impl Rpc {
    /// Takes in what came into the inbox as a reply.
    pub(super) fn reply(&self, frame: &[u8]) {
        match Reply::decode(frame, self.signer.at(&self.inbox)) {
            Ok(reply) => {
                let id = reply.id;
                let waiter = self.lock().complete(id, reply.into_outcome());
                match waiter {
                    Some((waiter, outcome)) => drop(waiter.send(Arrived::Reply(outcome))),
                    None => tracing::debug!(id, "a reply that nobody waits for"),
                }
            }
            Err(error) => {
                if let Some(more) = self.refused.permit() {
                    tracing::warn!(%error, more, "a reply was refused; its caller will time out");
                }
            }
        }
    }
}

/// A note from the inbox about requests to this node's app.
pub(crate) enum Received {
    /// This one was handed off to this replica.
    Handoff(Handoff),
    /// The caller of this one has gone.
    Abandoned(Abandoned),
    /// Notes may have been lost.
    NotesLost,
}

/// Reads the inbox until it is stopped: replies go to their callers, notes of requests to `received`.
pub(crate) async fn read_inbox(mut inbox: Inbox, rpc: Arc<Rpc>, received: impl Fn(Received)) {
    let (mut first, mut large) = (true, LargeReplies::new());
    while let Some(inward) = inbox.next().await {
        let entries = match inward {
            InboxRead::Entries(entries) => entries,
            InboxRead::Reconnected => {
                if !std::mem::take(&mut first) {
                    received(Received::NotesLost);
                }
                Vec::new()
            }
        };
        for entry in entries {
            let scope = rpc.signer.at(&rpc.inbox);
            let note = if wire::is::<Handoff>(&entry.frame) {
                Handoff::decode(&entry.frame, scope).map(Received::Handoff)
            } else if wire::is::<Abandoned>(&entry.frame) {
                Abandoned::decode(&entry.frame, scope).map(Received::Abandoned)
            } else {
                large.reply(&rpc, entry.frame);
                continue;
            };
            match note {
                Ok(note) => received(note),
                Err(error) => {
                    if let Some(more) = rpc.refused.permit() {
                        tracing::warn!(%error, more, "a note of a request was refused");
                    }
                }
            }
        }
        large.read_to(&rpc, inbox.position());
        // A caller that was answered may call again: then that leaves together with the next read, which finds more.
        tokio::task::yield_now().await;
    }
    large.end().await;
    rpc.close();
}
