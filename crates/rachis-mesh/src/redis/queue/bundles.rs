//! Bundles: replies of one write to one inbox become one entry, which costs Redis little more than an entry of a single
//! reply.

use super::write::Write;
use crate::redis::resp::Commands;
use std::{collections::BTreeMap, sync::Arc};

/// Replies in one entry. An entry is read as a whole, so this bounds how many a reader takes in at a time.
const REPLIES: usize = 16;
/// Bytes in one entry; a larger reply gets one of its own.
const BYTES: usize = 16 * 1024;

/// Entries kept for a node that does not read; its oldest callers have timed out by then.
pub(super) const INBOX_LENGTH: &[u8] = b"10000";

/// The bundles of one write.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    bundles: Vec<Bundle>,
    /// The bundle that the next reply to an inbox may go into.
    open: BTreeMap<Arc<str>, usize>,
    /// The bundle of each reply, in the order of the write.
    of: Vec<usize>,
}

#[derive(Debug)]
struct Bundle {
    inbox: Arc<str>,
    /// The positions of its replies in the write.
    at: Vec<usize>,
    bytes: usize,
}

impl Bundles {
    /// Adds the reply at position `at` of the write.
    pub(super) fn add(&mut self, at: usize, inbox: &Arc<str>, bytes: usize) {
        let next = self.bundles.len();
        let fits = |bundle: &Bundle| bundle.at.len() < REPLIES && bundle.bytes + bytes <= BYTES;
        match self.open.get_mut(inbox) {
            Some(open) if self.bundles.get(*open).is_some_and(fits) => {
                let bundle = &mut self.bundles[*open];
                bundle.at.push(at);
                bundle.bytes += bytes;
                return self.of.push(*open);
            }
            Some(open) => *open = next,
            None => {
                self.open.insert(inbox.clone(), next);
            }
        }
        self.bundles.push(Bundle { inbox: inbox.clone(), at: vec![at], bytes });
        self.of.push(next);
    }

    /// Adds one command for each bundle of `batch`.
    pub(super) fn add_to(&self, commands: &mut Commands, batch: &[Write]) {
        for Bundle { inbox, at, .. } in &self.bundles {
            commands.begin(6 + 2 * at.len());
            for part in [b"XADD", inbox.as_bytes(), b"MAXLEN", b"~", INBOX_LENGTH, b"*"] {
                commands.part(part);
            }
            for frame in at.iter().filter_map(|at| batch.get(*at)?.reply()) {
                commands.part("m");
                commands.part(frame);
            }
        }
    }

    /// Returns the inboxes, each once.
    pub(super) fn inboxes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.open.keys()
    }

    /// Returns the number of commands.
    pub(super) fn len(&self) -> usize {
        self.bundles.len()
    }

    /// The bundle of each reply, in the order of the write.
    pub(super) fn of_each(&self) -> impl Iterator<Item = usize> {
        self.of.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundled(replies: &[(&str, usize)]) -> (Vec<usize>, usize) {
        let mut bundles = Bundles::default();
        replies.iter().enumerate().for_each(|(at, (inbox, bytes))| bundles.add(at, &(*inbox).into(), *bytes));
        (bundles.of_each().collect(), bundles.len())
    }

    #[test]
    fn replies_to_one_inbox_go_together_whatever_lies_between() {
        assert_eq!(bundled(&[("a", 10), ("b", 10), ("a", 10), ("b", 10)]), (vec![0, 1, 0, 1], 2));
    }

    #[test]
    fn a_bundle_holds_so_many_replies_and_so_many_bytes() {
        let (of, count) = bundled(&vec![("a", 10); REPLIES + 1]);
        assert_eq!((of[0], of[REPLIES - 1], of[REPLIES], count), (0, 0, 1, 2));
        assert_eq!(bundled(&[("a", BYTES - 1), ("a", 1), ("a", 1)]).0, [0, 0, 1]);
        assert_eq!(bundled(&[("a", 1), ("a", BYTES * 4), ("a", 1)]).0, [0, 1, 2]);
    }

    #[test]
    fn a_bundle_is_one_entry_with_a_field_for_each_reply() {
        let send = |frame: &'static [u8]| Write::Send { inbox: "in".into(), frame: frame.into(), then: None };
        let batch = [send(b"one"), send(b"two")];
        let mut bundles = Bundles::default();
        (0..2).for_each(|at| bundles.add(at, &"in".into(), 3));
        let mut commands = Commands::default();
        bundles.add_to(&mut commands, &batch);
        let mut expected = Commands::default();
        expected.add(&[b"XADD", b"in", b"MAXLEN", b"~", INBOX_LENGTH, b"*", b"m", b"one", b"m", b"two"]);
        assert_eq!((commands.len(), commands.bytes()), (1, expected.bytes()));
    }
}
