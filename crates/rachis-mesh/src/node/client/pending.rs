//! The calls that wait for a reply: plain bookkeeping, without transport and without a clock. What is to become of a call
//! whose request may be lost is decided here, too.

use crate::redis::{connection::link::Session, keys::same_app, queue::EntryId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls under way, each with what its caller waits on. Bounded, so that a mesh that does not answer costs a known
/// amount of memory.
#[derive(Debug)]
pub(crate) struct Pending<W, R> {
    capacity: usize,
    next: u64,
    calls: FxHashMap<u64, Slot<W, R>>,
    /// Calls that are over by a reply that came before it was known where the request stands.
    overtaken: FxHashSet<u64>,
    /// When to look for callers whose time is over; none of them is earlier.
    alarm: Option<Instant>,
    /// `true` once the node has shut down: no caller is woken any more.
    closed: bool,
}

#[derive(Debug)]
struct Slot<W, R> {
    waiter: Option<W>,
    /// Came while the caller was awake for another reason. That is seldom, so it takes room only then.
    reply: Option<Box<R>>,
    stage: Stage,
    stream: Arc<str>,
    safety: Safety,
    deadline: Instant,
    left: Option<Left>,
}

/// What may be done with a request whose fate is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Safety {
    /// Running it twice does no harm.
    Idempotent,
    /// It has an idempotency key: running it twice is prevented, as long as Redis knows of the first run.
    Keyed,
    /// It must not run twice.
    Unsafe,
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It has not left this node.
    Queued,
    /// It has left, and it is not known yet where it arrived.
    Sending,
    /// It stands in the stream under this id, or did.
    Sent(EntryId),
    /// It has left through this session, which broke before it was known where it arrived.
    Adrift(Option<Arc<Session>>),
}

/// When a request left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    pub(crate) at: Instant,
    /// How often Redis had been found to have lost its data by then.
    pub(crate) losses: u64,
}

/// Why a call was not taken in: as many as allowed are waiting already.
#[derive(Debug, PartialEq)]
pub(crate) struct Full;

/// What a caller that begins to wait again finds.
#[derive(Debug, PartialEq)]
pub(crate) enum Rearmed<R> {
    Waiting,
    /// The reply has come meanwhile; the call is over.
    Replied(R),
    /// The call was over already, or all are.
    Over,
}

/// Which calls to ask Redis about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RecoveryScope {
    All,
    /// Those that wait longer than this for a reply.
    Older(Duration),
    /// Those of an app that has no replica any more, which is named by its first stream.
    Orphans(Arc<str>),
}

/// A call whose request may be lost.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecoveryCandidate {
    pub(crate) id: u64,
    pub(crate) stream: Arc<str>,
    pub(crate) stage: Stage,
    pub(crate) safety: Safety,
    pub(crate) left: Left,
}

/// What was found out about a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    /// It stands in the stream under this id.
    Stands(EntryId),
    /// It stands there, given to a replica that is gone, and no other is left to inherit it.
    Orphaned,
    /// It stands nowhere, and no reply has come.
    Gone,
    /// The same, and more: it has not been in the stream and never will be.
    NeverArrived,
}

/// What a caller whose request is no longer where it should be has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RecoveryDecision {
    /// Send it again.
    Resend,
    /// Give up: Redis lost the request, which may have run.
    Lost,
    /// Give up: the replica that had it is gone, and may have run it.
    Orphaned,
}

impl<W, R> Pending<W, R> {
    pub(crate) fn new(capacity: usize) -> Self {
        Pending {
            capacity,
            next: 0,
            calls: FxHashMap::default(),
            overtaken: FxHashSet::default(),
            alarm: None,
            closed: false,
        }
    }

    /// Replaces the capacity. Calls that wait already stay.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Takes a call in and numbers it. Numbers are never used again.
    pub(crate) fn insert(
        &mut self,
        waiter: W,
        stream: Arc<str>,
        safety: Safety,
        deadline: Instant,
    ) -> Result<u64, Full> {
        if self.calls.len() >= self.capacity {
            return Err(Full);
        }
        let id = self.next;
        self.next += 1;
        let waiter = (!self.closed).then_some(waiter);
        let stage = Stage::Queued;
        self.calls.insert(id, Slot { waiter, reply: None, stage, stream, safety, deadline, left: None });
        Ok(id)
    }

    /// Lets a call that is still under way wait on something new.
    pub(crate) fn rearm(&mut self, id: u64, waiter: W) -> Rearmed<R> {
        let Some(slot) = self.calls.get_mut(&id) else { return Rearmed::Over };
        let Some(reply) = slot.reply.take() else {
            if self.closed {
                return Rearmed::Over;
            }
            slot.waiter = Some(waiter);
            return Rearmed::Waiting;
        };
        self.calls.remove(&id);
        Rearmed::Replied(*reply)
    }

    /// When to look for callers whose time is over: nobody's is before, but whoever it was set for may have had a reply
    /// since. To find the next one with each call that ends would cost more than to look in vain now and then.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    /// Sets the alarm to the deadline of a caller that begins to wait, if that is earlier; returns whether it was.
    pub(crate) fn advance_alarm(&mut self, deadline: Instant) -> bool {
        let earlier = self.alarm.is_none_or(|alarm| deadline < alarm);
        if earlier {
            self.alarm = Some(deadline);
        }
        earlier
    }

    /// Those whose time is over `now`, and sets the alarm for the next ones. Their calls are still under way; one that is awake
    /// for another reason is told when it waits again.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<W> {
        let mut late = Vec::new();
        self.alarm = None;
        for slot in self.calls.values_mut().filter(|slot| slot.waiter.is_some()) {
            if slot.deadline <= now {
                late.extend(slot.waiter.take());
            } else {
                self.alarm = Some(self.alarm.map_or(slot.deadline, |alarm| alarm.min(slot.deadline)));
            }
        }
        late
    }

    /// Notes that the request, which is in no stream, goes to another one from now on.
    pub(crate) fn turns_to(&mut self, id: u64, stream: Arc<str>) {
        if let Some(slot) = self.calls.get_mut(&id) {
            slot.stream = stream;
        }
    }

    /// Notes that the request leaves now. Returns `false` if the call is over, so that it need not.
    pub(crate) fn leaves(&mut self, id: u64, left: Left) -> bool {
        let Some(slot) = self.calls.get_mut(&id) else { return false };
        slot.stage = Stage::Sending;
        slot.left = Some(left);
        true
    }

    /// Notes that the request certainly did not arrive.
    pub(crate) fn returned(&mut self, id: u64) {
        self.overtaken.remove(&id);
        if let Some(slot) = self.calls.get_mut(&id) {
            slot.stage = Stage::Queued;
        }
    }

    /// Notes where the request stands. `false` when the call is over without a reply, so that the request can be withdrawn.
    pub(crate) fn sent(&mut self, id: u64, entry: EntryId) -> bool {
        match self.calls.get_mut(&id) {
            Some(slot) => {
                slot.stage = Stage::Sent(entry);
                true
            }
            None => self.overtaken.remove(&id),
        }
    }

    /// Notes that it is unknown whether the request arrived. Returns its waiter if it is best sent again at once: a second
    /// copy of what is idempotent does no harm. Of anything else it has to be found out first.
    pub(crate) fn adrift(&mut self, id: u64, session: Option<Arc<Session>>) -> Option<W> {
        self.overtaken.remove(&id);
        let slot = self.calls.get_mut(&id)?;
        slot.stage = Stage::Adrift(session);
        if slot.safety == Safety::Idempotent { slot.waiter.take() } else { None }
    }

    /// Ends a call by its reply and returns its waiter with that reply. `None` for a second reply, for one that came too
    /// late, and for one whose caller finds it as soon as it waits again.
    pub(crate) fn complete(&mut self, id: u64, reply: R) -> Option<(W, R)> {
        let slot = self.calls.get_mut(&id)?;
        let Some(waiter) = slot.waiter.take() else {
            slot.reply.get_or_insert_with(|| Box::new(reply));
            return None;
        };
        if slot.stage == Stage::Sending {
            self.overtaken.insert(id);
        }
        self.calls.remove(&id);
        Some((waiter, reply))
    }

    /// Wakes a caller without ending the call: its request has to be sent again.
    pub(crate) fn wake(&mut self, id: u64) -> Option<W> {
        self.calls.get_mut(&id)?.waiter.take()
    }

    /// Lets go of every caller, and of those that come later; each finds out that none will ever wake it.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.calls.values_mut().for_each(|slot| slot.waiter = None);
    }

    /// Ends a call without a reply; returns how far its request has come.
    pub(crate) fn abandon(&mut self, id: u64) -> Option<Stage> {
        self.calls.remove(&id).map(|slot| slot.stage)
    }

    /// The calls about whose requests Redis must be asked.
    pub(crate) fn candidates(&self, scope: &RecoveryScope, now: Instant) -> Vec<RecoveryCandidate> {
        let mut candidates: Vec<RecoveryCandidate> = self
            .calls
            .iter()
            .filter_map(|(id, slot)| {
                let left = slot.left?;
                let asked = match (&slot.stage, scope) {
                    (Stage::Queued | Stage::Sending, _) => false,
                    (Stage::Sent(_), RecoveryScope::Older(age)) => now.saturating_duration_since(left.at) >= *age,
                    (Stage::Sent(_), RecoveryScope::Orphans(first)) => same_app(first, &slot.stream),
                    (Stage::Sent(_), RecoveryScope::All) | (Stage::Adrift(_), _) => true,
                };
                let stream = slot.stream.clone();
                let stage = slot.stage.clone();
                let safety = slot.safety;
                asked.then_some(RecoveryCandidate { id: *id, stream, stage, safety, left })
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.id);
        candidates
    }

    /// Decides what becomes of a candidate. Returns `None` if its caller just waits on, or is awake for another reason;
    /// then the next scan decides.
    pub(crate) fn decide(&mut self, candidate: &RecoveryCandidate, finding: Finding) -> Option<(RecoveryDecision, W)> {
        let slot = self.calls.get_mut(&candidate.id)?;
        // Something happened to it since it was asked about: the finding is out of date.
        if slot.stage != candidate.stage || slot.waiter.is_none() {
            return None;
        }
        let decision = match (finding, &slot.stage) {
            (Finding::Stands(entry), _) => {
                slot.stage = Stage::Sent(entry);
                return None;
            }
            (Finding::Orphaned, _) if slot.safety != Safety::Unsafe => return None,
            (Finding::Orphaned, _) => RecoveryDecision::Orphaned,
            (Finding::NeverArrived, Stage::Adrift(_)) => RecoveryDecision::Resend,
            (Finding::Gone | Finding::NeverArrived, _) if slot.safety != Safety::Unsafe => RecoveryDecision::Resend,
            (Finding::Gone | Finding::NeverArrived, _) => RecoveryDecision::Lost,
        };
        if decision == RecoveryDecision::Resend {
            slot.stage = Stage::Queued;
        }
        slot.waiter.take().map(|waiter| (decision, waiter))
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
