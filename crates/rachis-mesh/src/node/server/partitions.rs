//! The partitions of this node's app: the streams over which its requests are spread, each with what answers them.
//!
//! The first is always there. How many there are beyond it is not the same for every replica while that is changed, so:
//! - Callers use as many as the replica with the fewest announces, and none but the first while no replica is up.
//! - A replica reads as many as any replica of its app announces, and whatever further one exists in Redis: requests may
//!   lie there that were sent when there were more of them.
//! - One that no replica announces any more is *surplus*. It is removed as soon as no request is in it. As requests are
//!   only ever added to a stream that is there, none can get lost in one without a reader: a caller that finds it gone
//!   turns to the first.
//!
//! They are made from the first on and removed from the last on, so that a replica that comes finds all of them in a
//! row.

use crate::node::{
    Inner,
    client::rpc::{CallLimits, Received},
    server::responder::{PULL, Responder},
};
use crate::{
    redis::{
        Failure,
        connection::is_fatal,
        keys::{Keys, MAX_PARTITIONS, partition},
        queue::{Calls, Reader, Writer},
    },
    wire::Signer,
};
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, futures::Notified, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long whatever brings requests in may take to end.
const SOURCES_TIME: Duration = Duration::from_secs(1);
/// How often a replica looks whether there are partitions that it has not heard of.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The pause before Redis, which could not be asked, is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often a node that pauses looks whether its reads have ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long a read waits, in ms, when there are fewer slots than readers: it keeps one from the others meanwhile.
const SCARCE_WAIT: u64 = 20;

/// What the partitions of a node share.
pub(crate) struct Work {
    pub(crate) keys: Keys,
    pub(crate) limits: Arc<ArcSwap<CallLimits>>,
    pub(crate) signer: Signer,
    pub(crate) writer: Arc<OnceLock<Writer>>,
    /// One for each call that this node runs at once.
    pub(crate) slots: Arc<Semaphore>,
    /// How many wait for requests, each with one of the slots.
    pub(crate) readers: Arc<AtomicUsize>,
    /// Who waits for a slot beside them.
    pub(crate) waiting: Arc<SlotWaiters>,
    pub(crate) tasks: TaskTracker,
    /// Calls of this process that go on without their callers.
    own: TaskTracker,
    /// Whatever brings requests in, so that a shutdown knows when none come any more.
    pub(crate) sources: TaskTracker,
}

impl Work {
    pub(crate) fn new(keys: Keys, max_in_flight: usize, limits: CallLimits, signer: Signer) -> Self {
        Work {
            keys,
            limits: Arc::new(ArcSwap::from_pointee(limits)),
            signer,
            writer: Arc::default(),
            slots: Arc::new(Semaphore::new(max_in_flight)),
            readers: Arc::default(),
            waiting: Arc::default(),
            tasks: TaskTracker::new(),
            own: TaskTracker::new(),
            sources: TaskTracker::new(),
        }
    }
}

/// Requests that were taken over or handed off and wait for a slot. A read that waits for new ones keeps one, and is ended
/// for them.
#[derive(Default)]
pub(crate) struct SlotWaiters {
    count: AtomicUsize,
    more: Notify,
}

impl SlotWaiters {
    /// Waits for one of the slots.
    pub(crate) async fn slot(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            return Some(slot);
        }
        let _one = Counted::of(&self.count);
        self.more.notify_waiters();
        slots.clone().acquire_owned().await.ok()
    }

    /// Returns `true` if a request waits for a slot.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Returns a future that ends when another request begins to wait.
    pub(crate) fn one_more(&self) -> Notified<'_> {
        self.more.notified()
    }
}

/// Counts one more until this is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many requests a reader that has a slot asks for, and how long at most (ms) it waits for the first, when `free`
/// more slots are there for all `readers`, and whether another request waits for one. Each could take its share at
/// once; a read that had to wait brings one.
pub(crate) fn share(free: usize, readers: usize, others_wait: bool) -> (usize, Option<u64>) {
    if others_wait && free == 0 {
        return (1, Some(SCARCE_WAIT));
    }
    if readers <= 1 {
        return (1 + free.min(PULL - 1), None);
    }
    (1 + (free / readers).min(PULL - 1), (free < readers).then_some(SCARCE_WAIT))
}

/// The partitions that this node reads.
pub(crate) struct Partitions {
    work: Work,
    app: String,
    node: String,
    /// What this node announces.
    own: usize,
    /// What its app needs by all that is announced; what is open beyond is surplus.
    wanted: AtomicUsize,
    open: Mutex<Vec<Open>>,
    /// How many are open.
    opened: watch::Sender<usize>,
    look: Notify,
    /// Whether none is read for now.
    paused: AtomicBool,
}

/// One that is read.
struct Open {
    responder: Arc<Responder>,
    /// Ends the reading; `None` while nothing is read yet.
    stop: Option<CancellationToken>,
}

impl Partitions {
    /// Those of `app` (`KEY/APP`), `own` of them to begin with.
    pub(crate) fn new(work: Work, app: &str, node: &str, own: usize) -> Self {
        let partitions = Partitions {
            work,
            app: app.to_owned(),
            node: node.to_owned(),
            own,
            wanted: AtomicUsize::new(own),
            open: Mutex::default(),
            opened: watch::Sender::new(0),
            look: Notify::new(),
            paused: AtomicBool::new(false),
        };
        let open = (0..own).map(|number| Open { responder: partitions.responder(number), stop: None }).collect();
        *partitions.lock() = open;
        partitions
    }

    fn responder(&self, number: usize) -> Arc<Responder> {
        let calls = Calls::new(&self.work.keys, &partition(&self.app, number), &self.node);
        Arc::new(Responder::new(number, calls, &self.work))
    }

    /// Replaces the limits. If fewer calls may run than do, those that run finish first.
    pub(crate) fn limit(&self, limits: CallLimits, old_slots: usize, slots: usize) {
        self.work.limits.store(Arc::new(limits));
        self.work.slots.add_permits(slots.saturating_sub(old_slots));
        let surplus = old_slots.saturating_sub(slots);
        let left = u32::try_from(surplus - self.work.slots.forget_permits(surplus)).unwrap_or(u32::MAX);
        if left > 0 {
            let slots = self.work.slots.clone();
            tokio::spawn(async move { slots.acquire_many_owned(left).await.map(OwnedSemaphorePermit::forget) });
        }
    }

    /// Gives them the node's writer.
    pub(crate) fn attach(&self, writer: Writer) {
        let _ = self.work.writer.set(writer);
    }

    /// All that are read, the first one first.
    pub(crate) fn all(&self) -> Vec<Arc<Responder>> {
        self.lock().iter().map(|open| open.responder.clone()).collect()
    }

    /// How many the replicas of the app announce.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Changes when more are read than before.
    pub(crate) fn opened(&self) -> watch::Receiver<usize> {
        self.opened.subscribe()
    }

    /// Notes that the replicas of the app are not the same as before.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// Calls that are being worked on.
    pub(crate) fn in_flight(&self) -> usize {
        self.work.tasks.len()
    }

    /// Returns `true` if there is something that a shutdown waits for.
    pub(crate) fn is_busy(&self) -> bool {
        !self.work.tasks.is_empty() || !self.work.own.is_empty()
    }

    /// Runs a call of this process, which a shutdown waits for.
    pub(crate) fn spawn_call<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.work.own.spawn(call)
    }

    /// Runs something that brings in requests and ends when `pulling` is cancelled.
    pub(crate) fn spawn_source(&self, source: impl Future<Output = ()> + Send + 'static) {
        self.work.sources.spawn(source);
    }

    /// Requests that wait or are being worked on, in all of them together.
    pub(crate) async fn queue_length(&self, node: &Inner) -> Result<u64, Failure> {
        let mut sum = 0;
        for responder in self.all() {
            let calls = responder.calls();
            sum += calls.len(&mut node.admin.get(calls.stream()).await?).await?;
        }
        Ok(sum)
    }

    /// Makes streams and groups where they are missing, before anyone is told of this node.
    pub(crate) async fn regroup(&self, node: &Inner) -> Result<(), Failure> {
        for responder in self.all().into_iter().take(self.wanted()) {
            responder.regroup(node).await?;
        }
        Ok(())
    }

    /// Looks after requests that another replica handed off, and those whose callers have gone.
    pub(crate) fn received(&self, node: &Arc<Inner>, received: Received) {
        match received {
            Received::Handoff(note) => {
                // The replica that wrote it reads that partition; perhaps this node has not heard of it yet.
                if note.partition < MAX_PARTITIONS && self.count() <= note.partition {
                    self.open(node, note.partition + 1);
                }
                if let Some(responder) = self.all().get(note.partition) {
                    responder.received(node.clone(), Received::Handoff(note));
                }
            }
            Received::Abandoned(note) => {
                if let Some(responder) = self.all().iter().find(|responder| responder.calls().stream() == note.stream) {
                    responder.abandon(&note);
                }
            }
            Received::NotesLost => {
                self.all().iter().for_each(|responder| responder.received(node.clone(), Received::NotesLost))
            }
        }
    }

    /// Begins to read.
    pub(crate) fn start(&self, node: &Arc<Inner>) {
        for open in self.lock().iter_mut() {
            self.read(node, open);
        }
        self.spawn_source(keep(node.clone()));
    }

    /// Stops reading. What was read and not begun is handed back.
    pub(crate) fn pause(&self, node: &Arc<Inner>) {
        let all = self.lock();
        if self.paused.swap(true, Ordering::Relaxed) {
            return;
        }
        all.iter().filter_map(|open| open.stop.as_ref()).for_each(CancellationToken::cancel);
        drop(all);
        let node = node.clone();
        tokio::spawn(async move {
            let readers = &node.partitions.work.readers;
            for _ in 0..SOURCES_TIME.as_millis() / LOOK.as_millis() {
                if readers.load(Ordering::Relaxed) == 0 {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
            for responder in node.partitions.all() {
                if let Err(error) = responder.hand_back(&node).await {
                    tracing::debug!(%error, "requests that were not started could not be handed back yet");
                }
            }
        });
    }

    /// Reads again.
    pub(crate) fn resume(&self, node: &Arc<Inner>) {
        let mut all = self.lock();
        if !self.paused.swap(false, Ordering::Relaxed) || node.pulling.is_cancelled() {
            return;
        }
        for open in all.iter_mut().filter(|open| open.stop.is_some()) {
            self.read(node, open);
        }
    }

    fn read(&self, node: &Arc<Inner>, open: &mut Open) {
        if self.paused.load(Ordering::Relaxed) {
            // It is begun by whoever resumes.
            let stop = node.pulling.child_token();
            stop.cancel();
            open.stop = Some(stop);
            return;
        }
        let stop = node.pulling.child_token();
        let stream = open.responder.calls().stream().to_owned();
        // Redis goes on to give requests to a read that blocks though its process is gone and did not say so. None is left
        // when the death is noticed, so the heir finds all.
        let reader = Reader::new(node.connector.clone(), "calls", stream, stop.clone()).releasing();
        let reader = reader.blocking_at_most(node.config.ttl() / 2);
        self.work.readers.fetch_add(1, Ordering::Relaxed);
        let (readers, pull) =
            (self.work.readers.clone(), open.responder.clone().pull(node.clone(), reader, stop.clone()));
        self.spawn_source(async move {
            pull.await;
            readers.fetch_sub(1, Ordering::Relaxed);
        });
        open.stop = Some(stop);
    }

    /// Reads `count` partitions, if it is not as many already.
    fn open(&self, node: &Arc<Inner>, count: usize) {
        let mut all = self.lock();
        if all.len() >= count || node.pulling.is_cancelled() {
            return;
        }
        for number in all.len()..count {
            let mut open = Open { responder: self.responder(number), stop: None };
            self.read(node, &mut open);
            all.push(open);
        }
        tracing::info!(app = %self.app, partitions = all.len(), "reading more partitions");
        drop(all);
        self.opened.send_replace(count);
    }

    /// Stops reading the last one, which is gone.
    fn close_last(&self) {
        let Some(last) = self.lock().pop() else { return };
        if let Some(stop) = last.stop {
            stop.cancel();
        }
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock()
    }

    /// Opens what is announced, and what is there all the same.
    async fn open_missing(&self, node: &Arc<Inner>) -> Result<(), Failure> {
        self.open(node, self.wanted());
        while self.count() < MAX_PARTITIONS {
            let next = self.work.keys.calls(&partition(&self.app, self.count()));
            match node.has_key(&next).await {
                Ok(true) => self.open(node, self.count() + 1),
                Ok(false) => return Ok(()),
                Err(error) if is_fatal(&error) => return Err(error),
                // An ACL that lets this node see its app's first partition only.
                Err(error) => {
                    tracing::debug!(%error, "whether there are more partitions is not to be known");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Removes those that are no longer needed, the last one first, as far as they are empty.
    async fn close_surplus(&self, node: &Inner) -> Result<(), Failure> {
        while self.count() > self.wanted() {
            let Some(last) = self.all().pop() else { break };
            let calls = last.calls();
            if !calls.retire(&mut node.admin.get(calls.stream()).await?).await? {
                break;
            }
            self.close_last();
            tracing::info!(stream = %calls.stream(), "no longer used, and empty: removed");
        }
        Ok(())
    }

    /// Hands back what was pulled and not started, waits for what was, at most for `grace`. Says how many were left.
    pub(crate) async fn drain(&self, node: &Inner, grace: Duration) -> usize {
        self.work.sources.close();
        if tokio::time::timeout(SOURCES_TIME, self.work.sources.wait()).await.is_err() {
            tracing::warn!("Redis took too long to stop giving out requests; others will claim the last");
        }
        let all = self.all();
        for outcome in join_all(all.iter().map(|responder| responder.hand_back(node))).await {
            if let Err(error) = outcome {
                tracing::warn!(%error, "requests that were not started could not be handed back; others will claim them");
            }
        }
        let all = [&self.work.tasks, &self.work.own];
        for tasks in all {
            tasks.close();
        }
        let _ = tokio::time::timeout(grace, join_all(all.iter().map(|tasks| tasks.wait()))).await;
        all.iter().map(|tasks| tasks.len()).sum()
    }
}

/// Keeps as many open as are needed, until the node stops pulling.
async fn keep(node: Arc<Inner>) {
    let partitions = &node.partitions;
    let (mut looked, mut surplus_since) = (None::<Instant>, None::<Instant>);
    let keeping = async {
        loop {
            let wanted = node.catalog().most_partitions(&node.app_key).max(partitions.own);
            partitions.wanted.store(wanted, Ordering::Relaxed);
            partitions.open(&node, wanted);
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                match partitions.open_missing(&node).await {
                    Ok(()) => looked = Some(Instant::now()),
                    Err(error) => tracing::debug!(%error, "it could not be asked whether there are more partitions"),
                }
            }
            // Callers hear of it at different times. One that is late would do no harm, but wait for nothing.
            if partitions.count() <= wanted {
                surplus_since = None;
            } else if surplus_since.get_or_insert_with(Instant::now).elapsed() >= node.config.ttl()
                && let Err(error) = partitions.close_surplus(&node).await
            {
                tracing::debug!(%error, "a partition that is no longer used could not be removed yet");
            }
            let pause = match looked {
                None => ASK_AGAIN,
                Some(_) if surplus_since.is_some() => node.config.ttl(),
                Some(looked) => LOOK_EVERY.saturating_sub(looked.elapsed()),
            };
            tokio::select! {
                () = partitions.look.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    };
    node.pulling.run_until_cancelled(keeping).await;
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
    fn who_has_the_last_slot_lets_go_of_it_soon_where_others_wait_for_one() {
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
