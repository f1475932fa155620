//! The calls that wait for a reply: plain bookkeeping, without transport and without a clock.

use std::collections::HashMap;

/// Calls under way, each with what its caller waits on. Bounded, so that a mesh that does not answer costs a known
/// amount of memory.
#[derive(Debug)]
pub(crate) struct Pending<W> {
    capacity: usize,
    next: u64,
    calls: HashMap<u64, Slot<W>>,
}

#[derive(Debug)]
struct Slot<W> {
    waiter: Option<W>,
    stage: Stage,
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It has not left this node.
    Queued,
    /// It has left, and nobody has said yet where it arrived.
    Sending,
    /// It stands in the stream under this id, or did.
    Sent(String),
}

/// Why a call was not taken in: as many as allowed are waiting already.
#[derive(Debug, PartialEq)]
pub(crate) struct Full;

impl<W> Pending<W> {
    pub(crate) fn new(capacity: usize) -> Self {
        Pending { capacity, next: 0, calls: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Takes a call in and numbers it. Numbers are never used again.
    pub(crate) fn insert(&mut self, waiter: W) -> Result<u64, Full> {
        if self.calls.len() >= self.capacity {
            return Err(Full);
        }
        let id = self.next;
        self.next += 1;
        self.calls.insert(id, Slot { waiter: Some(waiter), stage: Stage::Queued });
        Ok(id)
    }

    /// Lets a call that is still under way wait on something new. `false` when it is over.
    pub(crate) fn rearm(&mut self, id: u64, waiter: W) -> bool {
        self.calls.get_mut(&id).map(|slot| slot.waiter = Some(waiter)).is_some()
    }

    /// Says that the request leaves now. `false` when the call is over, so that it need not.
    pub(crate) fn leaves(&mut self, id: u64) -> bool {
        self.calls.get_mut(&id).map(|slot| slot.stage = Stage::Sending).is_some()
    }

    /// Says that the request certainly did not arrive.
    pub(crate) fn returned(&mut self, id: u64) {
        if let Some(slot) = self.calls.get_mut(&id) {
            slot.stage = Stage::Queued;
        }
    }

    /// Notes where the request stands. `false` when the call is over, so that the request can be withdrawn.
    pub(crate) fn sent(&mut self, id: u64, entry: String) -> bool {
        self.calls.get_mut(&id).map(|slot| slot.stage = Stage::Sent(entry)).is_some()
    }

    /// Ends a call by its reply and returns whoever waits. `None` for a second reply or one that came too late.
    pub(crate) fn complete(&mut self, id: u64) -> Option<W> {
        self.calls.remove(&id)?.waiter
    }

    /// Wakes a caller without ending the call: its request has to be sent again.
    pub(crate) fn wake(&mut self, id: u64) -> Option<W> {
        self.calls.get_mut(&id)?.waiter.take()
    }

    /// Lets go of every caller; each finds out that none will ever wake it.
    pub(crate) fn close(&mut self) {
        self.calls.values_mut().for_each(|slot| slot.waiter = None);
    }

    /// Ends a call without a reply; returns how far its request has come.
    pub(crate) fn abandon(&mut self, id: u64) -> Option<Stage> {
        self.calls.remove(&id).map(|slot| slot.stage)
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_reply_finds_nobody() {
        let mut pending = Pending::new(10);
        let id = pending.insert("ada").unwrap();
        assert_eq!((pending.complete(id), pending.complete(id)), (Some("ada"), None));
    }

    #[test]
    fn a_full_table_takes_nobody_in_until_someone_leaves() {
        let mut pending = Pending::new(1);
        let first = pending.insert(()).unwrap();
        assert_eq!(pending.insert(()), Err(Full));
        pending.abandon(first);
        assert!(pending.insert(()).is_ok());
    }

    #[test]
    fn an_abandoned_call_tells_how_far_its_request_has_come() {
        let mut pending = Pending::new(10);
        let ids: Vec<u64> = (0..4).map(|_| pending.insert(()).unwrap()).collect();
        for id in &ids[1..] {
            assert!(pending.leaves(*id));
        }
        pending.returned(ids[2]);
        assert!(pending.sent(ids[3], "5-0".into()));
        let stages = ids.iter().map(|id| pending.abandon(*id).unwrap());
        assert_eq!(
            stages.collect::<Vec<_>>(),
            [Stage::Queued, Stage::Sending, Stage::Queued, Stage::Sent("5-0".into())]
        );
        assert!(!pending.leaves(ids[0]) && !pending.sent(ids[3], "6-0".into()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert,
        Complete(u64),
        Abandon(u64),
        Sent(u64),
    }

    proptest! {
        #[test]
        fn whoever_comes_in_is_answered_at_most_once(steps in proptest::collection::vec(
            prop_oneof![
                Just(Step::Insert),
                (0u64..20).prop_map(Step::Complete),
                (0u64..20).prop_map(Step::Abandon),
                (0u64..20).prop_map(Step::Sent),
            ], 0..200))
        {
            let mut pending = Pending::new(8);
            let mut inserted = 0u64;
            let mut over = std::collections::HashSet::new();
            for step in steps {
                match step {
                    Step::Insert => if let Ok(id) = pending.insert(inserted) {
                        prop_assert_eq!(id, inserted);
                        inserted += 1;
                    },
                    Step::Complete(id) => {
                        let expected = (id < inserted && over.insert(id)).then_some(id);
                        prop_assert_eq!(pending.complete(id), expected);
                    }
                    Step::Abandon(id) => {
                        prop_assert_eq!(pending.abandon(id).is_some(), id < inserted && over.insert(id));
                    }
                    Step::Sent(id) => {
                        prop_assert_eq!(pending.sent(id, "1-0".into()), id < inserted && !over.contains(&id));
                    }
                }
                prop_assert!(pending.len() <= 8);
            }
        }
    }
}
