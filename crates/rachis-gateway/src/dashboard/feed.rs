//! What happens in the mesh right now, while someone looks: calls of the nodes that permit it, events, and changes.

use futures_util::{FutureExt, StreamExt, future::join_all, stream::SelectAll};
use parking_lot::Mutex;
use rachis_core::{Error, ErrorKind, EventStream, Method, Params, Result, Service};
use rachis_mesh::{Change, Node, NodeInfo, WeakNode};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long it goes on after someone looked last.
const IDLE: Duration = Duration::from_secs(10);
/// How often nodes are asked.
const PAUSE: Duration = Duration::from_secs(1);
/// Nodes that are asked, and services whose events are heard: a feed of more can not be read anyway.
const NODES: usize = 50;
const SERVICES: usize = 100;
/// How long a node may take for its answer, and how long one that refuses is left in peace.
const PATIENCE: Duration = Duration::from_secs(3);
const REFUSED: Duration = Duration::from_secs(30);
/// What is kept for those who look; the oldest goes first, and is counted.
const KEPT: usize = 1000;
/// What is told at once.
const TOLD: usize = 300;

/// `find` tells what happened from the number `from` of the query on.
pub(super) struct Feed(pub(super) Arc<Happenings>);

/// What happened a moment ago.
pub(super) struct Happenings {
    node: WeakNode,
    dashboard: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_running: bool,
    looked: Option<Instant>,
    /// The number of the next happening.
    next: u64,
    kept: VecDeque<Value>,
    /// What nodes had to drop.
    dropped: u64,
    tapped: HashMap<String, Tapped>,
    /// Nodes that were not asked, since there are so many.
    unasked: usize,
}

/// How the tapping of one node goes.
#[derive(Default)]
struct Tapped {
    from: Option<u64>,
    refused: Option<Instant>,
    is_silent: bool,
}

impl Service for Feed {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn find(&self, params: Params) -> Result<Value> {
        let from = match params.query.get("from") {
            None | Some(Value::Null) => None,
            Some(asked) => Some(
                asked
                    .as_u64()
                    .or_else(|| asked.as_str()?.parse().ok())
                    .ok_or_else(|| Error::bad_request("`from` must be a number"))?,
            ),
        };
        Ok(self.0.look(from))
    }
}

impl Happenings {
    pub(super) fn new(node: WeakNode, dashboard: String) -> Arc<Self> {
        Arc::new(Happenings { node, dashboard, state: Mutex::default() })
    }

    fn look(self: &Arc<Self>, from: Option<u64>) -> Value {
        let mut state = self.state.lock();
        state.looked = Some(Instant::now());
        if !state.is_running {
            state.is_running = true;
            let happenings = self.clone();
            tokio::spawn(async move {
                // What panicked is in the log; the next who looks begins anew.
                let _ = AssertUnwindSafe(happenings.run()).catch_unwind().await;
                let mut state = happenings.state.lock();
                (state.is_running, state.kept) = (false, VecDeque::new());
                state.tapped.clear();
            });
        }
        let first = state.next - state.kept.len() as u64;
        // Who comes sees the last ones; who was here before gets what is new.
        let from = from.map_or(first.max(state.next.saturating_sub(50)), |from| from.min(state.next));
        let begin = from.max(first);
        let skipped = usize::try_from(begin - first).unwrap_or(usize::MAX);
        let told: Vec<&Value> = state.kept.iter().skip(skipped).take(TOLD).collect();
        let refused = state.tapped.values().filter(|tapped| tapped.refused.is_some()).count();
        let silent = state.tapped.values().filter(|tapped| tapped.is_silent).count();
        json!({
            "next": begin + told.len() as u64,
            "missed": first.saturating_sub(from),
            "dropped": state.dropped,
            "tapped": state.tapped.len() - refused - silent,
            "refused": refused,
            "silent": silent,
            "unasked": state.unasked,
            "happened": told,
        })
    }

    async fn run(&self) {
        let Some(mut changes) = self.node.upgrade().map(|node| node.changes()) else { return };
        let mut events = SelectAll::new();
        let mut heard = BTreeSet::new();
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let Some(node) = self.node.upgrade() else { return };
                    if self.state.lock().looked.is_none_or(|looked| looked.elapsed() > IDLE) {
                        return;
                    }
                    self.tap(&node).await;
                    self.hear(&node, &mut heard, &mut events).await;
                }
                Some(change) = changes.next() => self.changed(change),
                Some(event) = events.next(), if !events.is_empty() => {
                    let event: rachis_core::Event = event;
                    self.happened([json!({ "kind": "event", "at": self.now(), "path": event.path, "name": event.name })]);
                }
                else => return,
            }
        }
    }

    /// Asks nodes for the calls they made.
    async fn tap(&self, node: &Node) {
        let all = node.nodes();
        let asked: Vec<(NodeInfo, Option<u64>)> = {
            let mut state = self.state.lock();
            let known: BTreeSet<&str> = all.iter().map(|info| info.id.as_str()).collect();
            state.tapped.retain(|id, _| known.contains(id.as_str()));
            state.unasked = all.len().saturating_sub(NODES);
            let chosen = all.into_iter().take(NODES);
            chosen
                .filter_map(|info| {
                    let tapped = state.tapped.get(&info.id);
                    let rests = tapped.and_then(|tapped| tapped.refused).is_some_and(|at| at.elapsed() < REFUSED);
                    let from = tapped.and_then(|tapped| tapped.from);
                    (!rests).then_some((info, from))
                })
                .collect()
        };
        let said = join_all(asked.into_iter().map(async |(info, from)| {
            let said = tokio::time::timeout(PATIENCE, node.peer(&info.id).tap(from)).await;
            (info, said.unwrap_or_else(|_| Err(Error::timeout("It said nothing within 3s"))))
        }));
        let mut calls = Vec::new();
        for (info, said) in said.await {
            let mut state = self.state.lock();
            let tapped = state.tapped.entry(info.id.clone()).or_default();
            match said {
                Ok(part) => {
                    *tapped = Tapped { from: Some(part.next), ..Tapped::default() };
                    state.dropped += part.dropped;
                    let app = format!("{}/{}", info.key, info.app);
                    let others = part.calls.into_iter().filter(|call| !super::is_below(&self.dashboard, &call.path));
                    calls.extend(others.map(|call| {
                        json!({
                            "kind": "call",
                            "at": call.at,
                            "path": call.path,
                            "method": call.method,
                            "outcome": call.outcome,
                            "code": call.code,
                            "took": call.took.as_secs_f64() * 1000.0,
                            "caller": app,
                            "node": info.id,
                            "provider": call.provider,
                        })
                    }));
                }
                // It says so for good, or is of a version that has no taps.
                Err(error) if matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::MethodNotAllowed) => {
                    tapped.refused = Some(Instant::now());
                }
                Err(_) => tapped.is_silent = true,
            }
        }
        calls.sort_by_key(|call| call["at"].as_u64());
        self.happened(calls);
    }

    /// Hears the events of services that have come, where this node permits to watch.
    async fn hear(&self, node: &Node, heard: &mut BTreeSet<String>, events: &mut SelectAll<EventStream>) {
        if !node.live().tap {
            return;
        }
        for service in node.services() {
            let is_own = super::is_below(&self.dashboard, &service.path);
            if is_own || heard.contains(&service.path) || heard.len() >= SERVICES {
                continue;
            }
            if let Ok(stream) = node.service(&service.path).on("*").await {
                events.push(stream);
            }
            heard.insert(service.path);
        }
    }

    fn changed(&self, change: Change) {
        let (what, text) = match change {
            Change::NodeUp(info) => ("node up", format!("{}/{} {}", info.key, info.app, info.id)),
            Change::NodeDown(info) => ("node down", format!("{}/{} {}", info.key, info.app, info.id)),
            Change::Service(info) => ("service", info.path),
            Change::ServiceRemoved(info) => ("service removed", info.path),
            Change::Health(info) if info.healthy => ("replica up", info.path),
            Change::Health(info) => ("no replica", info.path),
            _ => return,
        };
        self.happened([json!({ "kind": "change", "at": self.now(), "name": what, "path": text })]);
    }

    fn happened(&self, all: impl IntoIterator<Item = Value>) {
        let mut state = self.state.lock();
        for one in all {
            if state.kept.len() == KEPT {
                state.kept.pop_front();
            }
            state.kept.push_back(one);
            state.next += 1;
        }
    }

    fn now(&self) -> u64 {
        self.node.upgrade().map_or(0, |node| node.redis_now())
    }
}
