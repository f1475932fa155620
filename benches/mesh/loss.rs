//! What a kill costs: one of two replicas dies under load.

use crate::{config, figure};
use futures_util::{FutureExt, StreamExt};
use rachis::{Change, Error, Node, Result};
use serde_json::json;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

/// Calls under way when it dies; about half of them are in its hands.
const CALLS: usize = 64;

pub(crate) async fn run(redis: &str) -> Result<()> {
    let node = Node::builder(config(redis, "caller")?).start().await?;
    let mut victim = replica(redis).await?;
    let _survivor = replica(redis).await?;
    node.wait_for("slow").await?;
    while node.nodes().iter().filter(|node| node.app == "services").count() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut changes = node.changes();
    let mut asked = ask(&node);
    // The calls take 50 ms: by now they are being worked on.
    tokio::time::sleep(Duration::from_millis(20)).await;
    victim.start_kill().map_err(Error::other)?;
    let killed = Instant::now();
    next_answer(&node).await;
    let answered = killed.elapsed();
    let down = async {
        while let Some(change) = changes.next().await {
            if matches!(change, Change::NodeDown(_)) {
                break;
            }
        }
        killed.elapsed()
    };
    let settled = async {
        let mut failed = 0;
        while let Some(outcome) = asked.join_next().await {
            failed += usize::from(!matches!(outcome, Ok(true)));
        }
        (killed.elapsed(), failed)
    };
    let (down, (settled, failed)) = tokio::join!(down, settled);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    figure(&json!({ "answered": ms(answered), "down": ms(down), "settled": ms(settled), "errors": failed }));
    node.shutdown().await
}

/// Waits for an answer to a call made from now on. A caller that comes later may well be answered sooner: what is asked
/// while the dead process still hangs on to its connection may end up in its hands.
async fn next_answer(node: &Node) {
    let mut due = tokio::time::interval(Duration::from_millis(1));
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            Some(Ok(true)) = asked.join_next() => return,
            _ = due.tick() => drop(asked.spawn(node.service("echo").get("1").into_future().map(|answer| answer.is_ok()))),
        }
    }
}

/// A process that serves, once it does; it ends with its value.
async fn replica(redis: &str) -> Result<Child> {
    let program = std::env::current_exe().map_err(Error::other)?;
    let mut command = Command::new(program);
    command.args(["serve", "--redis", redis]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Error::other)?;
    let stdout = child.stdout.take().ok_or_else(|| Error::unavailable("a replica without output"))?;
    let ready = BufReader::new(stdout).lines().next_line().await.map_err(Error::other)?;
    ready.map(|_| child).ok_or_else(|| Error::unavailable("a replica ended before it served"))
}

/// Calls that take their time, all at once.
fn ask(node: &Node) -> JoinSet<bool> {
    let slow = node.service("slow");
    (0..CALLS).map(|number| slow.get(number as i64).into_future().map(|answer| answer.is_ok())).collect()
}
