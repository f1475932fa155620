//! Connections that rest, and what becomes of the next call when somebody has cut them meanwhile.

use crate::{
    command, knows,
    proxy::{End, Proxy},
    redis_of, start,
};
use rachis::{App, Config, Context, EventStream, MemoryService, Method, Node, ServiceExt};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A user that may not ask which connection it has, nor close one: of what was sent through one that broke it can never
/// find out whether it arrived.
const BLIND: &str = "blind";

async fn allow_blind(config: &Config) {
    let rules = ["ACL", "SETUSER", BLIND, "on", ">secret", "~*", "&*", "+@all", "-client|kill", "-client|id", "-info"];
    command(config, &rules).await.unwrap();
}

/// A node that calls and one that answers, with heartbeats that are too rare to find anything out.
struct Pair {
    caller: Node,
    _worker: Node,
    ran: Arc<AtomicUsize>,
    sent: usize,
    events: EventStream,
}

impl Pair {
    async fn start(mut config: Config) -> Pair {
        config.heartbeat_interval = Duration::from_secs(30);
        config.ttl = None;
        config.timeout = Duration::from_secs(10);
        // Longer than any rest here, so that nothing is found out by it in time but that no event comes.
        config.redis.keep_alive = config.redis.keep_alive.min(Duration::from_secs(3));
        let ran = Arc::<AtomicUsize>::default();
        let counted = ran.clone();
        let count = move |ctx: Context| {
            let counted = counted.clone();
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(ctx)
            }
        };
        let todos = App::new().register("todos", MemoryService::new().before(Method::Create, count));
        let worker = start(&config, "worker", todos).await;
        let caller = start(&config, "caller", App::new()).await;
        knows(&caller, "todos").await;
        let events = caller.service("todos").on("created").await.unwrap();
        let mut pair = Pair { caller, _worker: worker, ran, sent: 0, events };
        pair.calls_are_answered("before any rest").await;
        pair
    }

    /// A call of each kind is answered by one run, and what was created is heard.
    async fn calls_are_answered(&mut self, when: &str) {
        let todos = self.caller.service("todos");
        let plain = todos.create(json!({ "n": self.sent })).await;
        let created = plain.unwrap_or_else(|error| panic!("{when}, a create: {error} {:?}", error.data()));
        let key = format!("key-{}", self.sent);
        let keyed = todos.create(json!({ "n": -1 })).idempotency_key(key).await;
        keyed.unwrap_or_else(|error| panic!("{when}, with a key: {error} {:?}", error.data()));
        todos.find().await.unwrap_or_else(|error| panic!("{when}, a find: {error}"));
        self.sent += 2;
        assert_eq!(self.ran.load(Ordering::SeqCst), self.sent, "{when}");
        for _ in 0..2 {
            let heard = tokio::time::timeout(Duration::from_secs(15), self.events.next()).await;
            let event = heard.unwrap_or_else(|_| panic!("{when}: no event")).unwrap();
            assert!(event.data == created || event.data["n"] == -1, "{when}: {event:?}");
        }
    }
}

async fn survives_every_end(config: Config, proxy: &Proxy) {
    let mut pair = Pair::start(config).await;
    for end in [End::Closed, End::Reset, End::ResetAtNextWrite, End::Silent] {
        // So long that nothing is known of the connections any more.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        proxy.end(end);
        pair.calls_are_answered(&format!("{end:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_however_connections_ended_at_rest() {
    let redis = ThrowawayRedis::start().unwrap();
    let proxy = Proxy::before(&redis).await;
    survives_every_end(testing::config_for(&proxy.url()), &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_without_the_rights_to_find_out_what_arrived() {
    let redis = ThrowawayRedis::start().unwrap();
    let proxy = Proxy::before(&redis).await;
    allow_blind(&testing::config_for(&redis.url())).await;
    let url = proxy.url().replace("://", &format!("://{BLIND}:secret@"));
    survives_every_end(testing::config_for(&url), &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_in_a_cluster() {
    let redis = ThrowawayRedis::start_with(&["--cluster-enabled", "yes"]).unwrap();
    let proxy = Proxy::before(&redis).await;
    let direct = testing::config_for(&redis.url());
    command(&direct, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.unwrap();
    // Nodes go where the server says it is.
    let port = proxy.port().to_string();
    command(&direct, &["CONFIG", "SET", "cluster-announce-ip", "127.0.0.1"]).await.unwrap();
    command(&direct, &["CONFIG", "SET", "cluster-announce-port", &port]).await.unwrap();
    allow_blind(&direct).await;
    let url = proxy.url().replace("redis://", &format!("redis+cluster://{BLIND}:secret@"));
    survives_every_end(testing::config_for(&url), &proxy).await;
}

/// What each connection to this server is for, of those that are not reading.
async fn idle_connections(config: &Config) -> Vec<String> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut redis_of(config).await).await.unwrap();
    let name = |line: &str| line.split(" name=").nth(1)?.split(' ').next().map(str::to_owned);
    let names = list.lines().filter_map(name);
    names.filter(|name| [":writes", ":commands", ":admin"].iter().any(|end| name.ends_with(end))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cuts_idle_connections_costs_no_call() {
    let redis = ThrowawayRedis::start_with(&["--timeout", "1"]).unwrap();
    let direct = testing::config_for(&redis.url());
    allow_blind(&direct).await;
    let url = redis.url().replace("://", &format!("://{BLIND}:secret@"));
    let mut pair = Pair::start(testing::config_for(&url)).await;
    for round in 0..2 {
        testing::eventually("all that rested were cut", async || idle_connections(&direct).await.is_empty()).await;
        pair.calls_are_answered(&format!("round {round}")).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_alive_is_not_idle() {
    let redis = ThrowawayRedis::start_with(&["--timeout", "2"]).unwrap();
    let mut config = testing::config_for(&redis.url());
    config.redis.keep_alive = Duration::from_millis(500);
    let direct = config.clone();
    let mut pair = Pair::start(config).await;
    let of_calls = async || {
        let mut list = idle_connections(&direct).await;
        list.retain(|name| !name.ends_with(":admin"));
        list.sort();
        list
    };
    let before = of_calls().await;
    assert_eq!(before.len(), 4, "{before:?}");
    let ids = async || -> Vec<String> {
        let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut redis_of(&direct).await).await.unwrap();
        let of = list.lines().filter(|line| line.contains(":writes ") || line.contains(":commands "));
        let mut ids: Vec<_> = of.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
        ids.sort();
        ids
    };
    let known = ids().await;
    // The server looks at who is idle now and then, so the rest is longer than it allows by far.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ids().await, known);
    pair.calls_are_answered("after a rest").await;
}
