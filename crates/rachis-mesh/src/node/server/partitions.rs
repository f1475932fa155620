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

use super::{responder::Responder, tasks::SOURCES_TIME, work::Work};
use crate::{
    node::{
        client::inbox::Note,
        shared::{identity::Identity, limits::CallLimits},
    },
    redis::{
        Failure,
        connection::{Connector, is_fatal},
        keys::{MAX_PARTITIONS, partition},
        queue::{Calls, Reader},
    },
};
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How often a replica looks whether there are partitions that it has not heard of.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The pause before Redis, which could not be asked, is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often a node that pauses looks whether its reads have ended.
const LOOK: Duration = Duration::from_millis(10);

/// The partitions that this node reads.
pub(crate) struct Partitions {
    work: Arc<Work>,
    connector: Connector,
    identity: Arc<Identity>,
    /// What this node announces.
    own: usize,
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
    /// Those of the node's app, `own` of them to begin with.
    pub(crate) fn new(work: Arc<Work>, connector: Connector, identity: Arc<Identity>, own: usize) -> Self {
        let partitions = Partitions {
            work,
            connector,
            identity,
            own,
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
        let calls = Calls::new(&self.work.keys, &partition(&self.identity.app, number), &self.identity.id);
        Arc::new(Responder::new(number, calls, self.work.clone()))
    }

    /// Replaces the limits. If fewer calls may run than do, those that run finish first.
    pub(crate) fn limit(&self, limits: CallLimits, old_slots: usize, slots: usize) {
        self.work.limits.store(Arc::new(limits));
        self.work.slots.resize(old_slots, slots);
    }

    /// All that are read, the first one first.
    pub(crate) fn all(&self) -> Vec<Arc<Responder>> {
        self.lock().iter().map(|open| open.responder.clone()).collect()
    }

    /// Completes when this node has published its first service.
    pub(super) async fn offer_something(&self) {
        self.work.admission.published.begun().await;
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
        self.work.tasks.requests.len()
    }

    /// Returns `true` if there is something that a shutdown waits for.
    pub(crate) fn is_busy(&self) -> bool {
        self.work.tasks.is_busy()
    }

    /// Runs something that brings in requests and ends when `pulling` is cancelled.
    pub(crate) fn spawn_source(&self, source: impl Future<Output = ()> + Send + 'static) {
        self.work.tasks.sources.spawn(source);
    }

    /// Requests that wait or are being worked on, in all of them together.
    pub(crate) async fn queue_length(&self) -> Result<u64, Failure> {
        let mut sum = 0;
        for responder in self.all() {
            let calls = responder.calls();
            sum += calls.len(&mut self.work.admin.get(calls.stream()).await?).await?;
        }
        Ok(sum)
    }

    /// Makes streams and groups where they are missing, before others are told of this node.
    pub(crate) async fn regroup(&self) -> Result<(), Failure> {
        for responder in self.all().into_iter().take(self.work.wanted()) {
            responder.regroup().await?;
        }
        Ok(())
    }

    /// Looks after requests that another replica handed off, and those whose callers have gone.
    pub(crate) fn received(&self, note: Note) {
        match note {
            Note::Handoff(note) => {
                // The replica that wrote it reads that partition; perhaps this node has not heard of it yet.
                if note.partition < MAX_PARTITIONS && self.count() <= note.partition {
                    self.open(note.partition + 1);
                }
                if let Some(responder) = self.all().get(note.partition) {
                    responder.received(Note::Handoff(note));
                }
            }
            Note::Abandoned(note) => {
                if let Some(responder) = self.all().iter().find(|responder| responder.calls().stream() == note.stream) {
                    responder.abandon(&note);
                }
            }
            Note::Lost => self.all().iter().for_each(|responder| responder.received(Note::Lost)),
        }
    }

    /// Begins to read.
    pub(crate) fn start(self: &Arc<Self>) {
        for open in self.lock().iter_mut() {
            self.read(open);
        }
        self.spawn_source(keep(self.clone()));
    }

    /// Stops reading. What was read and not begun is handed back.
    pub(crate) fn pause(self: &Arc<Self>) {
        let all = self.lock();
        if self.paused.swap(true, Ordering::Relaxed) {
            return;
        }
        all.iter().filter_map(|open| open.stop.as_ref()).for_each(CancellationToken::cancel);
        drop(all);
        let partitions = self.clone();
        tokio::spawn(async move {
            for _ in 0..SOURCES_TIME.as_millis() / LOOK.as_millis() {
                if partitions.work.slots.readers() == 0 {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
            for responder in partitions.all() {
                if let Err(error) = responder.hand_back().await {
                    tracing::debug!(%error, "requests that were not started could not be handed back yet");
                }
            }
        });
    }

    /// Reads again.
    pub(crate) fn resume(&self) {
        let mut all = self.lock();
        if !self.paused.swap(false, Ordering::Relaxed) || self.work.life.pulling.is_cancelled() {
            return;
        }
        for open in all.iter_mut().filter(|open| open.stop.is_some()) {
            self.read(open);
        }
    }

    fn read(&self, open: &mut Open) {
        if self.paused.load(Ordering::Relaxed) {
            // `resume` begins it.
            let stop = self.work.life.pulling.child_token();
            stop.cancel();
            open.stop = Some(stop);
            return;
        }
        let stop = self.work.life.pulling.child_token();
        let stream = open.responder.calls().stream().to_owned();
        // Redis goes on to give requests to a read that blocks though its process is gone and did not say so. None is left
        // when the death is noticed, so the heir finds all.
        let reader = Reader::new(self.connector.clone(), "calls", stream, stop.clone()).releasing();
        let reader = reader.blocking_at_most(self.work.ttl / 2);
        let reading = self.work.slots.reader();
        let pull = open.responder.clone().pull(reader, stop.clone());
        self.spawn_source(async move {
            pull.await;
            drop(reading);
        });
        open.stop = Some(stop);
    }

    /// Reads `count` partitions, if it is not as many already.
    fn open(&self, count: usize) {
        let mut all = self.lock();
        if all.len() >= count || self.work.life.pulling.is_cancelled() {
            return;
        }
        for number in all.len()..count {
            let mut open = Open { responder: self.responder(number), stop: None };
            self.read(&mut open);
            all.push(open);
        }
        tracing::info!(app = %self.identity.app, partitions = all.len(), "reading more partitions");
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
    async fn open_missing(&self) -> Result<(), Failure> {
        self.open(self.work.wanted());
        while self.count() < MAX_PARTITIONS {
            let next = self.work.keys.calls(&partition(&self.identity.app, self.count()));
            match self.work.commands.has_key(&next).await {
                Ok(true) => self.open(self.count() + 1),
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
    async fn close_surplus(&self) -> Result<(), Failure> {
        while self.count() > self.work.wanted() {
            let Some(last) = self.all().pop() else { break };
            let calls = last.calls();
            if !calls.retire(&mut self.work.admin.get(calls.stream()).await?).await? {
                break;
            }
            self.close_last();
            tracing::info!(stream = %calls.stream(), "no longer used, and empty: removed");
        }
        Ok(())
    }

    /// Hands back what was pulled and not started, waits for what was, at most for `grace`. Says how many were left.
    pub(crate) async fn drain(&self, grace: Duration) -> usize {
        if !self.work.tasks.end_sources().await {
            tracing::warn!("Redis took too long to stop giving out requests; others will claim the last");
        }
        let all = self.all();
        for outcome in join_all(all.iter().map(|responder| responder.hand_back())).await {
            if let Err(error) = outcome {
                tracing::warn!(%error, "requests that were not started could not be handed back; others will claim them");
            }
        }
        self.work.tasks.end_calls(grace).await
    }
}

/// Keeps as many open as are needed, until the node stops pulling.
async fn keep(partitions: Arc<Partitions>) {
    let work = &partitions.work;
    let app = &partitions.identity.app;
    let mut looked = None::<Instant>;
    let mut surplus_since = None::<Instant>;
    let keeping = async {
        loop {
            let wanted = work.catalog.lock().most_partitions(app).max(partitions.own);
            work.wanted.store(wanted, Ordering::Relaxed);
            partitions.open(wanted);
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                match partitions.open_missing().await {
                    Ok(()) => looked = Some(Instant::now()),
                    Err(error) => tracing::debug!(%error, "it could not be asked whether there are more partitions"),
                }
            }
            // Callers hear of it at different times. One that is late would do no harm, but wait for nothing.
            if partitions.count() <= wanted {
                surplus_since = None;
            } else if surplus_since.get_or_insert_with(Instant::now).elapsed() >= work.ttl
                && let Err(error) = partitions.close_surplus().await
            {
                tracing::debug!(%error, "a partition that is no longer used could not be removed yet");
            }
            let pause = match looked {
                None => ASK_AGAIN,
                Some(_) if surplus_since.is_some() => work.ttl,
                Some(looked) => LOOK_EVERY.saturating_sub(looked.elapsed()),
            };
            tokio::select! {
                () = partitions.look.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    };
    work.life.pulling.run_until_cancelled(keeping).await;
}
