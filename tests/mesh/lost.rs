//! Requests that Redis loses while their callers wait.

use crate::{
    calls_of, command, knows, outcome,
    process::{Replica, jobs, ran},
    proxy::Proxy,
    queued, redis_of,
    services::{Echo, Gate, Named},
    start, wire,
};
use rachis::{App, Config, ErrorKind, Id, Method, Node, Params, Result, Service};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Long enough that whoever waits for it has hung.
const LONG: Duration = Duration::from_secs(20);

fn config_of(redis: &ThrowawayRedis) -> Config {
    Config { timeout: LONG, ..testing::config_for(&redis.url()) }
}

/// One node that works and one that calls it.
async fn pair(config: &Config, app: App) -> (Node, Node) {
    let there = start(config, "worker", app).await;
    let here = start(config, "caller", App::new()).await;
    (there, here)
}

#[tokio::test]
async fn after_a_flush_what_may_run_twice_is_sent_again_and_the_rest_is_told_at_once() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let gate = Gate::closed("there");
    let (_there, here) = pair(&config, App::new().register("jobs", gate.clone())).await;
    knows(&here, "jobs").await;
    let get = tokio::spawn(here.service("jobs").get(1).answer());
    let create = tokio::spawn(here.service("jobs").create("x").answer());
    testing::eventually("both have begun", async || gate.started() == 2).await;
    let lost = Instant::now();
    command(&config, &["FLUSHALL"]).await.unwrap();
    let error = create.await.unwrap().unwrap_err();
    println!("figure: told of a create lost by FLUSHALL after {:?} (beat 200 ms)", lost.elapsed());
    assert_eq!((error.kind(), error.code(), outcome(&error)), (ErrorKind::Unavailable, 503, "unknown"));
    assert!(error.message().contains("Redis lost the request"), "{error}");
    assert!(lost.elapsed() < Duration::from_secs(3), "{:?}", lost.elapsed());
    testing::eventually("it runs again", async || gate.started() == 3).await;
    gate.open_up();
    assert_eq!(get.await.unwrap().unwrap().result, "there");
    assert_eq!(gate.started(), 3);
}

#[tokio::test]
async fn what_ends_soon_after_a_flush_is_answered_as_ever() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let gate = Gate::closed("there");
    let (_there, here) = pair(&config, App::new().register("jobs", gate.clone())).await;
    knows(&here, "jobs").await;
    let create = tokio::spawn(here.service("jobs").create("x").answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    command(&config, &["FLUSHALL"]).await.unwrap();
    gate.open_up();
    assert_eq!(create.await.unwrap().unwrap().result, "there");
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn after_a_restart_without_data_nobody_waits_for_the_deadline() {
    let mut redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let gate = Gate::closed("there");
    let (_there, here) = pair(&config, App::new().register("jobs", gate.clone())).await;
    knows(&here, "jobs").await;
    let get = tokio::spawn(here.service("jobs").get(1).answer());
    let create = tokio::spawn(here.service("jobs").create("x").answer());
    testing::eventually("both have begun", async || gate.started() == 2).await;
    redis.stop();
    redis.launch().unwrap();
    let back = Instant::now();
    assert_eq!(outcome(&create.await.unwrap().unwrap_err()), "unknown");
    println!("figure: told of a create lost by a restart {:?} after it", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
    testing::eventually("the other runs again", async || gate.started() == 3).await;
    gate.open_up();
    assert_eq!(get.await.unwrap().unwrap().result, "there");
}

#[tokio::test]
async fn a_stream_that_somebody_deletes_is_noticed_though_nothing_else_happened() {
    let config = Config { timeout: LONG, ..testing::config() };
    let gate = Gate::closed("there");
    let (_there, here) = pair(&config, App::new().register("jobs", gate.clone())).await;
    knows(&here, "jobs").await;
    let create = tokio::spawn(here.service("jobs").create("x").answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    let lost = Instant::now();
    command(&config, &["DEL", &calls_of(&config, "worker")]).await.unwrap();
    let error = create.await.unwrap().unwrap_err();
    assert_eq!(outcome(&error), "unknown");
    assert!(lost.elapsed() < Duration::from_secs(12), "{:?}", lost.elapsed());
    println!("figure: told of a create lost by DEL after {:?}", lost.elapsed());
}

#[tokio::test]
async fn a_call_that_merely_takes_long_is_left_alone() {
    let config = Config { timeout: LONG, ..testing::config() };
    let gate = Gate::closed("there");
    let (_there, here) = pair(&config, App::new().register("jobs", gate.clone())).await;
    knows(&here, "jobs").await;
    let calls = [here.service("jobs").get(1), here.service("jobs").create("x")].map(|call| tokio::spawn(call.answer()));
    testing::eventually("both have begun", async || gate.started() == 2).await;
    // Two looks at calls that wait.
    tokio::time::sleep(Duration::from_millis(11_500)).await;
    gate.open_up();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, "there");
    }
    assert_eq!(gate.started(), 2);
}

#[tokio::test]
async fn a_request_that_was_handed_back_is_found_again_under_its_new_entry() {
    let config = Config { timeout: LONG, ..testing::config() };
    let gate = Gate::closed("there");
    let (there, here) = pair(&config, App::new().register("jobs", gate.clone())).await;
    knows(&here, "jobs").await;
    there.shutdown().await.unwrap();
    let create = tokio::spawn(here.service("jobs").create("x").answer());
    testing::eventually("it waits", async || queued(&config, "worker").await == 1).await;
    // As a replica does that leaves before it has begun it.
    let requeue = "local entry = redis.call('XRANGE', KEYS[1], '-', '+')[1]
        redis.call('XDEL', KEYS[1], entry[1])
        return redis.call('XADD', KEYS[1], '*', 'm', entry[2][2])";
    command(&config, &["EVAL", requeue, "1", &calls_of(&config, "worker")]).await.unwrap();
    let _next = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    testing::eventually("it has begun", async || gate.started() == 1).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    gate.open_up();
    assert_eq!((create.await.unwrap().unwrap().result, gate.started()), (json!("there"), 1));
}

#[tokio::test]
async fn a_create_that_never_reached_redis_is_sent_again_and_runs_once() {
    let redis = ThrowawayRedis::start().unwrap();
    let proxy = Proxy::before(&redis).await;
    let config = config_of(&redis);
    let journal = Journal::default();
    let _there = start(&config, "worker", App::new().register("journal", journal.clone())).await;
    let mut behind = config.clone();
    behind.redis.url = proxy.url().as_str().into();
    let here = start(&behind, "caller", App::new()).await;
    knows(&here, "journal").await;
    for n in 0..5 {
        let cuts = proxy.cuts();
        proxy.cut_at(b"XADD");
        let create = tokio::spawn(here.service("journal").create(n).answer());
        testing::eventually("it has left", async || proxy.cuts() > cuts).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        proxy.open();
        let asked = Instant::now();
        assert_eq!(create.await.unwrap().unwrap().result, n);
        println!("figure: a create cut off before Redis had it was answered {:?} later", asked.elapsed());
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    }
    assert_eq!(journal.runs(), (0..5).map(|n| (n, 1)).collect());
}

/// What becomes of a create whose connection broke, and whose reply Redis has no memory for: `cut`, which cuts the connection
/// between the create and what is behind it, and `hold` stop its caller from looking for it meanwhile.
async fn a_reply_without_memory(cut: impl FnOnce(&Proxy), hold: impl AsyncFnOnce(&Proxy)) {
    let redis = ThrowawayRedis::start().unwrap();
    let to_here = Proxy::before(&redis).await;
    let to_there = Proxy::before(&redis).await;
    // No node is taken for dead while it is cut off.
    let config = Config { ttl: Some(Duration::from_secs(30)), ..config_of(&redis) };
    let behind = |proxy: &Proxy| {
        let mut behind = config.clone();
        behind.redis.url = proxy.url().as_str().into();
        behind
    };
    let gate = Gate::closed("there");
    let _there = start(&behind(&to_there), "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&behind(&to_here), "caller", App::new()).await;
    knows(&here, "jobs").await;
    cut(&to_here);
    let create = tokio::spawn(here.service("jobs").create("x").answer());
    testing::eventually("it has left", async || to_here.cuts() > 0).await;
    hold(&to_here).await;
    testing::eventually("it has begun", async || gate.started() == 1).await;
    // Its reply is refused, its entry deleted, and what is written instead of the reply does not arrive.
    to_there.cut_at(
        include_str!("../../crates/rachis-mesh/src/redis/scripts/reply.lua").lines().next().unwrap().as_bytes(),
    );
    command(&config, &["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    gate.open_up();
    testing::eventually("its entry is deleted", async || queued(&config, "worker").await == 0).await;
    command(&config, &["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    to_here.open();
    let error = create.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), outcome(&error), gate.started()), (ErrorKind::Unavailable, "unknown", 1), "{error}");
}

#[tokio::test]
async fn a_create_whose_reply_found_no_memory_is_not_taken_for_one_that_never_arrived() {
    a_reply_without_memory(|proxy| proxy.cut_between([b"XADD", b"XLEN"]), async |proxy| proxy.swallow()).await;
}

#[tokio::test]
async fn a_create_that_is_looked_for_while_its_reply_finds_no_memory_is_not_either() {
    let search = redis::Script::new(include_str!("../../crates/rachis-mesh/src/redis/scripts/find.lua"));
    let search: &'static [u8] = search.get_hash().to_owned().leak().as_bytes();
    let cut = |proxy: &Proxy| proxy.cut_between_and_at([b"XADD", b"XLEN"], search);
    let looked_for = async |proxy: &Proxy| {
        testing::eventually("it is looked for", async || proxy.cuts() > 1).await;
    };
    a_reply_without_memory(cut, looked_for).await;
}

#[tokio::test]
async fn a_create_whose_connection_broke_before_a_restart_is_told_at_once_that_nobody_knows() {
    let mut redis = ThrowawayRedis::start().unwrap();
    let proxy = Proxy::before(&redis).await;
    let config = config_of(&redis);
    let journal = Journal::default();
    let _there = start(&config, "worker", App::new().register("journal", journal.clone())).await;
    let mut behind = config.clone();
    behind.redis.url = proxy.url().as_str().into();
    let here = start(&behind, "caller", App::new()).await;
    knows(&here, "journal").await;
    proxy.cut_at(b"XADD");
    let create = tokio::spawn(here.service("journal").create(7).answer());
    testing::eventually("it has left", async || proxy.cuts() > 0).await;
    redis.stop();
    redis.launch().unwrap();
    proxy.open();
    let back = Instant::now();
    let error = create.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Unavailable, "unknown"));
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[tokio::test]
async fn creates_whose_connection_is_killed_again_and_again_all_end_and_run_at_most_once() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let journal = Journal::default();
    let (_there, here) = pair(&config, App::new().register("journal", journal.clone())).await;
    knows(&here, "journal").await;
    let killer = tokio::spawn({
        let config = config.clone();
        async move {
            let mut connection = redis_of(&config).await;
            for _ in 0..15 {
                let mut kill = redis::cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
                let _: u64 = kill.query_async(&mut connection).await.unwrap();
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        }
    });
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..8u64)
        .map(|caller| {
            let journal = here.service("journal");
            let over = over.clone();
            tokio::spawn(async move {
                let mut made = 0;
                let mut worst = Duration::ZERO;
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    let asked = Instant::now();
                    journal.create(caller * 1_000_000 + made).await?;
                    made += 1;
                    worst = worst.max(asked.elapsed());
                }
                Ok::<_, rachis::Error>((made, worst))
            })
        })
        .collect();
    killer.await.unwrap();
    over.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut all = 0;
    let mut worst = Duration::ZERO;
    for caller in callers {
        let (made, longest) = caller.await.unwrap().expect("Redis lost nothing, so every create is answered");
        (all, worst) = (all + made, worst.max(longest));
    }
    println!("figure: {all} creates under 15 CLIENT KILL, the longest {worst:?}");
    assert!(worst < Duration::from_secs(6), "{worst:?}");
    let runs = journal.runs();
    assert_eq!((runs.len() as u64, runs.values().all(|runs| *runs == 1)), (all, true));
}

#[tokio::test]
async fn of_an_app_whose_last_replica_died_nobody_waits_for_what_it_had_begun() {
    let config = Config { timeout: LONG, ..testing::config() };
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let get = caller.service("jobs").get(1);
    let create = caller.service("jobs").create(json!({}));
    let get = tokio::spawn(get.answer());
    let create = tokio::spawn(create.answer());
    for method in ["get", "create"] {
        testing::eventually("it has begun", async || ran(&config, method).await == 1).await;
    }
    let killed = Instant::now();
    doomed.kill();
    let error = create.await.unwrap().unwrap_err();
    println!("figure: told of a create of the last replica {:?} after its death (TTL 1.5 s)", killed.elapsed());
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Unavailable, "unknown"));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    let waiting = tokio::spawn(caller.service("jobs").patch(1, json!({})).answer());
    testing::eventually("it waits", async || queued(&config, "worker").await == 3).await;
    let _next = jobs(&config, "worker", true).await;
    assert_eq!(get.await.unwrap().unwrap().result, std::process::id());
    assert_eq!(waiting.await.unwrap().unwrap().result, std::process::id(), "what nobody had begun waits for the next");
    assert_eq!((ran(&config, "create").await, ran(&config, "patch").await), (1, 1));
}

#[tokio::test]
async fn a_reply_that_comes_while_a_full_queue_is_being_told_is_not_lost() {
    let mut config = testing::config();
    config.limits.max_queue = 1;
    let (_there, here) = pair(&config, App::new().register("echo", Echo)).await;
    knows(&here, "echo").await;
    let calls: Vec<_> = (0..200).map(|n| tokio::spawn(here.service("echo").get(n).answer())).collect();
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert_eq!(error.kind(), ErrorKind::TooManyRequests, "{error}");
        }
    }
}

/// Counts how often each call ran, by the number it was called with.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    pub(crate) runs: Arc<Mutex<HashMap<u64, u64>>>,
    pub(crate) takes: Duration,
}

impl Journal {
    async fn note(&self, data: Value) -> Result<Value> {
        *self.runs.lock().unwrap().entry(data.as_u64().unwrap()).or_default() += 1;
        tokio::time::sleep(self.takes).await;
        Ok(data)
    }

    pub(crate) fn runs(&self) -> HashMap<u64, u64> {
        self.runs.lock().unwrap().clone()
    }
}

impl Service for Journal {
    const METHODS: &[Method] = &[Method::Get, Method::Create];
    const EVENTS: &[&str] = &["noted"];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        tokio::time::sleep(self.takes).await;
        Ok(json!(id))
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        self.note(data).await
    }
}

#[tokio::test]
async fn a_flush_under_load_hangs_no_call_and_runs_no_create_twice() {
    let redis = ThrowawayRedis::start().unwrap();
    let mut config = config_of(&redis);
    config.timeout = Duration::from_secs(8);
    let journal = Journal { takes: Duration::from_millis(5), ..Journal::default() };
    let _there = start(&config, "worker", App::new().register("journal", journal.clone())).await;
    let _also = start(&config, "worker", App::new().register("journal", journal.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    crate::sees_replicas(&here, "journal", 2).await;
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..16u64)
        .map(|caller| {
            let journal = here.service("journal");
            let over = over.clone();
            tokio::spawn(async move {
                let mut ends = Vec::new();
                for n in 0.. {
                    if over.load(std::sync::atomic::Ordering::SeqCst) {
                        break;
                    }
                    let asked = Instant::now();
                    let number = caller * 1_000_000 + n;
                    let create = (caller + n).is_multiple_of(2);
                    let outcome = match create {
                        true => journal.create(number).await,
                        false => journal.get(number as i64).await,
                    };
                    ends.push((number, create, outcome, asked.elapsed()));
                }
                ends
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        command(&config, &["FLUSHALL"]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    over.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut ends = Vec::new();
    for caller in callers {
        ends.extend(caller.await.unwrap());
    }
    let runs = journal.runs();
    let worst = ends.iter().map(|(.., took)| *took).max().unwrap();
    let slow = ends.iter().filter(|(.., took)| *took > Duration::from_secs(3)).count();
    let unknown = ends.iter().filter(|(_, _, outcome, _)| outcome.is_err()).count();
    println!(
        "figure: 3 FLUSHALL under 16 callers: {} calls, {unknown} unknown, {slow} over 3 s, worst {worst:?}",
        ends.len()
    );
    for (number, create, outcome, took) in &ends {
        match outcome {
            Ok(_) if *create => assert_eq!(runs.get(number), Some(&1)),
            Ok(_) => {}
            Err(error) => {
                assert_eq!((error.kind(), crate::outcome(error), *create), (ErrorKind::Unavailable, "unknown", true))
            }
        }
        assert!(*took < config.timeout, "{took:?}");
    }
    assert!(runs.values().all(|runs| *runs == 1), "run twice");
    assert!(slow * 100 < ends.len(), "{slow} of {}", ends.len());
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn replies_reach_a_caller_whose_inbox_begins_anew_under_a_clock_that_is_behind() {
    let config = testing::config();
    let (_there, here) = pair(&config, App::new().register("echo", Named("there"))).await;
    knows(&here, "echo").await;
    let inbox = wire::inbox_of(&config, here.id());
    // As if the replies so far had come from a server whose clock is an hour ahead.
    let ahead = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() + 3_600_000;
    command(&config, &["XADD", &inbox, &format!("{ahead}-0"), "m", "x"]).await.unwrap();
    assert_eq!(here.service("echo").get(1).await.unwrap(), "there");
    command(&config, &["DEL", &inbox]).await.unwrap();
    command(&config, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    assert_eq!(here.service("echo").get(2).timeout(Duration::from_secs(9)).await.unwrap(), "there");
}

#[tokio::test]
async fn what_a_lost_connection_is_given_after_its_replica_has_looked_is_found_as_well() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let (there, here) = pair(&config, App::new().register("echo", Named("there"))).await;
    knows(&here, "echo").await;
    command(&config, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    // By then the replica has a new connection, and has looked what the old one was given.
    assert_eq!(here.service("echo").get(1).await.unwrap(), "there");

    // The old one, of which the server does not know yet that nobody listens: it waits behind the new one.
    let stream = calls_of(&config, "worker");
    let id = there.id().to_owned();
    let lost = tokio::spawn({
        let config = config.clone();
        async move {
            let given =
                ["XREADGROUP", "GROUP", "replicas", &id, "COUNT", "1", "BLOCK", "9000", "STREAMS", &stream, ">"];
            command(&config, &given).await.unwrap()
        }
    });
    testing::eventually("it waits", async || {
        let clients = command(&config, &["CLIENT", "LIST"]).await.unwrap();
        let clients: String = redis::from_redis_value(clients).unwrap();
        clients.lines().filter(|client| client.contains("cmd=xreadgroup ")).count() == 2
    })
    .await;
    assert_eq!(here.service("echo").get(2).await.unwrap(), "there");
    let asked = Instant::now();
    let call = tokio::spawn(here.service("echo").get(3).answer());
    assert_ne!(lost.await.unwrap(), redis::Value::Nil, "it got the request");
    assert_eq!(call.await.unwrap().unwrap().result, "there");
    assert!(asked.elapsed() < LONG / 2, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_stream_that_can_not_be_asked_about_does_not_keep_others_from_being_looked_after() {
    let config = Config { timeout: LONG, ..testing::config() };
    let one = Gate::closed("one");
    let two = Gate::closed("two");
    // Looked at one after the other by name, the first would be the one that fails.
    let _one = start(&config, "a-worker", App::new().register("one", one.clone())).await;
    let _two = start(&config, "b-worker", App::new().register("two", two.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "one").await;
    knows(&here, "two").await;
    let _stuck = tokio::spawn(here.service("one").create("x").answer());
    let lost = tokio::spawn(here.service("two").create("x").answer());
    testing::eventually("both have begun", async || one.started() == 1 && two.started() == 1).await;
    command(&config, &["SET", &calls_of(&config, "a-worker"), "no stream"]).await.unwrap();
    command(&config, &["DEL", &calls_of(&config, "b-worker")]).await.unwrap();
    let error = lost.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Unavailable, "unknown"), "{error}");
}
