//! A long run of mixed load with kills: does anything that lives on grow?

use crate::{
    call::{ALL, Entrance, Way},
    gateways::way,
    judge::{Finding, UNSAFE_IN_DOUBT},
    mesh::Mesh,
    plan::Plan,
    row::Setting,
    socket::Client,
};
use serde_json::json;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// How often memory is looked at; each time a socket goes, and another comes.
const SAMPLE: Duration = Duration::from_secs(10);
/// How long it is, in the mean, until the next kill.
const KILL: Duration = Duration::from_secs(15);
/// Events a second, and sockets that hear them.
const EVENTS: u64 = 50;
const SOCKETS: usize = 20;
/// What memory may be in the last quarter, compared with the second: what is kept to be used again comes and goes.
const SHARE: f64 = 1.10;
const MORE_KIB: f64 = 2048.0;

/// What is kept in Redis for a time or up to a number is all there well before the first look that counts.
const LIMITS: &str = "event_log = 2000\nidempotency_ttl = \"1m\"";

/// Something whose memory is looked at, with what was seen, in KiB.
struct Watched {
    name: &'static str,
    seen: Vec<u64>,
}

/// Runs for `time`, and says how memory went.
pub(crate) async fn soak(setting: Setting, time: Duration) -> Finding {
    // The first replica is never killed: it is the one that is looked at, and the one that ticks.
    let mut mesh = Mesh::start(&setting, Plan { limits: LIMITS, ..Plan::of(1) }).await;
    mesh.caller.service("ticker").custom("start", json!({ "round": 1, "rate": EVENTS })).await.expect("it ticks");
    for _ in 0..2 {
        mesh.add_replica().await;
    }
    let (by_http, url) = way(&mut mesh, false).await;
    let by_node = Way { entrance: Entrance::Node(mesh.caller.clone()), broken: false };
    let load = mesh.load_of(ALL, vec![by_node, by_http]);
    mesh.recovers(&load).await;

    let heard = Arc::new(AtomicU64::new(0));
    let mut sockets: VecDeque<JoinHandle<()>> = VecDeque::new();
    let mut watched = ["replica", "gateway", "Redis"].map(|name| Watched { name, seen: Vec::new() });
    let started = Instant::now();
    let (mut next_kill, mut kills) = (started + KILL, 0);
    while started.elapsed() < time {
        if sockets.len() == SOCKETS {
            sockets.pop_front().into_iter().for_each(|socket| socket.abort());
        }
        while sockets.len() < SOCKETS {
            sockets.push_back(listen(&url, heard.clone()).await);
        }
        tokio::time::sleep(SAMPLE.min(time.saturating_sub(started.elapsed()))).await;
        let now = [mesh.replicas[0].worker.memory(), mesh.gateways[0].memory(), mesh.server.memory().await / 1024];
        watched.iter_mut().zip(now).for_each(|(one, kib)| one.seen.push(kib));
        if Instant::now() >= next_kill {
            let place = 1 + usize::try_from(mesh.random.below(2)).unwrap_or(0);
            mesh.kill_replica(place).await;
            mesh.is_ready(place).await;
            kills += 1;
            next_kill = Instant::now() + KILL * u32::try_from(mesh.random.within(5, 15)).unwrap_or(10) / 10;
        }
    }
    sockets.into_iter().for_each(|socket| socket.abort());
    let mut finding = mesh.finish(load, UNSAFE_IN_DOUBT).await;
    watched.iter().for_each(|one| one.report(&mut finding));
    let heard = heard.load(Ordering::Relaxed);
    finding.notes.push(format!("{kills} replicas were killed, and {SOCKETS} sockets heard {heard} events"));
    finding
}

/// A socket that counts what it hears.
async fn listen(url: &str, heard: Arc<AtomicU64>) -> JoinHandle<()> {
    let address = url.trim_start_matches("http://").parse().expect("an address");
    let mut client = Client::connect(address).await;
    tokio::spawn(async move {
        while client.event().await.is_some() {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    })
}

impl Watched {
    /// Memory at the start, after each quarter and at the end; too much of it in the last quarter is a mistake.
    fn report(&self, finding: &mut Finding) {
        let last = self.seen.len() - 1;
        let points: Vec<String> = (0..=4).map(|quarter| self.seen[last * quarter / 4].to_string()).collect();
        let (second, fourth) = (self.median(1), self.median(3));
        finding.notes.push(format!(
            "{}: {} KiB at start, quarter, half, three quarters, end; median of the second quarter {second}, of the last {fourth}",
            self.name,
            points.join(", "),
        ));
        if fourth as f64 > second as f64 * SHARE + MORE_KIB {
            finding.problems.push(format!("the memory of the {} grows: {second} KiB, then {fourth}", self.name));
        }
    }

    /// Of one of the four quarters.
    fn median(&self, quarter: usize) -> u64 {
        let count = self.seen.len();
        let mut part =
            self.seen[count * quarter / 4..(count * (quarter + 1) / 4).max(count * quarter / 4 + 1)].to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    }
}
