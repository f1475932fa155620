//! Events of a path from apps that its calls do not go to.
//!
//! Of two apps with one path, the events of the one that is called are heard. That the other one has taken over may be told
//! later than what it does then: changes of the registry come in bundles, and over a connection of their own. So its events
//! are kept for a while, and passed on if it turns out that it was called already when it published them.

use super::incoming_event::IncomingEvent;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an event is kept; several times the longest pause between bundles.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// What is kept of one path: a pure state machine, told the time.
pub(super) struct Aside {
    /// Bytes that are kept, or one event, however large.
    limit: usize,
    bytes: usize,
    events: VecDeque<Early>,
    left_out: Option<LeftOut>,
}

struct Early {
    told: Arc<IncomingEvent>,
    size: usize,
    /// When it was published, in ms of Redis's clock.
    at: u64,
    since: Instant,
}

/// Events that were too old or found no room.
struct LeftOut {
    /// The app that was called when the first of them was left out.
    called: String,
    /// When the newest of them was published, in ms of Redis's clock.
    at: u64,
}

/// When a path went to another app, in ms of Redis's clock: not before `earliest`, and by `latest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takeover {
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

impl Takeover {
    /// One by a change of the registry, whose version is the time of the change.
    pub(crate) fn at(epoch: u64) -> Self {
        Takeover { earliest: epoch, latest: epoch }
    }

    /// One between two versions of the registry, of which the first did not have it yet.
    pub(crate) fn between(held: u64, epoch: u64) -> Self {
        Takeover { earliest: held.saturating_add(1), latest: epoch }
    }
}

/// What is to be heard after all.
#[derive(Default)]
pub(super) struct Overdue {
    /// Events that are to be heard as well were left out, or may have been.
    pub(super) missed: bool,
    pub(super) events: Vec<Arc<IncomingEvent>>,
}

impl Aside {
    pub(super) fn new(limit: usize) -> Self {
        Aside { limit, bytes: 0, events: VecDeque::new(), left_out: None }
    }

    /// Keeps an event that was published `at` this time (ms of Redis's clock), while calls go to `called`.
    pub(super) fn put(&mut self, told: Arc<IncomingEvent>, at: u64, called: &str, now: Instant) {
        let size = IncomingEvent::size(&told);
        self.bytes += size;
        self.events.push_back(Early { told, size, at, since: now });
        let is_old = |early: &Early| now.saturating_duration_since(early.since) >= KEPT_FOR;
        while let Some(oldest) = self.events.front()
            && (is_old(oldest) || (self.bytes > self.limit && self.events.len() > 1))
        {
            let at = oldest.at;
            self.bytes -= oldest.size;
            self.events.pop_front();
            let left_out = self.left_out.get_or_insert_with(|| LeftOut { called: called.to_owned(), at });
            left_out.at = left_out.at.max(at);
        }
    }

    /// Takes out what is kept of the app that is called from now on (`None`: of every app), and returns those that it
    /// published after it had taken over.
    ///
    /// Where it is not known when it did, those in between count as missed.
    pub(super) fn take(&mut self, called: Option<&str>, takeover: Takeover) -> Overdue {
        let mut overdue = Overdue::default();
        if let Some(left_out) = self.left_out.take_if(|left_out| called != Some(left_out.called.as_str())) {
            overdue.missed = left_out.at >= takeover.earliest;
        }
        for early in std::mem::take(&mut self.events) {
            if called.is_some_and(|called| called != early.told.frame.app) {
                self.events.push_back(early);
                continue;
            }
            self.bytes -= early.size;
            if early.at >= takeover.latest {
                overdue.events.push(early.told);
            } else {
                overdue.missed |= early.at >= takeover.earliest;
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EventFrame;
    use rachis_core::Event;
    use serde_json::json;

    fn told(app: &str, number: u64) -> Arc<IncomingEvent> {
        let event = Event::custom("both", "shouted", json!("x".repeat(1000)));
        IncomingEvent::new(EventFrame::new("node", app, number, &event), false)
    }

    fn put(aside: &mut Aside, number: u64, now: Instant) {
        aside.put(told("k/young", number), number, "k/old", now);
    }

    /// What is overdue: whether some were missed, and the numbers of the rest.
    fn take(aside: &mut Aside, called: &str, takeover: Takeover) -> (bool, Vec<u64>) {
        let overdue = aside.take(Some(called), takeover);
        (overdue.missed, overdue.events.iter().map(|told| told.frame.number).collect())
    }

    #[test]
    fn events_since_the_takeover_are_heard_and_those_before_it_are_not() {
        let now = Instant::now();
        let mut aside = Aside::new(1 << 20);
        (1..=5).for_each(|at| put(&mut aside, at, now));
        assert_eq!(take(&mut aside, "k/old", Takeover::at(3)), (false, vec![]), "the path has not changed hands");
        assert_eq!(take(&mut aside, "k/third", Takeover::at(3)), (false, vec![]), "another one has it");
        assert_eq!(take(&mut aside, "k/young", Takeover::at(3)), (false, vec![3, 4, 5]));
        assert_eq!((aside.bytes, aside.events.len()), (0, 0));
        assert_eq!(take(&mut aside, "k/young", Takeover::at(3)), (false, vec![]), "each once");
    }

    #[test]
    fn as_many_as_fit_by_their_bytes_are_kept_and_the_rest_counts_as_missed() {
        let now = Instant::now();
        let size = IncomingEvent::size(&told("k/young", 0));
        let mut aside = Aside::new(size * 100);
        (1..=100).for_each(|at| put(&mut aside, at, now));
        assert_eq!(take(&mut aside, "k/young", Takeover::at(1)), (false, (1..=100).collect()));
        (1..=1000).for_each(|at| put(&mut aside, at, now));
        assert_eq!((aside.bytes, aside.events.len()), (size * 100, 100));
        assert_eq!(take(&mut aside, "k/young", Takeover::at(900)), (true, (901..=1000).collect()));
        (1..=1000).for_each(|at| put(&mut aside, at, now));
        assert_eq!(
            take(&mut aside, "k/young", Takeover::at(901)),
            (false, (901..=1000).collect()),
            "none was left out"
        );
        let mut small = Aside::new(1);
        (1..=2).for_each(|at| put(&mut small, at, now));
        assert_eq!(take(&mut small, "k/young", Takeover::at(2)), (false, vec![2]), "one fits, however large");
    }

    #[test]
    fn what_was_left_out_is_missed_whoever_crowded_it_out() {
        let now = Instant::now();
        let mut aside = Aside::new(IncomingEvent::size(&told("k/young", 0)) * 10);
        put(&mut aside, 1, now);
        (2..=20).for_each(|at| aside.put(told("k/loud", at), at, "k/old", now));
        assert_eq!(take(&mut aside, "k/old", Takeover::at(1)), (false, vec![]));
        // Still the same gap, though the path has gone to the other app by now.
        aside.put(told("k/loud", 21), 21, "k/young", now);
        assert_eq!(take(&mut aside, "k/young", Takeover::at(1)), (true, vec![]));
        assert_eq!(take(&mut aside, "k/young", Takeover::at(1)), (false, vec![]), "said once");
    }

    #[test]
    fn events_that_waited_too_long_are_missed_if_their_app_was_called_by_then() {
        let start = Instant::now();
        for (takeover, missed) in [(1, true), (2, false)] {
            let mut aside = Aside::new(1 << 20);
            put(&mut aside, 1, start);
            put(&mut aside, 2, start + KEPT_FOR);
            assert_eq!(take(&mut aside, "k/young", Takeover::at(takeover)), (missed, vec![2]));
        }
    }

    #[test]
    fn events_of_a_time_in_which_it_is_not_known_who_was_called_are_missed() {
        let now = Instant::now();
        for (held, missed) in [(1, true), (4, true), (5, false)] {
            let mut aside = Aside::new(1 << 20);
            [1, 5, 9].into_iter().for_each(|at| put(&mut aside, at, now));
            assert_eq!(take(&mut aside, "k/young", Takeover::between(held, 9)), (missed, vec![9]), "{held}");
        }
    }
}
