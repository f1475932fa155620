//! Requests that this replica was given by other ways than a read: taken over, handed off, or overlooked.

use super::{ASK_AGAIN, Responder, Way};
use crate::{
    node::{client::inbox::Note, server::in_flight::Print},
    redis::{
        Failure,
        connection::link::Live,
        queue::{Delivered, EntryId},
    },
    wire::{Abandoned, Handoff},
};
use std::sync::Arc;

impl Responder {
    /// Runs a request that was taken over from a dead replica, if it may run twice.
    pub(crate) async fn take_over(self: &Arc<Self>, claimed: Delivered) {
        let Some(slot) = self.work.slots.acquire_for_request().await else { return };
        // It may have been found among what this replica was given.
        if let Some(in_flight) = self.take(&claimed.entry) {
            self.start(claimed, Way::Queue, in_flight, slot);
        }
    }

    /// Looks after requests that another replica handed off.
    pub(crate) fn received(self: &Arc<Self>, note: Note) {
        let me = self.clone();
        self.work.tasks.requests.spawn(async move {
            let begun = async {
                match note {
                    Note::Handoff(note) => me.begin_note(&note).await,
                    Note::Abandoned(note) => me.abandon(&note),
                    Note::Lost => me.look_again().await,
                }
            };
            me.work.life.stop.run_until_cancelled(begun).await;
        });
    }

    /// Ends a request that only reads, since its caller has gone.
    pub(crate) fn abandon(&self, note: &Abandoned) {
        match note.entry.parse() {
            Ok(entry) => self.in_flight.abandon(entry),
            Err(()) => tracing::debug!(entry = note.entry, "a note of no request"),
        }
    }

    /// Starts what this replica was given and does not work on: lost with a connection, or handed off by a note that was.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        loop {
            let given = |mut live: Live| async move { self.calls.given(&mut live.connection).await };
            match self.work.commands.run(&self.stream, given).await {
                Ok(given) => {
                    for entry in given {
                        self.begin_given(entry, Way::Queue).await;
                    }
                    return;
                }
                Err(error) => tracing::debug!(%error, "what this replica was given could not be asked for"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Deletes requests that were settled while Redis refused to delete them: those of this replica, or `all`.
    pub(crate) async fn delete_settled(&self, all: bool) -> Result<(), Failure> {
        if !self.in_flight.take_leftovers() && !all {
            return Ok(());
        }
        let deleted = |mut live: Live| async move { self.calls.delete_settled(&mut live.connection).await };
        match self.work.commands.run(&self.stream, deleted).await {
            Ok(0) => Ok(()),
            Ok(requests) => {
                tracing::info!(stream = %self.stream, requests, "deleted requests that could not be deleted when they were settled");
                Ok(())
            }
            Err(error) => {
                self.in_flight.leave();
                Err(error)
            }
        }
    }

    /// Starts what this replica was given a while ago and does not work on, in a task: it may have to wait for slots.
    pub(crate) async fn begin_overlooked(self: &Arc<Self>) -> Result<(), Failure> {
        // Younger ones may be on their way.
        let age = self.work.ttl / 2;
        let given = |mut live: Live| async move { self.calls.given_before(&mut live.connection, age).await };
        let given = self.work.commands.run(&self.stream, given).await?;
        let overlooked: Vec<EntryId> = given.into_iter().filter(|entry| !self.in_flight.contains(*entry)).collect();
        if overlooked.is_empty() {
            return Ok(());
        }
        tracing::debug!(requests = overlooked.len(), "was given requests that it does not work on");
        let me = self.clone();
        let stop = self.work.life.pulling.clone();
        self.work.tasks.sources.spawn(async move {
            stop.run_until_cancelled(async {
                for entry in overlooked {
                    me.begin_given(entry, Way::Queue).await;
                }
            })
            .await;
        });
        Ok(())
    }

    async fn begin_note(self: &Arc<Self>, note: &Handoff) {
        match note.entry.parse() {
            Ok(entry) => self.begin_given(entry, Way::Handoff).await,
            Err(()) => tracing::debug!(entry = note.entry, "a note of no request"),
        }
    }

    /// Starts a request that is said to be pending for this replica. It is asked for only once it is in flight: until it
    /// no longer is, no other task can begin it, and once it was settled it is no longer pending.
    async fn begin_given(self: &Arc<Self>, entry: EntryId, way: Way) {
        if self.in_flight.contains(entry) {
            return;
        }
        let Some(slot) = self.work.slots.acquire_for_request().await else { return };
        let Some(in_flight) = self.in_flight.take(entry, Print::UNKNOWN) else { return };
        let given = loop {
            let asked = |mut live: Live| async move { self.calls.own(&mut live.connection, entry).await };
            match self.work.commands.run(&self.stream, asked).await {
                Ok(given) => break given,
                Err(error) => tracing::debug!(%entry, %error, "a request could not be asked for"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        };
        let Some(given) = given else { return tracing::debug!(%entry, "is settled, or another replica's") };
        let Some(in_flight) = self.unless_completed(in_flight.of(Print::of(&given.entry.frame))) else { return };
        if self.work.life.draining.is_cancelled() {
            // A replica that leaves begins nothing: another one gets it as if it were new.
            self.requeue(given).await;
        } else {
            self.start(given, way, in_flight, slot);
        }
    }
}
