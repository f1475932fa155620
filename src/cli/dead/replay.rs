//! `rachis dead replay`: the calls of letters, made again.

use super::failed;
use crate::cli::{
    Exit,
    call::masked,
    exit::Failure,
    out::{self, Out},
    plain,
};
use rachis::{DeadLetters, ErrorKind, Replay, signal};
use serde_json::json;

pub(super) async fn replay(letters: &DeadLetters, id: Option<&str>, out: &mut Out) -> Result<Exit, Failure> {
    tokio::select! {
        outcome = make(letters, id, out) => outcome,
        () = signal() => Err(Failure::failed("interrupted: the call under way may run, its letter stays")),
    }
}

async fn make(letters: &DeadLetters, id: Option<&str>, out: &mut Out) -> Result<Exit, Failure> {
    let Some(id) = id else { return make_all(letters, out).await };
    let replay = letters.replay(id).await.map_err(failed)?;
    if out.json {
        tell_programs(id, &replay, out)?;
    } else if let Ok(result) = &replay.outcome {
        out.value(&masked(result.clone()))?;
    }
    tell_people(id, &replay, out);
    Ok(exit(&replay))
}

/// Goes on after a failure: the letters have nothing to do with each other.
async fn make_all(letters: &DeadLetters, out: &mut Out) -> Result<Exit, Failure> {
    let ids = letters.ids().await.map_err(failed)?;
    let mut settled = 0;
    let mut worst = Exit::Good;
    for id in &ids {
        let replay = match letters.replay(id).await {
            Ok(replay) => replay,
            // Another program was faster, or it keeps no call.
            Err(error) if error.kind() != ErrorKind::Unavailable => {
                out::say(error.message());
                worst = Exit::Failed;
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        if out.json {
            tell_programs(id, &replay, out)?;
        } else if let Ok(result) = &replay.outcome {
            out.line(format!("{id}  {}", plain::json(&masked(result.clone()))?))?;
        }
        tell_people(id, &replay, out);
        settled += usize::from(replay.removed);
        worst = if exit(&replay) == Exit::Good { worst } else { Exit::Failed };
    }
    if !out.json {
        out::say(&format!("replayed: {}, settled: {settled}", ids.len()));
    }
    Ok(worst)
}

fn tell_programs(id: &str, replay: &Replay, out: &mut Out) -> Result<(), Failure> {
    let document = match &replay.outcome {
        Ok(result) => json!({ "id": id, "removed": replay.removed, "result": masked(result.clone()) }),
        Err(error) => json!({ "id": id, "removed": replay.removed, "error": masked(error.to_json()) }),
    };
    Ok(out.document(&document)?)
}

fn tell_people(id: &str, replay: &Replay, out: &Out) {
    if out.json {
        return;
    }
    let letter = if replay.removed { "settled, and gone" } else { "it stays" };
    if let Err(error) = &replay.outcome {
        out::say(&format!("{id}: {error}"));
        for (name, value) in [("data", error.data()), ("errors", error.errors())] {
            if let Some(value) = value {
                out::say(&format!("{name}: {}", masked(value.clone())));
            }
        }
    }
    out::say(&format!("dead letter {id}: {letter}"));
}

/// As `rachis call` ends.
fn exit(replay: &Replay) -> Exit {
    match &replay.outcome {
        Ok(_) => Exit::Good,
        Err(error) if error.kind() == ErrorKind::Timeout => Exit::NoAnswer,
        Err(_) => Exit::Failed,
    }
}
