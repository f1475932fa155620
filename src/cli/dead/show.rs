//! `rachis dead show`: one letter.

use super::failed;
use crate::cli::{Exit, exit::Failure, out::Out};
use rachis::{DeadCall, DeadLetter, DeadLetters};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

pub(super) async fn show(letters: &DeadLetters, id: &str, out: &mut Out) -> Result<Exit, Failure> {
    let letter = letters.get(id).await.map_err(failed)?;
    if out.json {
        out.document(&letter)?;
        return Ok(Exit::Good);
    }
    let mut lines = of_letter(&letter);
    match &letter.call {
        Some(call) => lines.extend(of_call(call)),
        None => lines.push(("call", "not kept, since no replica could read it".to_owned())),
    }
    for (name, text) in lines {
        out.line(format!("{name:<12}{text}"))?;
    }
    Ok(Exit::Good)
}

fn of_letter(letter: &DeadLetter) -> Vec<(&'static str, String)> {
    vec![
        ("id", letter.id.clone()),
        ("app", format!("{}/{}", letter.key, letter.app)),
        ("reason", letter.reason.clone()),
        ("deliveries", letter.deliveries.to_string()),
        ("queued", time(letter.queued)),
        ("buried", format!("{} by {}", time(letter.set_aside), letter.set_aside_by)),
        ("last had by", letter.replica.clone()),
        ("size", format!("{} bytes", letter.size)),
    ]
}

/// What is empty is left out.
fn of_call(call: &DeadCall) -> Vec<(&'static str, String)> {
    let id = call.id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let fields = [
        ("data", call.data.clone()),
        ("query", call.query.clone()),
        ("route", json!(call.route)),
        ("provider", json!(call.provider)),
        ("user", json!(call.user)),
        ("headers", json!(call.headers)),
        ("extra", json!(call.extra)),
        ("key", json!(call.idempotency_key)),
    ];
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    let mut lines = vec![("call", format!("{} on '{}'{id}", call.method, call.path)), ("caller", call.caller.clone())];
    lines.extend(fields.iter().filter(|(_, value)| !is_empty(value)).map(|(name, value)| (*name, value.to_string())));
    lines
}

fn time(ms: u64) -> String {
    // Any program that can write to Redis can write any number there.
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms)).filter(|_| ms < 253_402_300_800_000);
    time.map_or_else(|| ms.to_string(), |time| humantime::format_rfc3339_millis(time).to_string())
}
