//! Whoever reads the reply to a call finds the events that it fired in the log.

use crate::{knows, named, outcome, proxy::Proxy, redis_of, start};
use rachis::{App, Config, Id, MemoryService, Method, Node, Params, Registration, Result, Service};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::{Value, json};
use std::time::Duration;

/// Long enough that whoever waits for it has hung.
const LONG: Duration = Duration::from_secs(60);
/// What the command that publishes an event carries, and no other one.
const EVENT: &[u8] = b"}:log";

/// Fires events by other means than its own standard methods.
struct Loud;

impl Service for Loud {
    const METHODS: &[Method] = &[Method::Get, Method::custom("shout"), Method::custom("pass")];
    const EVENTS: &[&str] = &["shouted"];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!(id))
    }
    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        match method {
            "shout" => params.service("loud").emit("shouted", &data)?,
            _ => drop(params.service("notes").create(data.clone()).await?),
        }
        Ok(data)
    }
}

fn app() -> App {
    App::new().register("loud", Loud).register("notes", Registration::from(MemoryService::new().multi(true)))
}

/// A worker whose way to Redis can be spoilt, and a caller whose way can not.
struct Mesh {
    redis: ThrowawayRedis,
    config: Config,
    proxy: Proxy,
    worker: Node,
    caller: Node,
}

impl Mesh {
    async fn start(change: impl FnOnce(&mut Config)) -> Mesh {
        let redis = ThrowawayRedis::start().unwrap();
        let proxy = Proxy::before(&redis).await;
        let mut config = Config { timeout: LONG, ..testing::config_for(&redis.url()) };
        change(&mut config);
        let mut spoilt = config.clone();
        spoilt.redis.url = proxy.url().into();
        let worker = start(&spoilt, "worker", app()).await;
        let caller = start(&config, "caller", App::new()).await;
        knows(&caller, "notes").await;
        knows(&caller, "loud").await;
        // The connections that events and replies take are there.
        caller.service("notes").create(json!({})).await.unwrap();
        Mesh { redis, config, proxy, worker, caller }
    }

    /// Lets no event of the worker reach Redis, and waits until one was stopped.
    async fn hold_events_back(&self) {
        self.proxy.cut_at(EVENT);
    }

    async fn was_stopped(&self, times: usize) {
        let stopped = async || self.proxy.cuts() >= times;
        testing::eventually("an event did not come through", stopped).await;
    }

    async fn logged(&self, path: &str) -> u64 {
        let log = self.log(path);
        redis::cmd("XLEN").arg(log).query_async(&mut redis_of(&self.config).await).await.unwrap()
    }

    fn log(&self, path: &str) -> String {
        format!("{}:{{events:default/{path}}}:log", self.config.namespace)
    }
}

#[tokio::test]
async fn a_reply_can_be_read_once_the_events_of_its_call_are_in_the_log() {
    let mesh = Mesh::start(|_| {}).await;
    let notes = mesh.caller.service("notes");
    let loud = mesh.caller.service("loud");
    let calls: [(&str, u64, rachis::CallBuilder); 6] = [
        ("notes", 1, notes.create(json!({ "n": 1 }))),
        ("notes", 3, notes.create(json!([{ "n": 2 }, { "n": 3 }, { "n": 4 }]))),
        ("notes", 1, notes.patch(0, json!({ "n": 5 }))),
        ("notes", 1, notes.create(json!({ "n": 6 })).idempotency_key("k")),
        ("loud", 1, loud.custom("shout", json!("hey"))),
        ("notes", 1, loud.custom("pass", json!({ "n": 7 }))),
    ];
    for (path, events, call) in calls {
        let before = mesh.logged(path).await;
        let cuts = mesh.proxy.cuts();
        mesh.hold_events_back().await;
        let call = tokio::spawn(call.answer());
        // Twice, so that a reply that does not wait has had its time.
        mesh.was_stopped(cuts + 2).await;
        assert!(!call.is_finished(), "{path} was answered before its events came through");
        mesh.proxy.open();
        call.await.unwrap().unwrap();
        assert_eq!(mesh.logged(path).await, before + events, "{path}");
    }
}

#[tokio::test]
async fn a_call_that_fires_nothing_waits_for_no_event() {
    let mesh = Mesh::start(|_| {}).await;
    mesh.hold_events_back().await;
    mesh.worker.service("loud").emit("shouted", "by nobody's call").unwrap();
    mesh.was_stopped(1).await;
    assert_eq!(mesh.caller.service("loud").get(7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_node_that_publishes_no_events_answers_without_waiting_for_any() {
    let mesh = Mesh::start(|config| config.publish_events = false).await;
    mesh.hold_events_back().await;
    mesh.caller.service("notes").create(json!({})).await.unwrap();
    assert_eq!((mesh.proxy.cuts(), mesh.logged("notes").await), (0, 0));
}

#[tokio::test]
async fn an_event_that_redis_refuses_holds_no_reply_back() {
    let mesh = Mesh::start(|_| {}).await;
    let mut redis = redis_of(&mesh.config).await;
    redis::cmd("SET").arg(mesh.log("notes")).arg("not a log").exec_async(&mut redis).await.unwrap();
    // The second finds the first still being tried again, or given up.
    for n in 0..2 {
        let created = mesh.caller.service("notes").create(json!({ "n": n }));
        let created = tokio::time::timeout(LONG / 6, created).await.expect("it is answered long before its deadline");
        assert_eq!(created.unwrap()["n"], n);
    }
    let shouted = mesh.caller.service("loud").custom("shout", json!("hey"));
    tokio::time::timeout(LONG / 6, shouted).await.expect("other services' calls are answered, too").unwrap();
}

#[tokio::test]
async fn an_event_that_does_not_come_through_holds_a_reply_back_for_half_its_time_at_most() {
    let mesh = Mesh::start(|_| {}).await;
    mesh.hold_events_back().await;
    let created = mesh.caller.service("notes").create(json!({ "n": 1 })).timeout(Duration::from_secs(6)).await;
    assert_eq!(created.unwrap()["n"], 1);
    assert!(mesh.proxy.cuts() > 0);
}

fn from_outside() -> Params {
    Params::default().with_provider("rest")
}

#[tokio::test]
async fn what_comes_from_outside_to_a_service_of_the_own_process_is_answered_once_its_events_are_in_the_log() {
    let mesh = Mesh::start(|_| {}).await;
    for n in 1..100 {
        mesh.worker.service("notes").create(json!({ "n": n })).params(from_outside()).await.unwrap();
        assert_eq!(mesh.logged("notes").await, 1 + n);
    }
}

#[tokio::test]
async fn services_of_the_own_process_go_on_while_redis_is_away() {
    let mut mesh = Mesh::start(|_| {}).await;
    mesh.redis.stop();
    for n in 0..20 {
        let created = mesh.worker.service("notes").create(json!({ "n": n })).params(from_outside());
        assert_eq!(created.await.unwrap()["n"], n);
    }
    mesh.redis.launch().unwrap();
    testing::eventually("all are in the log", async || mesh.logged("notes").await == 20).await;
}

#[tokio::test]
async fn of_many_calls_at_once_all_events_are_in_the_log_when_they_are_answered() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let worker = start(&config, "worker", app()).await;
    let caller = start(&named(&config, "caller"), "caller", App::new()).await;
    knows(&caller, "notes").await;
    let notes = caller.service("notes");
    let calls = (0..500).map(|n| notes.create(json!({ "n": n })).into_future());
    for created in futures_util::future::join_all(calls).await {
        created.unwrap_or_else(|error| panic!("{error}: {}", outcome(&error)));
    }
    let log = format!("{}:{{events:default/notes}}:log", config.namespace);
    let logged: u64 = redis::cmd("XLEN").arg(log).query_async(&mut redis_of(&config).await).await.unwrap();
    assert_eq!(logged, 500);
    drop(worker);
}
