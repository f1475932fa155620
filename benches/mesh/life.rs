//! A gateway, and how soon nodes hear of each other.

use crate::{Echo, calls, config, figure};
use rachis::{
    App, Error, Node, Result,
    gateway::{self, serve},
    signal,
};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

#[derive(clap::Args)]
pub(crate) struct Gateway {
    /// Serves `echo` itself instead of calling it.
    #[arg(long)]
    local: bool,
}

#[derive(clap::Args)]
pub(crate) struct Discovery {
    /// Services registered and taken away again.
    #[arg(long, default_value_t = 200)]
    count: usize,
}

pub(crate) async fn serve_http(redis: &str, args: &Gateway) -> Result<()> {
    let app = if args.local { App::new().register("echo", Echo) } else { App::new() };
    let node = Node::builder(config(redis, "gateway")?).app(app).start().await?;
    node.wait_for("echo").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::other)?;
    let address = listener.local_addr().map_err(Error::other)?;
    figure(&json!({ "ready": node.id(), "address": address.to_string() }));
    let grace = node.config().shutdown.grace;
    serve(listener, gateway::gateway(&node), signal(), grace).await.map_err(Error::other)?;
    node.shutdown().await
}

/// Registered here → answered there, and taken away here → not found there.
pub(crate) async fn discovery(redis: &str, args: &Discovery) -> Result<()> {
    let here = Node::builder(config(redis, "here")?).start().await?;
    let there = Node::builder(config(redis, "there")?).start().await?;
    let (mut callable, mut gone) = (calls::histogram(), calls::histogram());
    for number in 0..args.count {
        let path = format!("new-{number}");
        let begun = Instant::now();
        here.register(&path, Echo).await?;
        there.wait_for(&path).await?;
        there.service(&path).get("1").await?;
        callable.saturating_record(calls::micros(begun.elapsed()));
        let begun = Instant::now();
        here.unregister(&path).await?;
        while there.resolve(&path).is_some() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        gone.saturating_record(calls::micros(begun.elapsed()));
    }
    let at = |histogram: &hdrhistogram::Histogram<u64>, share| histogram.value_at_quantile(share);
    figure(&json!({
        "callable": { "p50": at(&callable, 0.5), "p99": at(&callable, 0.99) },
        "gone": { "p50": at(&gone, 0.5), "p99": at(&gone, 0.99) },
    }));
    here.shutdown().await?;
    there.shutdown().await
}
