//! The listeners of this process, each with a queue of its own.
//!
//! A queue is bounded by bytes rather than by count: one bulk operation fires thousands of small events at once, which is no
//! reason for a listener that reads to miss any, and a hundred large ones take more memory than those.

use crate::{Event, lock::lock};
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

/// Bytes that may wait for one listener to services of this process: as many as by default for those of other nodes
/// (`limits.event_buffer`).
pub const LOCAL: usize = 32 << 20;

/// What an event costs beside its data: its names, its place in a queue.
const EVENT: usize = 256;
/// What each value of its data costs, and each name.
const VALUE: usize = 32;

/// Passes items on to all listeners.
pub struct Listeners<T> {
    queues: Mutex<Vec<Arc<Queue<T>>>>,
}

/// One listener. Items wait in it until they are read.
pub struct Listener<T> {
    queue: Arc<Queue<T>>,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Next<T> {
    /// An item.
    Item(T),
    /// Items that found no room were left out here.
    Missed,
    /// Nothing more comes.
    End,
}

type Wants<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;

struct Queue<T> {
    wants: Wants<T>,
    limit: usize,
    waiting: Mutex<Waiting<T>>,
    /// Notified when something was added, or at the end.
    filled: Notify,
    /// Returns `true` when the reader is gone.
    is_left: AtomicBool,
}

struct Waiting<T> {
    /// With their sizes; none stands where items were left out.
    items: VecDeque<Option<(T, usize)>>,
    bytes: usize,
    /// Items are left out until half of the queue is empty again.
    misses: bool,
    ended: bool,
}

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Listeners { queues: Mutex::default() }
    }
}

impl<T: Clone> Listeners<T> {
    /// Adds one for the items that it wants, of which `limit` bytes may wait, or one item, however large.
    pub fn listen(&self, limit: usize, wants: impl Fn(&T) -> bool + Send + Sync + 'static) -> Listener<T> {
        let waiting = Waiting { items: VecDeque::new(), bytes: 0, misses: false, ended: false };
        let queue = Arc::new(Queue {
            wants: Box::new(wants),
            limit,
            waiting: Mutex::new(waiting),
            filled: Notify::new(),
            is_left: AtomicBool::new(false),
        });
        self.lock().push(queue.clone());
        Listener { queue }
    }

    /// Passes an item on to all listeners. Its size is computed only if there are any.
    pub fn send(&self, item: &T, size: impl Fn(&T) -> usize) {
        let mut queues = self.lock();
        queues.retain(|queue| !queue.is_left.load(Ordering::Relaxed));
        let mut known = None;
        for queue in queues.iter().filter(|queue| (queue.wants)(item)) {
            let size = *known.get_or_insert_with(|| size(item));
            queue.push(item, size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Queue<T>>>> {
        lock(&self.queues)
    }
}

impl<T> Drop for Listeners<T> {
    fn drop(&mut self) {
        for queue in self.queues.get_mut().unwrap_or_else(PoisonError::into_inner) {
            queue.lock().ended = true;
            queue.filled.notify_one();
        }
    }
}

impl<T: Clone> Queue<T> {
    fn push(&self, item: &T, size: usize) {
        let mut waiting = self.lock();
        if waiting.misses && waiting.bytes <= self.limit / 2 {
            waiting.misses = false;
            waiting.items.push_back(None);
        }
        if waiting.misses || (waiting.bytes > 0 && waiting.bytes + size > self.limit) {
            waiting.misses = true;
            return;
        }
        waiting.bytes += size;
        waiting.items.push_back(Some((item.clone(), size)));
        drop(waiting);
        self.filled.notify_one();
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        lock(&self.waiting)
    }
}

impl<T> Listener<T> {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Next<T> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.queue.filled.notified().await;
        }
    }

    fn take(&mut self) -> Option<Next<T>> {
        let mut waiting = self.queue.lock();
        match waiting.items.pop_front() {
            Some(Some((item, size))) => {
                waiting.bytes -= size;
                Some(Next::Item(item))
            }
            Some(None) => Some(Next::Missed),
            None if std::mem::take(&mut waiting.misses) => Some(Next::Missed),
            None => waiting.ended.then_some(Next::End),
        }
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        self.queue.is_left.store(true, Ordering::Relaxed);
        let mut waiting = self.queue.lock();
        waiting.items.clear();
        // What is still sent before the next look costs nothing.
        (waiting.bytes, waiting.misses) = (usize::MAX / 2, true);
    }
}

/// About how much memory an event takes.
pub fn size_of(event: &Event) -> usize {
    let context = event.context.as_ref();
    let user = context.and_then(|context| context.user.as_ref());
    size_of_parts([Some(&event.data), user, context.map(|context| &context.query)])
}

/// The same for an event with these data, user and query.
pub fn size_of_parts<'a>(parts: impl IntoIterator<Item = Option<&'a Value>>) -> usize {
    EVENT + parts.into_iter().flatten().map(size_of_value).sum::<usize>()
}

fn size_of_value(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size_of_value).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| VALUE + name.len() + size_of_value(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    VALUE + inner
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn now(listener: &mut Listener<u64>) -> Option<Next<u64>> {
        listener.next().now_or_never()
    }

    #[test]
    fn however_many_items_fit_by_their_bytes_wait_and_each_listener_gets_what_it_wants() {
        let listeners = Listeners::default();
        let mut all = listeners.listen(1 << 20, |_| true);
        let mut even = listeners.listen(1 << 20, |item| item % 2 == 0);
        (0..100_000).for_each(|item| listeners.send(&item, |_| 10));
        for item in 0..100_000 {
            assert_eq!(now(&mut all), Some(Next::Item(item)));
        }
        assert_eq!((now(&mut even), now(&mut even)), (Some(Next::Item(0)), Some(Next::Item(2))));
        assert_eq!(now(&mut all), None);
    }

    #[test]
    fn what_finds_no_room_is_told_once_and_in_its_place() {
        let listeners = Listeners::default();
        let mut slow = listeners.listen(100, |_| true);
        let mut quick = listeners.listen(100, |_| true);
        for item in 0..20 {
            listeners.send(&item, |_| 10);
            assert_eq!(now(&mut quick), Some(Next::Item(item)), "another one misses nothing by it");
        }
        for item in 0..4 {
            assert_eq!(now(&mut slow), Some(Next::Item(item)));
        }
        listeners.send(&20, |_| 10);
        assert_eq!(now(&mut slow), Some(Next::Item(4)));
        listeners.send(&21, |_| 10);
        for next in [5, 6, 7, 8, 9].map(Next::Item).into_iter().chain([Next::Missed, Next::Item(21)]) {
            assert_eq!(now(&mut slow), Some(next));
        }
        assert_eq!(now(&mut slow), None);
        listeners.send(&22, |_| 1000);
        assert_eq!(now(&mut slow), Some(Next::Item(22)), "one fits, however large");
        (23..50).for_each(|item| listeners.send(&item, |_| 60));
        assert_eq!([now(&mut slow), now(&mut slow), now(&mut slow)], [Some(Next::Item(23)), Some(Next::Missed), None]);
    }

    #[test]
    fn who_has_left_is_forgotten_and_who_stays_learns_of_the_end() {
        let listeners = Listeners::default();
        drop(listeners.listen(100, |_| true));
        let mut stays = listeners.listen(100, |_| true);
        listeners.send(&1, |_| 1);
        assert_eq!(listeners.lock().len(), 1);
        drop(listeners);
        assert_eq!([now(&mut stays), now(&mut stays)], [Some(Next::Item(1)), Some(Next::End)]);
    }
}
