//! Processes of the mesh that can be killed, frozen and asked to leave: replicas are this program once more, gateways are
//! the program `rachis`.

use crate::{
    javascript,
    journal::Pen,
    service::{self, Version},
};
use rachis::{Config, Node};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// The environment variable that makes this program a replica.
pub(crate) const SPEC: &str = "RACHIS_FAULTS_REPLICA";
/// How long a process may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a replica is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Its configuration.
    pub(crate) toml: String,
    pub(crate) journal: PathBuf,
    pub(crate) version: Version,
}

/// Is a replica until it is asked to leave.
pub(crate) fn be_a_replica(spec: &str) {
    let spec: Spec = serde_json::from_str(spec).expect("a spec");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = Config::from_toml(&spec.toml).expect("a configuration");
        let pen = Pen::open(&spec.journal).expect("a journal");
        let node = Node::builder(config).app(service::app(pen, spec.version)).connect_within(PATIENCE).start().await;
        let node = node.unwrap_or_else(|error| panic!("the replica does not start: {error}"));
        std::thread::spawn(end_when_orphaned);
        // Whoever started it may be gone already.
        let _ = writeln!(std::io::stdout(), "ready");
        node.run_until_signal().await.expect("it leaves in good order");
    });
}

/// Ends this process when the one that started it has ended. A thread, since a runtime waits for its own reads.
fn end_when_orphaned() {
    let _ = std::io::stdin().read_line(&mut String::new());
    std::process::exit(0);
}

/// Processes that run and were started here.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends this process when it is asked to, and all that it started.
pub(crate) async fn end_all_on_signal() {
    rachis::signal().await;
    for pid in running().iter() {
        let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    std::process::exit(130);
}

/// A process of the mesh.
pub(crate) struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Kept open: a replica ends when it closes.
    _input: Option<ChildStdin>,
    log: PathBuf,
    pid: u32,
}

impl Worker {
    /// Starts a replica.
    pub(crate) fn replica(spec: &Spec, log: &Path) -> Worker {
        if spec.version == Version::JavaScript {
            return Worker::spawn(javascript::replica(spec, &log.with_extension("toml")), log);
        }
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.env(SPEC, serde_json::to_string(spec).expect("a spec is JSON"));
        Worker::spawn(command, log)
    }

    /// Starts `rachis gateway` with a configuration.
    pub(crate) fn gateway(toml: &str, log: &Path) -> Worker {
        let config = log.with_extension("toml");
        std::fs::write(&config, toml).expect("the configuration can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rachis"));
        command.env_clear().args(["gateway", "--config"]).arg(config);
        Worker::spawn(command, log)
    }

    fn spawn(mut command: Command, log: &Path) -> Worker {
        let log_file = File::create(log).expect("the log can be written");
        // Panics are looked for in the logs, and one line of each is enough.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log_file).kill_on_drop(true);
        let mut child = command.spawn().expect("the program can be started");
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let pid = child.id().expect("it runs");
        let input = child.stdin.take();
        running().insert(pid);
        Worker { child, output, _input: input, log: log.to_owned(), pid }
    }

    /// Waits until it has joined the mesh, and returns what it says then.
    pub(crate) async fn ready(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.output.read_line(&mut line)).await;
        assert!(matches!(read, Ok(Ok(1..))), "a process does not start:\n{}", self.log());
        line.trim().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it said on stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
        running().remove(&self.pid);
    }

    pub(crate) async fn signal(&self, name: &str) {
        signal(self.pid, name).await;
    }

    /// Asks it to leave and waits until it has.
    pub(crate) async fn leave(&mut self) -> ExitStatus {
        self.signal("TERM").await;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        running().remove(&self.pid);
        ended.unwrap_or_else(|_| panic!("a process does not leave:\n{}", self.log())).expect("it can be waited for")
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// KiB of memory in use.
    pub(crate) fn memory(&self) -> u64 {
        memory(self.pid)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        running().remove(&self.pid);
    }
}

/// KiB of memory that a process uses; 0 where there is no such process.
pub(crate) fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Sends a signal to a process.
pub(crate) async fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().await;
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid} failed");
}
