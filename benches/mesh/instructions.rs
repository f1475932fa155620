//! A workload that never differs, so that the instructions it takes can be counted.

use crate::{config, figure, service};
use futures_util::{StreamExt, stream};
use rachis::{Config, Node, Result};
use serde_json::json;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Calls in all.
    #[arg(long, default_value_t = 1_000)]
    calls: usize,
    /// How many of them are under way at once.
    #[arg(long, default_value_t = 1)]
    callers: usize,
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let server = service::start(unhurried(config(redis, "services")?)).await?;
    let caller = Node::builder(unhurried(config(redis, "caller")?)).start().await?;
    caller.wait_for("echo").await?;
    let echo = caller.service("echo");
    let answers = stream::iter(0..args.calls).map(|number| echo.get(number as i64).into_future());
    let answered = answers.buffer_unordered(args.callers).filter(|answer| std::future::ready(answer.is_ok()));
    figure(&json!({ "answered": answered.count().await }));
    caller.shutdown().await?;
    server.shutdown().await
}

/// Without beats meanwhile: a profiler makes everything slow, and they go by the clock.
fn unhurried(config: Config) -> Config {
    let heartbeat_interval = Duration::from_secs(600);
    Config { heartbeat_interval, ttl: Some(3 * heartbeat_interval), timeout: heartbeat_interval, ..config }
}
