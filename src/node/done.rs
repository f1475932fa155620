//! What this replica has finished of late: a request that Redis gives out again must not run again.
//!
//! It does so when a connection breaks before the reply has left, and when a failover loses the last writes, so that a
//! request that was settled is pending again.

use crate::redis::streams::EntryId;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a request is remembered: no failover, and no append-only file, is this far behind and still of use.
const TIME: Duration = Duration::from_secs(10);
/// Requests remembered at most; a second's worth at full speed.
const REQUESTS: usize = 65_536;
/// Bytes of replies kept to be sent again, for all requests together. Beyond, a request is only settled again and its
/// caller times out.
const BYTES: usize = 4 << 20;
/// Replies larger than this are not kept at all.
const LARGEST: usize = 64 << 10;

/// Inbox and frame, which are shared with what is written.
pub(crate) type Reply = (Arc<str>, Bytes);

/// Finished requests by entry id, the oldest forgotten first.
#[derive(Default)]
pub(crate) struct Done {
    replies: FxHashMap<EntryId, Option<Reply>>,
    /// With when each was finished.
    order: VecDeque<(Instant, EntryId)>,
    /// Those with replies, and the bytes of these.
    kept: VecDeque<EntryId>,
    bytes: usize,
}

impl Done {
    /// Remembers a request that was finished `now`.
    pub(crate) fn add(&mut self, id: EntryId, reply: Option<&Reply>, now: Instant) {
        if self.replies.contains_key(&id) {
            return;
        }
        let reply = reply.filter(|(_, frame)| frame.len() <= LARGEST).cloned();
        if let Some((_, frame)) = &reply {
            self.bytes += frame.len();
            self.kept.push_back(id);
        }
        self.replies.insert(id, reply);
        self.order.push_back((now, id));
        while self.bytes > BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.drop_reply(oldest);
        }
        let too_old = |finished: &Instant| now.saturating_duration_since(*finished) > TIME;
        while self.order.len() > REQUESTS || self.order.front().is_some_and(|(finished, _)| too_old(finished)) {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.drop_reply(oldest);
            self.replies.remove(&oldest);
            // Both are in one order, and what is missing in `kept` was taken from its front.
            if self.kept.front() == Some(&oldest) {
                self.kept.pop_front();
            }
        }
    }

    fn drop_reply(&mut self, id: EntryId) {
        if let Some((_, frame)) = self.replies.get_mut(&id).and_then(Option::take) {
            self.bytes -= frame.len();
        }
    }

    /// The reply to a request that was finished: `None` when it was not, or is not remembered.
    pub(crate) fn reply(&self, id: EntryId) -> Option<Option<Reply>> {
        self.replies.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: usize) -> Reply {
        ("inbox".into(), vec![0; bytes].into())
    }

    #[test]
    fn a_finished_request_is_known_with_its_reply() {
        let mut done = Done::default();
        done.add(EntryId::new(5, 1), Some(&reply(3)), Instant::now());
        done.add(EntryId::new(5, 2), None, Instant::now());
        assert_eq!(done.reply(EntryId::new(5, 1)), Some(Some(reply(3))));
        assert_eq!(done.reply(EntryId::new(5, 2)), Some(None));
        assert_eq!(done.reply(EntryId::new(5, 3)), None);
    }

    #[test]
    fn old_replies_go_before_the_requests_are_forgotten() {
        let mut done = Done::default();
        let all = BYTES / LARGEST + 1;
        let now = Instant::now();
        (0..all).for_each(|n| done.add(EntryId::new(n as u64, 0), Some(&reply(LARGEST)), now));
        assert_eq!(done.reply(EntryId::new(0, 0)), Some(None));
        assert_eq!(done.reply(EntryId::new(1, 0)), Some(Some(reply(LARGEST))));
        done.add(EntryId::new(9, 9), Some(&reply(LARGEST + 1)), now);
        assert_eq!(done.reply(EntryId::new(9, 9)), Some(None));
    }

    #[test]
    fn it_holds_so_many_and_no_more() {
        let mut done = Done::default();
        let now = Instant::now();
        (0..REQUESTS + 10).for_each(|n| done.add(EntryId::new(n as u64, 0), Some(&reply(100)), now));
        assert_eq!((done.replies.len(), done.order.len()), (REQUESTS, REQUESTS));
        assert!(done.bytes <= BYTES);
        assert_eq!(done.reply(EntryId::new(9, 0)), None);
        assert!(done.reply(EntryId::new(10, 0)).is_some());
    }

    #[test]
    fn what_was_finished_long_ago_is_forgotten_with_its_reply() {
        let (mut done, start) = (Done::default(), Instant::now());
        (0..100).for_each(|n| done.add(EntryId::new(n as u64, 0), Some(&reply(100)), start));
        done.add(EntryId::new(100, 0), Some(&reply(100)), start + TIME);
        assert_eq!(done.replies.len(), 101);
        done.add(EntryId::new(101, 0), None, start + TIME + Duration::from_millis(1));
        assert_eq!((done.replies.len(), done.order.len(), done.kept.len(), done.bytes), (2, 2, 1, 100));
        assert_eq!((done.reply(EntryId::new(0, 0)), done.reply(EntryId::new(100, 0))), (None, Some(Some(reply(100)))));
    }
}
