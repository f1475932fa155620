//! The server under test, as a process, and its figures.

use crate::client;
use rachis::{
    ALL, App, Id, MemoryService, Method, Params, Result, Service, ServiceExt,
    auth::{AuthConfig, Authentication},
    gateway::{Gateway, serve},
    signal,
};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read, Seek},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const SPEC: &str = "RACHIS_TEST_LIMITS";
/// The test that is the server when the variable is set.
const ENTRY: &str = "server::a_server_that_is_told_to_end_does_so_without_a_word";
const SHOWN: &str = "serving at ";
/// How long the server waits for bodies.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn auth() -> Authentication {
    Authentication::new(AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!")).unwrap()
}

/// Returns what it was called with.
struct Echo;

impl Service for Echo {
    const METHODS: &[Method] = &[Method::Find, Method::Get, Method::Create];

    async fn find(&self, params: Params) -> Result<Value> {
        Ok(json!({ "query": params.query }))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        Ok(json!({ "data": data, "query": params.query }))
    }
}

/// Its lists never come, and a record is how many lists are waited for.
struct Endless;

static WAITED_FOR: AtomicUsize = AtomicUsize::new(0);

struct WaitedFor;

impl Drop for WaitedFor {
    fn drop(&mut self) {
        WAITED_FOR.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service for Endless {
    const METHODS: &[Method] = &[Method::Find, Method::Get];

    async fn find(&self, _: Params) -> Result<Value> {
        WAITED_FOR.fetch_add(1, Ordering::SeqCst);
        let _waited_for = WaitedFor;
        std::future::pending().await
    }

    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        Ok(json!({ "lists": WAITED_FOR.load(Ordering::SeqCst) }))
    }
}

/// The records of the service `many`.
pub(crate) const MANY: usize = 4000;

fn app() -> App {
    let auth = auth();
    App::new()
        .register("echo", Echo)
        .register("todos", MemoryService::new())
        .register(
            "many",
            MemoryService::new().records((0..MANY).map(|n| json!({ "n": n, "text": format!("text {n}") }))),
        )
        .register("endless", Endless)
        .register("users", MemoryService::new().start_id(1))
        .register("secured", Echo.before(ALL, auth.authenticate("jwt")))
        .register("authentication", auth)
}

/// What the child does.
async fn be_a_server(seats: usize) {
    let mut config = testing::config();
    config.timeout = TIMEOUT;
    config.gateway.max_sockets = seats;
    let node = testing::start(config, app()).await;
    node.service("users").create(json!({ "email": "ada@example.org" })).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{SHOWN}{}", listener.local_addr().unwrap());
    serve(listener, Gateway::new(&node)).with_graceful_shutdown(signal()).grace(Duration::from_secs(5)).await.unwrap();
    node.shutdown().await.unwrap();
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Kept, since writing to a closed pipe would be an error of its own.
    _output: BufReader<ChildStdout>,
    log: fs::File,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with_seats(10_000)
    }

    /// A server that lets this many sockets in.
    pub(crate) fn with_seats(seats: usize) -> Server {
        let log = tempfile::tempfile().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", ENTRY, "--nocapture"]).env(SPEC, seats.to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(log.try_clone().unwrap()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it does not serve");
            if let Some((_, address)) = line.trim().split_once(SHOWN) {
                break address.parse().unwrap();
            }
        };
        Server { child, _output: output, log, address }
    }

    /// KiB of memory in use.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// KiB of memory in use at most since [`Server::forget_peak`].
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    /// Processor time until now, to a hundredth of a second.
    fn processor_time(&self) -> Duration {
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        // In user mode and in the kernel.
        let ticks: u32 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().unwrap()).sum();
        TICK * ticks
    }

    /// Runs `round` three times and prints the most memory that one took beyond what was in use before the first, and the
    /// processor time of the cheapest, which may not exceed these.
    pub(crate) async fn costs(&self, what: &str, most_kib: u64, most_time: Duration, round: impl AsyncFn()) {
        let before = self.memory();
        self.forget_peak();
        let mut time = Duration::MAX;
        for _ in 0..3 {
            let used = self.processor_time();
            round().await;
            time = time.min(self.processor_time() - used);
        }
        let kib = self.peak().saturating_sub(before);
        println!("figure: {what}: {kib} KiB above the {before} before, {time:?} of processor time");
        assert!(kib <= most_kib, "{what}: {kib} KiB");
        assert!(time <= most_time, "{what}: {time:?}");
    }

    /// Open files of any kind.
    pub(crate) fn files(&self) -> usize {
        self.links().count()
    }

    fn links(&self) -> impl Iterator<Item = String> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        // One that is closed meanwhile has no link any more.
        files.filter_map(|file| Some(fs::read_link(file.ok()?.path()).ok()?.to_string_lossy().into_owned()))
    }

    /// Open connections to its address; those to Redis do not count.
    pub(crate) fn connections(&self) -> usize {
        const LISTENS: &str = "0A";
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.child.id())).unwrap();
        let port = format!(":{:04X}", self.address.port());
        let inode = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields[1].ends_with(&port) && fields[3] != LISTENS).then(|| format!("socket:[{}]", fields[9]))
        };
        let own: HashSet<String> = table.lines().skip(1).filter_map(inode).collect();
        self.links().filter(|link| own.contains(link)).count()
    }

    /// Waits until it has closed all connections.
    pub(crate) async fn closes_all(&self) {
        testing::eventually("all connections are closed", async || self.connections() == 0).await;
    }

    /// It still answers, and nothing panicked.
    pub(crate) async fn is_well(&mut self) {
        let answer = client::get(self.address, "/echo/1").await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "id": "1" })));
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.log.rewind().unwrap();
        self.log.read_to_string(&mut log).unwrap();
        log
    }

    /// Runs `round` until it has shown that it costs no memory that grows with its repetitions. Prints memory before and
    /// after; after the first half, which fills what is kept for use again, it may grow by `allowed` KiB.
    pub(crate) async fn levels_off(&self, what: &str, rounds: usize, allowed: u64, round: impl AsyncFn()) {
        let started = Instant::now();
        let before = self.memory();
        let mut half = before;
        for number in 0..rounds {
            if number == rounds / 2 {
                half = self.memory();
            }
            round().await;
        }
        let after = self.memory();
        let took = started.elapsed();
        println!("figure: {what}, {rounds} times in {took:.1?}: {before} KiB before, {half} at half, {after} after");
        assert!(after <= half + allowed, "{what}: memory grows");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says so, loudly, where the system allows fewer open files than `count`, and returns how many connections to make.
pub(crate) fn affordable(count: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: usize = files.split_whitespace().next().and_then(|files| files.parse().ok()).unwrap_or(usize::MAX);
    // The rest is for what is open anyway.
    let affordable = files.saturating_sub(100).min(count);
    if affordable < count {
        println!("figure: ATTENTION: {affordable} connections instead of {count}, since `ulimit -n` is {files}");
    }
    affordable
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_end_does_so_without_a_word() {
    if let Ok(seats) = std::env::var(SPEC) {
        return be_a_server(seats.parse().unwrap()).await;
    }
    let mut server = Server::start();
    server.is_well().await;
    let status = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
    assert!(status.success());
    let mut ended = None;
    while ended.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ended = server.child.try_wait().unwrap();
    }
    assert!(ended.unwrap().success());
    let log = server.log();
    assert_eq!(log, "");
}
