//! The requests that this replica works on, so that none is begun twice.

use crate::{
    redis::queue::{EntryId, Settles},
    wire,
};
use futures_util::future::{AbortHandle, Abortable};
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Tells apart two requests under one entry id: while one master takes over from another, both may give it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Print(u64);

/// Requests from their start until Redis has been told that they are settled. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Whether settled ones may be left in the stream.
    leftovers: AtomicBool,
}

#[derive(Default)]
struct State {
    entries: FxHashMap<EntryId, Print>,
    /// Others under ids that are taken.
    twins: FxHashSet<(EntryId, Print)>,
    /// What ends the runs of requests that only read; `None` where the caller had gone before the run began.
    runs: FxHashMap<EntryId, Option<AbortHandle>>,
}

/// One request in flight, until this is dropped.
pub(crate) struct InFlightRequest {
    all: InFlight,
    entry: EntryId,
    print: Print,
    left: Duration,
}

impl Print {
    /// That of a request which is known by its id alone; it is like any other.
    pub(crate) const UNKNOWN: Print = Print(0);

    pub(crate) fn of(frame: &[u8]) -> Self {
        Print(wire::print(frame).max(1))
    }

    /// Returns `true` if both may be of one request.
    pub(crate) fn is_like(self, other: Print) -> bool {
        self == other || self == Print::UNKNOWN || other == Print::UNKNOWN
    }
}

impl InFlight {
    /// Takes a request in flight. Returns `None` if it is already.
    pub(crate) fn take(&self, entry: EntryId, print: Print) -> Option<InFlightRequest> {
        let mut all = self.lock();
        let new = match all.entries.get(&entry) {
            Some(known) if known.is_like(print) => false,
            Some(_) => all.twins.insert((entry, print)),
            None => all.entries.insert(entry, print).is_none(),
        };
        new.then(|| InFlightRequest { all: self.clone(), entry, print, left: Duration::ZERO })
    }

    /// Ends the run of a request whose caller has gone, if that may end early.
    pub(crate) fn abandon(&self, entry: EntryId) {
        let mut all = self.lock();
        // Which one of two it is about is not known.
        if !all.entries.contains_key(&entry) || all.twins.iter().any(|(twin, _)| *twin == entry) {
            return;
        }
        if let Some(run) = all.runs.entry(entry).or_default() {
            run.abort();
        }
    }

    pub(crate) fn contains(&self, entry: EntryId) -> bool {
        let all = self.lock();
        all.entries.contains_key(&entry) || all.twins.iter().any(|(twin, _)| *twin == entry)
    }

    /// Returns the number of requests in flight.
    pub(crate) fn len(&self) -> usize {
        let all = self.lock();
        all.entries.len() + all.twins.len()
    }

    /// Returns the ids of all requests in flight.
    pub(crate) fn all(&self) -> Vec<EntryId> {
        self.lock().entries.keys().copied().collect()
    }

    /// Notes that requests which were settled may be left in the stream.
    pub(crate) fn leave(&self) {
        self.0.leftovers.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if there may be such, and then once only.
    pub(crate) fn take_leftovers(&self) -> bool {
        self.0.leftovers.load(Ordering::Relaxed) && self.0.leftovers.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl Settles for InFlightRequest {
    fn stays(&self) {
        self.all.leave();
    }
}

impl InFlightRequest {
    pub(crate) fn entry(&self) -> EntryId {
        self.entry
    }

    pub(crate) fn print(&self) -> Print {
        self.print
    }

    /// Returns for how long its caller waits at most, from when it came.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// Notes for how long its caller waits.
    pub(crate) fn wanted_for(mut self, left: Duration) -> Self {
        self.left = left;
        self
    }

    /// Lets `run`, the work on this request, end early when the caller goes.
    pub(crate) fn run<F: Future>(&self, run: F) -> Abortable<F> {
        let (handle, registration) = AbortHandle::new_pair();
        let mut all = self.all.lock();
        if all.entries.get(&self.entry) == Some(&self.print) {
            let before = all.runs.insert(self.entry, Some(handle.clone()));
            if before.is_some_and(|run| run.is_none()) {
                handle.abort();
            }
        }
        Abortable::new(run, registration)
    }

    /// Notes which request it is, where only its id was known.
    pub(crate) fn of(mut self, print: Print) -> Self {
        if self.print == Print::UNKNOWN {
            self.print = print;
            self.all.lock().entries.insert(self.entry, print);
        }
        self
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        match all.entries.get(&self.entry) {
            Some(print) if *print == self.print => {
                all.entries.remove(&self.entry);
                all.runs.remove(&self.entry);
            }
            _ => {
                all.twins.remove(&(self.entry, self.print));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const ONE: EntryId = EntryId::new(1, 0);

    #[test]
    fn a_request_is_in_flight_once() {
        let all = InFlight::default();
        let request = all.take(ONE, Print(7)).unwrap();
        assert!(all.take(ONE, Print(7)).is_none() && all.contains(ONE));
        assert_eq!(request.entry(), ONE);
        drop(request);
        assert!(!all.contains(ONE) && all.take(ONE, Print(7)).is_some());
    }

    #[test]
    fn two_requests_under_one_id_are_in_flight_beside_each_other() {
        let all = InFlight::default();
        let one = all.take(ONE, Print(7)).unwrap();
        let two = all.take(ONE, Print(8)).unwrap();
        assert!(all.take(ONE, Print(7)).is_none() && all.take(ONE, Print(8)).is_none());
        assert_eq!((all.len(), all.all().len()), (2, 1));
        drop(one);
        assert!(all.contains(ONE));
        drop(two);
        assert!(!all.contains(ONE) && all.len() == 0);
    }

    #[test]
    fn one_that_is_known_by_its_id_alone_may_be_any_until_it_says_which() {
        let all = InFlight::default();
        let unknown = all.take(ONE, Print::UNKNOWN).unwrap();
        assert!(all.take(ONE, Print(7)).is_none());
        let known = unknown.of(Print(7));
        assert!(all.take(ONE, Print(7)).is_none() && all.take(ONE, Print::UNKNOWN).is_none());
        let twin = all.take(ONE, Print(8)).unwrap();
        drop((known, twin));
        assert!(!all.contains(ONE));
    }

    #[test]
    fn a_run_ends_when_its_caller_goes_whenever_that_is() {
        let all = InFlight::default();
        all.abandon(ONE);
        let request = all.take(ONE, Print(7)).unwrap();
        let mut run = std::pin::pin!(request.run(std::future::pending::<()>()));
        assert!(run.as_mut().now_or_never().is_none(), "no run had ended then");
        all.abandon(ONE);
        assert!(run.now_or_never().unwrap().is_err());
        drop(request);
        let request = all.take(ONE, Print(8)).unwrap();
        assert_eq!(request.run(async { 1 }).now_or_never(), Some(Ok(1)), "it is another request");
        drop(request);
        let request = all.take(ONE, Print(9)).unwrap();
        all.abandon(ONE);
        assert!(request.run(async { 1 }).now_or_never().unwrap().is_err(), "it had gone before");
        drop(request);
        assert!(all.lock().runs.is_empty());
    }

    #[test]
    fn of_two_requests_under_one_id_none_ends_early() {
        let all = InFlight::default();
        let one = all.take(ONE, Print(7)).unwrap();
        let two = all.take(ONE, Print(8)).unwrap();
        all.abandon(ONE);
        assert!([&one, &two].iter().all(|request| request.run(async {}).now_or_never().unwrap().is_ok()));
    }
}
