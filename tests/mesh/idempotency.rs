//! Calls with an idempotency key: one of them runs, and all of them get its reply.

use crate::{
    calls_of, command, knows, outcome,
    process::{Replica, jobs, ran},
    queued, redis_of, sees_replicas,
    services::Gate,
    start,
};
use rachis::{App, Config, Error, ErrorKind, Method, Node, Params, Result, Service, ServiceExt, config::ByteSize};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const KEY: &str = "order-17";

fn config() -> Config {
    Config { timeout: Duration::from_secs(15), ..testing::config() }
}

/// Answers with how often it was called, all its clones together, or with what it was told to.
#[derive(Clone, Default)]
struct Orders(Arc<AtomicUsize>);

impl Orders {
    fn runs(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn app(&self) -> App {
        App::new().register("orders", self.clone())
    }
}

impl Service for Orders {
    const METHODS: &[Method] = &[Method::Create, Method::custom("pay"), Method::custom("count")];
    const IDEMPOTENT: &[Method] = &[Method::custom("count")];

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        let run = 1 + self.0.fetch_add(1, Ordering::SeqCst);
        match data["first"].as_str() {
            Some("422") if run == 1 => Err(Error::unprocessable("No such article").with_data(json!({ "run": run }))),
            Some("500") if run == 1 => Err(Error::general("The printer is on fire")),
            Some("429") if run == 1 => Err(Error::too_many_requests("Later")),
            Some("panic") if run == 1 => panic!("a bomb that a test has set"),
            Some("large") => Ok("x".repeat(300_000).into()),
            _ => Ok(run.into()),
        }
    }

    async fn custom(&self, _: &str, _: Value, _: Params) -> Result<Value> {
        Ok((1 + self.0.fetch_add(1, Ordering::SeqCst)).into())
    }
}

async fn create(node: &Node, data: Value) -> Result<Value> {
    node.service("orders").create(data).idempotency_key(KEY).await
}

/// Two replicas of `orders`, and a node that only calls.
async fn mesh(config: &Config) -> (Orders, [Node; 3]) {
    let orders = Orders::default();
    let one = start(config, "shop", orders.app()).await;
    let two = start(config, "shop", orders.app()).await;
    let caller = start(config, "caller", App::new()).await;
    sees_replicas(&caller, "orders", 2).await;
    (orders, [one, two, caller])
}

/// The keys of Redis in which calls with idempotency keys are kept.
async fn once_keys(config: &Config) -> Vec<String> {
    let found = command(config, &["KEYS", &format!("{}:*:once:*", config.namespace)]).await.unwrap();
    redis::from_redis_value(found).unwrap()
}

#[tokio::test]
async fn a_call_with_a_key_is_run_by_another_replica_when_its_own_is_killed() {
    let config = config();
    let caller = start(&config, "caller", App::new()).await;
    let mut doomed = Replica::spawn(&config, "worker", false);
    knows(&caller, "jobs").await;
    let jobs_there = caller.service("jobs");
    let calls = [
        ("create", jobs_there.create(json!({}))),
        ("patch", jobs_there.patch(1, json!({}))),
        ("charge", jobs_there.custom("charge", json!({}))),
    ];
    let calls: Vec<_> =
        calls.into_iter().map(|(method, call)| (method, tokio::spawn(call.idempotency_key(KEY).answer()))).collect();
    for (method, _) in &calls {
        testing::eventually("it has begun", async || ran(&config, method).await == 1).await;
    }
    let _heir = jobs(&config, "worker", true).await;
    sees_replicas(&caller, "jobs", 2).await;
    doomed.kill();
    for (method, call) in calls {
        assert_eq!(call.await.unwrap().unwrap().result, std::process::id(), "{method}");
        assert_eq!(ran(&config, method).await, 2, "{method}");
    }
    // And the reply of that run is kept as any other.
    let repeat = jobs_there.create(json!({})).idempotency_key(KEY).await.unwrap();
    assert_eq!((repeat, ran(&config, "create").await), (std::process::id().into(), 2));
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn a_repeat_gets_the_first_reply_wherever_it_comes_from() {
    let (orders, nodes) = mesh(&config()).await;
    for _ in 0..5 {
        for node in &nodes {
            assert_eq!(create(node, json!({ "a": 1, "b": 2 })).await.unwrap(), 1);
        }
    }
    // Written in another order, it asks for the same.
    assert_eq!(create(&nodes[0], json!({ "b": 2, "a": 1 })).await.unwrap(), 1);
    assert_eq!(orders.runs(), 1);
}

#[tokio::test]
async fn without_a_key_and_under_another_key_or_method_a_call_is_another() {
    let (orders, [_one, _two, caller]) = mesh(&config()).await;
    let there = caller.service("orders");
    assert_eq!(create(&caller, json!({})).await.unwrap(), 1);
    assert_eq!(there.create(json!({})).await.unwrap(), 2);
    assert_eq!(there.create(json!({})).idempotency_key("order-18").await.unwrap(), 3);
    assert_eq!(there.custom("pay", json!({})).idempotency_key(KEY).await.unwrap(), 4);
    for run in [5, 6] {
        assert_eq!(
            there.custom("count", json!({})).idempotency_key(KEY).await.unwrap(),
            run,
            "it may run twice anyway"
        );
    }
    assert_eq!(orders.runs(), 6);
}

#[tokio::test]
async fn other_data_or_another_query_under_the_same_key_is_refused() {
    let (orders, nodes) = mesh(&config()).await;
    create(&nodes[2], json!({ "a": 1 })).await.unwrap();
    for node in &nodes {
        let error = create(node, json!({ "a": 2 })).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unprocessable, 422));
        assert!(error.message().contains("take a new key"), "{error}");
        let asked = node.service("orders").create(json!({ "a": 1 })).query(json!({ "q": 1 })).idempotency_key(KEY);
        assert_eq!(asked.await.unwrap_err().kind(), ErrorKind::Unprocessable);
    }
    assert_eq!(orders.runs(), 1);
}

#[tokio::test]
async fn two_users_with_one_key_do_not_share() {
    let (orders, nodes) = mesh(&config()).await;
    let as_user = |node: &Node, user: Value, seen: u32| {
        let params = Params::default().with_user(json!({ "id": user, "seen": seen }));
        node.service("orders").create(json!({})).params(params).idempotency_key(KEY)
    };
    for (user, run) in [(json!(1), 1), (json!(2), 2), (json!("1"), 3)] {
        for (seen, node) in nodes.iter().enumerate() {
            assert_eq!(as_user(node, user.clone(), seen as u32).await.unwrap(), run);
        }
    }
    let with_token = |token: &str| {
        let params = Params::default().with_authentication(json!({ "strategy": "jwt", "accessToken": token }));
        nodes[2].service("orders").create(json!({})).params(params).idempotency_key(KEY)
    };
    for (token, run) in [("a", 4), ("b", 5), ("a", 4)] {
        assert_eq!(with_token(token).await.unwrap(), run);
    }
    assert_eq!(orders.runs(), 5);
}

#[tokio::test]
async fn no_secret_stands_in_a_key_of_redis_nor_in_what_is_kept_of_a_call() {
    let config = config();
    let (_orders, nodes) = mesh(&config).await;
    let params = Params::default().with_authentication(json!({ "accessToken": "hunter2" }));
    let asked = nodes[2].service("orders").create(json!({ "password": "hunter2" })).params(params);
    asked.idempotency_key("hunter2").await.unwrap();
    let once = once_keys(&config).await;
    assert_eq!(once.len(), 1);
    assert!(once[0].starts_with(&calls_of(&config, "shop").replace(":calls", ":once:")), "{once:?}");
    let kept: Vec<u8> = redis::from_redis_value(command(&config, &["GET", &once[0]]).await.unwrap()).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("hunter2") && !once[0].contains("hunter2"));
}

#[tokio::test]
async fn of_calls_at_once_one_runs_and_the_others_wait_for_its_reply() {
    let config = config();
    let gate = Gate::closed("gate");
    let one = start(&config, "worker", App::new().register("gate", gate.clone())).await;
    let two = start(&config, "worker", App::new().register("gate", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "gate", 2).await;
    let call = |node: &Node| tokio::spawn(node.service("gate").create(json!({})).idempotency_key(KEY).answer());
    let calls = [call(&caller), call(&one), call(&two), call(&caller), call(&one), call(&caller)];
    testing::eventually("all have come in", async || one.in_flight() + two.in_flight() == 3).await;
    testing::eventually("one has begun", async || gate.started() == 1).await;
    gate.open_up();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().result, "gate");
    }
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_repeat_by_a_caller_that_gave_up_too_early_gets_the_reply_of_the_run_that_goes_on() {
    let config = config();
    let gate = Gate::closed("gate");
    let there = start(&config, "worker", App::new().register("gate", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "gate").await;
    let call = |node: &Node| node.service("gate").create(json!({})).idempotency_key(KEY);
    let error = call(&caller).timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Timeout, "unknown"));
    // One that is dropped, of a service of its own process, goes on as well.
    let error = call(&there).timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Timeout, "unknown"));
    let repeat = tokio::spawn(call(&caller).answer());
    gate.open_up();
    assert_eq!(repeat.await.unwrap().unwrap().result, "gate");
    assert_eq!((call(&there).await.unwrap(), gate.started()), (json!("gate"), 1));
}

#[tokio::test]
async fn a_local_run_goes_on_when_its_caller_goes() {
    let config = config();
    let gate = Gate::closed("gate");
    let node = start(&config, "worker", App::new().register("gate", gate.clone())).await;
    let call = || node.service("gate").create(json!({})).idempotency_key(KEY);
    let dropped = tokio::spawn(call().answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    dropped.abort();
    let repeat = tokio::spawn(call().answer());
    gate.open_up();
    assert_eq!((repeat.await.unwrap().unwrap().result, gate.started()), (json!("gate"), 1));
}

#[tokio::test]
async fn a_run_that_takes_long_is_not_run_twice() {
    let mut config = config();
    config.ttl = Some(Duration::from_millis(300));
    config.heartbeat_interval = Duration::from_millis(100);
    let gate = Gate::closed("gate");
    let there = start(&config, "worker", App::new().register("gate", gate.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "gate").await;
    let call = |node: &Node| tokio::spawn(node.service("gate").create(json!({})).idempotency_key(KEY).answer());
    let first = call(&caller);
    testing::eventually("it has begun", async || gate.started() == 1).await;
    let mark = once_keys(&config).await.remove(0);
    let left = async || -> i64 { redis::from_redis_value(command(&config, &["PTTL", &mark]).await.unwrap()).unwrap() };
    // Three seconds, renewed every second; here until it would be over.
    let begun = std::time::Instant::now();
    testing::eventually("it would be over", async || begun.elapsed() > Duration::from_millis(3200)).await;
    assert!((1..=3000).contains(&left().await), "{}", left().await);
    let repeats = [call(&caller), call(&there)];
    testing::eventually("one waits there", async || there.in_flight() == 2).await;
    gate.open_up();
    for call in repeats.into_iter().chain([first]) {
        assert_eq!(call.await.unwrap().unwrap().result, "gate");
    }
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn what_a_dead_node_ran_for_itself_is_run_by_the_next_who_asks() {
    let config = config();
    let gate = Gate::closed("gate");
    let doomed = start(&config, "worker", App::new().register("gate", gate.clone())).await;
    let orders = Gate::open("heir");
    let heir = start(&config, "worker", App::new().register("gate", orders.clone())).await;
    let lost = tokio::spawn(doomed.service("gate").create(json!({})).idempotency_key(KEY).answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    let repeat = tokio::spawn(heir.service("gate").create(json!({})).idempotency_key(KEY).answer());
    // Without a shutdown: as if it was killed.
    drop(doomed);
    assert_eq!(repeat.await.unwrap().unwrap().result, "heir");
    lost.abort();
}

#[tokio::test]
async fn an_error_that_is_the_services_own_word_is_kept_and_any_other_is_not() {
    let config = config();
    for (first, kept) in [("422", true), ("500", false), ("429", false), ("panic", false)] {
        let (orders, nodes) =
            mesh(&Config { namespace: format!("{}-{first}", config.namespace), ..config.clone() }).await;
        for at in [&nodes[2], &nodes[0]] {
            orders.0.store(0, Ordering::SeqCst);
            let key = format!("{first}-{}", at.id());
            let call = || at.service("orders").create(json!({ "first": first })).idempotency_key(&*key);
            let error = call().await.unwrap_err();
            let repeat = call().await;
            match kept {
                true => assert_eq!(repeat, Err(error), "{first}"),
                false => assert_eq!(repeat, Ok(json!(2)), "{first}"),
            }
            assert_eq!(orders.runs(), if kept { 1 } else { 2 }, "{first}");
        }
    }
}

#[tokio::test]
async fn a_reply_too_large_to_keep_is_answered_once_and_then_said_to_have_been() {
    let (orders, nodes) = mesh(&config()).await;
    let large = json!({ "first": "large" });
    assert_eq!(create(&nodes[2], large.clone()).await.unwrap().as_str().unwrap().len(), 300_000);
    for node in &nodes {
        let error = create(node, large.clone()).await.unwrap_err();
        assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Conflict, "ran"));
    }
    assert_eq!(orders.runs(), 1);
}

#[tokio::test]
async fn a_reply_larger_than_any_may_be_leaves_word_that_the_call_ran() {
    let mut config = config();
    config.limits.max_payload = ByteSize(100_000);
    let (orders, nodes) = mesh(&config).await;
    let error = create(&nodes[2], json!({ "first": "large" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
    let error = create(&nodes[2], json!({ "first": "large" })).await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error), orders.runs()), (ErrorKind::Conflict, "ran", 1));
}

#[tokio::test]
async fn a_reply_is_kept_for_as_long_as_configured() {
    let mut config = config();
    config.limits.idempotency_ttl = Duration::from_secs(1);
    let (orders, nodes) = mesh(&config).await;
    for at in [&nodes[2], &nodes[0]] {
        let before = orders.runs();
        let call = async || at.service("orders").create(json!({})).idempotency_key(at.id()).await.unwrap();
        assert_eq!((call().await, call().await), ((before + 1).into(), (before + 1).into()));
        testing::eventually("it runs again", async || call().await == before + 2).await;
    }
}

#[tokio::test]
async fn while_redis_is_away_a_call_with_a_key_does_not_run_at_all() {
    let redis = testing::ThrowawayRedis::start().unwrap();
    let mut config = testing::config_for(&redis.url());
    config.redis.response_timeout = Duration::from_millis(300);
    let orders = Orders::default();
    let node = start(&config, "shop", orders.app()).await;
    assert_eq!(create(&node, json!({})).await.unwrap(), 1);
    redis.freeze().unwrap();
    let call = || node.service("orders").create(json!({})).idempotency_key("another");
    let error = call().await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Unavailable, "never ran"));
    assert_eq!(orders.runs(), 1);
    assert_eq!(node.service("orders").create(json!({})).await.unwrap(), 2, "one without a key runs");
    redis.thaw().unwrap();
    testing::eventually("it runs again", async || call().await.is_ok()).await;
    assert_eq!(orders.runs(), 3);
}

#[tokio::test]
async fn calls_with_keys_run_once_and_are_answered_however_often_connections_break() {
    let redis = testing::ThrowawayRedis::start().unwrap();
    let config = Config { timeout: Duration::from_secs(20), ..testing::config_for(&redis.url()) };
    let (orders, nodes) = mesh(&config).await;
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let there = nodes[2 - n % 2].service("orders");
            tokio::spawn(async move { there.create(json!({ "n": n })).idempotency_key(format!("key-{n}")).await })
        })
        .collect();
    for _ in 0..5 {
        command(&config, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut runs = std::collections::BTreeSet::new();
    for call in calls {
        runs.insert(call.await.unwrap().unwrap().as_u64().unwrap());
    }
    assert_eq!((runs.len(), orders.runs()), (200, 200));
}

#[tokio::test]
async fn what_is_no_key_is_refused_before_anything_is_asked() {
    let [node] = testing::cluster([Orders::default().app()]).await;
    for key in ["", "a b", "é", &"x".repeat(256)] {
        let error = node.service("orders").create(json!({})).idempotency_key(key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest, "{key:?}");
    }
}

#[tokio::test]
async fn hooks_and_methods_see_the_key() {
    use rachis::{MemoryService, ServiceExt};
    let note = MemoryService::new().before(Method::Create, async |mut ctx: rachis::Context| {
        ctx.data["key"] = ctx.params.idempotency_key.clone().into();
        Ok(ctx)
    });
    let [there, here] = testing::cluster([App::new().register("notes", note), App::new()]).await;
    for (node, key) in [(&there, "a"), (&here, "b")] {
        let note = node.service("notes").create(json!({})).idempotency_key(key).await.unwrap();
        assert_eq!(note["key"], key);
        let note = node.service("notes").create(json!({})).idempotency_key(key).params(Params::default());
        assert_eq!(note.await.unwrap()["key"], key, "it is not lost with other params");
    }
}

#[tokio::test]
async fn a_run_whose_mark_redis_has_lost_is_not_joined_by_another() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = Config { timeout: Duration::from_secs(20), ..testing::config_for(&redis.url()) };
    let gate = Gate::closed("there");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let _other = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    sees_replicas(&here, "jobs", 2).await;
    let create = tokio::spawn(here.service("jobs").create("x").idempotency_key(KEY).answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    command(&config, &["FLUSHALL"]).await.unwrap();
    testing::eventually("it is sent again", async || queued(&config, "worker").await == 1).await;
    // The second delivery waits for the first, as a repeat does.
    let repeat = tokio::spawn(here.service("jobs").create("x").idempotency_key(KEY).answer());
    testing::eventually("the repeat is there", async || queued(&config, "worker").await == 2).await;
    gate.open_up();
    assert_eq!(create.await.unwrap().unwrap().result, "there");
    assert_eq!(repeat.await.unwrap().unwrap().result, "there");
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_reply_is_kept_though_redis_is_out_of_memory() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = Config { timeout: Duration::from_secs(20), ..testing::config_for(&redis.url()) };
    let gate = Gate::closed("there");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let create = tokio::spawn(here.service("jobs").create("x").idempotency_key(KEY).answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    command(&config, &["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    gate.open_up();
    assert_eq!(create.await.unwrap().unwrap().result, "there");
    command(&config, &["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    let repeat = here.service("jobs").create("x").idempotency_key(KEY).await;
    assert_eq!((repeat.unwrap(), gate.started()), (json!("there"), 1));
}

#[tokio::test]
async fn a_shutdown_waits_for_a_run_of_the_own_process() {
    let config = config();
    let gate = Gate::closed("here");
    let here = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let other = start(&config, "other", App::new()).await;
    let create = tokio::spawn(here.service("jobs").create("x").idempotency_key(KEY).answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    let leaving = here.clone();
    let leaving = tokio::spawn(async move { leaving.shutdown().await });
    let drains = async || other.nodes().iter().any(|node| node.id == here.id() && !node.up);
    testing::eventually("it drains", async || drains().await || leaving.is_finished()).await;
    assert!(!leaving.is_finished(), "it has left");
    gate.open_up();
    assert_eq!(create.await.unwrap().unwrap().result, "here");
    leaving.await.unwrap().unwrap();
    let next = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    assert_eq!(next.service("jobs").create("x").idempotency_key(KEY).await.unwrap(), "here");
    assert_eq!(gate.started(), 1);
}

/// Puts the mark of a run back that is over, as a failover does that loses what was written last.
async fn roll_back(config: &Config, key: &str, mark: &[u8]) {
    let mut connection = redis_of(config).await;
    redis::cmd("SET").arg(key).arg(mark).arg("PX").arg(60_000).exec_async(&mut connection).await.unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec_async(&mut connection).await.unwrap();
}

/// The only call with an idempotency key that Redis knows, and what stands there.
async fn only_call(config: &Config) -> (String, Vec<u8>) {
    let keys = once_keys(config).await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    let value = redis::cmd("GET").arg(&keys[0]).query_async(&mut redis_of(config).await).await.unwrap();
    (keys[0].clone(), value)
}

#[tokio::test]
async fn a_repeat_gets_the_reply_that_a_failover_lost_and_left_the_mark_of_the_run() {
    for local in [false, true] {
        let redis = ThrowawayRedis::start().unwrap();
        let config = Config { timeout: Duration::from_secs(10), ..testing::config_for(&redis.url()) };
        let gate = Gate::closed("there");
        let there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
        let other = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
        let here = start(&config, "caller", App::new()).await;
        sees_replicas(&here, "jobs", 2).await;
        let caller = if local { &there } else { &here };
        let create = tokio::spawn(caller.service("jobs").create("x").idempotency_key(KEY).answer());
        testing::eventually("it has begun", async || gate.started() == 1).await;
        let (key, mark) = only_call(&config).await;
        gate.open_up();
        assert_eq!(create.await.unwrap().unwrap().result, "there");
        roll_back(&config, &key, &mark).await;
        let callers = if local { [&other, &there] } else { [&here, &here] };
        for caller in callers {
            let repeat = caller.service("jobs").create("x").idempotency_key(KEY).await;
            assert_eq!((repeat.unwrap(), gate.started()), (json!("there"), 1), "local: {local}");
        }
    }
}

#[tokio::test]
async fn a_repeat_runs_though_a_failover_lost_that_the_failed_run_is_over() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = Config { timeout: Duration::from_secs(10), ..testing::config_for(&redis.url()) };
    let gate = Gate::closed("there");
    let failing = gate.clone().after(Method::Create, async |_| Err(Error::general("The printer is on fire")));
    let _there = start(&config, "worker", App::new().register("jobs", failing)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let create = tokio::spawn(here.service("jobs").create("x").idempotency_key(KEY).answer());
    testing::eventually("it has begun", async || gate.started() == 1).await;
    let (key, mark) = only_call(&config).await;
    gate.open_up();
    let told = create.await.unwrap().unwrap_err();
    assert_eq!(told.code(), 500, "{told}");
    roll_back(&config, &key, &mark).await;
    let told = here.service("jobs").create("x").idempotency_key(KEY).await.unwrap_err();
    assert_eq!((told.code(), gate.started()), (500, 2), "{told}");
}

#[tokio::test]
async fn a_call_that_ended_a_moment_before_redis_lost_its_data_is_not_run_again() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = Config { timeout: Duration::from_secs(10), ..testing::config_for(&redis.url()) };
    let (orders, [_one, _two, caller]) = mesh(&config).await;
    assert_eq!(create(&caller, json!({})).await.unwrap(), 1);
    command(&config, &["FLUSHALL"]).await.unwrap();
    testing::eventually("its replica has noticed", async || !once_keys(&config).await.is_empty()).await;
    assert_eq!((create(&caller, json!({})).await.unwrap(), orders.runs()), (json!(1), 1));
}
