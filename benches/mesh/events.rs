//! Events from one node to many.

use crate::{config, figure, load::micros};
use futures_util::future::try_join_all;
use rachis::{App, Error, Event, EventStream, Id, Method, Node, Params, Result, Service};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Notify, task::JoinSet};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes that hear them.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// How long events are fired as fast as all can hear them, and then as long at a slow pace.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Events that the slowest node has yet to hear, at most: few enough for every buffer on the way.
const WINDOW: u64 = 256;
/// Between two events, where it is asked how long one takes rather than how many there can be.
const PACE: Duration = Duration::from_millis(2);
/// Nothing is on the way any longer when no listener has heard anything for so long.
const PATIENCE: Duration = Duration::from_secs(5);

struct Ticks;

impl Service for Ticks {
    const METHODS: &[Method] = &[Method::Get];
    const EVENTS: &[&str] = &["tick"];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }
}

pub(crate) async fn run(redis: &str, args: &Args) -> Result<()> {
    let publisher = Node::builder(config(redis, "ticks")?).app(App::new().register("ticks", Ticks)).start().await?;
    let ears = try_join_all((0..args.nodes).map(|_| async {
        let node = Node::builder(config(redis, "ears")?).start().await?;
        node.wait_for("ticks").await.map(|_| node)
    }));
    let ears = ears.await?;
    let time = Duration::from_secs_f64(args.seconds);
    let flood = fire(&publisher, &ears, time, None).await?;
    let paced = fire(&publisher, &ears, time, Some(PACE)).await?;
    figure(&json!({
        "deliveries": flood.deliveries as f64 / flood.time.as_secs_f64(), "p50": paced.at(0.5), "p99": paced.at(0.99),
    }));
    try_join_all(ears.iter().chain([&publisher]).map(Node::shutdown)).await.map(drop)
}

/// What came of some time of events.
struct Fired {
    deliveries: usize,
    time: Duration,
    /// Of each delivery, in microseconds; sorted.
    latencies: Vec<u32>,
}

impl Fired {
    fn at(&self, share: f64) -> u32 {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at).copied().unwrap_or(0)
    }
}

/// What all nodes have heard.
struct Board {
    begun: Instant,
    /// Events heard, by node.
    heard: Vec<AtomicU64>,
    latencies: Mutex<Vec<u32>>,
    progress: Notify,
}

impl Board {
    fn new(nodes: usize) -> Self {
        let heard = (0..nodes).map(|_| AtomicU64::new(0)).collect();
        Board { begun: Instant::now(), heard, latencies: Mutex::default(), progress: Notify::new() }
    }

    fn now(&self) -> u64 {
        u64::from(micros(self.begun.elapsed()))
    }

    fn slowest(&self) -> u64 {
        self.heard.iter().map(|heard| heard.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    /// Waits until every node has heard `count` events.
    async fn reach(&self, count: u64) -> Result<()> {
        while self.slowest() < count {
            let late = |_| Error::timeout("events were lost: some node hears no more of them");
            tokio::time::timeout(PATIENCE, self.progress.notified()).await.map_err(late)?;
        }
        Ok(())
    }

    fn hear(&self, node: usize, event: &Event) -> Result<()> {
        let sent = event.data["sent"].as_u64();
        let sent =
            sent.ok_or_else(|| Error::unavailable(format!("a node got {:?} instead of an event", event.name)))?;
        let took = u32::try_from(self.now().saturating_sub(sent)).unwrap_or(u32::MAX);
        self.latencies.lock().expect("no holder of the lock panics").push(took);
        self.heard[node].fetch_add(1, Ordering::AcqRel);
        self.progress.notify_one();
        Ok(())
    }
}

/// Fires events for `time`, one each `pace` or as fast as all can hear them.
async fn fire(publisher: &Node, ears: &[Node], time: Duration, pace: Option<Duration>) -> Result<Fired> {
    let board = Arc::new(Board::new(ears.len()));
    let mut listeners = JoinSet::new();
    for (number, node) in ears.iter().enumerate() {
        listeners.spawn(listen(node.service("ticks").on("tick").await?, number, board.clone()));
    }
    tokio::select! {
        sent = emit(publisher, &board, time, pace) => sent?,
        Some(ended) = listeners.join_next() => return ended.map_err(Error::other)?.and(Err(Error::unavailable("a node fell silent"))),
    }
    let time = board.begun.elapsed();
    listeners.shutdown().await;
    let mut latencies = std::mem::take(&mut *board.latencies.lock().expect("no holder of the lock panics"));
    latencies.sort_unstable();
    Ok(Fired { deliveries: latencies.len(), time, latencies })
}

async fn emit(publisher: &Node, board: &Board, time: Duration, pace: Option<Duration>) -> Result<()> {
    let ticks = publisher.service("ticks");
    let mut sent = 0u64;
    while board.begun.elapsed() < time {
        ticks.emit("tick", json!({ "sent": board.now(), "title": "hello", "text": "x".repeat(100) }))?;
        sent += 1;
        match pace {
            Some(pace) => tokio::time::sleep(pace).await,
            None => board.reach(sent.saturating_sub(WINDOW)).await?,
        }
    }
    board.reach(sent).await
}

async fn listen(mut ticks: EventStream, number: usize, board: Arc<Board>) -> Result<()> {
    while let Some(event) = ticks.next().await {
        board.hear(number, &event)?;
    }
    Ok(())
}
