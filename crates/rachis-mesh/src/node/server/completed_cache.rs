//! What this replica has finished of late: a request that Redis gives out again must not run again.
//!
//! It does so when a connection breaks before the reply has left, and when a failover loses the last writes, so that a
//! request that was settled is pending again.

use crate::node::server::in_flight::Print;
use crate::redis::queue::EntryId;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a request is remembered at least, and longer while its caller waits: a server that takes over may lack but the
/// last moment, and begin to answer long after.
const TIME: Duration = Duration::from_secs(10);
/// Requests remembered at most; a second's worth at full speed.
const REQUESTS: usize = 65_536;
/// Bytes of replies kept to be sent again, for all requests together. Beyond, a request is only settled again and its
/// caller times out.
const BYTES: usize = 4 << 20;
/// Replies larger than this are not kept at all.
const LARGEST: usize = 64 << 10;

/// A chunk is full with so many requests, so many bytes or after so much time.
const CHUNK_REQUESTS: usize = 1024;
const CHUNK_BYTES: usize = 128 << 10;
const CHUNK_TIME: Duration = Duration::from_secs(1);

/// Inbox and frame, which are shared with what is written.
pub(crate) type CachedReply = (Arc<str>, Bytes);

/// Finished requests, the oldest forgotten first.
///
/// Each request is put in and hardly one is ever asked for. So they stand one behind the other, as do the bytes of their
/// replies, and are looked through when one is asked for: a map, and replies that were kept as they are, took a sixth
/// of the time that a replica had for a request, most of it spent waiting for memory.
#[derive(Default)]
pub(crate) struct CompletedCache {
    chunks: VecDeque<Chunk>,
    requests: usize,
    bytes: usize,
    /// None that was finished has a higher id, so a request that is new is not looked for.
    newest: EntryId,
}

/// Some that were finished one after the other.
struct Chunk {
    ids: Range<EntryId>,
    requests: Vec<(EntryId, Print, Option<Span>)>,
    /// Inboxes and frames; empty once they are forgotten.
    bytes: Vec<u8>,
    begun: Instant,
    /// Until when it is remembered.
    until: Instant,
}

/// Where a reply stands in the bytes of its chunk.
#[derive(Clone, Copy)]
struct Span {
    inbox: u32,
    frame: u32,
    end: u32,
}

impl CompletedCache {
    /// Remembers a request that was finished `now`, and whose caller waits for `left` at most.
    pub(crate) fn add(&mut self, id: EntryId, print: Print, reply: Option<&CachedReply>, now: Instant, left: Duration) {
        let reply = reply.filter(|(_, frame)| frame.len() <= LARGEST);
        let length = self.chunk(now).add(id, print, reply, now + left.max(TIME));
        self.requests += 1;
        self.bytes += length;
        self.newest = self.newest.max(id);
        self.forget(now);
    }

    /// The chunk that the next one goes into.
    fn chunk(&mut self, now: Instant) -> &mut Chunk {
        if self.chunks.back().is_none_or(|last| last.is_full(now)) {
            self.chunks.push_back(Chunk::begun(now));
        }
        let last = self.chunks.len() - 1;
        // One was pushed if there was none.
        &mut self.chunks[last]
    }

    fn forget(&mut self, now: Instant) {
        let mut with_replies = self.chunks.iter_mut();
        while self.bytes > BYTES {
            let Some(oldest) = with_replies.next() else { break };
            self.bytes -= std::mem::take(&mut oldest.bytes).len();
        }
        let is_old = |chunk: &Chunk| now > chunk.until;
        while self.requests > REQUESTS || self.chunks.front().is_some_and(is_old) {
            let Some(oldest) = self.chunks.pop_front() else { break };
            self.requests -= oldest.requests.len();
            self.bytes -= oldest.bytes.len();
        }
    }

    /// The reply to a request that was finished: `None` when it was not, or is not remembered.
    pub(crate) fn reply(&self, id: EntryId, print: Print) -> Option<Option<CachedReply>> {
        if id > self.newest {
            return None;
        }
        self.chunks.iter().rev().find_map(|chunk| chunk.reply(id, print))
    }
}

impl Chunk {
    fn begun(now: Instant) -> Self {
        // Before the first one, no id is in the range.
        let ids = EntryId::LAST..EntryId::FIRST;
        Chunk { ids, requests: Vec::new(), bytes: Vec::new(), begun: now, until: now }
    }

    fn is_full(&self, now: Instant) -> bool {
        self.requests.len() >= CHUNK_REQUESTS
            || self.bytes.len() >= CHUNK_BYTES
            || now.saturating_duration_since(self.begun) > CHUNK_TIME
    }

    /// Says how many bytes are kept of the reply.
    fn add(&mut self, id: EntryId, print: Print, reply: Option<&CachedReply>, until: Instant) -> usize {
        let begin = self.bytes.len();
        let span = reply.and_then(|(inbox, frame)| {
            self.bytes.extend_from_slice(inbox.as_bytes());
            let middle = self.bytes.len();
            self.bytes.extend_from_slice(frame);
            let [inbox, frame, end] = [begin, middle, self.bytes.len()].map(u32::try_from);
            Some(Span { inbox: inbox.ok()?, frame: frame.ok()?, end: end.ok()? })
        });
        self.requests.push((id, print, span));
        self.ids = self.ids.start.min(id)..self.ids.end.max(id);
        self.until = self.until.max(until);
        self.bytes.len() - begin
    }

    fn reply(&self, id: EntryId, print: Print) -> Option<Option<CachedReply>> {
        if id < self.ids.start || id > self.ids.end {
            return None;
        }
        let is_it = |finished: EntryId, of: Print| finished == id && of.is_like(print);
        let (.., span) = self.requests.iter().find(|(finished, of, _)| is_it(*finished, *of))?;
        Some(span.and_then(|Span { inbox, frame, end }| {
            let part = |from: u32, to: u32| self.bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?);
            let inbox = str::from_utf8(part(inbox, frame)?).ok()?;
            Some((inbox.into(), Bytes::copy_from_slice(part(frame, end)?)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const ONE: Print = Print::UNKNOWN;

    fn reply(bytes: usize) -> CachedReply {
        ("inbox".into(), vec![0; bytes].into())
    }

    #[test]
    fn a_finished_request_is_known_with_its_reply() {
        let mut cache = CompletedCache::default();
        cache.add(EntryId::new(5, 1), ONE, Some(&reply(3)), Instant::now(), Duration::ZERO);
        cache.add(EntryId::new(5, 3), ONE, None, Instant::now(), Duration::ZERO);
        assert_eq!(cache.reply(EntryId::new(5, 1), ONE), Some(Some(reply(3))));
        assert_eq!(cache.reply(EntryId::new(5, 3), ONE), Some(None));
        for other in [EntryId::new(5, 0), EntryId::new(5, 2), EntryId::new(5, 4)] {
            assert_eq!(cache.reply(other, ONE), None);
        }
    }

    #[test]
    fn another_request_under_the_id_of_a_finished_one_is_not_taken_for_it() {
        let mut cache = CompletedCache::default();
        let id = EntryId::new(5, 1);
        let prints = [b"\x00R0000one", b"\x00R0000two"].map(|frame| Print::of(frame));
        cache.add(id, prints[0], Some(&reply(3)), Instant::now(), Duration::ZERO);
        assert_eq!((cache.reply(id, prints[0]), cache.reply(id, prints[1])), (Some(Some(reply(3))), None));
        cache.add(id, prints[1], None, Instant::now(), Duration::ZERO);
        assert_eq!((cache.reply(id, prints[0]), cache.reply(id, prints[1])), (Some(Some(reply(3))), Some(None)));
    }

    #[test]
    fn old_replies_go_before_the_requests_are_forgotten() {
        let mut cache = CompletedCache::default();
        let all = 2 * BYTES / LARGEST;
        let now = Instant::now();
        (0..all).for_each(|n| cache.add(EntryId::new(n as u64, 0), ONE, Some(&reply(LARGEST)), now, Duration::ZERO));
        assert_eq!(cache.reply(EntryId::new(0, 0), ONE), Some(None));
        assert_eq!(cache.reply(EntryId::new(all as u64 - 1, 0), ONE), Some(Some(reply(LARGEST))));
        let kept =
            (0..all).filter(|n| cache.reply(EntryId::new(*n as u64, 0), ONE) == Some(Some(reply(LARGEST)))).count();
        assert!((all / 2 - 2..=all / 2).contains(&kept), "{kept} of {all}");
        cache.add(EntryId::new(999, 9), ONE, Some(&reply(LARGEST + 1)), now, Duration::ZERO);
        assert_eq!(cache.reply(EntryId::new(999, 9), ONE), Some(None));
    }

    #[test]
    fn it_holds_so_many_and_no_more() {
        let mut cache = CompletedCache::default();
        let now = Instant::now();
        let all = REQUESTS + 10;
        (0..all).for_each(|n| cache.add(EntryId::new(n as u64, 0), ONE, Some(&reply(100)), now, Duration::ZERO));
        assert!((REQUESTS - CHUNK_REQUESTS..=REQUESTS).contains(&cache.requests), "{}", cache.requests);
        assert!(cache.bytes <= BYTES, "{}", cache.bytes);
        assert_eq!(cache.reply(EntryId::new(9, 0), ONE), None);
        assert!(cache.reply(EntryId::new((all - REQUESTS + CHUNK_REQUESTS) as u64, 0), ONE).is_some());
        let counted: usize = cache.chunks.iter().map(|chunk| chunk.requests.len()).sum();
        assert_eq!(counted, cache.requests);
    }

    #[test]
    fn what_was_finished_long_ago_is_forgotten_with_its_reply() {
        let mut cache = CompletedCache::default();
        let start = Instant::now();
        (0..100).for_each(|n| cache.add(EntryId::new(n as u64, 0), ONE, Some(&reply(100)), start, Duration::ZERO));
        cache.add(EntryId::new(100, 0), ONE, Some(&reply(100)), start + TIME, Duration::ZERO);
        assert_eq!(cache.requests, 101);
        cache.add(EntryId::new(101, 0), ONE, None, start + TIME + Duration::from_millis(1), Duration::ZERO);
        assert_eq!((cache.requests, cache.bytes, cache.chunks.len()), (2, 105, 1));
        assert_eq!(
            (cache.reply(EntryId::new(0, 0), ONE), cache.reply(EntryId::new(100, 0), ONE)),
            (None, Some(Some(reply(100))))
        );
    }

    #[test]
    fn what_was_finished_is_remembered_for_as_long_as_its_caller_waits() {
        let mut cache = CompletedCache::default();
        let start = Instant::now();
        cache.add(EntryId::new(1, 0), ONE, Some(&reply(100)), start, TIME * 2);
        cache.add(EntryId::new(2, 0), ONE, None, start + TIME * 2, Duration::ZERO);
        assert_eq!(cache.reply(EntryId::new(1, 0), ONE), Some(Some(reply(100))));
        cache.add(EntryId::new(3, 0), ONE, None, start + TIME * 2 + Duration::from_millis(1), Duration::ZERO);
        assert_eq!(cache.reply(EntryId::new(1, 0), ONE), None);
    }

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(finished in proptest::collection::vec((0u64..500, 0usize..40), 0..3000), asked in 0u64..600) {
            let mut cache = CompletedCache::default();
            let mut map = HashMap::new();
            let now = Instant::now();
            for (id, bytes) in finished {
                let id = EntryId::new(id, 0);
                let reply = (bytes > 0).then(|| reply(bytes));
                // As a replica does: what is known is not done again.
                if cache.reply(id, ONE).is_none() {
                    cache.add(id, ONE, reply.as_ref(), now, Duration::ZERO);
                    map.insert(id, reply);
                }
            }
            let asked = EntryId::new(asked, 0);
            prop_assert_eq!(cache.reply(asked, ONE), map.get(&asked).cloned());
        }
    }
}
