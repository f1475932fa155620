//! Many nodes that do nothing: what an idle mesh costs, and what it costs when all of it restarts.

use crate::{config, figure};
use futures_util::{StreamExt, stream};
use rachis::{App, Id, Method, Node, Params, Result, Service};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes in this process.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// Stops all nodes and starts as many anew when a line comes from stdin.
    #[arg(long)]
    restart: bool,
}

/// Nodes that start at once.
const AT_ONCE: usize = 32;

struct Nothing;

impl Service for Nothing {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let mut nodes = start(redis, args.nodes).await?;
    if args.restart {
        let mut line = String::new();
        let read = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line)).await;
        drop(read);
        let begun = Instant::now();
        stop(nodes).await;
        nodes = start(redis, args.nodes).await?;
        figure(&json!({ "restarted": args.nodes, "seconds": begun.elapsed().as_secs_f64() }));
    }
    rachis::signal().await;
    stop(nodes).await;
    Ok(())
}

async fn start(redis: &str, count: usize) -> Result<Vec<Node>> {
    let begun = Instant::now();
    let starting = (0..count).map(|number| async move {
        let app = App::new().register(&format!("nothing-{number}"), Nothing);
        Node::builder(config(redis, &format!("idle-{number}"))?).app(app).start().await
    });
    let started: Vec<Result<Node>> = stream::iter(starting).buffer_unordered(AT_ONCE).collect().await;
    let nodes: Vec<Node> = started.into_iter().collect::<Result<_>>()?;
    while nodes.iter().any(|node| node.nodes().len() < count) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    figure(&json!({ "ready": count, "seconds": begun.elapsed().as_secs_f64() }));
    Ok(nodes)
}

async fn stop(nodes: Vec<Node>) {
    stream::iter(nodes).for_each_concurrent(AT_ONCE, |node| async move { drop(node.shutdown().await) }).await;
}
