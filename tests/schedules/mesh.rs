//! The nodes of a schedule: replicas in their places, one after the other where they die, and callers.

use crate::{
    clock::Clock,
    hub::Hub,
    link::{Cut, Link},
    plan::Times,
    service::{self, Journal},
};
use rachis::{
    App, Config, Node,
    config::{Linger, RedisUrl},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinHandle,
};

/// How long a node may take to find Redis, whatever is broken meanwhile.
const START: Duration = Duration::from_secs(300);

/// A node, the thread that stands for its process, and its way to Redis.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) number: usize,
    process: Process,
    /// Events that were sent.
    sent: Arc<Mutex<u64>>,
}

pub(crate) struct Mesh {
    pub(crate) hub: Arc<Hub>,
    pub(crate) journal: Journal,
    times: Times,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By their places, replicas first; none where one has died and the next has not come yet.
    places: Vec<Option<Member>>,
    /// All that ever were.
    members: Vec<Member>,
    /// The numbers of those that were killed.
    killed: Vec<usize>,
}

impl Mesh {
    pub(crate) async fn start(hub: Arc<Hub>, times: Times, replicas: usize, callers: usize) -> Arc<Mesh> {
        let state = Mutex::new(State { places: vec![None; replicas + callers], ..State::default() });
        let mesh = Arc::new(Mesh { hub, journal: Journal::new(), times, state });
        for place in 0..replicas + callers {
            mesh.fill(place, place < replicas).await;
        }
        for caller in mesh.living().iter().filter(|member| !member.is_replica()) {
            caller.node.wait_for("jobs").await.expect("the service is found");
        }
        mesh
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node in this place.
    pub(crate) async fn fill(&self, place: usize, is_replica: bool) {
        let (number, url) = self.hub.open();
        let process = Process::start(&self.hub.clock).await;
        let app = if is_replica { service::app(number, &self.journal, &self.hub.trace) } else { App::new() };
        let name = if is_replica { "jobs".to_owned() } else { format!("caller-{place}") };
        let node = Node::builder(self.config(&url, name)).app(app).connect_within(START);
        let started = process.runtime.spawn(async move { node.start().await }).await;
        let node = started.expect("it does not panic").expect("a node starts");
        self.hub.trace.note(format_args!("node {number} is up, in place {place}"));
        let member = Member { node, number, process, sent: Arc::default() };
        let mut state = self.lock();
        state.places[place] = Some(member.clone());
        state.members.push(member);
    }

    fn config(&self, url: &str, app: String) -> Config {
        let mut config = Config {
            namespace: "s".to_owned(),
            app,
            heartbeat_interval: self.times.beat,
            ttl: Some(self.times.ttl),
            timeout: self.times.timeout,
            linger: Linger::For(Duration::from_secs(600)),
            ..Config::default()
        };
        // Replicas die faster than they are noticed.
        config.limits.max_deliveries = 20;
        config.redis.url = RedisUrl::from(url);
        config.redis.block = self.times.block;
        config
    }

    /// Who is in this place.
    pub(crate) fn at(&self, place: usize) -> Option<Member> {
        self.lock().places[place].clone()
    }

    /// Takes whoever is there out of this place.
    pub(crate) fn take(&self, place: usize) -> Option<Member> {
        self.lock().places[place].take()
    }

    /// Ends the process of a node. `vanishes`: so that nobody is told.
    pub(crate) fn kill(&self, member: &Member, vanishes: bool) {
        self.stop(member, true);
        self.hub.set_link(member.number, Link::Gone);
        if !vanishes {
            self.hub.cut(member.number, Cut::Arrives);
        }
        self.lock().killed.push(member.number);
    }

    /// Stops the process of a node as SIGSTOP does, or lets it go on.
    pub(crate) fn stop(&self, member: &Member, stop: bool) {
        self.hub.clock.stop_thread(member.process.thread, stop);
    }

    pub(crate) fn was_killed(&self, number: usize) -> bool {
        self.lock().killed.contains(&number)
    }

    pub(crate) fn living(&self) -> Vec<Member> {
        self.lock().places.iter().flatten().cloned().collect()
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        self.lock().members.clone()
    }
}

impl Member {
    pub(crate) fn is_replica(&self) -> bool {
        self.node.config().app == "jobs"
    }

    /// Does something in the process of the node.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.process.runtime.spawn(work)
    }

    /// Sends as many events, each with the node's number and its own.
    pub(crate) fn emit(&self, count: u64) -> JoinHandle<()> {
        let member = self.clone();
        self.spawn(async move {
            let mut sent = member.sent.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..count {
                let event = serde_json::json!({ "node": member.number, "number": *sent });
                member.node.service("ticker").emit("tick", event).expect("the event was declared");
                *sent += 1;
            }
        })
    }

    pub(crate) fn sent(&self) -> u64 {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread with a runtime of its own, so that it can stand still while others go on.
#[derive(Clone)]
struct Process {
    /// Its number by the clock.
    thread: usize,
    runtime: Handle,
}

impl Process {
    async fn start(clock: &Clock) -> Process {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let process = Process { thread: clock.expect_thread(), runtime: runtime.handle().clone() };
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        // It waits for its turn from then on.
        tokio::time::sleep(Duration::from_millis(1)).await;
        process
    }
}
