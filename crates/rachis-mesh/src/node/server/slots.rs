//! Slots: one for each call of another node that this node runs at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore, futures::Notified};

/// Requests in one read. More hardly make a read cheaper, and while Redis fetches them, this replica works.
pub(crate) const PULL: usize = 64;
/// How long a read waits, in ms, when there are fewer slots than readers: it keeps one from the others meanwhile.
const SCARCE_WAIT: u64 = 20;

/// The right to run a call, until it is dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

/// The slots of a node. Readers of requests share them with requests that were taken over or handed off: a read that waits
/// for new ones keeps one, and is ended for them.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    /// How many wait for requests, each with one of the slots.
    readers: AtomicUsize,
    /// How many requests wait for a slot beside them.
    waiting: AtomicUsize,
    more: Notify,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Slots {
            free: Arc::new(Semaphore::new(count)),
            readers: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            more: Notify::new(),
        }
    }

    /// Waits for a slot, as a reader.
    pub(crate) fn acquire(&self) -> impl Future<Output = Result<Slot, AcquireError>> + use<> {
        self.free.clone().acquire_owned()
    }

    /// Takes so many slots if they are free.
    pub(crate) fn try_acquire(&self, count: u32) -> Option<Slot> {
        self.free.clone().try_acquire_many_owned(count).ok()
    }

    /// Waits for a slot for a request that is there; a reader that waits gives way.
    pub(crate) async fn acquire_for_request(&self) -> Option<Slot> {
        if let Some(slot) = self.try_acquire(1) {
            return Some(slot);
        }
        let _one = Counted::new(&self.waiting);
        self.more.notify_waiters();
        self.acquire().await.ok()
    }

    /// Returns a future that ends when another request begins to wait.
    pub(crate) fn one_more_waits(&self) -> Notified<'_> {
        self.more.notified()
    }

    /// Returns how many requests a reader that has a slot asks for, and how long at most (ms) it waits for the first.
    pub(crate) fn share(&self) -> (usize, Option<u64>) {
        let others_wait = self.waiting.load(Ordering::SeqCst) > 0;
        share(self.free.available_permits(), self.readers(), others_wait)
    }

    /// Counts a reader until the guard is dropped.
    pub(crate) fn reader(self: &Arc<Self>) -> Reading {
        self.readers.fetch_add(1, Ordering::SeqCst);
        Reading(self.clone())
    }

    /// Returns the number of readers.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }

    /// Changes their number. If fewer calls may run than do, those that run finish first.
    pub(crate) fn resize(&self, before: usize, count: usize) {
        self.free.add_permits(count.saturating_sub(before));
        let surplus = before.saturating_sub(count);
        let left = u32::try_from(surplus - self.free.forget_permits(surplus)).unwrap_or(u32::MAX);
        if left > 0 {
            let free = self.free.clone();
            tokio::spawn(async move { free.acquire_many_owned(left).await.map(OwnedSemaphorePermit::forget) });
        }
    }
}

/// A reader, until this is dropped.
pub(crate) struct Reading(Arc<Slots>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts one more until this is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The share of one reader, when `free` more slots are there for all `readers`, and whether a request waits for one. Each
/// could take its share at once; a read that had to wait brings one.
fn share(free: usize, readers: usize, others_wait: bool) -> (usize, Option<u64>) {
    if others_wait && free == 0 {
        return (1, Some(SCARCE_WAIT));
    }
    if readers <= 1 {
        return (1 + free.min(PULL - 1), None);
    }
    (1 + (free / readers).min(PULL - 1), (free < readers).then_some(SCARCE_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_reader_asks_for_what_is_free_up_to_a_batch_and_waits_as_long_as_it_likes() {
        let asked = [0, 7, PULL - 1, 9999].map(|free| share(free, 1, false));
        assert_eq!(asked, [(1, None), (8, None), (PULL, None), (PULL, None)]);
    }

    #[test]
    fn a_reader_with_the_last_slot_lets_go_of_it_soon_where_others_wait_for_one() {
        assert_eq!([0, 5].map(|free| share(free, 1, true)), [(1, Some(SCARCE_WAIT)), (6, None)]);
    }

    proptest! {
        #[test]
        fn readers_ask_for_no_more_than_there_are_slots(free in 0_usize..10_000, readers in 1_usize..=64) {
            let (count, wait) = share(free, readers, false);
            // Each has one of its own, which is not among the free.
            prop_assert!((count - 1) * readers <= free && count >= 1);
            prop_assert_eq!(wait.is_some(), readers > 1 && free < readers);
        }
    }
}
