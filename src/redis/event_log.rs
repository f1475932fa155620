//! Events: sent to a channel and, under the same id, kept in a capped log for those who are away.

use super::{
    connection::{Link, is_fatal},
    keys::Keys,
    streams::Entry,
};
use redis::{RedisResult, Script, Value, aio::ConnectionLike};
use std::{collections::HashMap, sync::LazyLock};
use tokio::sync::{mpsc, oneshot};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/publish.lua")));

/// How long the log of a service that has fallen silent is kept.
pub(crate) const LOG_TTL_MS: u64 = 24 * 3_600_000;
/// Events in one write.
const BATCH: usize = 256;

/// Something on its way out.
pub(crate) enum Outgoing {
    /// An event of the service `KEY/PATH`.
    Event { key: String, path: String, frame: Vec<u8> },
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

/// Publishes events in the order in which they come, for as long as it takes; ends when `outgoing` does or the link was
/// stopped.
pub(crate) async fn publish(mut link: Link, keys: Keys, log: usize, mut outgoing: mpsc::Receiver<Outgoing>) {
    let mut batch: Vec<Outgoing> = Vec::new();
    loop {
        if batch.is_empty() && outgoing.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let Some(live) = link.get().await else { return };
        match send(&mut live.connection.clone(), &keys, log, &batch).await {
            Ok(()) => batch.clear(),
            // A batch that Redis may have taken in part goes out again: whoever listens knows events by their id.
            Err(error) => {
                tracing::debug!(%error, events = batch.len(), "events could not be published yet");
                if is_fatal(&error) {
                    link.report(&live);
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn send(on: &mut impl ConnectionLike, keys: &Keys, log: usize, batch: &[Outgoing]) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for outgoing in batch {
        let Outgoing::Event { key, path, frame } = outgoing else { continue };
        pipe.cmd("EVALSHA")
            .arg(PUBLISH.get_hash())
            .arg(1)
            .arg(keys.event_log(key, path))
            .arg(keys.events(key, path))
            .arg(frame)
            .arg(log)
            .arg(LOG_TTL_MS);
    }
    if pipe.is_empty() {
        return Ok(());
    }
    match pipe.query_async::<()>(on).await {
        Err(error) if error.code() == Some("NOSCRIPT") => {
            redis::cmd("SCRIPT").arg("LOAD").arg(include_str!("scripts/publish.lua")).query_async::<()>(on).await?;
            pipe.query_async(on).await
        }
        other => other,
    }
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
    let range: Vec<(String, HashMap<String, Vec<u8>>)> =
        redis::cmd("XRANGE").arg(keys.event_log(key, path)).arg(format!("({cursor}")).arg("+").query_async(on).await?;
    let mut events = Vec::with_capacity(range.len());
    for (id, mut fields) in range {
        let prev = fields.remove("p").and_then(|prev| String::from_utf8(prev).ok()).unwrap_or_default();
        let entry = Entry { id, frame: fields.remove("m").unwrap_or_default() };
        events.push(Logged { prev, id: entry.id, frame: entry.frame });
    }
    let joins_on = events.first().is_none_or(|first| first.prev == cursor);
    Ok(match events.last() {
        Some(last) if !joins_on => Since::Gap { newest: last.id.clone() },
        _ => Since::All(events),
    })
}
