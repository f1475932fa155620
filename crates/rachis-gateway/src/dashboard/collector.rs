//! Reads the last hour of all nodes while someone looks, and never more of them at a time than the mesh should notice.

use super::series::{HOUR, STEP, Series, Witness};
use futures_util::FutureExt;
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{Error, Result};
use rachis_mesh::{Node, NodeInfo, WeakNode};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long nodes are asked after someone looked last; then everything is forgotten, since nodes keep it themselves.
const IDLE: Duration = Duration::from_secs(60);
/// How often it is seen to whom is asked next.
const TICK: Duration = Duration::from_millis(200);
/// How often it is seen which nodes there are.
const MEETING: Duration = Duration::from_secs(1);
/// Questions in each tick: 25 a second, whatever the number of nodes.
const QUESTIONS: usize = 5;
/// Questions that are open at once.
const OPEN: usize = 16;
/// How long a node may take for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after its time a sample is there, in ms.
const SAMPLED: u64 = 500;
/// The pause before a node is asked again that had nothing new to say, and before one that said nothing at all.
const PAUSE: Duration = Duration::from_secs(2);
const SILENT_PAUSE: Duration = Duration::from_secs(20);
/// Answers that one node gives in a row: an hour has no more.
const PARTS: usize = 40;
/// How long nodes that are gone are told of, and how many of them.
const GONE: Duration = Duration::from_secs(600);
const MOST_GONE: usize = 100;

/// What is known of each node, as far as it was asked.
pub(super) struct Collector {
    node: WeakNode,
    /// The path of the dashboard, whose own calls are left out.
    dashboard: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_running: bool,
    looked: Option<Instant>,
    series: Series,
    asked: HashMap<String, Asked>,
    /// All nodes of the mesh, as they were at the last tick.
    known: BTreeMap<String, NodeInfo>,
    met: Option<Instant>,
    gone: VecDeque<Gone>,
}

/// How the asking of one node went.
#[derive(Clone, Default)]
pub(super) struct Asked {
    is_open: bool,
    at: Option<Instant>,
    /// The time of its last sample, in ms.
    pub(super) last: u64,
    pub(super) readiness: String,
    pub(super) max_in_flight: u64,
    /// Why it did not answer, the last time.
    pub(super) failure: Option<String>,
}

/// A node that has left the mesh.
#[derive(Clone)]
pub(super) struct Gone {
    pub(super) info: NodeInfo,
    pub(super) at: Instant,
}

/// What was collected, for as long as it is looked at.
pub(super) struct Collected<'a>(MutexGuard<'a, State>);

impl Collector {
    pub(super) fn new(node: WeakNode, dashboard: String) -> Arc<Self> {
        Arc::new(Collector { node, dashboard, state: Mutex::default() })
    }

    /// The node whose gateway this is.
    ///
    /// # Errors
    /// `Unavailable` when it has shut down.
    pub(super) fn node(&self) -> Result<Node> {
        self.node.upgrade().ok_or_else(|| Error::unavailable("This gateway has shut down"))
    }

    /// Returns what was collected, and sees to it that more is.
    pub(super) fn look(self: &Arc<Self>) -> Collected<'_> {
        let mut state = self.state.lock();
        state.looked = Some(Instant::now());
        if !state.is_running {
            state.is_running = true;
            if let Some(node) = self.node.upgrade() {
                state.meet(&node.nodes());
            }
            let collector = self.clone();
            tokio::spawn(async move {
                let run = AssertUnwindSafe(collector.run()).catch_unwind().await;
                // What panicked is in the log; the next who looks begins anew.
                let mut state = collector.state.lock();
                if run.is_err() {
                    *state = State::default();
                }
            });
        }
        Collected(state)
    }

    async fn run(self: &Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(node) = self.node.upgrade() else { return };
            let now = node.redis_now();
            let due = {
                let mut state = self.state.lock();
                if state.looked.is_none_or(|looked| looked.elapsed() > IDLE) {
                    *state = State::default();
                    return;
                }
                if state.met.is_none_or(|met| met.elapsed() >= MEETING) {
                    state.meet(&node.nodes());
                    state.series.prune(now);
                }
                state.due(now)
            };
            for (id, app, last) in due {
                let (collector, node) = (self.clone(), node.clone());
                tokio::spawn(async move { collector.ask(&node, &id, &app, last).await });
            }
        }
    }

    /// Reads all that a node has to say after `last`.
    async fn ask(&self, node: &Node, id: &str, app: &str, mut last: u64) {
        let peer = node.peer(id);
        let mut failure = None;
        for _ in 0..PARTS {
            let said = tokio::time::timeout(PATIENCE, peer.history(last)).await;
            let said = said.unwrap_or_else(|_| Err(Error::timeout("It said nothing within 5s")));
            match said {
                Ok(said) => {
                    let mut count = 0;
                    let mut state = self.state.lock();
                    for mut sample in said.samples {
                        last = last.max(sample.at);
                        // Who looks shall not see himself.
                        sample.served.retain(|served| !super::is_below(&self.dashboard, &served.path));
                        sample.made.retain(|made| !super::is_below(&self.dashboard, &made.path));
                        state.series.add(id, app, &sample);
                        count += 1;
                    }
                    let Some(asked) = state.asked.get_mut(id) else { return };
                    (asked.last, asked.readiness) = (last, said.readiness);
                    asked.max_in_flight = said.max_in_flight;
                    if !said.more || count == 0 {
                        break;
                    }
                }
                Err(error) => {
                    failure = Some(error.message().to_owned());
                    break;
                }
            }
        }
        if let Some(asked) = self.state.lock().asked.get_mut(id) {
            (asked.is_open, asked.at, asked.failure) = (false, Some(Instant::now()), failure);
        }
    }
}

impl State {
    /// Takes in which nodes there are.
    fn meet(&mut self, nodes: &[NodeInfo]) {
        self.gone.retain(|gone| gone.at.elapsed() < GONE);
        let known: BTreeMap<String, NodeInfo> = nodes.iter().map(|node| (node.id.clone(), node.clone())).collect();
        for (id, info) in std::mem::take(&mut self.known) {
            if known.contains_key(&id) {
                continue;
            }
            self.asked.remove(&id);
            self.gone.push_back(Gone { info, at: Instant::now() });
            if self.gone.len() > MOST_GONE {
                self.gone.pop_front();
            }
        }
        self.met = Some(Instant::now());
        self.gone.retain(|gone| !known.contains_key(&gone.info.id));
        self.known = known;
    }

    /// Chooses whom to ask now: those that have a new sample by now and were not asked for the longest time.
    fn due(&mut self, now: u64) -> Vec<(String, String, u64)> {
        let open = self.asked.values().filter(|asked| asked.is_open).count();
        // A sample is taken a moment after its time.
        let newest = now.saturating_sub(SAMPLED) / STEP * STEP;
        let mut due: Vec<(Option<Instant>, &NodeInfo)> = self
            .known
            .values()
            .filter_map(|info| match self.asked.get(&info.id) {
                None => Some((None, info)),
                Some(asked) if asked.is_open || asked.last >= newest => None,
                Some(asked) => {
                    let pause = if asked.failure.is_some() { SILENT_PAUSE } else { PAUSE };
                    asked.at.is_none_or(|at| at.elapsed() >= pause).then_some((asked.at, info))
                }
            })
            .collect();
        due.sort_by_key(|(at, _)| *at);
        due.truncate(QUESTIONS.min(OPEN.saturating_sub(open)));
        let due: Vec<(String, String)> =
            due.into_iter().map(|(_, info)| (info.id.clone(), format!("{}/{}", info.key, info.app))).collect();
        let chosen = due.into_iter().map(|(id, app)| {
            let asked = self.asked.entry(id.clone()).or_default();
            asked.is_open = true;
            (id, app, asked.last)
        });
        chosen.collect()
    }
}

impl Collected<'_> {
    pub(super) fn series(&self) -> &Series {
        &self.0.series
    }

    /// All nodes of the mesh, by id.
    pub(super) fn nodes(&self) -> &BTreeMap<String, NodeInfo> {
        &self.0.known
    }

    /// Nodes that have left since someone looks, the oldest first.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Gone> {
        self.0.gone.iter()
    }

    pub(super) fn asked(&self, node: &str) -> Option<&Asked> {
        self.0.asked.get(node)
    }

    /// How many nodes have told of their last hour.
    pub(super) fn answered(&self) -> usize {
        self.0.asked.values().filter(|asked| asked.last > 0 && asked.failure.is_none()).count()
    }

    /// The time up to which charts are drawn: all nodes that answer have told of it, unless one is a minute and a half behind.
    pub(super) fn end(&self, now: u64) -> u64 {
        let answering = self.0.asked.values().filter(|asked| asked.failure.is_none() && asked.last > 0);
        let common = answering.map(|asked| asked.last).min().unwrap_or(0);
        common.clamp(now.saturating_sub(9 * STEP), now) / STEP * STEP
    }

    /// The nodes of these ids that are there.
    pub(super) fn witnesses<'a>(&'a self, ids: impl IntoIterator<Item = &'a String>) -> Vec<Witness<'a>> {
        let known = ids.into_iter().filter_map(|id| self.0.known.get(id));
        known.map(|info| Witness { id: &info.id, started: info.started }).collect()
    }
}

/// How many samples an hour has.
pub(super) const STEPS: u64 = HOUR / STEP;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(last: u64) -> Asked {
        Asked { at: Some(Instant::now()), last, ..Asked::default() }
    }

    #[test]
    fn an_hour_is_drawn_up_to_where_all_have_told_but_one_that_is_far_behind_does_not_hold_it() {
        let collector = Collector { node: WeakNode::default(), dashboard: String::new(), state: Mutex::default() };
        let end = |asked: &[(&str, Asked)]| {
            let mut state = collector.state.lock();
            state.asked = asked.iter().map(|(id, asked)| ((*id).to_owned(), asked.clone())).collect();
            Collected(state).end(1000 * STEP)
        };
        assert_eq!(end(&[("a", asked(999 * STEP)), ("b", asked(998 * STEP))]), 998 * STEP);
        assert_eq!(end(&[("a", asked(999 * STEP)), ("b", asked(500 * STEP))]), 991 * STEP);
        let silent = Asked { failure: Some("said nothing".into()), ..asked(500 * STEP) };
        assert_eq!(end(&[("a", asked(999 * STEP)), ("b", silent)]), 999 * STEP);
    }
}
