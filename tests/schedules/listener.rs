//! What a node hears of the events of all replicas.

use crate::{mesh::Mesh, trace::Trace};
use rachis::{Node, RESYNC};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    Tick { node: usize, number: u64 },
    Resync,
}

#[derive(Clone)]
pub(crate) struct Listener {
    place: usize,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// What is promised of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Promise {
    /// May there be notices of missed events?
    pub(crate) resyncs: bool,
    /// May events be missing without one?
    pub(crate) losses: bool,
}

impl Listener {
    /// Begins to listen.
    pub(crate) async fn start(place: usize, node: &Node, trace: Trace) -> Listener {
        let listener = Listener { place, heard: Arc::default() };
        let mut events = node.service("ticker").on("tick").await.expect("the events can be heard");
        let heard = listener.heard.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let one = match event.name.as_str() {
                    RESYNC => Heard::Resync,
                    _ => Heard::Tick {
                        node: event.data["node"].as_u64().unwrap_or(0) as usize,
                        number: event.data["number"].as_u64().unwrap_or(0),
                    },
                };
                trace.note(format_args!("place {place} hears {one:?}"));
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            }
        });
        listener
    }

    /// Everything that was heard otherwise than promised.
    pub(crate) fn judge(&self, mesh: &Mesh, promise: Promise) -> Vec<String> {
        let mut problems = Vec::new();
        let mut next: BTreeMap<usize, u64> = BTreeMap::new();
        // Whose next event may come after a gap.
        let mut excused: BTreeMap<usize, bool> = BTreeMap::new();
        let members = mesh.members();
        let mut resyncs = 0;
        for one in self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let Heard::Tick { node, number } = *one else {
                resyncs += 1;
                excused.extend(members.iter().map(|member| (member.number, true)));
                continue;
            };
            let expected = next.entry(node).or_default();
            if number < *expected {
                problems.push(format!("place {} heard event {number} of node {node} twice or late", self.place));
                continue;
            }
            let is_excused = excused.insert(node, false).unwrap_or(false);
            if number > *expected && !is_excused && !promise.losses {
                problems.push(format!("place {} missed events {expected} to {number} of node {node}", self.place));
            }
            *expected = number + 1;
        }
        for member in members {
            let (heard, sent) = (next.get(&member.number).copied().unwrap_or(0), member.sent());
            let is_excused = excused.get(&member.number).copied().unwrap_or(false) || promise.losses;
            if heard < sent && !is_excused && !mesh.was_killed(member.number) {
                let (place, node) = (self.place, member.number);
                problems.push(format!("place {place} heard {heard} of the {sent} events of node {node}, and no more"));
            }
        }
        if resyncs > 0 && !promise.resyncs {
            problems.push(format!(
                "place {} was told {resyncs} times that it missed events, and none was lost",
                self.place
            ));
        }
        problems
    }
}
