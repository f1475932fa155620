//! Frames made by hand: what somebody who reaches Redis but is no node could write.

use crate::{calls_of, redis_of};
use rachis::Config;
use serde_json::{Value, json};
use std::time::Duration;

/// The node that answers to hand-made requests are meant for.
pub(crate) const NOBODY: &str = "nobody";

type Fields = Vec<(String, Vec<u8>)>;

/// A request of `NOBODY`.
pub(crate) fn request(id: u64, path: &str, method: &str, left: Duration) -> Vec<u8> {
    let none: Option<Value> = None;
    let params = (json!({}), none.clone(), json!({}), json!({}), none.clone(), none.clone(), false, json!({}));
    let body = (id, NOBODY, 0u8, path, method, none, Value::Null, params);
    let mut frame = vec![1, b'Q'];
    frame.extend(u32::try_from(left.as_millis()).unwrap().to_be_bytes());
    frame.extend(rmp_serde::to_vec(&body).unwrap());
    frame
}

/// Puts a frame into the request stream of an app; returns the entry's id.
pub(crate) async fn send(config: &Config, app: &str, frame: &[u8]) -> String {
    add(config, &calls_of(config, app), frame).await
}

/// Puts a frame into any stream.
pub(crate) async fn add(config: &Config, stream: &str, frame: &[u8]) -> String {
    let mut add = redis::cmd("XADD");
    add.arg(stream).arg("*").arg("m").arg(frame).query_async(&mut redis_of(config).await).await.unwrap()
}

pub(crate) fn inbox_of(config: &Config, node: &str) -> String {
    format!("{}:{{node:{node}}}:inbox", config.namespace)
}

/// The replies to `NOBODY` so far: the call's number and what it ended in, `{"Answer": [...]}` or `{"Failure": ...}`.
pub(crate) async fn replies(config: &Config) -> Vec<(u64, Value)> {
    let frames = frames(config, &inbox_of(config, NOBODY)).await;
    frames.iter().map(|frame| rmp_serde::from_slice(&frame[2..]).unwrap()).collect()
}

/// The frames of a stream. An entry of an inbox may hold several.
pub(crate) async fn frames(config: &Config, stream: &str) -> Vec<Vec<u8>> {
    let mut range = redis::cmd("XRANGE");
    let entries: Vec<(String, Fields)> =
        range.arg(stream).arg("-").arg("+").query_async(&mut redis_of(config).await).await.unwrap();
    let fields = entries.into_iter().flat_map(|(_, fields)| fields);
    fields.filter(|(name, _)| name == "m").map(|(_, frame)| frame).collect()
}

/// Puts a frame into the request stream of an app, gives it to the replica `to` in the same moment, and tells that one, as
/// a replica does that lacks the method.
pub(crate) async fn hand_on(config: &Config, app: &str, to: &str, frame: &[u8]) -> String {
    let entry = give(config, app, to, frame).await;
    let mut note = vec![1, b'H'];
    note.extend(rmp_serde::to_vec(&(&entry,)).unwrap());
    add(config, &inbox_of(config, to), &note).await;
    entry
}

/// The first half of that: the note is lost.
pub(crate) async fn give(config: &Config, app: &str, to: &str, frame: &[u8]) -> String {
    let script = "local entry = redis.call('XADD', KEYS[1], '*', 'm', ARGV[2])
        redis.call('XREADGROUP', 'GROUP', 'replicas', ARGV[1], 'STREAMS', KEYS[1], '>')
        return entry";
    let mut eval = redis::cmd("EVAL");
    eval.arg(script).arg(1).arg(calls_of(config, app)).arg(to).arg(frame);
    eval.query_async(&mut redis_of(config).await).await.unwrap()
}
