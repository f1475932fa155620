//! How soon another node can call what is registered here, and how soon it knows that it is gone.

use crate::{config, figure, service::Echo};
use futures_util::StreamExt;
use rachis::{Change, Error, Node, Result};
use serde_json::json;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Services registered and taken away again.
    #[arg(long, default_value_t = 200)]
    count: usize,
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let here = Node::builder(config(redis, "here")?).start().await?;
    let there = Node::builder(config(redis, "there")?).start().await?;
    let mut callable = Vec::new();
    let mut gone = Vec::new();
    for number in 0..args.count {
        let path = format!("new-{number}");
        callable.push(appear(&here, &there, &path).await?);
        gone.push(disappear(&here, &there, &path).await?);
    }
    figure(&json!({
        "callable": { "p50": at(&mut callable, 0.5), "p99": at(&mut callable, 0.99) },
        "gone": { "p50": at(&mut gone, 0.5), "p99": at(&mut gone, 0.99) },
    }));
    here.shutdown().await?;
    there.shutdown().await
}

/// From the registration to the first answer that the other node got.
async fn appear(here: &Node, there: &Node, path: &str) -> Result<Duration> {
    let begun = Instant::now();
    here.register(path, Echo).await?;
    there.wait_for(path).await?;
    there.service(path).get("1").await?;
    Ok(begun.elapsed())
}

/// From taking it away to the moment when the other node hears of it.
async fn disappear(here: &Node, there: &Node, path: &str) -> Result<Duration> {
    let mut changes = there.changes();
    let begun = Instant::now();
    here.unregister(path).await?;
    while let Some(change) = changes.next().await {
        if matches!(change, Change::ServiceRemoved(service) if service.path == path) {
            return Ok(begun.elapsed());
        }
    }
    Err(Error::unavailable("the node stopped before it heard"))
}

/// Milliseconds within which `share` of them stayed.
fn at(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let at = (times.len() as f64 * share) as usize;
    times.get(at).or(times.last()).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
