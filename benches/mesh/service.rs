//! What is called: the record that all peers serve, a large page, and an answer that takes its time.

use crate::{config, figure};
use futures_util::future::try_join_all;
use rachis::{App, Id, Method, Node, Params, Result, Service, signal};
use serde_json::{Value, json};
use std::{sync::LazyLock, time::Duration};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes of this process, all replicas of one app.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
}

/// A record of 130 bytes.
pub(crate) struct Echo;

impl Service for Echo {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id, "title": "hello", "text": "x".repeat(100) }))
    }
}

/// The same record, not in memory already.
struct Slow;

impl Service for Slow {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Echo.get(id, params).await
    }
}

/// A page close to a mebibyte, which is the largest reply there may be.
struct Pages;

/// Made when it is first asked for: a node at rest does not have it in memory.
static PAGE: LazyLock<Value> = LazyLock::new(|| {
    let record = |id: usize| json!({ "id": id, "text": "lorem ipsum ".repeat(40) });
    (0..2_000).map(record).collect()
});

impl Service for Pages {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        Ok(PAGE.clone())
    }
}

/// Starts a node that serves all of it.
pub(crate) async fn start(config: rachis::Config) -> Result<Node> {
    let app = App::new().register("echo", Echo).register("slow", Slow).register("pages", Pages);
    Node::builder(config).app(app).start().await
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let config = config(redis, "services")?;
    let nodes = try_join_all((0..args.replicas).map(|_| start(config.clone()))).await?;
    figure(&json!({ "ready": args.replicas }));
    signal().await;
    try_join_all(nodes.iter().map(Node::shutdown)).await.map(drop)
}
