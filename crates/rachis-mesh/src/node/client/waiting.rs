//! The calls of a node that wait for their replies, and what becomes known of each.

use super::{
    pending::{Finding, Full, Pending, RecoveryCandidate, RecoveryDecision, RecoveryScope, Safety},
    recovery_triggers::RecoveryTriggers,
};
use crate::{
    node::shared::{limits::CallLimits, rate_limited_log::RateLimitedLog},
    redis::{
        keys::Keys,
        queue::{EntryId, WriteOutcome},
    },
    wire::{Frame, Reply, Signer},
};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{Answer, Error, Outcome, Result};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot, watch};

/// How long a queue that was found full counts as full without asking Redis.
const FULL_FOR: Duration = Duration::from_millis(100);

/// The waiting calls of one node. Replies, deadlines and the writer come to it; none of them needs to know callers.
pub(crate) struct Waiting {
    pub(super) limits: ArcSwap<CallLimits>,
    pending: Mutex<PendingCalls>,
    recovery: RecoveryTriggers,
    /// Notified when a call with an earlier deadline than all pending ones arrives.
    pub(super) hurry: Notify,
    /// Up to which entry the inbox was read.
    pub(super) inbox_read: watch::Sender<EntryId>,
    /// When each stream that was found too long may be tried again.
    full: Mutex<HashMap<Arc<str>, Instant>>,
    pub(super) signer: Signer,
    pub(super) keys: Keys,
    /// Where replies to this node stand, and count.
    pub(super) inbox: String,
    pub(super) refused: RateLimitedLog,
}

pub(super) type PendingCalls = Pending<oneshot::Sender<Arrived>, Result<Answer>>;

/// What wakes a caller.
pub(super) enum Arrived {
    Reply(Result<Answer>),
    /// The request is not (or perhaps not) in the stream.
    Failed(WriteOutcome),
    /// It is, behind more others than allowed.
    TooMany {
        entry: EntryId,
    },
    /// Its time is over.
    Late,
    /// The request has to be sent again.
    Resend,
    /// It is lost and must not be sent again.
    Lost(RecoveryDecision),
}

impl Waiting {
    pub(crate) fn new(node: &str, limits: CallLimits, signer: Signer, keys: Keys) -> Self {
        Waiting {
            limits: ArcSwap::from_pointee(limits),
            pending: Mutex::new(Pending::new(limits.max_pending)),
            recovery: RecoveryTriggers::default(),
            hurry: Notify::new(),
            inbox_read: watch::Sender::new(EntryId::FIRST),
            full: Mutex::default(),
            signer,
            inbox: keys.inbox(node),
            keys,
            refused: RateLimitedLog::new(),
        }
    }

    /// Replaces the limits. Calls in progress keep theirs.
    pub(crate) fn limit(&self, limits: CallLimits) {
        self.limits.store(Arc::new(limits));
        self.lock().resize(limits.max_pending);
    }

    /// Returns the number of calls that wait for a reply.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Begins to wait for the reply to a call; returns its number.
    ///
    /// # Errors
    /// `TooManyRequests` when `max_pending` calls wait.
    pub(super) fn begin(
        &self,
        waiter: oneshot::Sender<Arrived>,
        stream: Arc<str>,
        safety: Safety,
        deadline: Instant,
    ) -> Result<u64> {
        let mut pending = self.lock();
        let id = pending.insert(waiter, stream, safety, deadline).map_err(|Full| self.too_many_pending())?;
        self.awaited(&mut pending, deadline);
        Ok(id)
    }

    /// Makes sure that a caller that begins to wait is woken when its time is over.
    pub(super) fn awaited(&self, pending: &mut PendingCalls, deadline: Instant) {
        if pending.advance_alarm(deadline) {
            self.hurry.notify_one();
        }
    }

    /// Takes in what came into the inbox as a reply.
    pub(super) fn reply(&self, frame: &[u8]) {
        match Reply::decode(frame, self.signer.at(&self.inbox)) {
            Ok(reply) => {
                let id = reply.id;
                let completed = self.lock().complete(id, reply.into_outcome());
                if let Some((waiter, outcome)) = completed {
                    // Its caller may have gone in this moment.
                    let _ = waiter.send(Arrived::Reply(outcome));
                } else {
                    tracing::debug!(id, "a reply to no waiting call");
                }
            }
            Err(error) => {
                if let Some(more) = self.refused.permit() {
                    tracing::warn!(%error, more, "a reply was refused; its caller will time out");
                }
            }
        }
    }

    /// Notes that the queue behind a stream is too long.
    pub(super) fn note_full(&self, stream: &Arc<str>) {
        self.full.lock().insert(stream.clone(), Instant::now() + FULL_FOR);
    }

    /// Returns a test for streams whose queues were too long a moment ago, to be asked for one call.
    pub(super) fn is_full(&self) -> impl FnMut(&Arc<str>) -> bool {
        let mut full = self.full.lock();
        move |stream| match full.get(stream) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                full.remove(stream);
                false
            }
            None => false,
        }
    }

    /// Reasons to look after requests under way.
    pub(crate) fn recovery(&self) -> &RecoveryTriggers {
        &self.recovery
    }

    /// Those about which Redis must be asked.
    pub(crate) fn candidates(&self, scope: &RecoveryScope) -> Vec<RecoveryCandidate> {
        self.lock().candidates(scope, Instant::now())
    }

    /// Lets a caller know what was found out about its request, where it has to do something.
    pub(crate) fn decide(&self, candidate: &RecoveryCandidate, finding: Finding) {
        let Some((decision, waiter)) = self.lock().decide(candidate, finding) else { return };
        tracing::debug!(id = candidate.id, stream = %candidate.stream, ?decision, "a request is not where it should be");
        let _ = waiter.send(match decision {
            RecoveryDecision::Resend => Arrived::Resend,
            RecoveryDecision::Lost | RecoveryDecision::Orphaned => Arrived::Lost(decision),
        });
    }

    /// Waits until every reply up to this entry of the inbox has reached its caller.
    pub(crate) async fn inbox_read_to(&self, wanted: EntryId) {
        let _ = self.inbox_read.subscribe().wait_for(|read| *read >= wanted).await;
    }

    /// Wakes all waiting callers, since no reply will come any more.
    pub(crate) fn close(&self) {
        self.lock().close();
    }

    fn too_many_pending(&self) -> Error {
        Error::too_many_requests(format!(
            "{} calls of this node wait for replies already (max_pending)",
            self.limits.load().max_pending
        ))
        .with_outcome(Outcome::NeverRan)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, PendingCalls> {
        self.pending.lock()
    }
}
