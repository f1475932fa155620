//! The publisher of events: each service has a queue of its own, so events that Redis refuses delay no other service.
//!
//! The events of one service are published part by part, each part in one call of a script that skips what was
//! published before. A part whose outcome is unknown is sent again as it was, and nothing newer before it: so the log
//! has each event once and in order, however often a connection breaks and whatever other nodes publish.

use super::{LAST_TTL_MS, LOG_TTL_MS};
use crate::redis::{
    connection::{Backoff, is_fatal, is_redirect, link::Links, pause_unless},
    keys::Keys,
    scripts,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value, aio::ConnectionLike};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::PUBLISH));

/// Events in one call of the script, during which Redis does nothing else.
const PART: usize = 256;
/// Bytes in one call of the script, but for a single event that is larger.
const PART_BYTES: usize = 256 * 1024;
/// Events held here; further ones wait in the channel.
const HELD: usize = 32_768;
/// The pauses between attempts to publish what Redis does not take at the moment.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
/// The pauses between attempts to say that events were lost, to a Redis that refuses those of the service.
const REFUSED: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// A receipt for events that a caller waits for. It is dropped when Redis has them, or has refused them for good.
pub(crate) type Receipt = Arc<oneshot::Sender<()>>;

/// Whether Redis accepts events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Intake {
    /// Redis cannot be reached, or has not been yet.
    #[default]
    Away,
    /// Redis accepted the last ones.
    Open,
    /// Redis does not accept the last ones at the moment; they are tried again.
    Refuses,
}

/// A message to the publisher.
pub(crate) enum Outgoing {
    /// An event of a service of this node. Its number is higher than those of the events before it.
    Event { path: String, number: u64, frame: Vec<u8>, receipt: Option<Receipt> },
    /// A marker that is dropped when everything before it has been published, or was refused for good.
    Mark { _published: oneshot::Sender<()> },
}

/// The publisher of the events of one node.
pub(crate) struct Publisher<N> {
    pub(crate) links: Links,
    pub(crate) keys: Keys,
    /// The node's id, and the key of its services.
    pub(crate) node: String,
    pub(crate) key: String,
    /// The length of each log.
    pub(crate) log: usize,
    /// Where it reports whether Redis accepts events.
    pub(crate) intake: watch::Sender<Intake>,
    /// Makes the frame that stands for lost events, under the number of the last of them.
    pub(crate) notice: N,
}

struct Numbered {
    number: u64,
    frame: Vec<u8>,
    /// Held until this is dropped.
    _receipt: Option<Receipt>,
}

/// The events of one service that have not been published yet.
#[derive(Default)]
struct Queue {
    due: VecDeque<Numbered>,
    /// The numbers of the first and the last event of the part in flight.
    sending: Option<(u64, u64)>,
    /// Set while Redis refuses the events of this service.
    refused: Option<Refused>,
}

struct Refused {
    /// The number of the last event that was lost.
    last: u64,
    backoff: Backoff,
    /// Whether it pauses between two attempts.
    rests: bool,
}

/// The outcome of a part.
enum SendOutcome {
    Published,
    /// It will be refused again.
    Refused(RedisError),
    /// The pause is over.
    Rested,
    Stopped,
}

type Sends = FuturesUnordered<BoxFuture<'static, (String, SendOutcome)>>;

impl<N: Fn(&str, u64) -> Option<Vec<u8>>> Publisher<N> {
    /// Publishes events, those of one service in the order in which they come, for as long as it takes; ends when
    /// `outgoing` has ended and everything is published, or the links were stopped.
    pub(crate) async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let sender = Arc::new(PartSender {
            cluster: self.links.connector().servers().are_shared(),
            links: self.links.clone(),
            keys: self.keys.clone(),
            node: self.node.clone(),
            key: self.key.clone(),
            log: self.log,
            intake: self.intake.clone(),
        });
        let mut queues: BTreeMap<String, Queue> = BTreeMap::new();
        let mut sends = Sends::new();
        let mut marks: VecDeque<(u64, oneshot::Sender<()>)> = VecDeque::new();
        let mut newest = 0;
        let mut ended = false;
        let mut batch = Vec::new();
        while !ended || !queues.is_empty() {
            let held: usize = queues.values().map(|queue| queue.due.len()).sum();
            tokio::select! {
                received = outgoing.recv_many(&mut batch, PART), if !ended && held < HELD => {
                    ended = received == 0;
                    for outgoing in batch.drain(..) {
                        match outgoing {
                            Outgoing::Event { path, number, frame, receipt } => {
                                newest = number + 1;
                                let queue = queues.entry(path.clone()).or_default();
                                queue.push(Numbered { number, frame, _receipt: receipt });
                                self.send(&sender, &mut sends, path, queue);
                            }
                            Outgoing::Mark { _published } => marks.push_back((newest, _published)),
                        }
                    }
                }
                Some((path, outcome)) = sends.next() => {
                    let Some(queue) = queues.get_mut(&path) else { continue };
                    match outcome {
                        SendOutcome::Stopped => return,
                        SendOutcome::Published => queue.published(&path),
                        SendOutcome::Rested => queue.rested(),
                        SendOutcome::Refused(error) => sends.push(queue.refused(&path, &error)),
                    }
                    self.send(&sender, &mut sends, path.clone(), queue);
                    if queue.is_done() {
                        queues.remove(&path);
                    }
                }
            }
            if !marks.is_empty() {
                let first = queues.values().filter_map(Queue::first).min().unwrap_or(u64::MAX);
                while marks.front().is_some_and(|(until, _)| *until <= first) {
                    marks.pop_front();
                }
            }
        }
    }

    /// Starts to send the next part of a queue, unless one is in flight.
    fn send(&self, sender: &Arc<PartSender>, sends: &mut Sends, path: String, queue: &mut Queue) {
        let Some(part) = queue.part(|last| (self.notice)(&path, last)) else { return };
        let sender = sender.clone();
        sends.push(Box::pin(async move {
            let outcome = sender.send(&path, &part).await;
            (path, outcome)
        }));
    }
}

impl Queue {
    fn push(&mut self, event: Numbered) {
        match &mut self.refused {
            // It would be refused as well, and the notice that will be sent covers it.
            Some(refused) if refused.rests => refused.last = event.number,
            _ => self.due.push_back(event),
        }
    }

    /// Returns the next part to send, if there is one.
    fn part(&mut self, notice: impl FnOnce(u64) -> Option<Vec<u8>>) -> Option<Vec<Numbered>> {
        if self.sending.is_some() {
            return None;
        }
        let part = match &self.refused {
            Some(refused) if refused.rests => return None,
            Some(refused) => {
                let number = refused.last;
                vec![Numbered { number, frame: notice(number)?, _receipt: None }]
            }
            None => {
                let mut bytes = 0;
                let fits = |event: &&Numbered| {
                    bytes += event.frame.len();
                    bytes <= PART_BYTES
                };
                let count = self.due.iter().take(PART).take_while(fits).count().max(1).min(self.due.len());
                self.due.drain(..count).collect::<Vec<_>>()
            }
        };
        self.sending = Some((part.first()?.number, part.last()?.number));
        Some(part)
    }

    /// Returns the number of the first event whose outcome is not known.
    fn first(&self) -> Option<u64> {
        // What is refused is not waited for.
        if self.refused.is_some() {
            return None;
        }
        self.sending.map(|(first, _)| first).or_else(|| self.due.front().map(|event| event.number))
    }

    fn published(&mut self, path: &str) {
        self.sending = None;
        if self.refused.take().is_some() {
            tracing::info!(path, "Redis takes the events of this service again");
        }
    }

    fn rested(&mut self) {
        if let Some(refused) = &mut self.refused {
            refused.rests = false;
        }
    }

    /// Gives up the events that Redis refuses, for which a notice will stand. Returns the pause before the notice is
    /// tried.
    fn refused(&mut self, path: &str, error: &RedisError) -> BoxFuture<'static, (String, SendOutcome)> {
        let (_, sent) = self.sending.take().unwrap_or_default();
        let lost = self.due.drain(..).next_back().map_or(sent, |event| event.number);
        let refused = self.refused.get_or_insert_with(|| {
            tracing::warn!(path, %error, "Redis refuses the events of this service: other nodes do not hear them");
            Refused { last: lost, backoff: REFUSED, rests: true }
        });
        refused.last = refused.last.max(lost);
        refused.rests = true;
        let path = path.to_owned();
        let pause = refused.backoff.pause();
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            (path, SendOutcome::Rested)
        })
    }

    fn is_done(&self) -> bool {
        self.due.is_empty() && self.sending.is_none() && self.refused.is_none()
    }
}

/// Sends the parts of all services.
struct PartSender {
    links: Links,
    keys: Keys,
    node: String,
    key: String,
    log: usize,
    intake: watch::Sender<Intake>,
    cluster: bool,
}

impl PartSender {
    /// Publishes a part, for as long as it takes.
    async fn send(&self, path: &str, part: &[Numbered]) -> SendOutcome {
        let command = self.command(path, part);
        let log = self.keys.event_log(&self.key, path);
        let mut backoff = RETRY;
        let mut resumptions = self.links.connector().resumptions();
        loop {
            let Some((link, live)) = self.links.reach(&log).await else { return SendOutcome::Stopped };
            match run(&mut live.connection.clone(), &command).await {
                Ok(()) => {
                    self.note(Intake::Open);
                    return SendOutcome::Published;
                }
                Err(error) if is_refusal(&error) => return SendOutcome::Refused(error),
                Err(error) => {
                    self.note(if is_fatal(&error) { Intake::Away } else { Intake::Refuses });
                    tracing::debug!(path, %error, events = part.len(), "events could not be published yet");
                    if is_fatal(&error) && !is_redirect(&error) {
                        link.report(&live);
                    }
                    self.links.connector().servers().learn_from(&error).await;
                }
            }
            // Replies wait for events: they are not to wait for this pause when Redis takes writes again.
            pause_unless(backoff.pause(), &mut resumptions).await;
        }
    }

    fn note(&self, now: Intake) {
        self.intake.send_if_modified(|intake| std::mem::replace(intake, now) != now);
    }

    fn command(&self, path: &str, part: &[Numbered]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(PUBLISH.get_hash())
            .arg(2)
            .arg(self.keys.event_log(&self.key, path))
            .arg(self.keys.last_event(&self.key, path))
            .arg(self.keys.events(&self.key, path))
            .arg(self.log)
            .arg(LOG_TTL_MS)
            .arg(LAST_TTL_MS)
            .arg(i32::from(self.cluster))
            .arg(&self.node);
        for event in part {
            command.arg(event.number).arg(&event.frame);
        }
        command
    }
}

async fn run(on: &mut impl ConnectionLike, command: &Cmd) -> RedisResult<()> {
    let outcome = ask(on, command).await;
    match outcome {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            ask(on, redis::cmd("SCRIPT").arg("LOAD").arg(scripts::PUBLISH)).await?;
            ask(on, command).await
        }
        other => other,
    }
}

async fn ask(on: &mut impl ConnectionLike, command: &Cmd) -> RedisResult<()> {
    on.req_packed_command(command).await.and_then(Value::extract_error).map(drop)
}

/// Returns `true` if Redis will refuse the same command again: missing rights, a key of another type, an unknown
/// command.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => !is_fatal(error),
        ErrorKind::Extension => error.code() == Some("WRONGTYPE"),
        _ => false,
    }
}
