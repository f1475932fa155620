//! Replicas in processes of their own, which can be killed.

use crate::{knows, redis_of};
use rachis::{App, Config, Id, Method, Node, Params, Result, Service, config::RedisUrl};
use rachis_testing as testing;
use serde_json::Value;
use std::{
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

const SPEC: &str = "RACHIS_TEST_REPLICA";
/// The test that is a replica when the variable is set.
const ENTRY: &str = "process::a_replica_that_is_asked_to_end_leaves_in_good_order";

/// A replica in a process of its own.
pub(crate) struct Replica {
    child: Child,
}

impl Replica {
    /// Starts a replica of `app` that serves `jobs`; its calls end only if `works`.
    pub(crate) fn spawn(config: &Config, app: &str, works: bool) -> Self {
        Replica::spawn_blocking(config, app, works, testing::config().redis.block)
    }

    /// The same with reads that block for that long.
    pub(crate) fn spawn_blocking(config: &Config, app: &str, works: bool, block: Duration) -> Self {
        let works = if works { "works" } else { "hangs" };
        let url = config.redis.url.expose();
        let block = block.as_millis();
        let spec = format!("{url} {} {app} {works} {} {block}", config.namespace, config.partitions);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", ENTRY, "--nocapture"]).env(SPEC, spec).stdout(Stdio::null());
        Replica { child: command.spawn().unwrap() }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Has SIGSTOP reached it?
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        for _ in 0..2000 {
            status = self.child.try_wait().unwrap();
            if status.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        status.expect("the replica goes on")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts in Redis how often each method ran, under whatever id or data it was called with.
pub(crate) struct Jobs {
    pub(crate) config: Config,
    pub(crate) works: bool,
}

impl Jobs {
    async fn run(&self, method: &str) -> Result<Value> {
        let key = format!("{}:ran:{method}", self.config.namespace);
        let _: u64 = redis::cmd("INCR").arg(key).query_async(&mut redis_of(&self.config).await).await.unwrap();
        if !self.works {
            std::future::pending::<()>().await;
        }
        Ok(std::process::id().into())
    }
}

/// How often a method of [`Jobs`] was started, on all replicas together.
pub(crate) async fn ran(config: &Config, method: &str) -> u64 {
    let key = format!("{}:ran:{method}", config.namespace);
    let times: Option<u64> = redis::cmd("GET").arg(key).query_async(&mut redis_of(config).await).await.unwrap();
    times.unwrap_or(0)
}

impl Service for Jobs {
    const METHODS: &[Method] = &[
        Method::Find,
        Method::Get,
        Method::Create,
        Method::Update,
        Method::Patch,
        Method::Remove,
        Method::custom("charge"),
        Method::custom("recount"),
    ];
    const IDEMPOTENT: &[Method] = &[Method::custom("recount")];

    async fn find(&self, _: Params) -> Result<Value> {
        self.run("find").await
    }
    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        self.run("get").await
    }
    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        self.run("create").await
    }
    async fn update(&self, _: Option<Id>, _: Value, _: Params) -> Result<Value> {
        self.run("update").await
    }
    async fn patch(&self, _: Option<Id>, _: Value, _: Params) -> Result<Value> {
        self.run("patch").await
    }
    async fn remove(&self, _: Option<Id>, _: Params) -> Result<Value> {
        self.run("remove").await
    }
    async fn custom(&self, method: &str, _: Value, _: Params) -> Result<Value> {
        self.run(method).await
    }
}

/// A replica of `jobs` in this process.
pub(crate) async fn jobs(config: &Config, app: &str, works: bool) -> Node {
    let jobs = Jobs { config: config.clone(), works };
    crate::start(config, app, App::new().register("jobs", jobs)).await
}

/// What the child does.
async fn be_a_replica(spec: &str) {
    let parts: Vec<&str> = spec.split(' ').collect();
    let partitions = parts[4].parse().unwrap();
    let mut config = Config { namespace: parts[1].into(), partitions, ..testing::config_for(parts[0]) };
    config.redis.block = Duration::from_millis(parts[5].parse().unwrap());
    assert!(RedisUrl::from(parts[0]) == config.redis.url);
    jobs(&config, parts[2], parts[3] == "works").await.run_until_signal().await.unwrap();
}

#[tokio::test]
async fn a_replica_that_is_asked_to_end_leaves_in_good_order() {
    if let Ok(spec) = std::env::var(SPEC) {
        return be_a_replica(&spec).await;
    }
    let config = testing::config();
    let caller = crate::start(&config, "caller", App::new()).await;
    for signal in ["TERM", "INT"] {
        let mut replica = Replica::spawn(&config, "worker", true);
        knows(&caller, "jobs").await;
        testing::eventually("it is up", async || caller.nodes().len() == 2).await;
        assert_ne!(caller.service("jobs").get(1).await.unwrap(), std::process::id());
        replica.signal(signal);
        testing::eventually("it has said goodbye", async || caller.nodes().len() == 1).await;
        assert!(replica.ended().await.success(), "SIG{signal}");
    }
}
