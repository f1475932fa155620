//! Redis as the nodes see it: every command of every connection passes here, one at a time, and this is where it may be
//! held up, refused or cut off.

use crate::{
    backend::Backend,
    clock::Clock,
    connection::{Connection, serve},
    link::{Cut, Link, Weather},
    random::Random,
    resp,
    trace::Trace,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};
use tokio::{
    net::UnixListener,
    sync::{oneshot, watch},
};

/// The commands that may wait for something to come.
const BLOCKING: [&str; 2] = ["XREAD", "XREADGROUP"];
const NIL: &[u8] = b"*-1\r\n";
const UNBLOCKED: &[u8] =
    b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
const LOADING: &[u8] = b"-LOADING Redis is loading the dataset in memory\r\n";

pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    socket: PathBuf,
    seed: u64,
    state: Mutex<State>,
    /// Is Redis stopped?
    paused: watch::Sender<bool>,
}

struct State {
    /// For what the schedule itself does.
    admin: Backend,
    /// Hears everything that is published.
    ear: Backend,
    nodes: Vec<watch::Sender<Link>>,
    connections: BTreeMap<i64, Arc<Connection>>,
    blocked: Vec<Blocked>,
    /// Who listens to a channel, in order.
    channels: BTreeMap<Vec<u8>, Vec<i64>>,
    /// Scripts by their hashes, as far as anybody loaded them.
    scripts: HashMap<Vec<u8>, String>,
    boundaries: Vec<Boundary>,
    /// How often Redis was another process, with another history.
    life: u32,
    loading: bool,
    refusing: bool,
    snapshot: Vec<[Vec<u8>; 3]>,
}

/// A read that waits.
struct Blocked {
    id: i64,
    key: Vec<u8>,
    words: Vec<Vec<u8>>,
    answer: oneshot::Sender<Vec<u8>>,
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
    pub(crate) fn new(socket: &Path, clock: Clock, trace: Trace, weather: Weather, seed: u64) -> Arc<Hub> {
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
            scripts: HashMap::new(),
            boundaries: Vec::new(),
            life: 0,
            loading: false,
            refusing: false,
            snapshot: Vec::new(),
        };
        let (paused, socket, state) = (watch::Sender::new(false), socket.to_owned(), Mutex::new(state));
        Arc::new(Hub { clock, trace, weather, socket, seed, state, paused })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a way to Redis for one more node, and returns its number and its URL.
    pub(crate) fn open(self: &Arc<Self>) -> (usize, String) {
        let node = {
            let mut state = self.state();
            state.nodes.push(watch::Sender::new(Link::Whole));
            state.nodes.len() - 1
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

    /// Stops Redis, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    pub(crate) async fn runs(&self) {
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
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

    pub(crate) fn add_boundary(&self, boundary: Boundary) {
        self.state().boundaries.push(boundary);
    }

    /// Is the connection to be cut at this command? Where it is, and is to be executed first, says so.
    pub(crate) fn boundary(&self, node: usize, words: &[Vec<u8>]) -> Option<Boundary> {
        let mut state = self.state();
        let name = state.name(words);
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
        self.trace.note(format_args!("{connection} {}", state.name(words)));
        if state.loading {
            return Came::Reply(LOADING.to_vec());
        }
        state.execute(connection, words)
    }

    /// Runs a command of the schedule's own.
    pub(crate) fn run(&self, words: &[&str]) -> Vec<u8> {
        self.trace.note(format_args!("Redis: {}", words.join(" ")));
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut state = self.state();
        let reply = state.admin.run(&words);
        if words[0] == b"REPLICAOF" {
            for blocked in state.blocked.drain(..) {
                let _ = blocked.answer.send(UNBLOCKED.to_vec());
            }
        }
        state.wake(&words);
        reply
    }

    pub(crate) fn load(&self, loading: bool) {
        self.state().loading = loading;
    }

    /// Lets nobody connect any more, or again.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state().refusing = refuse;
    }

    fn refuses(&self, node: usize) -> bool {
        let state = self.state();
        state.refusing || *state.nodes[node].borrow() == Link::Refused
    }

    /// From now on Redis is another process.
    pub(crate) fn reborn(&self) {
        self.cut_all(Cut::Lost);
        let mut state = self.state();
        state.life += 1;
        state.admin.run(&["SCRIPT", "FLUSH"]);
        // Nothing is wrong with the new one.
        state.loading = false;
        state.admin.run(&["REPLICAOF", "NO", "ONE"]);
        state.admin.run(&["CONFIG", "SET", "maxmemory", "0", "min-replicas-to-write", "0"]);
        // Nobody is left who would hear or read, whatever was half open.
        state.connections.clear();
        state.blocked.clear();
        state.channels.clear();
    }

    /// Remembers everything that Redis holds.
    pub(crate) fn remember(&self) {
        let mut state = self.state();
        let mut keys = resp::texts(&state.admin.run(&["KEYS", "*"]));
        keys.sort();
        let held = keys.into_iter().filter_map(|key| {
            let dump = state.admin.run(&[b"DUMP", &key[..]]);
            let expires = state.admin.run(&[b"PEXPIRETIME", &key[..]]);
            let expires = String::from_utf8_lossy(&expires[1..]).trim().parse::<i64>().unwrap_or(-1).max(0);
            let start = dump.windows(2).position(|two| two == b"\r\n")? + 2;
            Some([key, expires.to_string().into_bytes(), dump.get(start..dump.len() - 2)?.to_vec()])
        });
        state.snapshot = held.collect();
    }

    /// Takes Redis back to what it held when it was last asked to remember.
    pub(crate) fn roll_back(&self) {
        let mut state = self.state();
        state.admin.run(&["FLUSHALL"]);
        for [key, expires, dump] in std::mem::take(&mut state.snapshot) {
            let reply = state.admin.run(&[b"RESTORE", &key[..], &expires, &dump, b"ABSTTL"]);
            assert!(reply.starts_with(b"+"), "{}", String::from_utf8_lossy(&reply));
        }
    }
}

impl State {
    fn execute(&mut self, connection: &Connection, words: &[Vec<u8>]) -> Came {
        let id = connection.id;
        let word =
            |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word).to_uppercase()).unwrap_or_default();
        let number = |at: usize| words.get(at).and_then(|word| std::str::from_utf8(word).ok()?.parse::<i64>().ok());
        let reply = match (word(0).as_str(), word(1).as_str()) {
            ("SUBSCRIBE" | "UNSUBSCRIBE", _) => self.subscribe(connection, &word(0).to_lowercase(), &words[1..]),
            ("HELLO", "3") => {
                connection.pushes.store(true, Ordering::Relaxed);
                connection.run(words)
            }
            ("PING", "")
                if !connection.is_pushed() && self.channels.values().any(|listeners| listeners.contains(&id)) =>
            {
                b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec()
            }
            ("CLIENT", "UNBLOCK") => match self.blocked.iter().position(|blocked| Some(blocked.id) == number(2)) {
                Some(at) => {
                    let _ = self.blocked.remove(at).answer.send(NIL.to_vec());
                    b":1\r\n".to_vec()
                }
                None => b":0\r\n".to_vec(),
            },
            ("CLIENT", "KILL") => match number(3).and_then(|id| self.connections.get(&id).cloned()) {
                Some(other) => {
                    other.cut(Cut::Lost);
                    self.connections.remove(&other.id);
                    b":1\r\n".to_vec()
                }
                None => b":0\r\n".to_vec(),
            },
            ("INFO", _) => self.disguised(connection.run(words)),
            (name, _) if BLOCKING.contains(&name) && words.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK")) => {
                return self.read(connection, words);
            }
            _ => connection.run(words),
        };
        if word(0) == "SCRIPT" && word(1) == "LOAD" {
            let hash = reply.split(|byte| *byte == b'\n').nth(1).unwrap_or_default().trim_ascii().to_vec();
            self.scripts.insert(hash, title(&words[2]));
        }
        self.wake(words);
        Came::Reply(reply)
    }

    fn read(&mut self, connection: &Connection, words: &[Vec<u8>]) -> Came {
        let at = words.iter().position(|word| word.eq_ignore_ascii_case(b"BLOCK")).expect("it blocks");
        let time = std::str::from_utf8(&words[at + 1]).ok().and_then(|time| time.parse().ok()).filter(|time| *time > 0);
        let mut rest = words.to_vec();
        rest.drain(at..at + 2);
        let reply = connection.run(&rest);
        if reply != NIL {
            return Came::Reply(reply);
        }
        let (answer, answered) = oneshot::channel();
        let key = rest[rest.len() - 2].clone();
        self.blocked.push(Blocked { id: connection.id, key, words: rest, answer });
        Came::Waits(answered, time)
    }

    /// Passes on what a command has published, and ends the reads that it has brought something.
    fn wake(&mut self, words: &[Vec<u8>]) {
        let name = words[0].to_ascii_uppercase();
        if name.starts_with(b"EVAL") || name.ends_with(b"PUBLISH") {
            self.hear();
        }
        let touches = |key: &Vec<u8>| name.starts_with(b"FLUSH") || words.contains(key);
        let mut at = 0;
        while let Some(blocked) = self.blocked.get(at) {
            let served = match self.connections.get(&blocked.id) {
                Some(_) if blocked.answer.is_closed() => Some(Vec::new()),
                Some(connection) if touches(&blocked.key) => {
                    Some(connection.run(&blocked.words)).filter(|reply| reply != NIL)
                }
                Some(_) => None,
                None => Some(Vec::new()),
            };
            match served {
                Some(reply) => drop(self.blocked.remove(at).answer.send(reply)),
                None => at += 1,
            }
        }
    }

    fn hear(&mut self) {
        let mut heard = self.ear.run(&["PING"]);
        while !heard.starts_with(b"*2\r\n") {
            let parts = resp::texts(&heard);
            if let [_, _, channel, payload] = &parts[..] {
                for listener in self.channels.get(channel).into_iter().flatten() {
                    if let Some(connection) = self.connections.get(listener) {
                        connection.send(resp::message(connection.is_pushed(), channel, payload));
                    }
                }
            }
            heard = self.ear.next();
        }
    }

    fn subscribe(&mut self, connection: &Connection, kind: &str, channels: &[Vec<u8>]) -> Vec<u8> {
        let (id, mut reply) = (connection.id, Vec::new());
        for channel in channels {
            let listeners = self.channels.entry(channel.clone()).or_default();
            listeners.retain(|listener| *listener != id);
            if kind == "subscribe" {
                listeners.push(id);
            }
            let count = self.channels.values().filter(|listeners| listeners.contains(&id)).count();
            reply.extend(resp::subscribed(connection.is_pushed(), kind, channel, count));
        }
        reply
    }

    /// As another process, with another history, would tell of itself.
    fn disguised(&self, mut info: Vec<u8>) -> Vec<u8> {
        for field in [&b"run_id:"[..], b"master_replid:"] {
            if let Some(at) = info.windows(field.len()).position(|bytes| bytes == field) {
                let life = format!("{:08x}", self.life);
                info[at + field.len()..at + field.len() + 8].copy_from_slice(life.as_bytes());
            }
        }
        info
    }

    /// A command as the trace shows it.
    fn name(&self, words: &[Vec<u8>]) -> String {
        let word = |at: usize| String::from_utf8_lossy(words.get(at).map_or(&b""[..], |word| word));
        match word(0).to_uppercase().as_str() {
            "EVALSHA" => {
                let name = self.scripts.get(&words[1]).map_or("(unknown script)", String::as_str);
                format!("EVALSHA {name}, {} {}", word(3), word(4 + usize::from(word(2) != "1")))
            }
            "SCRIPT" => format!("SCRIPT {} {}", word(1), words.get(2).map(|text| title(text)).unwrap_or_default()),
            "XADD" => format!("XADD {} {}", word(1), word(2)),
            _ => (0..words.len().min(9)).map(|at| short(&word(at))).collect::<Vec<_>>().join(" "),
        }
    }
}

fn short(word: &str) -> String {
    word.chars().filter(|sign| !sign.is_control()).take(48).collect()
}

/// What the last comment at the head of a script says, which is what is special about it.
fn title(script: &[u8]) -> String {
    let text = String::from_utf8_lossy(script);
    let mut title = "script";
    for (before, line) in text.lines().zip(text.lines().skip(1)) {
        if line.starts_with("-- ") && !before.starts_with("--") {
            title = line;
        }
    }
    let title = if title == "script" { text.lines().next().unwrap_or_default() } else { title };
    short(title.trim_start_matches("-- "))
}
