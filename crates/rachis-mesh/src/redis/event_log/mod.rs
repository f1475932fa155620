//! The event log: events are sent to a channel and, under the same id, kept in a capped log for nodes that missed them.

mod publish;

pub(crate) use publish::{Intake, Outgoing, Publisher, Receipt, is_refusal};

use super::keys::Keys;
use redis::{FromRedisValue, RedisResult, aio::ConnectionLike};
use std::collections::HashMap;

/// The TTL of the log of a service after its last event.
pub(crate) const LOG_TTL_MS: u64 = 24 * 3_600_000;
/// The TTL of the id of the last event.
const LAST_TTL_MS: u64 = 30 * LOG_TTL_MS;

/// An event as the channel or the log brings it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logged {
    /// The id of the event before it in the log.
    pub(crate) prev: String,
    pub(crate) id: String,
    pub(crate) frame: Vec<u8>,
}

impl Logged {
    /// Parses a message of the channel: `PREV ID FRAME`.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let mut parts = message.splitn(3, |byte| *byte == b' ');
        let prev = String::from_utf8(parts.next()?.to_vec()).ok()?;
        let id = String::from_utf8(parts.next()?.to_vec()).ok()?;
        Some(Logged { prev, id, frame: parts.next()?.to_vec() })
    }
}

/// Returns the id of the newest event, `0-0` if there is none.
pub(crate) async fn newest(on: &mut impl ConnectionLike, keys: &Keys, key: &str, path: &str) -> RedisResult<String> {
    let newest: Option<String> = redis::cmd("HGET").arg(keys.last_event(key, path)).arg("id").query_async(on).await?;
    Ok(newest.unwrap_or_else(|| "0-0".to_owned()))
}

/// The events after a cursor.
pub(crate) enum Since {
    /// Every event, oldest first.
    All(Vec<Logged>),
    /// None; the newest event has this id.
    Nothing { newest: String },
    /// Some are missing, since the log no longer reaches back; the newest event has this id.
    Gap { newest: String },
}

/// Returns the events after `cursor`.
pub(crate) async fn since(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    key: &str,
    path: &str,
    cursor: &str,
) -> RedisResult<Since> {
    let (events, newest) = range(on, keys, key, path, &format!("({cursor}")).await?;
    let joins_on = match events.first() {
        Some(first) => first.prev == cursor,
        // A log that is gone is not one in which nothing happened. Where nothing is known of either, Redis has lost both,
        // and the next event shows it.
        None => newest.as_ref().is_none_or(|newest| newest == cursor),
    };
    let last = events.last().map(|last| last.id.clone());
    Ok(match last.or(newest) {
        Some(newest) if !joins_on => Since::Gap { newest },
        _ => Since::All(events),
    })
}

/// Returns the events from `since` on, in ms of Redis's clock, as far back as the log reaches.
pub(crate) async fn from(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    key: &str,
    path: &str,
    since: u64,
) -> RedisResult<Vec<Logged>> {
    range(on, keys, key, path, &since.to_string()).await.map(|(events, _)| events)
}

/// Returns the events from `start` on, and the id of the newest event.
async fn range(
    on: &mut impl ConnectionLike,
    keys: &Keys,
    key: &str,
    path: &str,
    start: &str,
) -> RedisResult<(Vec<Logged>, Option<String>)> {
    type Entry = (String, HashMap<String, Vec<u8>>);
    let mut pipe = redis::pipe();
    // In this order: what comes in between is in neither.
    pipe.cmd("HGET").arg(keys.last_event(key, path)).arg("id");
    pipe.cmd("XRANGE").arg(keys.event_log(key, path)).arg(start).arg("+");
    let replies = on.req_packed_commands(&pipe, 0, 2).await?;
    let mut replies = replies.into_iter().map(redis::Value::extract_error);
    let newest = Option::<String>::from_redis_value(replies.next().unwrap_or(Ok(redis::Value::Nil))?)?;
    let range = Vec::<Entry>::from_redis_value(replies.next().unwrap_or(Ok(redis::Value::Nil))?)?;
    let logged = range.into_iter().map(|(id, mut fields)| {
        let prev = fields.remove("p").and_then(|prev| String::from_utf8(prev).ok()).unwrap_or_default();
        Logged { prev, id, frame: fields.remove("m").unwrap_or_default() }
    });
    Ok((logged.collect(), newest))
}
