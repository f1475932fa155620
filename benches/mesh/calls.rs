//! Calls of a small record.

use crate::{config, figure, load};
use rachis::{Node, Result};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Callers at once; of several numbers, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    callers: Vec<usize>,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let node = Node::builder(config(redis, "caller")?).start().await?;
    node.wait_for("echo").await?;
    for &callers in &args.callers {
        figure(&measure(&node, callers, Duration::from_secs_f64(args.seconds)).await.figure());
    }
    node.shutdown().await
}

/// Calls `echo` for `time`, `callers` at once.
pub(crate) async fn measure(node: &Node, callers: usize, time: Duration) -> load::Measured {
    let echo = node.service("echo");
    let call = move |caller: usize| {
        let call = echo.get(caller as i64);
        async move { call.await.is_ok() }
    };
    load::measure(callers, time, call).await
}
