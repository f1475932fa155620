//! Subscriptions in a cluster: a message to a sharded channel stays on the server that holds the channel's slot, so there
//! is a connection to each server on which someone here listens.
//!
//! A server that knows no sharded channels (before Redis 7) is asked for a plain one, and its scripts publish there: both
//! sides talk to the same server, so they agree.

use super::{
    connection::{Calm, Connector, Opened, Sign, is_elsewhere, is_fatal},
    pubsub::{BUFFER, Command, Heard},
    servers::Shard,
    socket::Shared,
};
use redis::{PushInfo, PushKind, RedisResult, Value};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether every channel has an ear on its server; otherwise only when something changes.
const LOOK: Duration = Duration::from_secs(1);
/// How often a server is asked whether it is still there; `redis.block` where that is shorter.
const PING: Duration = Duration::from_secs(5);
/// The pause before a server that sent a channel elsewhere is asked again.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(20);

/// The channels that someone listens to.
#[derive(Default)]
struct Wanted {
    channels: Mutex<HashMap<String, Listeners>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Listeners {
    /// Was it subscribed before? Then messages may be missed whenever it is subscribed anew.
    heard_before: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listeners>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that lie on this server.
    fn on(&self, connector: &Connector, shard: &Shard) -> HashSet<String> {
        let here = |channel: &&String| connector.servers().shard(channel).as_ref() == Some(shard);
        self.lock().keys().filter(here).cloned().collect()
    }

    /// Notes that a channel is subscribed; says whether it was before.
    fn confirm(&self, channel: &str) -> bool {
        let mut channels = self.lock();
        let Some(listeners) = channels.get_mut(channel) else { return false };
        for waiting in listeners.waiting.drain(..) {
            let _ = waiting.send(());
        }
        std::mem::replace(&mut listeners.heard_before, true)
    }
}

/// Obeys `commands` until they end or `stop` is cancelled.
pub(super) async fn listen(
    connector: Connector,
    heard: mpsc::Sender<Heard>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    stop: CancellationToken,
) {
    // Ears end with their ears' owner.
    let stop = stop.child_token();
    let _end = stop.clone().drop_guard();
    let wanted = Arc::new(Wanted::default());
    let mut ears: HashMap<Shard, JoinHandle<()>> = HashMap::new();
    let mut moves = connector.servers().moves();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Subscribe(channel, confirm)) => {
                    wanted.lock().entry(channel).or_default().waiting.push(confirm);
                }
                Some(Command::Unsubscribe(channel)) => drop(wanted.lock().remove(&channel)),
                None => return,
            },
            () = moves.next() => {}
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        ears.retain(|_, ear| !ear.is_finished());
        let channels: Vec<String> = wanted.lock().keys().cloned().collect();
        for channel in channels {
            // Where no server is known, whoever looks for one finds it.
            let Some(shard) = connector.servers().shard(&channel) else { continue };
            ears.entry(shard.clone()).or_insert_with(|| {
                let ear = Ear {
                    connector: connector.clone(),
                    shard,
                    wanted: wanted.clone(),
                    heard: heard.clone(),
                    stop: stop.clone(),
                };
                tokio::spawn(ear.run())
            });
        }
        wanted.changes.send_modify(|times| *times += 1);
    }
}

/// Listens to one server.
struct Ear {
    connector: Connector,
    shard: Shard,
    wanted: Arc<Wanted>,
    heard: mpsc::Sender<Heard>,
    stop: CancellationToken,
}

/// What came in that nobody has read yet.
struct Pushes {
    queue: mpsc::Receiver<PushInfo>,
    /// Set when the queue was full, and something was dropped.
    overflowed: Arc<AtomicBool>,
}

/// Why a connection was given up.
enum Ended {
    Broken,
    Stopped,
}

impl Ear {
    async fn run(self) {
        let mut calm = Calm::new(&self.connector);
        loop {
            let mut moves = self.connector.servers().moves();
            let opened = async {
                calm.before_connecting(&self.stop).await?;
                self.connector.until("events", &self.stop, || self.connect()).await
            };
            let (opened, pushes) = tokio::select! {
                opened = opened => match opened {
                    Some(opened) => opened,
                    None => return,
                },
                () = moves.next() => match self.connector.servers().has(&self.shard) {
                    true => continue,
                    false => return,
                },
            };
            if let Ended::Stopped = self.serve(opened, pushes).await {
                return;
            }
        }
    }

    async fn connect(&self) -> RedisResult<(Opened, Pushes)> {
        let (sender, queue) = mpsc::channel(BUFFER);
        let overflowed = Arc::new(AtomicBool::new(false));
        let full = overflowed.clone();
        // Called where the connection reads, so it must not wait.
        let push = move |push: PushInfo| -> Result<(), ()> {
            if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(push) {
                full.store(true, Ordering::Relaxed);
            }
            Ok(())
        };
        let opened = self.connector.connect_pushed(&self.shard, push).await?;
        Ok((opened, Pushes { queue, overflowed }))
    }

    async fn serve(&self, opened: Opened, mut pushes: Pushes) -> Ended {
        let Opened { mut connection, mut signs } = opened;
        let mut subscribed = HashSet::new();
        let mut changes = self.wanted.changes.subscribe();
        changes.mark_changed();
        let mut pings = tokio::time::interval(self.connector.options().block.min(PING));
        loop {
            tokio::select! {
                push = pushes.queue.recv() => match push {
                    Some(push) => match self.take_in(push, &subscribed).await {
                        Some(Ended::Broken) => return Ended::Broken,
                        Some(Ended::Stopped) => return Ended::Stopped,
                        None if pushes.overflowed.load(Ordering::Relaxed) => {
                            tracing::warn!(server = %self.shard, "events come faster than they are read, some are read from the log");
                            return Ended::Broken;
                        }
                        None => {}
                    },
                    None => return Ended::Broken,
                },
                _ = changes.changed() => {
                    if self.keep_up(&mut connection, &mut subscribed).await.is_err() {
                        return Ended::Broken;
                    }
                }
                // Nothing else tells a silent server from a quiet one.
                _ = pings.tick() => {
                    let answer: RedisResult<Value> = redis::cmd("PING").query_async(&mut connection).await;
                    if answer.is_err() {
                        return Ended::Broken;
                    }
                }
                sign = signs.next() => match sign {
                    Sign::Doubted | Sign::Ended => return Ended::Broken,
                    Sign::LoginChanged => self.connector.log_in(&mut connection).await,
                },
                () = self.stop.cancelled() => return Ended::Stopped,
            }
        }
    }

    /// Subscribes what is wanted here by now, and lets go of the rest.
    async fn keep_up(&self, connection: &mut Shared, subscribed: &mut HashSet<String>) -> RedisResult<()> {
        let wanted = self.wanted.on(&self.connector, &self.shard);
        for channel in subscribed.difference(&wanted) {
            // Whichever of the two it was; the other does nothing.
            redis::cmd("UNSUBSCRIBE").arg(channel).query_async::<Value>(connection).await?;
            let _: RedisResult<Value> = redis::cmd("SUNSUBSCRIBE").arg(channel).query_async(connection).await;
        }
        subscribed.retain(|channel| wanted.contains(channel));
        let mut missed = false;
        for channel in wanted {
            if subscribed.contains(&channel) {
                continue;
            }
            match subscribe(connection, &channel).await {
                Ok(()) => {
                    missed |= self.wanted.confirm(&channel);
                    subscribed.insert(channel);
                }
                Err(error) => {
                    match is_elsewhere(&error) {
                        true => tracing::debug!(channel, %error, "not subscribed yet"),
                        false => self.connector.note_deaf(&channel, &error),
                    }
                    self.connector.servers().learn_from(&error).await;
                    tokio::time::sleep(ELSEWHERE_PAUSE).await;
                    return Err(error);
                }
            }
        }
        if missed {
            // Nobody is left to tell when this fails.
            let _ = self.heard.send(Heard::Reconnected).await;
        }
        Ok(())
    }

    async fn take_in(&self, push: PushInfo, subscribed: &HashSet<String>) -> Option<Ended> {
        let mut data = push.data.into_iter();
        let channel = data.next().and_then(bytes).and_then(|channel| String::from_utf8(channel).ok())?;
        match push.kind {
            PushKind::SMessage | PushKind::Message => {
                let payload = data.next().and_then(bytes)?;
                self.heard.send(Heard::Message { channel, payload }).await.err().map(|_| Ended::Stopped)
            }
            // Told unasked when the slot has moved; the client may have taken it for the answer to something.
            PushKind::SUnsubscribe if subscribed.contains(&channel) => Some(Ended::Broken),
            PushKind::Disconnection => Some(Ended::Broken),
            _ => None,
        }
    }
}

async fn subscribe(connection: &mut Shared, channel: &str) -> RedisResult<()> {
    let sharded: RedisResult<Value> = redis::cmd("SSUBSCRIBE").arg(channel).query_async(connection).await;
    match sharded {
        Err(error) if !is_fatal(&error) && !is_elsewhere(&error) => {
            redis::cmd("SUBSCRIBE").arg(channel).query_async::<Value>(connection).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
