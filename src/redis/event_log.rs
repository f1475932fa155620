//! Events: sent to a channel and, under the same id, kept in a capped log for those who are away.

use super::{
    connection::{is_fatal, is_redirect},
    keys::Keys,
    link::Links,
    servers::Shard,
};
use futures_util::future::join_all;
use redis::{Pipeline, RedisResult, Script, Value, aio::ConnectionLike};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};
use tokio::sync::{mpsc, oneshot, watch};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/publish.lua")));

/// How long the log of a service that has fallen silent is kept.
pub(crate) const LOG_TTL_MS: u64 = 24 * 3_600_000;
/// Events in one write.
const BATCH: usize = 256;

/// What events that somebody waits for hold: it is dropped when Redis has answered them, be it well or ill.
pub(crate) type Receipt = Arc<oneshot::Sender<()>>;

/// Does Redis take events?
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Intake {
    /// It was not reached, or has not been yet.
    #[default]
    Away,
    /// It took the last ones.
    Open,
    /// It refuses one, which is tried again, and what comes behind it waits.
    Refuses,
}

/// Something on its way out.
pub(crate) enum Outgoing {
    /// An event of the service `KEY/PATH`.
    Event { key: String, path: String, frame: Vec<u8>, receipt: Option<Receipt> },
    /// Nothing: is dropped when everything before it has been published.
    Mark { _published: oneshot::Sender<()> },
}

/// An event as the channel or the log brings it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logged {
    /// The id of the event before it in the log.
    pub(crate) prev: String,
    pub(crate) id: String,
    pub(crate) frame: Vec<u8>,
}

impl Logged {
    /// Reads a message of the channel: `PREV ID FRAME`.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let mut parts = message.splitn(3, |byte| *byte == b' ');
        let prev = String::from_utf8(parts.next()?.to_vec()).ok()?;
        let id = String::from_utf8(parts.next()?.to_vec()).ok()?;
        Some(Logged { prev, id, frame: parts.next()?.to_vec() })
    }
}

/// Publishes events, those of one service in the order in which they come, for as long as it takes, and notes how that
/// goes in `intake`; ends when `outgoing` does or the links were stopped.
pub(crate) async fn publish(
    links: Links,
    keys: Keys,
    log: usize,
    mut outgoing: mpsc::Receiver<Outgoing>,
    intake: watch::Sender<Intake>,
) {
    let servers = links.connector().servers().clone();
    let mut batch: Vec<Outgoing> = Vec::new();
    while outgoing.recv_many(&mut batch, BATCH).await > 0 {
        let mut marks = Vec::new();
        loop {
            // All of one service lie on one server, and what failed goes out again before anything newer.
            let mut parts: BTreeMap<Option<Shard>, Vec<Outgoing>> = BTreeMap::new();
            for event in batch.drain(..) {
                match event.key(&keys) {
                    Some(key) => parts.entry(servers.shard(&key)).or_default().push(event),
                    None => marks.push(event),
                }
            }
            let sent = join_all(parts.into_values().map(|part| send(&links, &keys, log, part))).await;
            let mut now = Intake::Open;
            for part in sent {
                let Some((unsent, found)) = part else { return };
                if found != Intake::Open {
                    now = found;
                }
                batch.extend(unsent);
            }
            intake.send_if_modified(|intake| std::mem::replace(intake, now) != now);
            if batch.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Outgoing {
    fn key(&self, keys: &Keys) -> Option<String> {
        match self {
            Outgoing::Event { key, path, .. } => Some(keys.event_log(key, path)),
            Outgoing::Mark { .. } => None,
        }
    }

    /// Lets those go on who wait for Redis to answer it.
    fn let_go(&mut self) {
        if let Outgoing::Event { receipt, .. } = self {
            *receipt = None;
        }
    }
}

/// Publishes events that lie on one server, and returns them where that failed, with how the server takes them; `None` when
/// the links were stopped.
async fn send(links: &Links, keys: &Keys, log: usize, mut part: Vec<Outgoing>) -> Option<(Vec<Outgoing>, Intake)> {
    let key = part.iter().find_map(|outgoing| outgoing.key(keys)).unwrap_or_default();
    let (link, live) = links.reach(&key).await?;
    match write(&mut live.connection.clone(), keys, log, links.connector().servers().are_shared(), &mut part).await {
        Ok(()) => Some((Vec::new(), Intake::Open)),
        // A batch that Redis may have taken in part goes out again: whoever listens knows events by their id.
        Err(error) => {
            tracing::debug!(%error, events = part.len(), "events could not be published yet");
            if is_fatal(&error) && !is_redirect(&error) {
                link.report(&live);
            }
            links.connector().servers().learn_from(&error).await;
            Some((part, if is_fatal(&error) { Intake::Away } else { Intake::Refuses }))
        }
    }
}

async fn write(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    log: usize,
    cluster: bool,
    batch: &mut [Outgoing],
) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for outgoing in batch.iter() {
        let Outgoing::Event { key, path, frame, .. } = outgoing else { continue };
        pipe.cmd("EVALSHA")
            .arg(PUBLISH.get_hash())
            .arg(1)
            .arg(keys.event_log(key, path))
            .arg(keys.events(key, path))
            .arg(frame)
            .arg(log)
            .arg(LOG_TTL_MS)
            .arg(i32::from(cluster));
    }
    let mut answers = run(on, &pipe).await?;
    if answers.iter().any(|answer| answer.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT"))) {
        redis::cmd("SCRIPT").arg("LOAD").arg(include_str!("scripts/publish.lua")).query_async::<()>(on).await?;
        answers = run(on, &pipe).await?;
    }
    let mut outcome = Ok(());
    for (outgoing, answer) in batch.iter_mut().zip(answers) {
        // Who waits for what Redis refuses would wait for ever.
        if answer.as_ref().err().is_none_or(|error| !is_fatal(error)) {
            outgoing.let_go();
        }
        outcome = outcome.and(answer);
    }
    outcome
}

/// Runs a pipeline, and returns what each of its commands brought.
async fn run(on: &mut impl ConnectionLike, pipe: &Pipeline) -> RedisResult<Vec<RedisResult<()>>> {
    let replies = on.req_packed_commands(pipe, 0, pipe.len()).await?;
    Ok(replies.into_iter().map(|reply| reply.extract_error().map(drop)).collect())
}

/// The id of the newest event, `0-0` where there is none.
pub(crate) async fn newest(on: &mut impl ConnectionLike, keys: &Keys, key: &str, path: &str) -> RedisResult<String> {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(keys.event_log(key, path)).arg("+").arg("-").arg("COUNT").arg(1);
    let found: Vec<(String, HashMap<String, Value>)> = command.query_async(on).await?;
    Ok(found.into_iter().next().map_or_else(|| "0-0".to_owned(), |(id, _)| id))
}

/// What a log says about the time after a cursor.
pub(crate) enum Since {
    /// Every event, oldest first.
    All(Vec<Logged>),
    /// It no longer reaches back; its newest event has this id.
    Gap { newest: String },
}

/// The events after `cursor`.
pub(crate) async fn since(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    key: &str,
    path: &str,
    cursor: &str,
) -> RedisResult<Since> {
    let events = range(on, keys, key, path, format!("({cursor}")).await?;
    let joins_on = events.first().is_none_or(|first| first.prev == cursor);
    Ok(match events.last() {
        Some(last) if !joins_on => Since::Gap { newest: last.id.clone() },
        _ => Since::All(events),
    })
}

/// The events from `since` on, in ms of Redis's clock, as far back as the log reaches.
pub(crate) async fn from(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    key: &str,
    path: &str,
    since: u64,
) -> RedisResult<Vec<Logged>> {
    range(on, keys, key, path, since.to_string()).await
}

async fn range(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    key: &str,
    path: &str,
    start: String,
) -> RedisResult<Vec<Logged>> {
    let range: Vec<(String, HashMap<String, Vec<u8>>)> =
        redis::cmd("XRANGE").arg(keys.event_log(key, path)).arg(start).arg("+").query_async(on).await?;
    let logged = range.into_iter().map(|(id, mut fields)| {
        let prev = fields.remove("p").and_then(|prev| String::from_utf8(prev).ok()).unwrap_or_default();
        Logged { prev, id, frame: fields.remove("m").unwrap_or_default() }
    });
    Ok(logged.collect())
}
