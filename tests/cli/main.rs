//! The `rachis` binary as people and scripts run it: in a folder of its own, against nodes of this process.

#![cfg(feature = "cli")]
// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod bench;
mod call;
// The sockets of the tests for them; not all of it is needed here.
#[allow(dead_code)]
#[path = "../realtime/client.rs"]
mod client;
mod config;
mod dead;
mod doctor;
mod gateway;
mod guarded;
mod look;
mod operate;
mod reload;
mod setup;
mod tap;
mod usage;
mod watch;

use rachis::{App, Config, Id, MemoryService, Method, Node, Params, Result, Service};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{ffi::OsStr, path::Path, process::Stdio};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::Notify,
};

/// A command to run, in an empty folder and with next to no environment.
struct Rachis {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// One that goes on until it is told to stop.
struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    _folder: TempDir,
}

impl Rachis {
    fn new() -> Self {
        Rachis { folder: TempDir::new().unwrap(), env: Vec::new() }
    }

    /// For the mesh of `config`.
    fn on(config: &Config) -> Self {
        Rachis::new().env("REDIS_URL", config.redis.url.expose()).env("DISTRIBUTION_NAMESPACE", &config.namespace)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a `distribution.toml`.
    fn file(self, text: &str) -> Self {
        std::fs::write(self.path().join("distribution.toml"), text).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rachis"));
        command.args(args).current_dir(self.path()).env_clear().kill_on_drop(true);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ended {
        let output = self.command(args).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn start<S: AsRef<OsStr>>(self, args: &[S]) -> Running {
        let mut child = self.command(args).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, out, err, _folder: self.folder }
    }
}

impl Ended {
    /// The one document on stdout.
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

impl Running {
    async fn line(&mut self) -> String {
        self.out.next_line().await.unwrap().unwrap()
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Waits for a line on stderr that contains `text`.
    async fn said(&mut self, text: &str) -> String {
        loop {
            let line = self.err.next_line().await.unwrap().unwrap_or_else(|| panic!("it never said {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(status.success());
    }

    /// The exit code, and what else came out.
    async fn ended(mut self) -> (i32, String) {
        let code = self.child.wait().await.unwrap().code().unwrap();
        let mut rest = String::new();
        while let Some(line) = self.out.next_line().await.unwrap() {
            rest.push_str(&line);
            rest.push('\n');
        }
        while let Some(line) = self.err.next_line().await.unwrap() {
            rest.push_str(&line);
            rest.push('\n');
        }
        (code, rest)
    }
}

/// A service that answers with what it was called with; to `late` when it was told to, to `never` not at all.
#[derive(Default)]
struct Echo(Notify);

impl Service for Echo {
    const METHODS: &[Method] = &[
        Method::Find,
        Method::Get,
        Method::Create,
        Method::Update,
        Method::Patch,
        Method::Remove,
        Method::custom("shout"),
        Method::custom("release"),
    ];

    async fn find(&self, params: Params) -> Result<Value> {
        Ok(json!({ "query": Value::from(params.query) }))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        match id.to_string().as_str() {
            "never" => std::future::pending().await,
            "late" => {
                self.0.notified().await;
                Ok(Value::Null)
            }
            _ => Ok(json!({ "id": id })),
        }
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        Ok(json!({ "data": data }))
    }

    async fn update(&self, id: Option<Id>, data: Value, _: Params) -> Result<Value> {
        Ok(json!({ "id": id, "data": data }))
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        Ok(json!({ "id": id, "data": data, "query": Value::from(params.query) }))
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        Ok(json!({ "id": id, "query": Value::from(params.query) }))
    }

    async fn custom(&self, method: &str, data: Value, _: Params) -> Result<Value> {
        if method == "release" {
            self.0.notify_one();
        }
        Ok(json!({ "method": method, "data": data }))
    }
}

/// A mesh with one node, which serves `echo` and `todos`.
async fn mesh() -> (Node, Rachis) {
    let config = Config { app: "home".into(), version: "1.2.3".into(), ..testing::config() };
    let app = App::new().register("echo", Echo::default()).register("todos", MemoryService::new());
    let rachis = Rachis::on(&config);
    (testing::start(config, app).await, rachis)
}
