//! Completion: a request is answered, set aside, handed off to another replica or handed back to the queue.

use super::{ASK_AGAIN, Responder};
use crate::{
    node::server::{
        completed_cache::CachedReply,
        in_flight::{InFlightRequest, Print},
    },
    redis::{
        Failure,
        connection::{is_fatal, link::Live, pool::Pooled},
        queue::{Delivered, Entry, EntryId, GivenUp, Write},
    },
    wire::{self, Frame, Handoff, Reply, Request},
};
use rachis_core::{Answer, Error, Outcome, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

impl Responder {
    /// Makes the request another replica's, and lets that one know. It does not leave the stream, so it is not lost with
    /// that replica, and the note alone lets nothing run.
    pub(super) async fn hand_off(&self, in_flight: InFlightRequest, expires: u64, replica: &str) {
        while self.work.clock.now() < expires {
            let entry = in_flight.entry();
            let handed =
                |mut live: Live| async move { self.calls.hand_off(&mut live.connection, entry, replica).await };
            match self.work.commands.run(&self.stream, handed).await {
                // If it is not this replica's any more, it may be that one's already, by an attempt whose answer was lost.
                Ok(_) => return self.notify(entry, replica),
                Err(error) => tracing::debug!(replica, %error, "a request could not be handed off yet"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        self.complete(in_flight, None);
    }

    pub(super) fn notify(&self, entry: EntryId, replica: &str) {
        tracing::debug!(%entry, replica, "handed off");
        let inbox = self.work.keys.inbox(replica);
        match (Handoff { entry: entry.to_string(), partition: self.number }).encode(self.work.signer.at(&inbox)) {
            Ok(frame) => self.work.write(Write::Send { inbox: inbox.into(), frame: frame.into(), then: None }),
            Err(error) => tracing::error!(%error, "no note could be made"),
        }
        // It may have died meanwhile, and its heirs may have looked before it had this one.
        if !self.work.catalog.lock().nodes().any(|member| member.id == replica) {
            self.work.dead_replicas.send(replica.to_owned()).ok();
        }
    }

    pub(super) fn answer(&self, in_flight: InFlightRequest, request: &Request, outcome: Result<Answer>) {
        self.reply(in_flight, request.id, &request.from, outcome);
    }

    /// Answers a request that is not settled yet.
    pub(super) fn tell(&self, request: &Request, outcome: Result<Answer>) {
        let inbox = self.work.keys.inbox(&request.from);
        match Reply::new(request.id, outcome).encode(self.work.signer.at(&inbox)) {
            Ok(frame) => self.work.write(Write::Send { inbox: inbox.into(), frame: frame.into(), then: None }),
            Err(error) => tracing::error!(%error, "no reply could be made; the caller will time out"),
        }
    }

    pub(super) fn reply(&self, in_flight: InFlightRequest, id: u64, to: &str, outcome: Result<Answer>) {
        self.work.write(self.finished(in_flight, id, to, outcome));
    }

    /// Returns the write that answers a request and settles it.
    pub(super) fn finished(&self, in_flight: InFlightRequest, id: u64, to: &str, outcome: Result<Answer>) -> Write {
        let max = self.work.limits.load().max_payload;
        let inbox = self.work.keys.inbox(to);
        let scope = self.work.signer.at(&inbox);
        let frame = Reply::new(id, outcome).encode(scope).and_then(|frame| {
            if frame.len() <= max {
                return Ok(frame);
            }
            Err(Error::payload_too_large(format!(
                "The reply takes {} bytes, more than max_payload ({max}): ask for less, by $limit or $select",
                frame.len()
            )))
        });
        let frame = frame.or_else(|error| Reply::new(id, Err(error)).encode(scope));
        match frame {
            Ok(frame) => self.completion(in_flight, Some((inbox.into(), frame.into()))),
            Err(error) => {
                tracing::error!(%error, "no reply could be made; the caller will time out");
                self.completion(in_flight, None)
            }
        }
    }

    /// Sends a reply to an inbox and lets go of the request, in one write. It stays in flight until Redis has that: after a
    /// reconnect it may still be listed as given to this replica, and must not look like one that was never begun.
    pub(super) fn complete(&self, in_flight: InFlightRequest, reply: Option<CachedReply>) {
        self.work.write(self.completion(in_flight, reply));
    }

    fn completion(&self, in_flight: InFlightRequest, reply: Option<CachedReply>) -> Write {
        self.remember(&in_flight, reply.as_ref());
        let entry = in_flight.entry();
        Write::Finished { stream: self.stream.clone(), entry, reply, held: Arc::new(in_flight) }
    }

    fn remember(&self, in_flight: &InFlightRequest, reply: Option<&CachedReply>) {
        self.completed().add(in_flight.entry(), in_flight.print(), reply, Instant::now(), in_flight.left());
    }

    /// Answers a request that was not begun here, as soon as it is certain that no other replica has taken it over: one that
    /// has may run it, and answers it. Where Redis forbids to make sure of that, the caller is not told that it never ran.
    pub(super) async fn refuse_unbegun(
        &self,
        in_flight: InFlightRequest,
        expires: u64,
        id: u64,
        to: &str,
        error: Error,
    ) {
        let entry = in_flight.entry();
        // Redis may have run a command whose answer did not come, also one of those that a single look repeats.
        let attempts = AtomicU32::new(0);
        while self.work.clock.now() < expires {
            let given_up = |mut live: Live| {
                attempts.fetch_add(1, Ordering::Relaxed);
                async move { self.calls.give_up(&mut live.connection, entry).await }
            };
            let given_up = self.work.commands.run(&self.stream, given_up).await;
            let by_this_one = attempts.load(Ordering::Relaxed) > 1;
            match given_up {
                Ok(GivenUp::Before) if !by_this_one => return tracing::debug!(%entry, "was settled by another replica"),
                // What another one has settled meanwhile it had answered before, and its answer comes first.
                Ok(GivenUp::Now | GivenUp::Before) => {
                    let inbox = self.work.keys.inbox(to);
                    return match Reply::new(id, Err(error)).encode(self.work.signer.at(&inbox)) {
                        Ok(frame) => {
                            let reply = (Arc::from(inbox), bytes::Bytes::from(frame));
                            self.remember(&in_flight, Some(&reply));
                            self.work.write(Write::Send { inbox: reply.0, frame: reply.1, then: None });
                        }
                        Err(error) => tracing::error!(%error, "no reply could be made; the caller will time out"),
                    };
                }
                Ok(GivenUp::Elsewhere) => {
                    return tracing::debug!(%entry, "is another replica's by now, which answers it");
                }
                Err(refused) if !is_fatal(&refused) => {
                    tracing::debug!(%entry, error = %refused, "a request that is not begun may not be given up");
                    let error = match error.outcome() {
                        Some(Outcome::NeverRan) => error.with_outcome(Outcome::Unknown),
                        _ => error,
                    };
                    return self.reply(in_flight, id, to, Err(error));
                }
                Err(error) => tracing::debug!(%entry, %error, "a request that is not begun could not be given up yet"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        // It stays pending, and is settled when it is looked at again: after its deadline no replica begins it.
    }

    /// Moves a request to the dead letters; `false`: it stays as it is, pending and not in flight, and is tried again by
    /// the replica that looks after what is pending.
    pub(super) async fn dead_letter(&self, delivered: &Delivered, request: Option<&Request>, reason: &str) -> bool {
        let Entry { id, frame } = &delivered.entry;
        tracing::debug!(entry = %id, reason, "a request goes to the dead letters");
        let scope = self.work.signer.at(self.calls.dead_letters());
        let kept = request.and_then(|request| request.clone().without_secrets().encode(Duration::ZERO, scope).ok());
        // It is unknown where the secrets of an unreadable frame are, so of it only version and kind are kept.
        let kept = kept.unwrap_or_else(|| frame.iter().copied().take(2).collect());
        let outcome: Result<bool, Failure> = async {
            let mut connection = self.work.admin.get(&self.stream).await?;
            self.calls
                .dead_letter(&mut connection, delivered, &kept, reason, self.work.limits.load().dead_letters)
                .await
        }
        .await;
        match outcome {
            Ok(true) => {
                self.work.metrics.dead_lettered.inc();
                true
            }
            Ok(false) => true,
            Err(error) => {
                if let Some(more) = self.refused.permit() {
                    tracing::warn!(entry = %id, %error, more, "a request could not be set aside and stays pending, trying again");
                }
                false
            }
        }
    }

    /// Gives back what was pulled and not started.
    pub(crate) async fn hand_back(&self) -> Result<(), Failure> {
        let mut connection = self.work.admin.get(&self.stream).await?;
        for entry in self.calls.given(&mut connection).await? {
            let Some(in_flight) = self.in_flight.take(entry, Print::UNKNOWN) else { continue };
            let Some(given) = self.calls.own(&mut connection, entry).await? else { continue };
            // Redis may have lost that it was settled; then it is settled again.
            let Some(_in_flight) = self.unless_completed(in_flight.of(Print::of(&given.entry.frame))) else { continue };
            self.requeue_on(&mut connection, given).await?;
        }
        Ok(())
    }

    /// Gives back a request that its service did not begin, of the `caller` with that node and number.
    pub(super) async fn give_back(&self, given: Delivered, in_flight: InFlightRequest, (from, id): &(Arc<str>, u64)) {
        tracing::debug!(entry = %given.entry.id, "not begun, handed back");
        self.replay_guard.lock().remove(from, *id);
        self.requeue(given).await;
        drop(in_flight);
    }

    pub(super) async fn requeue(&self, given: Delivered) {
        let outcome = async { self.requeue_on(&mut self.work.admin.get(&self.stream).await?, given).await };
        if let Err(error) = outcome.await {
            tracing::debug!(%error, "a request could not be handed back; others will claim it");
        }
    }

    pub(super) async fn requeue_on(&self, on: &mut Pooled, given: Delivered) -> Result<(), Failure> {
        // What was taken over from the dead may have run there: it stays pending, for the next heir to judge.
        if given.deliveries > 1 {
            return Ok(());
        }
        let Entry { id, mut frame } = given.entry;
        if let Ok((_, left)) = Request::decode(&frame, self.work.signer.at(&self.stream)) {
            // The new entry has a new time, so what is left of the old one's must be written anew.
            let waited = self.work.clock.now().saturating_sub(id.ms);
            wire::stamp(&mut frame, left.saturating_sub(Duration::from_millis(waited)));
        }
        self.calls.requeue(on, id, &frame).await.map(drop)
    }
}
