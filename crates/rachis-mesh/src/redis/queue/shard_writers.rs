//! Shard writers: one queue and one task for each server that is written to, so that what goes to one waits for no other.

use super::{
    batch,
    shard_connection::{Maintenance, ShardConnection},
    wait::Shortfalls,
    write::{Senders, Write, WriteOutcome},
};
use crate::redis::{
    connection::{
        WaitFor,
        link::Links,
        topology::{Moves, Servers, Shard},
    },
    resp::WriteError,
};
use parking_lot::{Mutex, MutexGuard};
use redis::RedisError;
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The longest chain of writes that follow each other: a kept reply, the reply, the settled request.
const CHAIN: usize = 3;

/// Entries in one write. More would only delay the first.
const BATCH: usize = 512;
/// Bytes in one write, so that a large reply does not delay many small ones.
const BATCH_BYTES: usize = 256 * 1024;
/// The pause before a write that belongs to another server, or to this one later, is repeated.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(20);

// Without a bound of its own: requests are bounded by the calls pending, replies by those in flight.
type Queue = mpsc::UnboundedSender<Write>;

/// The shard writers of one node.
pub(super) struct ShardWriters {
    links: Links,
    senders: Arc<dyn Senders>,
    stop: CancellationToken,
    open: Mutex<HashMap<Shard, Queue>>,
    /// The only queue, where there is one server; found without a lock.
    only: OnceLock<Queue>,
    /// The queue of writes whose server is unknown.
    unplaced: Queue,
    /// Shard writers that ended because their server no longer holds anything.
    ended: AtomicU64,
}

/// The writer of one server, owned by its task.
struct ShardWriter {
    shard: Shard,
    due: mpsc::UnboundedReceiver<Write>,
    connection: ShardConnection,
    writers: Arc<ShardWriters>,
    moves: Moves,
}

impl ShardWriters {
    pub(super) fn new(links: Links, senders: Arc<dyn Senders>, stop: CancellationToken) -> Arc<Self> {
        let (unplaced, waiting) = mpsc::unbounded_channel();
        let open = Mutex::default();
        let only = OnceLock::new();
        let ended = AtomicU64::new(0);
        let writers = Arc::new(ShardWriters { links, senders, stop, open, only, unplaced, ended });
        match writers.servers().shard("") {
            Some(shard) if !writers.servers().are_shared() => {
                writers.only.get_or_init(|| writers.start(shard));
            }
            _ => {
                tokio::spawn(locate_unplaced(writers.clone(), waiting));
            }
        }
        writers
    }

    fn servers(&self) -> &Servers {
        self.links.connector().servers()
    }

    /// Hands a write to the shard writer of its server. Returns `false` when the writer has ended.
    pub(super) fn push(self: &Arc<Self>, write: Write) -> bool {
        if let Some(only) = self.only.get() {
            return only.send(write).is_ok();
        }
        self.route(&mut self.open(), write)
    }

    fn route(self: &Arc<Self>, open: &mut HashMap<Shard, Queue>, write: Write) -> bool {
        let write = write.taken_apart(self.servers());
        // A mark has no server. It comes from a shard writer that has ended, so the task that waits for it looks again.
        let Some(key) = write.key() else { return true };
        let Some(shard) = self.servers().shard(key) else { return self.unplaced.send(write).is_ok() };
        match open.get(&shard) {
            Some(queue) => queue.send(write).is_ok(),
            None => {
                let queue = self.start(shard.clone());
                let sent = queue.send(write).is_ok();
                open.insert(shard, queue);
                sent
            }
        }
    }

    fn start(self: &Arc<Self>, shard: Shard) -> Queue {
        let (queue, due) = mpsc::unbounded_channel();
        let connection = ShardConnection::new(self.links.clone(), shard.clone(), self.stop.clone());
        let writer = ShardWriter { shard, due, connection, writers: self.clone(), moves: self.servers().moves() };
        let senders = self.senders.clone();
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(run(writer, senders)).await });
        queue
    }

    /// Waits until everything pushed so far has been written, or the writer has ended.
    pub(super) async fn flush(&self) {
        // What is kept of a call is followed by its reply, and that by what settles its request, each in a write of its own,
        // so further looks are needed.
        for look in 1.. {
            let ended = self.ended.load(Ordering::Relaxed);
            let (written, wait) = oneshot::channel();
            let written = Arc::new(written);
            let queues: Vec<Queue> = match self.only.get() {
                Some(only) => vec![only.clone()],
                None => self.open().values().chain([&self.unplaced]).cloned().collect(),
            };
            for queue in queues {
                let _ = queue.send(Write::Mark { _written: written.clone() });
            }
            drop(written);
            let _ = wait.await;
            if self.stop.is_cancelled() || look >= CHAIN && ended == self.ended.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Shard, Queue>> {
        self.open.lock()
    }
}

/// Locates the servers of writes that had none when they came.
async fn locate_unplaced(writers: Arc<ShardWriters>, mut waiting: mpsc::UnboundedReceiver<Write>) {
    let stop = writers.stop.clone();
    loop {
        let Some(Some(write)) = stop.run_until_cancelled(waiting.recv()).await else { return };
        if let Some(key) = write.key()
            && writers.links.connector().locate(key, &stop).await.is_none()
        {
            return;
        }
        writers.push(write);
    }
}

/// Runs one shard writer until it ends.
async fn run(mut writer: ShardWriter, senders: Arc<dyn Senders>) {
    let mut batch = Vec::with_capacity(BATCH);
    let wait = writer.wait();
    let mut shortfalls = Shortfalls::default();
    // What the last write carried.
    let mut written = 0;
    // Whether Redis has refused writes, and taken none since.
    let mut refused = false;
    loop {
        if !writer.begin(&mut batch).await {
            return;
        }
        // Callers that were woken together with the first are about to push as well: the server runs many commands of one
        // write for little more than one, and a write of few delays the next. A single caller does not wait for others.
        if written > 1 {
            tokio::task::yield_now().await;
        }
        fill(&mut batch, &mut writer.due);
        written = batch.len();
        writer.sort_out(&mut batch);
        let now = Instant::now();
        batch.retain(|write| !matches!(write, Write::Request { token, .. } if !senders.wanted(*token, now)));
        if batch.is_empty() {
            continue;
        }
        let session = writer.connection.session();
        let built = batch::build(&mut batch, now, wait);
        match writer.connection.write(&built.commands).await {
            Ok(mut replies) => {
                if let (Some(wait), Some(reply)) = (built.waits, built.waits.and_then(|_| replies.pop())) {
                    shortfalls.note(wait, &reply);
                }
                let completion = batch::complete(&mut batch, replies, built, &*senders);
                writer.follow(completion.then);
                if completion.broken {
                    writer.connection.close();
                }
                if completion.elsewhere.is_empty() {
                    if std::mem::take(&mut refused) {
                        writer.writers.links.connector().resumed();
                    }
                } else {
                    refused = true;
                    writer.learn_from(&completion.elsewhere).await;
                    tokio::time::sleep(ELSEWHERE_PAUSE).await;
                }
            }
            Err(WriteError { error, unsent }) => {
                tracing::debug!(%error, unsent, entries = batch.len(), "a write failed");
                let mut then = Vec::new();
                batch.retain(|write| match write {
                    // Nothing of it can arrive, so its caller need not know.
                    Write::Request { token, .. } if unsent => {
                        senders.kept(*token);
                        true
                    }
                    Write::Request { token, stream, .. } => {
                        then.extend(senders.sent(*token, stream, WriteOutcome::Unknown(session.clone())));
                        false
                    }
                    // Written twice they do no harm, so they wait for the next connection.
                    Write::Finished { .. }
                    | Write::Send { .. }
                    | Write::Forced { .. }
                    | Write::Keep { .. }
                    | Write::Cancel { .. }
                    | Write::Mark { .. } => true,
                });
                writer.follow(then);
            }
        }
    }
}

fn fill(batch: &mut Vec<Write>, due: &mut mpsc::UnboundedReceiver<Write>) {
    let mut size: usize = batch.iter().map(Write::size).sum();
    while batch.len() < BATCH && size < BATCH_BYTES {
        let Ok(write) = due.try_recv() else { return };
        size += write.size();
        batch.push(write);
    }
}

impl ShardWriter {
    /// Waits for a write and a connection. Returns `false` if this shard writer has ended; others have its writes then.
    async fn begin(&mut self, batch: &mut Vec<Write>) -> bool {
        loop {
            // Not before there is something to write: of a thousand nodes at rest many never have.
            if (self.connection.was_used() || !batch.is_empty()) && !self.connected(batch).await {
                return false;
            }
            if !batch.is_empty() {
                if self.connection.is_sound().await {
                    return true;
                }
                self.connection.run(Maintenance::Close).await;
                continue;
            }
            // What is due first: whoever pushes it wakes this task, and what else is waited for is asked before it is written.
            tokio::select! {
                biased;
                write = self.due.recv() => match write {
                    Some(write) => batch.push(write),
                    None => return false,
                },
                () = self.moves.next() => if !self.stays(batch) { return false },
                maintenance = self.connection.maintenance() => self.connection.run(maintenance).await,
            }
        }
    }

    async fn connected(&mut self, batch: &mut Vec<Write>) -> bool {
        loop {
            tokio::select! {
                connected = self.connection.connect() => return connected,
                () = self.moves.next() => if !self.stays(batch) { return false },
            }
        }
    }

    /// Checks after a move of keys whether the server still holds any; ends this shard writer where it does not.
    fn stays(&mut self, batch: &mut Vec<Write>) -> bool {
        let stays = self.writers.servers().has(&self.shard);
        if !stays {
            self.end(batch);
        }
        stays
    }

    /// Ends this shard writer, and routes its writes to the servers that hold the keys now. The lock is held meanwhile,
    /// so they stay in order.
    fn end(&mut self, batch: &mut Vec<Write>) {
        let mut open = self.writers.open();
        open.remove(&self.shard);
        self.due.close();
        let mut all = std::mem::take(batch);
        while let Ok(write) = self.due.try_recv() {
            all.push(write);
        }
        tracing::debug!(server = %self.shard, writes = all.len(), "no longer holds anything, what is due goes elsewhere");
        self.writers.links.end(&self.shard);
        self.writers.ended.fetch_add(1, Ordering::Relaxed);
        for write in all {
            self.writers.route(&mut open, write);
        }
    }

    /// Returns the WAIT after each write.
    fn wait(&self) -> Option<WaitFor> {
        self.writers.links.connector().options().wait
    }

    /// Passes on writes whose keys have moved to other servers.
    fn sort_out(&self, batch: &mut Vec<Write>) {
        let servers = self.writers.servers();
        if !servers.are_shared() {
            return;
        }
        let here = |key: &str| servers.shard(key).as_ref() == Some(&self.shard);
        for write in std::mem::take(batch) {
            let stays = write.keys().all(here);
            if stays {
                batch.push(write);
            } else {
                self.writers.push(write);
            }
        }
    }

    /// Pushes the writes that follow a completed one.
    fn follow(&self, writes: Vec<Write>) {
        for write in writes {
            self.writers.push(write);
        }
    }

    /// Updates the topology from the errors.
    async fn learn_from(&self, errors: &[RedisError]) {
        for error in errors {
            self.writers.servers().learn_from(error).await;
        }
    }
}
