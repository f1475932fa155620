//! What this replica has finished of late: a request that Redis gives out again must not run again.
//!
//! It does so when a connection breaks before the reply has left, and when a failover loses the last writes, so that a
//! request that was settled is pending again.

use crate::redis::streams::entry_order;
use std::collections::{HashMap, VecDeque};

/// Requests remembered; some seconds' worth at full speed, which a failover that loses more would have to exceed.
const REQUESTS: usize = 65_536;
/// Bytes of replies kept to be sent again, for all requests together. Beyond, a request is only settled again and its
/// caller times out.
const BYTES: usize = 4 << 20;
/// Replies larger than this are not kept at all.
const LARGEST: usize = 64 << 10;

/// Inbox and frame.
type Reply = (String, Vec<u8>);

/// Finished requests by entry id, the oldest forgotten first.
#[derive(Default)]
pub(crate) struct Done {
    replies: HashMap<(u64, u64), Option<Reply>>,
    order: VecDeque<(u64, u64)>,
    /// Those with replies, and the bytes of these.
    kept: VecDeque<(u64, u64)>,
    bytes: usize,
}

impl Done {
    pub(crate) fn add(&mut self, entry: &str, reply: Option<&Reply>) {
        let id = entry_order(entry);
        let reply = reply.filter(|(_, frame)| frame.len() <= LARGEST).cloned();
        if let Some((_, frame)) = &reply {
            self.bytes += frame.len();
            self.kept.push_back(id);
        }
        if self.replies.insert(id, reply).is_none() {
            self.order.push_back(id);
        }
        while self.bytes > BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.drop_reply(oldest);
        }
        if self.order.len() > REQUESTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.drop_reply(oldest);
            self.replies.remove(&oldest);
        }
    }

    fn drop_reply(&mut self, id: (u64, u64)) {
        if let Some((_, frame)) = self.replies.get_mut(&id).and_then(Option::take) {
            self.bytes -= frame.len();
        }
    }

    /// The reply to a request that was finished: `None` when it was not, or is not remembered.
    pub(crate) fn reply(&self, entry: &str) -> Option<Option<Reply>> {
        self.replies.get(&entry_order(entry)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: usize) -> Reply {
        ("inbox".to_owned(), vec![0; bytes])
    }

    #[test]
    fn a_finished_request_is_known_with_its_reply() {
        let mut done = Done::default();
        done.add("5-1", Some(&reply(3)));
        done.add("5-2", None);
        assert_eq!(done.reply("5-1"), Some(Some(reply(3))));
        assert_eq!(done.reply("5-2"), Some(None));
        assert_eq!(done.reply("5-3"), None);
    }

    #[test]
    fn old_replies_go_before_the_requests_are_forgotten() {
        let mut done = Done::default();
        let all = BYTES / LARGEST + 1;
        (0..all).for_each(|n| done.add(&format!("{n}-0"), Some(&reply(LARGEST))));
        assert_eq!(done.reply("0-0"), Some(None));
        assert_eq!(done.reply("1-0"), Some(Some(reply(LARGEST))));
        done.add("9-9", Some(&reply(LARGEST + 1)));
        assert_eq!(done.reply("9-9"), Some(None));
    }

    #[test]
    fn it_holds_so_many_and_no_more() {
        let mut done = Done::default();
        (0..REQUESTS + 10).for_each(|n| done.add(&format!("{n}-0"), Some(&reply(100))));
        assert_eq!((done.replies.len(), done.order.len()), (REQUESTS, REQUESTS));
        assert!(done.bytes <= BYTES);
        assert_eq!(done.reply("9-0"), None);
        assert!(done.reply("10-0").is_some());
    }
}
