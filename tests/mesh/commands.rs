//! What a mesh asks of Redis: commands that managed services have, and none that they forbid.

use crate::{
    command, knows, named,
    process::{Replica, jobs, ran},
    redis_of, sees_replicas,
    services::{Echo, Named},
    start,
};
use rachis::{App, Config, MemoryService};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// What managed services forbid, or answer slowly: none of it may be needed.
const FORBIDDEN: &[&str] = &[
    "CONFIG",
    "KEYS",
    "SCAN",
    "HSCAN",
    "SSCAN",
    "ZSCAN",
    "RANDOMKEY",
    "DBSIZE",
    "MONITOR",
    "DEBUG",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "REPLICAOF",
    "SLAVEOF",
    "SYNC",
    "PSYNC",
    "MIGRATE",
    "FLUSHALL",
    "FLUSHDB",
    "SHUTDOWN",
    "MODULE",
    "LATENCY",
    "MEMORY",
    "SLOWLOG",
    "PSUBSCRIBE",
];

/// What the tests themselves send, at most, on top of what a mesh does.
const OWN: &[&str] = &["CLIENT|KILL", "INCR", "CLIENT|SETINFO"];

/// The lines of one section of INFO, without what `prefix` says and with what stands before the colon only.
async fn stats(config: &Config, section: &str, prefix: &str) -> BTreeSet<String> {
    let info: String = redis::cmd("INFO").arg(section).query_async(&mut redis_of(config).await).await.unwrap();
    let names = info.lines().filter_map(|line| Some(line.strip_prefix(prefix)?.split_once(':')?.0.to_uppercase()));
    names.collect()
}

async fn commands(config: &Config) -> BTreeSet<String> {
    stats(config, "commandstats", "cmdstat_").await.into_iter().filter(|name| !OWN.contains(&name.as_str())).collect()
}

/// Lives: calls, events before and after a lost connection, a killed replica, services that come and go, a path that
/// lingers, a caller that does not wait, a look by the command line.
async fn live(config: &Config) {
    let todos = start(config, "todos", App::new().register("todos", MemoryService::new())).await;
    let caller = start(config, "caller", App::new()).await;
    knows(&caller, "todos").await;
    let mut created = caller.service("todos").on("created").await.unwrap();
    caller.service("todos").create(json!({ "text": "one" })).await.unwrap();
    created.next().await.unwrap();
    command(config, &["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    todos.service("todos").create(json!({ "text": "two" })).await.unwrap();
    assert_eq!(created.next().await.unwrap().data["text"], "two");

    let mut doomed = Replica::spawn(config, "worker", false);
    knows(&caller, "jobs").await;
    let get = tokio::spawn(caller.service("jobs").get(1).answer());
    testing::eventually("it has begun", async || ran(config, "get").await == 1).await;
    let heir = jobs(config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    doomed.kill();
    get.await.unwrap().unwrap();
    heir.shutdown().await.unwrap();
    testing::eventually("nobody is up", async || !caller.health(None).unwrap()["jobs"]).await;
    let impatient = caller.service("jobs").create(json!({})).timeout(Duration::from_millis(50));
    assert_eq!(impatient.await.unwrap_err().code(), 408);

    todos.register("more", Echo).await.unwrap();
    knows(&caller, "more").await;
    todos.unregister("more").await.unwrap();
    crate::forgets(&caller, "more").await;
    for words in [&["nodes"][..], &["services"], &["call", "todos", "find"]] {
        let mut rachis = std::process::Command::new(env!("CARGO_BIN_EXE_rachis"));
        rachis.args(words).env("REDIS_URL", config.redis.url.expose()).env("DISTRIBUTION_NAMESPACE", &config.namespace);
        let output = tokio::task::spawn_blocking(move || rachis.output()).await.unwrap().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{words:?}: {output:?}");
    }
    let late = start(&named(config, "late"), "late", App::new().register("todos", Named("late"))).await;
    testing::eventually("all know all", async || late.nodes().len() == 3).await;
    for node in [late, caller, todos] {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_needs_no_command_that_managed_redis_forbids_and_the_list_in_the_documentation_is_whole() {
    // Once with all commands, so that a use of any is counted; once without the forbidden ones, so that it would fail.
    let open = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&open.url());
    live(&config).await;
    let used = commands(&config).await;
    println!("figure: commands of a mesh: {}", used.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
    let forbidden: Vec<_> =
        FORBIDDEN.iter().filter(|name| used.iter().any(|used| used.split('|').next() == Some(name))).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let documentation = include_str!("../../docs/redis.md");
    for name in used.union(&in_scripts()) {
        let name = format!("`{}`", name.replace('|', " "));
        assert!(documentation.contains(&name), "docs/redis.md does not name {name}");
    }
    let notifications = command(&config, &["CONFIG", "GET", "notify-keyspace-events"]).await.unwrap();
    assert!(
        format!("{notifications:?}").contains("\"\"") || format!("{notifications:?}").contains("''"),
        "{notifications:?}"
    );

    let arguments: Vec<&str> = FORBIDDEN.iter().flat_map(|name| ["--rename-command", *name, ""]).collect();
    let strict = ThrowawayRedis::start_with(&arguments).unwrap();
    let config = testing::config_for(&strict.url());
    assert!(
        command(&config, &["CONFIG", "GET", "port"]).await.is_err() && command(&config, &["KEYS", "*"]).await.is_err()
    );
    live(&config).await;
}

/// Every command of every script, also of those that this mesh had no need of.
fn in_scripts() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/rachis-mesh/src/redis/scripts");
    let scripts = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let scripts: String = scripts.collect();
    let calls = scripts.split("redis.").filter_map(|rest| {
        let arguments = rest.strip_prefix("call(").or_else(|| rest.strip_prefix("pcall("))?;
        let mut words = arguments.split('\'').skip(1).step_by(2).map(str::to_owned);
        match words.next()? {
            group if group == "XGROUP" || group == "XINFO" => Some(format!("{group}|{}", words.next()?)),
            command => Some(command),
        }
    });
    calls.collect()
}
