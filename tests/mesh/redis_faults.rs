//! One fault of Redis after the other, each under load: calls end in time, nothing runs twice, everybody comes back.

use crate::{
    calls_of, command, knows, lost::Journal, outcome, proxy::Proxy, queued, redis_of, sees_replicas, services::Gate,
    start,
};
use futures_util::{FutureExt, StreamExt};
use rachis::{App, Change, Config, ErrorKind, EventStream, Node};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// How long the callers of these tests wait at most.
const DEADLINE: Duration = Duration::from_secs(6);

/// Lines that an operator would be shown.
static LINES: AtomicUsize = AtomicUsize::new(0);

struct Counter;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Counter {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() <= tracing::Level::INFO {
            LINES.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn count_lines() {
    use tracing_subscriber::layer::SubscriberExt;
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Counter));
}

/// What one call ended in.
struct End {
    number: u64,
    create: bool,
    outcome: rachis::Result<serde_json::Value>,
    took: Duration,
}

/// Two replicas of one app, a caller that never rests, and somebody who listens.
struct Mesh {
    redis: ThrowawayRedis,
    config: Config,
    journal: Journal,
    replicas: Vec<Node>,
    caller: Node,
    asked: AtomicUsize,
    over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<End>>>,
    events: EventStream,
    changes: Vec<std::pin::Pin<Box<dyn futures_core::Stream<Item = Change> + Send>>>,
}

impl Mesh {
    async fn start(arguments: &[&str]) -> Mesh {
        let redis = ThrowawayRedis::start_with(arguments).unwrap();
        let config = testing::config_for(&redis.url());
        Mesh::over(redis, config).await
    }

    async fn over(redis: ThrowawayRedis, mut config: Config) -> Mesh {
        count_lines();
        config.timeout = DEADLINE;
        config.redis.response_timeout = Duration::from_millis(500);
        let journal = Journal { takes: Duration::from_millis(2), ..Journal::default() };
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(start(&config, "worker", App::new().register("journal", journal.clone())).await);
        }
        let caller = start(&config, "caller", App::new()).await;
        sees_replicas(&caller, "journal", 2).await;
        let events = caller.service("journal").on("noted").await.unwrap();
        let changes = replicas.iter().chain([&caller]).map(|node| node.changes().boxed()).collect();
        let over = Arc::new(AtomicBool::new(false));
        let callers = (0..8).map(|number| tokio::spawn(call(caller.clone(), number, over.clone()))).collect();
        let asked = AtomicUsize::new(0);
        let mesh = Mesh { redis, config, journal, replicas, caller, asked, over, callers, events, changes };
        mesh.works().await;
        mesh
    }

    /// Waits until a call comes through.
    async fn works(&self) {
        testing::eventually("calls work", async || {
            // A number of its own, and far from those of the callers.
            let number = (1 << 40) | self.asked.fetch_add(1, Ordering::SeqCst) as u64;
            self.caller.service("journal").create(number).timeout(Duration::from_secs(1)).await.is_ok()
        })
        .await;
    }

    /// Goes through a fault: `begin`, a while in which everything that is promised must hold, `end`.
    async fn endures(
        mut self,
        name: &str,
        begin: impl AsyncFnOnce(&mut Self),
        end: impl AsyncFnOnce(&mut Self),
    ) -> Mesh {
        tokio::time::sleep(Duration::from_millis(1800)).await;
        let lines = LINES.load(Ordering::SeqCst);
        begin(&mut self).await;
        // Longer than the TTL.
        tokio::time::sleep(Duration::from_millis(2200)).await;
        end(&mut self).await;
        let ended = Instant::now();
        self.works().await;
        let recovered = ended.elapsed();
        self.events_come(name).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.over.store(true, Ordering::SeqCst);
        let mut ends = Vec::new();
        for caller in std::mem::take(&mut self.callers) {
            ends.extend(caller.await.unwrap());
        }
        let lines = LINES.load(Ordering::SeqCst) - lines;
        self.judge(name, &ends, recovered, lines);
        testing::eventually("nothing is left", async || queued(&self.config, "worker").await == 0).await;
        self
    }

    async fn events_come(&mut self, name: &str) {
        let emitting = tokio::spawn({
            let replica = self.replicas[0].service("journal");
            let name = name.to_owned();
            async move {
                loop {
                    replica.emit("noted", name.clone()).unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let heard = async {
            while let Some(event) = self.events.next().await {
                if event.data == name {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard).await.expect("events come again");
        emitting.abort();
    }

    fn judge(&mut self, name: &str, ends: &[End], recovered: Duration, lines: usize) {
        let worst = ends.iter().map(|end| end.took).max().unwrap_or_default();
        let said = |what: &str| {
            ends.iter().filter(|end| end.outcome.as_ref().is_err_and(|error| outcome(error) == what)).count()
        };
        let unknown = said("unknown");
        let never = said("never ran");
        println!(
            "figure: {name}: {} calls, {unknown} unknown, {never} never ran, worst {worst:?}, works {recovered:?} after its end, {lines} lines logged",
            ends.len()
        );
        let runs = self.journal.runs();
        assert!(runs.values().all(|runs| *runs == 1), "{name}: run twice");
        for End { number, create, outcome: ended, took } in ends {
            assert!(*took < DEADLINE + Duration::from_secs(1), "{name}: {took:?}");
            match ended {
                Ok(_) => assert!(!create || runs.contains_key(number)),
                Err(error) if outcome(error) == "never ran" => assert!(!runs.contains_key(number), "{name}: {error}"),
                Err(error) => assert_eq!(outcome(error), "unknown", "{name}: {error}"),
            }
        }
        assert!(recovered < Duration::from_secs(3), "{name}: {recovered:?}");
        assert!(lines < 120, "{name}: {lines} lines");
        for changes in &mut self.changes {
            while let Some(Some(change)) = changes.next().now_or_never() {
                assert!(!matches!(change, Change::NodeDown(_) | Change::ServiceRemoved(_)), "{name}: {change:?}");
            }
        }
    }

    async fn command(&self, words: &[&str]) {
        command(&self.config, words).await.unwrap();
    }

    async fn kill_connections(&self) {
        let mut connection = redis_of(&self.config).await;
        for kind in ["normal", "pubsub"] {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
            let _: u64 = kill.query_async(&mut connection).await.unwrap();
        }
    }
}

async fn call(node: Node, caller: u64, over: Arc<AtomicBool>) -> Vec<End> {
    let journal = node.service("journal");
    let mut ends = Vec::new();
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let number = caller * 1_000_000 + n;
        let create = (caller + n).is_multiple_of(2);
        let asked = Instant::now();
        let outcome = match create {
            true => journal.create(number).await,
            false => journal.get(number as i64).await,
        };
        // Refused at once, as by a full memory, is no reason to ask a thousand times a second.
        if outcome.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ends.push(End { number, create, outcome, took: asked.elapsed() });
    }
    ends
}

async fn nothing(_: &mut Mesh) {}

#[tokio::test]
async fn a_server_that_became_a_replica_is_waited_for() {
    let mesh = Mesh::start(&[]).await;
    let begin = async |mesh: &mut Mesh| mesh.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    mesh.endures("READONLY", begin, async |mesh| mesh.command(&["REPLICAOF", "NO", "ONE"]).await).await;
}

#[tokio::test]
async fn a_replica_without_its_master_is_waited_for() {
    let mesh = Mesh::start(&["--replica-serve-stale-data", "no"]).await;
    let begin = async |mesh: &mut Mesh| mesh.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    mesh.endures("MASTERDOWN", begin, async |mesh| mesh.command(&["REPLICAOF", "NO", "ONE"]).await).await;
}

#[tokio::test]
async fn a_password_that_is_wrong_for_a_while_is_waited_out() {
    let mesh = Mesh::start(&[]).await;
    let begin = async |mesh: &mut Mesh| {
        mesh.command(&["CONFIG", "SET", "requirepass", "other"]).await;
        let kill = "CLIENT KILL TYPE normal SKIPME no";
        let url = format!("redis://:other@127.0.0.1:{}", mesh.redis.port());
        let config = Config {
            redis: rachis::config::Redis { url: url.as_str().into(), ..mesh.config.redis.clone() },
            ..mesh.config.clone()
        };
        let _ = command(&config, &kill.split(' ').collect::<Vec<_>>()).await;
        let _ = command(&config, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    };
    let end = async |mesh: &mut Mesh| {
        let url = format!("redis://:other@127.0.0.1:{}", mesh.redis.port());
        let config = Config {
            redis: rachis::config::Redis { url: url.as_str().into(), ..mesh.config.redis.clone() },
            ..mesh.config.clone()
        };
        command(&config, &["CONFIG", "SET", "requirepass", ""]).await.unwrap();
    };
    mesh.endures("NOAUTH", begin, end).await;
}

#[tokio::test]
async fn a_server_that_can_not_save_is_waited_for() {
    let mesh = Mesh::start(&["--enable-protected-configs", "yes"]).await;
    let begin = async |mesh: &mut Mesh| {
        let mut connection = redis_of(&mesh.config).await;
        let folder: Vec<String> =
            redis::cmd("CONFIG").arg("GET").arg("dir").query_async(&mut connection).await.unwrap();
        std::fs::create_dir(std::path::Path::new(&folder[1]).join("taken.rdb")).unwrap();
        for (name, value) in [("dbfilename", "taken.rdb"), ("save", "3600 1")] {
            mesh.command(&["CONFIG", "SET", name, value]).await;
        }
        mesh.command(&["BGSAVE"]).await;
        testing::eventually("it could not save", async || {
            let info: String =
                redis::cmd("INFO").arg("persistence").query_async(&mut redis_of(&mesh.config).await).await.unwrap();
            info.contains("rdb_last_bgsave_status:err")
        })
        .await;
    };
    let end = async |mesh: &mut Mesh| {
        mesh.command(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await;
        // It would try to save before it ends, and not end.
        mesh.command(&["CONFIG", "SET", "save", ""]).await;
    };
    mesh.endures("MISCONF", begin, end).await;
}

#[tokio::test]
async fn every_connection_killed_is_made_anew_under_load() {
    let mesh = Mesh::start(&[]).await;
    mesh.endures("CLIENT KILL", async |mesh| mesh.kill_connections().await, nothing).await;
}

#[tokio::test]
async fn a_pause_of_everything_is_waited_out() {
    let mesh = Mesh::start(&[]).await;
    mesh.endures("CLIENT PAUSE ALL", async |mesh| mesh.command(&["CLIENT", "PAUSE", "2200", "ALL"]).await, nothing)
        .await;
}

#[tokio::test]
async fn a_pause_of_all_writes_is_waited_out() {
    let mesh = Mesh::start(&[]).await;
    mesh.endures("CLIENT PAUSE WRITE", async |mesh| mesh.command(&["CLIENT", "PAUSE", "2200", "WRITE"]).await, nothing)
        .await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_waited_for() {
    let mesh = Mesh::start(&[]).await;
    mesh.endures("SIGSTOP", async |mesh| mesh.redis.freeze().unwrap(), async |mesh| mesh.redis.thaw().unwrap()).await;
}

#[tokio::test]
async fn connections_that_swallow_everything_are_made_anew() {
    let redis = ThrowawayRedis::start().unwrap();
    let proxy = Proxy::before(&redis).await;
    let config = testing::config_for(&proxy.url());
    let mesh = Mesh::over(redis, config).await;
    // The connections that lost something stay silent for ever, as a firewall lets them.
    let mesh = mesh.endures("a black hole", async |_| proxy.swallow(), async |_| proxy.open()).await;
    drop(mesh);
}

#[tokio::test]
async fn a_node_comes_back_within_its_ttl_though_an_attempt_to_connect_hangs() {
    let redis = ThrowawayRedis::start().unwrap();
    let proxy = Proxy::before(&redis).await;
    let config = testing::config_for(&redis.url());
    let watcher = start(&config, "watcher", App::new()).await;
    let mut behind = testing::config_for(&proxy.url());
    behind.namespace.clone_from(&config.namespace);
    behind.redis.response_timeout = Duration::from_millis(300);
    let node = start(&behind, "worker", App::new().register("journal", Journal::default())).await;
    knows(&watcher, "journal").await;
    let mut changes = watcher.changes();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Half a second without a way through: shorter than the TTL, longer than an attempt should hang.
    proxy.swallow();
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.open();
    tokio::time::sleep(config.ttl() * 2).await;
    while let Some(Some(change)) = changes.next().now_or_never() {
        assert!(!matches!(change, Change::NodeDown(_)), "{change:?}");
    }
    assert_eq!(watcher.service("journal").create(1).await.unwrap(), 1);
    drop(node);
}

#[tokio::test]
async fn a_restart_without_data_is_survived_under_load() {
    let mesh = Mesh::start(&[]).await;
    mesh.endures("restart without data", async |mesh| mesh.redis.stop(), async |mesh| mesh.redis.launch().unwrap())
        .await;
}

#[tokio::test]
async fn a_restart_with_data_is_survived_under_load() {
    let mesh = Mesh::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    mesh.endures("restart with data", async |mesh| mesh.redis.stop(), async |mesh| mesh.redis.launch().unwrap()).await;
}

#[tokio::test]
async fn a_server_that_is_still_loading_its_data_is_waited_for() {
    // About two seconds, in which it answers LOADING.
    let slow = ["--key-load-delay", "700", "--loading-process-events-interval-bytes", "1024"];
    let arguments = ["--appendonly", "yes", "--appendfsync", "always", slow[0], slow[1], slow[2], slow[3]];
    let mesh = Mesh::start(&arguments).await;
    let begin = async |mesh: &mut Mesh| {
        let fill = "for n = 1, 3000 do redis.call('SET', 'ballast' .. n, n) end";
        mesh.command(&["EVAL", fill, "0"]).await;
        mesh.command(&["BGREWRITEAOF"]).await;
        testing::eventually("the data is in one file", async || {
            let mut info = redis::cmd("INFO");
            let info: String = info.arg("persistence").query_async(&mut redis_of(&mesh.config).await).await.unwrap();
            info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
        })
        .await;
        mesh.redis.stop();
        mesh.redis.launch().unwrap();
        let error = command(&mesh.config, &["PING"]).await.unwrap_err();
        assert_eq!(error.code(), Some("LOADING"), "{error}");
    };
    let end = async |mesh: &mut Mesh| {
        testing::eventually("it has loaded", async || command(&mesh.config, &["PING"]).await.is_ok()).await;
    };
    mesh.endures("LOADING", begin, end).await;
}

#[tokio::test]
async fn while_memory_is_full_calls_are_refused_at_once_and_nobody_vanishes() {
    let mesh = Mesh::start(&[]).await;
    let begin = async |mesh: &mut Mesh| mesh.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let end = async |mesh: &mut Mesh| {
        let error = mesh.caller.service("journal").create(1u64 << 50).await.unwrap_err();
        assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Unavailable, "never ran"));
        assert!(error.message().contains("Redis is out of memory"), "{error}");
        assert!(!mesh.journal.runs().contains_key(&(1 << 50)));
        // Who comes now is seen, and what happens now is heard.
        let late = start(&mesh.config, "late", App::new().register("late", Journal::default())).await;
        knows(&mesh.caller, "late").await;
        mesh.events_come("heard with full memory").await;
        mesh.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        std::mem::forget(late);
    };
    mesh.endures("OOM", begin, end).await;
}

#[tokio::test]
async fn what_runs_when_memory_fills_up_is_answered() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let gate = Gate::closed("there");
    let there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let calls: Vec<_> = (0..50).map(|n| tokio::spawn(here.service("jobs").create(n).answer())).collect();
    testing::eventually("all have begun", async || gate.started() == 50).await;
    command(&config, &["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    gate.open_up();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, "there");
    }
    assert_eq!(gate.started(), 50);
    // Leaving in good order takes no memory either.
    there.shutdown().await.unwrap();
    testing::eventually("it is gone", async || here.nodes().len() == 1).await;
}

#[tokio::test]
async fn a_group_that_somebody_destroys_is_made_anew_and_lets_nothing_run_twice() {
    let mesh = Mesh::start(&[]).await;
    let begin = async |mesh: &mut Mesh| {
        for _ in 0..3 {
            mesh.command(&["XGROUP", "DESTROY", &calls_of(&mesh.config, "worker"), "replicas"]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    mesh.endures("XGROUP DESTROY", begin, nothing).await;
}

#[tokio::test]
async fn what_runs_when_the_group_is_destroyed_goes_on_and_is_answered() {
    let config = Config { timeout: Duration::from_secs(9), ..testing::config() };
    let gate = Gate::closed("there");
    let _one = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let _two = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    sees_replicas(&here, "jobs", 2).await;
    let calls: Vec<_> = (0..20).map(|n| tokio::spawn(here.service("jobs").create(n).answer())).collect();
    testing::eventually("all have begun", async || gate.started() == 20).await;
    command(&config, &["XGROUP", "DESTROY", &calls_of(&config, "worker"), "replicas"]).await.unwrap();
    // Longer than it takes until the rest is inherited.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    gate.open_up();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, "there");
    }
    assert_eq!(gate.started(), 20);
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn what_a_destroyed_group_had_given_to_the_dead_is_not_taken_for_new() {
    use crate::wire::{self, request};
    let config = testing::config();
    let gate = Gate::open("there");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    // It has looked for what strangers left behind, twice, and will not do so again.
    tokio::time::sleep(config.heartbeat_interval * 2 + Duration::from_millis(500)).await;
    let frame = |id, method| request(id, "jobs", method, Duration::from_secs(9));
    wire::give(&config, "worker", "ghost", &frame(1, "create")).await;
    wire::give(&config, "worker", "ghost", &frame(2, "find")).await;
    command(&config, &["XGROUP", "DESTROY", &calls_of(&config, "worker"), "replicas"]).await.unwrap();
    testing::eventually("both are answered", async || wire::replies(&config).await.len() == 2).await;
    let mut replies = wire::replies(&config).await;
    replies.sort_by_key(|reply| reply.0);
    assert_eq!(replies[0].1["Failure"]["data"]["outcome"], "unknown", "{replies:?}");
    assert_eq!((&replies[1].1["Answer"][0], gate.started()), (&serde_json::json!("there"), 1));
    assert_eq!(queued(&config, "worker").await, 0);
}
