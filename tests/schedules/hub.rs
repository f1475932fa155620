//! Redis as the nodes see it: every command of every connection passes here, one at a time, and this is where it may be
//! held up, refused or cut off.

use crate::{
    backend::Backend,
    clock::Clock,
    connection::{Connection, serve},
    link::{Cut, Link, Weather},
    names::Names,
    plan::Plan,
    random::Random,
    trace::Trace,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::UnixListener,
    sync::{oneshot, watch},
};

const LOADING: &[u8] = b"-LOADING Redis is loading the dataset in memory\r\n";

pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    socket: PathBuf,
    seed: u64,
    /// The rights that no node has.
    without: Vec<&'static str>,
    state: Mutex<State>,
    /// Is Redis stopped?
    pub(crate) paused: watch::Sender<bool>,
}

pub(crate) struct State {
    /// For what the schedule itself does.
    pub(crate) admin: Backend,
    /// Hears everything that is published.
    pub(crate) ear: Backend,
    nodes: Vec<watch::Sender<Link>>,
    pub(crate) connections: BTreeMap<i64, Arc<Connection>>,
    pub(crate) blocked: Vec<Blocked>,
    /// Who listens to a channel, in order.
    pub(crate) channels: BTreeMap<Vec<u8>, Vec<i64>>,
    pub(crate) names: Names,
    boundaries: Vec<Boundary>,
    /// How often Redis was another process, with another history.
    pub(crate) life: u32,
    pub(crate) loading: bool,
    pub(crate) refusing: bool,
    /// What Redis held when it was last asked to remember: keys, when they expire, and values.
    pub(crate) snapshot: Vec<[Vec<u8>; 3]>,
}

/// A read that waits.
pub(crate) struct Blocked {
    pub(crate) id: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) answer: oneshot::Sender<Vec<u8>>,
}

/// A cut that is made when a node sends a certain command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Boundary {
    pub(crate) node: usize,
    pub(crate) command: &'static str,
    /// How many of these pass before.
    pub(crate) skip: u64,
    /// Is it still executed?
    pub(crate) after: bool,
    pub(crate) how: Cut,
}

/// What a command came to.
pub(crate) enum Came {
    Reply(Vec<u8>),
    /// It waits; Redis closes the wait by a reply.
    Waits(oneshot::Receiver<Vec<u8>>, Option<u64>),
}

impl Hub {
    pub(crate) fn new(socket: &Path, clock: Clock, trace: Trace, plan: &Plan) -> Arc<Hub> {
        let connect = || Backend::connect(socket).expect("Redis is there");
        let (admin, mut ear) = (connect(), connect());
        ear.run(&["PSUBSCRIBE", "*"]);
        let state = State {
            admin,
            ear,
            nodes: Vec::new(),
            connections: BTreeMap::new(),
            blocked: Vec::new(),
            channels: BTreeMap::new(),
            names: Names::default(),
            boundaries: Vec::new(),
            life: 0,
            loading: false,
            refusing: false,
            snapshot: Vec::new(),
        };
        let (paused, socket, state) = (watch::Sender::new(false), socket.to_owned(), Mutex::new(state));
        let (weather, seed, without) = (plan.weather, plan.seed, plan.without.clone());
        Arc::new(Hub { clock, trace, weather, socket, seed, without, state, paused })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a way to Redis for one more node, and returns its number and its URL.
    pub(crate) fn open(self: &Arc<Self>) -> (usize, String) {
        let node = {
            let mut state = self.state();
            state.nodes.push(watch::Sender::new(Link::Whole));
            let node = state.nodes.len() - 1;
            state.make_user(node, &self.without);
            node
        };
        let path = self.socket.with_file_name(format!("node-{node}.sock"));
        let listener = UnixListener::bind(&path).expect("a socket");
        let hub = self.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                if hub.refuses(node) {
                    continue;
                }
                let backend = Backend::connect(&hub.socket).expect("Redis is there");
                let random = Random::new(hub.seed ^ (node as u64) << 32 ^ number << 8);
                tokio::spawn(serve(hub.clone(), node, number, stream, backend, random));
            }
        });
        (node, format!("unix://{}", path.display()))
    }

    pub(crate) fn link(&self, node: usize) -> Link {
        *self.state().nodes[node].borrow()
    }

    pub(crate) fn set_link(&self, node: usize, link: Link) {
        self.state().nodes[node].send_replace(link);
    }

    /// Waits until something may pass between the node and Redis.
    pub(crate) async fn passable(&self, node: usize) {
        let mut link = self.state().nodes[node].subscribe();
        let _ = link.wait_for(|link| *link == Link::Whole).await;
    }

    pub(crate) fn admit(&self, connection: &Arc<Connection>) {
        self.state().connections.insert(connection.id, connection.clone());
    }

    /// Does Redis know the connection still?
    pub(crate) fn knows(&self, id: i64) -> bool {
        self.state().connections.contains_key(&id)
    }

    /// Redis forgets a connection.
    pub(crate) fn forget(&self, id: i64) {
        let mut state = self.state();
        state.connections.remove(&id);
        state.blocked.retain(|blocked| blocked.id != id);
        state.channels.values_mut().for_each(|listeners| listeners.retain(|listener| *listener != id));
    }

    /// Cuts every connection of a node.
    pub(crate) fn cut(&self, node: usize, how: Cut) {
        let connections: Vec<_> = self.state().connections.values().filter(|one| one.node == node).cloned().collect();
        connections.iter().for_each(|connection| connection.cut(how));
    }

    /// Cuts every connection of everybody.
    pub(crate) fn cut_all(&self, how: Cut) {
        let connections: Vec<_> = self.state().connections.values().cloned().collect();
        connections.iter().for_each(|connection| connection.cut(how));
    }

    /// The connections of a node over which it hears what is published.
    pub(crate) fn listeners(&self, node: usize) -> Vec<Arc<Connection>> {
        let state = self.state();
        let hears = |connection: &&Arc<Connection>| {
            connection.node == node && state.channels.values().any(|listeners| listeners.contains(&connection.id))
        };
        state.connections.values().filter(hears).cloned().collect()
    }

    pub(crate) fn add_boundary(&self, boundary: Boundary) {
        self.state().boundaries.push(boundary);
    }

    /// Cuts no more connections at commands that are still to come.
    pub(crate) fn drop_boundaries(&self) {
        self.state().boundaries.clear();
    }

    /// Returns where the connection is to be cut, if that is at this command.
    pub(crate) fn boundary(&self, node: usize, words: &[Vec<u8>]) -> Option<Boundary> {
        let mut state = self.state();
        let name = state.names.name(words);
        let is_meant = |boundary: &Boundary| boundary.node == node && name.contains(boundary.command);
        let at = state.boundaries.iter().position(is_meant)?;
        match state.boundaries[at].skip.checked_sub(1) {
            Some(skip) => {
                state.boundaries[at].skip = skip;
                None
            }
            None => Some(state.boundaries.remove(at)),
        }
    }

    /// Executes a command.
    pub(crate) fn execute(&self, connection: &Connection, words: &[Vec<u8>]) -> Came {
        let mut state = self.state();
        self.trace.note(format_args!("{connection} {}", state.names.name(words)));
        if state.loading {
            return Came::Reply(LOADING.to_vec());
        }
        state.execute(connection, words)
    }

    fn refuses(&self, node: usize) -> bool {
        let state = self.state();
        state.refusing || *state.nodes[node].borrow() == Link::Refused
    }
}
