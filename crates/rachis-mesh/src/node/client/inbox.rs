//! What comes into a node's inbox: replies to its calls, and notes of requests to its app.

mod large_replies;

use super::waiting::Waiting;
use crate::{
    redis::queue::{Inbox, InboxRead},
    wire::{self, Abandoned, Frame, Handoff, Question, Statement},
};
use large_replies::LargeReplies;
use std::sync::Arc;

/// What the inbox brings beside replies.
pub(crate) enum Received {
    Note(Note),
    /// An operator asks this node for something.
    Question(Question),
    /// Another node says what it was asked for.
    Statement(Statement),
}

/// A note about requests to this node's app.
pub(crate) enum Note {
    /// This one was handed off to this replica.
    Handoff(Handoff),
    /// The caller of this one has gone.
    Abandoned(Abandoned),
    /// Notes may have been lost.
    Lost,
}

/// Reads the inbox until it is stopped: replies go to their callers, all else to `received`.
pub(crate) async fn read_inbox(mut inbox: Inbox, waiting: Arc<Waiting>, received: impl Fn(Received)) {
    let mut first = true;
    let mut large = LargeReplies::new();
    while let Some(inward) = inbox.next().await {
        let entries = match inward {
            InboxRead::Entries(entries) => entries,
            InboxRead::Reconnected => {
                if !std::mem::take(&mut first) {
                    received(Received::Note(Note::Lost));
                }
                Vec::new()
            }
        };
        for entry in entries {
            let scope = waiting.signer.at(&waiting.inbox);
            let note = if wire::is::<Handoff>(&entry.frame) {
                Handoff::decode(&entry.frame, scope).map(|note| Received::Note(Note::Handoff(note)))
            } else if wire::is::<Abandoned>(&entry.frame) {
                Abandoned::decode(&entry.frame, scope).map(|note| Received::Note(Note::Abandoned(note)))
            } else if wire::is::<Question>(&entry.frame) {
                Question::decode(&entry.frame, scope).map(Received::Question)
            } else if wire::is::<Statement>(&entry.frame) {
                Statement::decode(&entry.frame, scope).map(Received::Statement)
            } else {
                large.reply(&waiting, entry.frame);
                continue;
            };
            match note {
                Ok(note) => received(note),
                Err(error) => {
                    if let Some(more) = waiting.refused.permit() {
                        tracing::warn!(%error, more, "a note in the inbox was refused");
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
