//! Searches in request streams: in what state a request is, for the node that wrote it.

use super::{Entry, EntryId};
use crate::redis::{keys::GROUP, resp::bytes, scripts};
use redis::{RedisResult, Script, Value, aio::ConnectionLike};
use std::{collections::HashMap, sync::LazyLock};

static PLACES: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::PLACES));
static FIND: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::FIND));

/// Requests in one call of the script.
const PLACES_BATCH: usize = 128;
/// Bytes of a request that a search looks at: the sender is named at its front.
const HEAD: usize = 256;
/// Requests and bytes searched in one call of the script, so that none blocks Redis for more than a few milliseconds.
const FIND_BATCH: usize = 2_000;
const FIND_BYTES: usize = 8 * 1024 * 1024;

/// The state of a request in its stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RequestState {
    /// Not in the stream.
    Missing,
    /// In the stream, delivered to no replica.
    Waiting,
    /// In the stream, delivered to this replica.
    Delivered(String),
}

/// Returns the state of each of these requests, in their order.
pub(crate) async fn request_states(
    on: &mut impl ConnectionLike,
    stream: &str,
    ids: &[EntryId],
) -> RedisResult<Vec<RequestState>> {
    let mut states = Vec::with_capacity(ids.len());
    for batch in ids.chunks(PLACES_BATCH) {
        let found: Vec<Value> = PLACES.key(stream).arg(GROUP).arg(batch).invoke_async(on).await?;
        states.extend(found.into_iter().map(|state| match state {
            Value::Int(0) => RequestState::Missing,
            Value::Int(_) => RequestState::Waiting,
            replica => {
                let id = bytes(replica).unwrap_or_default();
                RequestState::Delivered(String::from_utf8_lossy(&id).into_owned())
            }
        }));
    }
    Ok(states)
}

/// Returns the requests of `stream`, not older than `since` (ms of Redis's clock), with `text` at their front. Only
/// their front is returned.
pub(crate) async fn find(
    on: &mut impl ConnectionLike,
    stream: &str,
    text: &str,
    since: u64,
) -> RedisResult<Vec<Entry>> {
    let mut all = Vec::new();
    let mut from = since.to_string();
    while !from.is_empty() {
        let mut call = FIND.key(stream);
        call.arg(text).arg(from).arg(HEAD).arg(FIND_BATCH).arg(FIND_BYTES);
        let (next, found): (String, Vec<(EntryId, Vec<u8>)>) = call.invoke_async(on).await?;
        all.extend(found.into_iter().map(|(id, frame)| Entry { id, frame }));
        from = next;
    }
    Ok(all)
}

/// Returns the id of the newest entry, [`EntryId::FIRST`] for an empty stream.
pub(crate) async fn newest(on: &mut impl ConnectionLike, stream: &str) -> RedisResult<EntryId> {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    let found: Vec<(EntryId, HashMap<String, Value>)> = command.query_async(on).await?;
    Ok(found.into_iter().next().map_or(EntryId::FIRST, |(id, _)| id))
}

/// Returns `true` if the key exists.
pub(crate) async fn exists(on: &mut impl ConnectionLike, key: &str) -> RedisResult<bool> {
    redis::cmd("EXISTS").arg(key).query_async(on).await
}
