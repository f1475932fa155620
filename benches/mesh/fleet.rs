//! Many nodes that do nothing: what an idle mesh costs, and what it costs when all of it restarts.

use crate::{config, figure, service::Echo};
use futures_util::{StreamExt, TryStreamExt, stream};
use rachis::{App, Error, Node, Result, signal};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes in this process, each an app of its own with one service.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
}

/// Nodes that start or stop at once.
const AT_ONCE: usize = 32;

/// Says how far it has come, ten times in all: a thousand nodes take a while.
fn progress(what: &str, done: usize, of: usize) {
    let tenth = (of / 10).max(1);
    if done.is_multiple_of(tenth) {
        eprintln!("{what}: {done} of {of}");
    }
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut nodes = start(redis, args.nodes).await?;
    loop {
        let told = tokio::select! {
            line = lines.next_line() => line.map_err(Error::other)?,
            () = signal() => None,
        };
        stop(nodes).await;
        if told.is_none() {
            return Ok(());
        }
        nodes = start(redis, args.nodes).await?;
    }
}

/// Starts them all, and waits until each knows every other.
async fn start(redis: &str, count: usize) -> Result<Vec<Node>> {
    let begun = Instant::now();
    let starting = (0..count).map(|number| async move {
        let app = App::new().register(&format!("nothing-{number}"), Echo);
        Node::builder(config(redis, &format!("idle-{number}"))?).app(app).start().await
    });
    let mut starting = stream::iter(starting).buffer_unordered(AT_ONCE);
    let mut nodes: Vec<Node> = Vec::with_capacity(count);
    while let Some(node) = starting.try_next().await? {
        nodes.push(node);
        progress("started", nodes.len(), count);
    }
    drop(starting);
    // One after the other: to ask all of them again and again would cost more than what is measured.
    for (number, node) in nodes.iter().enumerate() {
        while node.nodes().len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        progress("know all others", number + 1, count);
    }
    figure(&json!({ "ready": count, "seconds": begun.elapsed().as_secs_f64() }));
    Ok(nodes)
}

async fn stop(nodes: Vec<Node>) {
    let mut stopped = 0;
    let count = nodes.len();
    let mut stopping = stream::iter(nodes).map(async |node| node.shutdown().await).buffer_unordered(AT_ONCE);
    while let Some(outcome) = stopping.next().await {
        if let Err(error) = outcome {
            eprintln!("a node did not stop in time: {error}");
        }
        stopped += 1;
        progress("stopped", stopped, count);
    }
}
