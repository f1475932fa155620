//! Events from one node to many.

use crate::{
    calls::{histogram, micros},
    config, figure,
};
use rachis::{App, Id, Method, Node, Params, Result, Service};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

#[derive(clap::Args)]
pub(crate) struct Publish {
    /// Events in all.
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// Events a second; 0: as many as it can.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Subscribing nodes to wait for.
    #[arg(long, default_value_t = 1)]
    subscribers: usize,
}

#[derive(clap::Args)]
pub(crate) struct Subscribe {
    /// Nodes in this process that subscribe.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Events to hear.
    #[arg(long, default_value_t = 20_000)]
    count: u64,
}

struct Ticks;

impl Service for Ticks {
    const METHODS: &[Method] = &[Method::Get];
    const EVENTS: &[&str] = &["tick"];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }
}

/// Fires the events once everybody is there.
pub(crate) async fn publish(redis: &str, args: &Publish) -> Result<()> {
    let app = App::new().register("ticks", Ticks);
    let node = Node::builder(config(redis, "ticks")?).app(app).start().await?;
    figure(&json!({ "ready": node.id() }));
    // Each subscriber says that it listens by a call.
    while node.nodes().iter().filter(|node| node.app.starts_with("ears-")).count() < args.subscribers {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ticks = node.service("ticks");
    let start = Instant::now();
    for number in 0..args.count {
        if args.rate > 0 {
            let due = start + Duration::from_secs_f64(number as f64 / args.rate as f64);
            tokio::time::sleep_until(due.into()).await;
        } else if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
        ticks.emit("tick", json!({ "number": number, "sent": unix_us(), "text": "x".repeat(100) }))?;
    }
    figure(&json!({ "published": args.count, "seconds": start.elapsed().as_secs_f64() }));
    rachis::signal().await;
    node.shutdown().await
}

/// Hears them on every node of this process.
pub(crate) async fn subscribe(redis: &str, args: &Subscribe) -> Result<()> {
    let mut running = Vec::new();
    for number in 0..args.nodes {
        let (redis, count) = (redis.to_owned(), args.count);
        running.push(tokio::spawn(async move { hear(&redis, number, count).await }));
    }
    let mut latency = histogram();
    let (mut heard, mut resyncs, mut slowest) = (0, 0, 0.0f64);
    for node in running {
        let (part, events, missed, seconds) = node.await.unwrap()?;
        latency.add(part).unwrap();
        heard += events;
        resyncs += missed;
        slowest = slowest.max(seconds);
    }
    let at = |share| latency.value_at_quantile(share);
    figure(&json!({
        "nodes": args.nodes, "heard": heard, "resyncs": resyncs, "seconds": slowest,
        "rate": heard as f64 / slowest.max(f64::MIN_POSITIVE), "p50": at(0.5), "p99": at(0.99),
    }));
    Ok(())
}

/// One node that hears `count` events, or as many as come until none does for a while.
async fn hear(redis: &str, number: usize, count: u64) -> Result<(hdrhistogram::Histogram<u64>, u64, u64, f64)> {
    let onlooker = Node::builder(config(redis, "ears")?).observer().start().await?;
    onlooker.wait_for("ticks").await?;
    let mut ticks = onlooker.service("ticks").on("tick").await?;
    // Only now others see that somebody listens.
    let node = Node::builder(config(redis, &format!("ears-{number}"))?).start().await?;
    let (mut latency, mut heard, mut resyncs) = (histogram(), 0, 0);
    let mut first = None;
    let mut last = Instant::now();
    while heard < count {
        let waited = tokio::time::timeout(Duration::from_secs(20), ticks.next()).await;
        let Ok(Some(event)) = waited else { break };
        last = Instant::now();
        first.get_or_insert(last);
        match event.data["sent"].as_u64() {
            Some(sent) => {
                heard += 1;
                latency.saturating_record(unix_us().saturating_sub(sent));
            }
            None => resyncs += 1,
        }
    }
    let seconds = first.map_or(0.0, |first| (last - first).as_secs_f64());
    drop(ticks);
    node.shutdown().await?;
    onlooker.shutdown().await?;
    Ok((latency, heard, resyncs, seconds))
}

fn unix_us() -> u64 {
    micros(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}
