//! `rachis queues`: what waits for replicas, and what they have.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out, list, span},
};
use rachis::{ErrorKind, QueueInfo};
use std::time::Duration;

/// Show the queues of the apps: what waits or runs, and for how long
///
/// Of every app that has nodes or lingers. With --json: an array of objects with key, app, depth (requests that wait or run),
/// age (of the oldest, ms), pending (how many each replica was given, by node id) and dead_letters.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let queues = node.queues().await;
    let namespace = node.config().namespace.clone();
    observe::leave(node).await;
    let queues = queues.map_err(|error| {
        let exit = if error.kind() == ErrorKind::Unavailable { Exit::NoRedis } else { Exit::Failed };
        Failure::Said(exit, error.message().to_owned())
    })?;
    if out.json {
        out.document(&queues)?;
    } else if queues.is_empty() {
        out::say(&format!("no apps in the mesh {namespace:?}"));
    } else {
        out.table(["APP", "DEPTH", "OLDEST", "DEAD", "GIVEN TO"], queues.iter().map(row).collect())?;
    }
    Ok(Exit::Good)
}

fn row(queue: &QueueInfo) -> [String; 5] {
    let oldest = if queue.depth == 0 { "-".to_owned() } else { span(Duration::from_millis(queue.age)) };
    let given: Vec<String> = queue.pending.iter().map(|(replica, count)| format!("{replica}: {count}")).collect();
    [
        format!("{}/{}", queue.key, queue.app),
        queue.depth.to_string(),
        oldest,
        queue.dead_letters.to_string(),
        list(&given),
    ]
}
