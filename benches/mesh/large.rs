//! Large answers beside small calls: does a page of a mebibyte hold up whoever asks for little?

use crate::{calls, config, figure};
use rachis::{Id, Method, Node, Params, Result, Service};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each half lasts.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Pages a second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
}

/// A page just below the largest reply there may be.
const PAGE: usize = 1_000_000;
/// A record in it.
const RECORD: usize = 500;

/// Serves one page.
pub(crate) struct Pages {
    page: Arc<Value>,
}

impl Pages {
    pub(crate) fn new() -> Self {
        let record = |id: usize| json!({ "id": id, "text": "lorem ipsum ".repeat(RECORD / 12) });
        Pages { page: Arc::new((0..PAGE / (RECORD + 20)).map(record).collect()) }
    }
}

impl Service for Pages {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        Ok(Value::clone(&self.page))
    }
}

/// Measures small calls alone, then beside large ones.
pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let node = Node::builder(config(redis, "caller")?).start().await?;
    node.wait_for("pages").await?;
    node.wait_for("echo").await?;
    let time = Duration::from_secs_f64(args.seconds);
    let alone = calls::measure(&node, 16, time).await;
    let pages = tokio::spawn(pages(node.clone(), time, args.rate));
    let beside = calls::measure(&node, 16, time).await;
    let (count, slowest) = pages.await.unwrap()?;
    figure(&json!({
        "pages": count, "slowest_page_ms": slowest.as_millis() as u64,
        "alone": { "p50": alone.at(0.5), "p99": alone.at(0.99) },
        "beside": { "p50": beside.at(0.5), "p99": beside.at(0.99) },
    }));
    node.shutdown().await
}

async fn pages(node: Node, time: Duration, rate: u32) -> Result<(u32, Duration)> {
    let (start, mut count, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    while start.elapsed() < time {
        ticks.tick().await;
        let asked = Instant::now();
        node.service("pages").get("1").await?;
        slowest = slowest.max(asked.elapsed());
        count += 1;
    }
    Ok((count, slowest))
}
