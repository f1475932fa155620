//! What comes into a node's inbox: replies to its calls, and notes of requests to its app.

mod large_replies;

use super::waiting::Waiting;
use crate::{
    redis::queue::{Inbox, InboxRead},
    wire::{self, Abandoned, Frame, Handoff},
};
use large_replies::LargeReplies;
use std::sync::Arc;

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
pub(crate) async fn read_inbox(mut inbox: Inbox, waiting: Arc<Waiting>, received: impl Fn(Received)) {
    let mut first = true;
    let mut large = LargeReplies::new();
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
            let scope = waiting.signer.at(&waiting.inbox);
            let note = if wire::is::<Handoff>(&entry.frame) {
                Handoff::decode(&entry.frame, scope).map(Received::Handoff)
            } else if wire::is::<Abandoned>(&entry.frame) {
                Abandoned::decode(&entry.frame, scope).map(Received::Abandoned)
            } else {
                large.reply(&waiting, entry.frame);
                continue;
            };
            match note {
                Ok(note) => received(note),
                Err(error) => {
                    if let Some(more) = waiting.refused.permit() {
                        tracing::warn!(%error, more, "a note of a request was refused");
                    }
                }
            }
        }
        large.read_to(&waiting, inbox.position());
        // A caller that was answered may call again: then that leaves together with the next read, which finds more.
        tokio::task::yield_now().await;
    }
    large.end().await;
    waiting.close();
}
