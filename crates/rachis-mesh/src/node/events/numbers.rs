//! Knows events that were heard before by their numbers.
//!
//! The log has each event once. But a new master may not have what the old one passed on before it died, so that it is
//! published again, and every writer to Redis can publish copies.

use std::collections::{HashMap, VecDeque};

/// Nodes remembered for each service; beyond that, the one that was first heard longest ago is forgotten.
const MOST: usize = 1024;

/// The number of the last event of each node that fired one.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: HashMap<String, u64>,
    /// In the order in which they were first heard.
    order: VecDeque<String>,
}

impl Numbers {
    /// Remembers an event; returns `false` if it, or a later one of its node, was heard before.
    pub(super) fn is_new(&mut self, origin: &str, number: u64) -> bool {
        if let Some(last) = self.last.get_mut(origin) {
            let is_new = number > *last;
            *last = number.max(*last);
            return is_new;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        self.last.insert(origin.to_owned(), number);
        self.order.push_back(origin.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_known_by_its_number_and_each_node_counts_for_itself() {
        let mut numbers = Numbers::default();
        assert!(numbers.is_new("a", 3) && numbers.is_new("b", 1) && numbers.is_new("a", 4));
        assert!(!numbers.is_new("a", 4) && !numbers.is_new("a", 3) && !numbers.is_new("b", 0));
    }

    #[test]
    fn however_many_nodes_come_and_go_a_bounded_number_is_remembered() {
        let mut numbers = Numbers::default();
        for node in 0..MOST + 10 {
            assert!(numbers.is_new(&node.to_string(), 1));
        }
        assert_eq!((numbers.last.len(), numbers.order.len()), (MOST, MOST));
        assert!(!numbers.is_new(&(MOST + 9).to_string(), 1));
    }
}
