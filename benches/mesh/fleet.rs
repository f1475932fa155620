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
    let nodes: Vec<Node> = stream::iter(starting).buffer_unordered(AT_ONCE).try_collect().await?;
    while nodes.iter().any(|node| node.nodes().len() < count) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    figure(&json!({ "ready": count, "seconds": begun.elapsed().as_secs_f64() }));
    Ok(nodes)
}

async fn stop(nodes: Vec<Node>) {
    let stopping = stream::iter(nodes).for_each_concurrent(AT_ONCE, |node| async move {
        if let Err(error) = node.shutdown().await {
            eprintln!("a node did not stop in time: {error}");
        }
    });
    stopping.await;
}
