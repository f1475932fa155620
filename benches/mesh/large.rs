//! Large answers beside small calls: how long a page of a mebibyte holds up small answers.

use crate::{calls, config, figure};
use rachis::{Error, Node, Result};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each half lasts: small calls alone, then beside pages.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Pages a second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
}

/// Callers of small records.
const CALLERS: usize = 16;

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let node = Node::builder(config(redis, "caller")?).start().await?;
    node.wait_for("echo").await?;
    node.wait_for("pages").await?;
    let time = Duration::from_secs_f64(args.seconds);
    let alone = calls::measure(&node, CALLERS, time).await;
    let mut pages = Vec::new();
    let beside = tokio::select! {
        beside = calls::measure(&node, CALLERS, time) => beside,
        error = ask_for_pages(&node, args.rate, &mut pages) => return Err(error),
    };
    let slowest = pages.iter().max().copied().unwrap_or_default();
    figure(&json!({
        "alone": alone.figure(), "beside": beside.figure(),
        "pages": pages.len(), "slowest_page_ms": slowest.as_millis() as u64,
    }));
    node.shutdown().await
}

/// Asks for one page after the other and notes how long each took, until one fails.
async fn ask_for_pages(node: &Node, rate: u32, took: &mut Vec<Duration>) -> Error {
    let mut due = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    // A page that takes longer than its turn makes the rate lower, not the next ones denser.
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let asked = Instant::now();
        if let Err(error) = node.service("pages").get("1").await {
            return error;
        }
        took.push(asked.elapsed());
    }
}
