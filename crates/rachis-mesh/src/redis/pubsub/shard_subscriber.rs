//! A shard subscriber: keeps up the subscriptions on one server.
//!
//! On a server of a cluster without sharded channels (before Redis 7) plain ones are subscribed, and its scripts
//! publish there: both sides talk to the same server, so they agree.

use super::channels::{SubscriptionEvent, Wanted};
use crate::redis::{
    connection::{Backoff, Connector, Opened, Sign, is_elsewhere, is_fatal, socket::Shared, topology::Shard},
    resp::bytes,
};
use futures_util::future::BoxFuture;
use redis::{PushInfo, PushKind, RedisResult, Value, aio::ConnectionLike};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The interval of pings to a server of a cluster, which gets no heartbeat. With one server it is `redis.keep_alive`.
const PING: Duration = Duration::from_secs(5);
/// The pauses before a refused subscription is tried again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
/// Bytes of unread messages, as many as Redis keeps for a subscriber by default. When a reader falls further behind,
/// the connection is replaced, and missed events are read from the log.
pub(super) const UNREAD: usize = 32 << 20;
/// The memory of a message besides its bytes, in bytes.
const MESSAGE: usize = 128;
/// Channels in one pipeline.
const TOGETHER: usize = 256;

/// Keeps up the subscriptions of the channels that lie on one server. Ends when that server no longer holds any slot.
pub(super) struct ShardSubscriber {
    pub(super) connector: Connector,
    pub(super) shard: Shard,
    pub(super) wanted: Arc<Wanted>,
    pub(super) heard: mpsc::Sender<SubscriptionEvent>,
}

/// Received pushes that have not been read yet.
struct Pushes {
    queue: mpsc::UnboundedReceiver<PushInfo>,
    /// The bytes in the queue.
    unread: Arc<AtomicUsize>,
    /// Set when the queue was full, and a push was dropped.
    overflowed: Arc<AtomicBool>,
}

impl Pushes {
    async fn next(&mut self) -> Option<PushInfo> {
        let push = self.queue.recv().await?;
        self.unread.fetch_sub(size(&push), Ordering::Relaxed);
        Some(push)
    }
}

/// Returns about how much memory a push takes, in bytes.
fn size(push: &PushInfo) -> usize {
    let bytes = |value: &Value| match value {
        Value::BulkString(bytes) => bytes.len(),
        Value::SimpleString(text) => text.len(),
        _ => 0,
    };
    MESSAGE + push.data.iter().map(bytes).sum::<usize>()
}

/// A running pipeline. An error means that the connection is unusable.
type Asking = BoxFuture<'static, RedisResult<Answers>>;

/// The outcome of subscribing to each channel.
type Answers = Vec<(String, RedisResult<()>)>;

/// The state of one connection.
struct Serving {
    connection: Shared,
    subscribed: HashSet<String>,
    /// Channels whose subscription is not confirmed yet.
    entering: HashSet<String>,
    /// When refused channels are subscribed again.
    again: Option<Instant>,
    backoff: Backoff,
}

impl ShardSubscriber {
    pub(super) async fn run(self, stop: &CancellationToken) {
        let mut backoff = self.connector.reconnect_backoff();
        loop {
            // Before the look, so that no move comes between the two.
            let mut moves = self.connector.servers().moves();
            if !self.connector.servers().has(&self.shard) {
                return;
            }
            let opened = async {
                backoff.before_connecting(stop).await?;
                self.connector.until("events", stop, || self.connect()).await
            };
            tokio::select! {
                opened = opened => match opened {
                    Some((opened, pushes)) => self.serve(opened, pushes).await,
                    None => return,
                },
                () = moves.next() => {}
            }
        }
    }

    async fn connect(&self) -> RedisResult<(Opened, Pushes)> {
        let (sender, queue) = mpsc::unbounded_channel();
        let overflowed = Arc::new(AtomicBool::new(false));
        let unread = Arc::new(AtomicUsize::new(0));
        let full = overflowed.clone();
        let waiting = unread.clone();
        // Called where the connection reads, so it must not wait.
        let push = move |push: PushInfo| -> Result<(), ()> {
            let size = size(&push);
            if waiting.load(Ordering::Relaxed) + size > UNREAD {
                full.store(true, Ordering::Relaxed);
                return Ok(());
            }
            waiting.fetch_add(size, Ordering::Relaxed);
            // An error says that the connection is being given up.
            let _ = sender.send(push);
            Ok(())
        };
        let opened = self.connector.connect_pushed("events", &self.shard, push).await?;
        Ok((opened, Pushes { queue, unread, overflowed }))
    }

    /// Listens until the connection is unusable.
    async fn serve(&self, opened: Opened, mut pushes: Pushes) {
        let Opened { connection, mut signs } = opened;
        let mut serving =
            Serving { connection, subscribed: HashSet::new(), entering: HashSet::new(), again: None, backoff: BACKOFF };
        let mut changes = self.wanted.changes.subscribe();
        changes.mark_changed();
        let options = self.connector.options();
        let shared = self.connector.servers().are_shared();
        let every = if shared { options.block.min(PING).min(options.keep_alive) } else { options.keep_alive };
        let mut pings = tokio::time::interval_at((Instant::now() + every).into(), every);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asking: Option<Asking> = None;
        loop {
            let again = serving.again;
            tokio::select! {
                push = pushes.next() => {
                    let Some(push) = push else { return };
                    if !self.take_in(push, &mut serving).await {
                        return;
                    }
                    if pushes.overflowed.load(Ordering::Relaxed) {
                        tracing::warn!(server = %self.shard, "events come faster than they are read, some are read from the log");
                        return;
                    }
                }
                answers = answered(&mut asking), if asking.is_some() => {
                    asking = None;
                    let Ok(answers) = answers else { return };
                    self.note(&mut serving, answers).await;
                }
                _ = changes.changed(), if asking.is_none() => asking = self.differences(&mut serving),
                () = rest(again), if again.is_some() && asking.is_none() => {
                    serving.again = None;
                    asking = self.differences(&mut serving);
                }
                // Nothing else tells a silent server from a quiet one, and keeps what is quiet from being cut.
                _ = pings.tick(), if asking.is_none() => {
                    asking = Some(Box::pin(ping(serving.connection.clone())));
                }
                sign = signs.next() => match sign {
                    Sign::Doubted | Sign::Ended => return,
                    Sign::LoginChanged => self.connector.log_in(&mut serving.connection).await,
                },
            }
        }
    }

    /// Returns the pipeline that subscribes exactly the wanted channels of this server; `None` if nothing differs.
    fn differences(&self, serving: &mut Serving) -> Option<Asking> {
        self.wanted.confirm_again(&serving.subscribed);
        let wanted = self.wanted.on(&self.connector, &self.shard);
        let new: Vec<String> =
            wanted.iter().filter(|channel| !serving.subscribed.contains(*channel)).cloned().collect();
        let wanted: HashSet<String> = wanted.into_iter().collect();
        let left: Vec<String> = serving.subscribed.difference(&wanted).cloned().collect();
        if new.is_empty() && left.is_empty() {
            return None;
        }
        serving.subscribed.retain(|channel| wanted.contains(channel));
        serving.entering = new.iter().cloned().collect();
        let is_plain = |channel: &String| !self.connector.servers().are_shared() || *channel == self.wanted.everybodys;
        let (plain, sharded) = new.into_iter().partition(is_plain);
        let (left, left_sharded) = left.into_iter().partition(is_plain);
        Some(Box::pin(ask(serving.connection.clone(), [left, left_sharded], [plain, sharded])))
    }

    /// Handles the outcome of subscribing.
    async fn note(&self, serving: &mut Serving, answers: Answers) {
        let mut missed = Vec::new();
        let mut refused = false;
        for (channel, answer) in answers {
            match answer {
                Ok(()) => {
                    if self.enter(serving, &channel) {
                        missed.push(channel);
                    }
                }
                Err(error) => {
                    refused = true;
                    if is_elsewhere(&error) {
                        tracing::debug!(channel, %error, "not subscribed yet");
                    } else {
                        self.connector.note_refused_subscription(&channel, &error);
                    }
                    self.connector.servers().learn_from(&error).await;
                }
            }
        }
        if refused {
            serving.again = Some(Instant::now() + serving.backoff.pause());
        } else {
            serving.backoff.reset();
        }
        if !missed.is_empty() {
            // This fails only when the reader is gone.
            let _ = self.heard.send(SubscriptionEvent::Reconnected { channels: missed }).await;
        }
    }

    /// Notes that a channel is subscribed, if that is new; returns `true` if messages may have been missed before.
    fn enter(&self, serving: &mut Serving, channel: &str) -> bool {
        let is_new = serving.entering.remove(channel);
        if is_new {
            serving.subscribed.insert(channel.to_owned());
        }
        is_new && self.wanted.confirm(channel)
    }

    /// Handles a push. Returns `false` when the connection is unusable.
    async fn take_in(&self, push: PushInfo, serving: &mut Serving) -> bool {
        let mut data = push.data.into_iter();
        let Some(channel) = data.next().and_then(bytes).and_then(|channel| String::from_utf8(channel).ok()) else {
            return push.kind != PushKind::Disconnection;
        };
        match push.kind {
            PushKind::SMessage | PushKind::Message => match data.next().and_then(bytes) {
                // An error means that the reader is gone, so this will be stopped.
                Some(payload) if self.enter(serving, &channel) => {
                    // Its confirmation is still among answers that are waited for. The reader learns first that
                    // something may be missing before this message.
                    let again = SubscriptionEvent::Reconnected { channels: vec![channel.clone()] };
                    self.heard.send(again).await.is_ok()
                        && self.heard.send(SubscriptionEvent::Message { channel, payload }).await.is_ok()
                }
                Some(payload) => self.heard.send(SubscriptionEvent::Message { channel, payload }).await.is_ok(),
                None => true,
            },
            // Told unasked when the slot has moved; the client may have taken it for the answer to something.
            PushKind::SUnsubscribe => !serving.subscribed.contains(&channel),
            PushKind::Disconnection => false,
            _ => true,
        }
    }
}

async fn rest(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

async fn answered(asking: &mut Option<Asking>) -> RedisResult<Answers> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn ping(mut connection: Shared) -> RedisResult<Answers> {
    redis::cmd("PING").query_async::<Value>(&mut connection).await?;
    Ok(Vec::new())
}

/// Unsubscribes `left` and subscribes the others.
///
/// # Errors
/// The connection is unusable.
async fn ask(
    mut connection: Shared,
    [left, left_sharded]: [Vec<String>; 2],
    [plain, sharded]: [Vec<String>; 2],
) -> RedisResult<Answers> {
    // A refusal is harmless: the channel is no longer wanted. Of a sharded channel the server may have made a plain one; the
    // other command does nothing.
    each(&mut connection, "SUNSUBSCRIBE", left_sharded.clone()).await?;
    each(&mut connection, "UNSUBSCRIBE", [left, left_sharded].concat()).await?;
    let mut answers = each(&mut connection, "SUBSCRIBE", plain).await?;
    let (unknown, known): (Vec<_>, Vec<_>) = each(&mut connection, "SSUBSCRIBE", sharded)
        .await?
        .into_iter()
        .partition(|(_, answer)| answer.as_ref().is_err_and(|error| !is_elsewhere(error)));
    answers.extend(known);
    answers
        .extend(each(&mut connection, "SUBSCRIBE", unknown.into_iter().map(|(channel, _)| channel).collect()).await?);
    Ok(answers)
}

/// Sends one command for each channel, in pipelines.
async fn each(connection: &mut Shared, command: &str, channels: Vec<String>) -> RedisResult<Answers> {
    let mut answers = Vec::with_capacity(channels.len());
    for channels in channels.chunks(TOGETHER) {
        let mut pipe = redis::pipe();
        for channel in channels {
            pipe.cmd(command).arg(channel);
        }
        let replies = connection.req_packed_commands(&pipe, 0, channels.len()).await?;
        for (channel, reply) in channels.iter().zip(replies) {
            let answer = reply.extract_error().map(drop);
            match answer {
                Err(error) if is_fatal(&error) && !is_elsewhere(&error) => return Err(error),
                answer => answers.push((channel.clone(), answer)),
            }
        }
    }
    Ok(answers)
}
