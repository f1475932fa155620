//! Searches in request streams: in what state a request is, for the node that wrote it.

use super::{Entry, EntryId};
use crate::redis::{keys::GROUP, resp::bytes};
use redis::{RedisResult, Script, Value, aio::ConnectionLike};
use std::{collections::HashMap, sync::LazyLock};

static PLACES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/places.lua")));
static FIND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/find.lua")));

/// Requests asked about in one script.
const PLACES_BATCH: usize = 128;
/// How much of a request is looked at in a search: whoever sent it is named at its front.
const HEAD: usize = 256;
/// Requests and bytes looked through in one script, so that none holds Redis up for more than a few milliseconds.
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

/// The requests of `stream`, not older than `since` (ms of Redis's clock), with `text` at their front. Only their
/// front is returned.
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

/// The id of a stream's newest entry, the first of all where there is none.
pub(crate) async fn newest(on: &mut impl ConnectionLike, stream: &str) -> RedisResult<EntryId> {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    let found: Vec<(EntryId, HashMap<String, Value>)> = command.query_async(on).await?;
    Ok(found.into_iter().next().map_or(EntryId::FIRST, |(id, _)| id))
}

/// Is there such a key?
pub(crate) async fn exists(on: &mut impl ConnectionLike, key: &str) -> RedisResult<bool> {
    redis::cmd("EXISTS").arg(key).query_async(on).await
}
