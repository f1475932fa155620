//! The dead letters of one app, read from their stream.

use redis::{RedisResult, aio::ConnectionLike};
use std::collections::HashMap;

/// A dead letter: a request that was set aside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) frame: Vec<u8>,
    /// The size of the request, in bytes.
    pub(crate) size: u64,
    pub(crate) reason: String,
    /// The entry id of the request.
    pub(crate) entry: String,
    pub(crate) deliveries: u32,
    /// The replica that had it last.
    pub(crate) consumer: String,
    /// The replica that set it aside.
    pub(crate) by: String,
}

type Fields = HashMap<String, Vec<u8>>;

impl Letter {
    /// Reads a letter. Missing fields are empty, since any client of Redis can write one.
    fn read((id, mut fields): (String, Fields)) -> Self {
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        let frame = take("m");
        let mut text = |name: &str| String::from_utf8_lossy(&take(name)).into_owned();
        Letter {
            id,
            frame,
            size: text("size").parse().unwrap_or(0),
            reason: text("reason"),
            entry: text("entry"),
            deliveries: text("deliveries").parse().unwrap_or(0),
            consumer: text("consumer"),
            by: text("by"),
        }
    }
}

/// Returns the newest letters, the newest first.
pub(crate) async fn newest(on: &mut impl ConnectionLike, stream: &str, count: usize) -> RedisResult<Vec<Letter>> {
    let mut range = redis::cmd("XREVRANGE");
    let found: Vec<(String, Fields)> =
        range.arg(stream).arg("+").arg("-").arg("COUNT").arg(count).query_async(on).await?;
    Ok(found.into_iter().map(Letter::read).collect())
}

/// Returns the letter with this id; `None` for anything that is no id.
pub(crate) async fn get(on: &mut impl ConnectionLike, stream: &str, id: &str) -> RedisResult<Option<Letter>> {
    if !is_id(id) {
        return Ok(None);
    }
    let found: Vec<(String, Fields)> = redis::cmd("XRANGE").arg(stream).arg(id).arg(id).query_async(on).await?;
    Ok(found.into_iter().map(Letter::read).next())
}

/// Returns the ids of the oldest letters after `id` (`0-0` for all), the oldest first.
pub(crate) async fn ids_after(
    on: &mut impl ConnectionLike,
    stream: &str,
    id: &str,
    count: usize,
) -> RedisResult<Vec<String>> {
    let mut range = redis::cmd("XRANGE");
    let range = range.arg(stream).arg(format!("({id}")).arg("+").arg("COUNT").arg(count);
    let found: Vec<(String, Fields)> = range.query_async(on).await?;
    Ok(found.into_iter().map(|(id, _)| id).collect())
}

/// Deletes letters, and returns how many there were.
pub(crate) async fn remove(on: &mut impl ConnectionLike, stream: &str, ids: &[String]) -> RedisResult<u64> {
    let ids: Vec<&String> = ids.iter().filter(|id| is_id(id)).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    redis::cmd("XDEL").arg(stream).arg(ids).query_async(on).await
}

fn is_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(ms, number)| ms.parse::<u64>().is_ok() && number.parse::<u64>().is_ok())
}
