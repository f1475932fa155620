//! Calls with a key that a replica does not begin: what their callers are told, and by which replica.

use crate::{
    calls_of, command, knows, named, outcome,
    scripted::{Act, Scripted, is_about},
    services::Gate,
    start,
};
use rachis::{App, Config, ErrorKind, Node, Outcome};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

const KEY: &str = "order-17";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

fn config_of(redis: &ThrowawayRedis) -> Config {
    Config { timeout: LONG, ..testing::config_for(&redis.url()) }
}

/// A replica whose way to Redis is decided about command by command, which waits for Redis as long as it takes.
async fn replica(redis: &ThrowawayRedis, gate: &Gate) -> (Scripted, Node) {
    let way = Scripted::before(redis).await;
    let mut far = named(&config_of(redis), "worker");
    far.redis.url = way.url().as_str().into();
    far.redis.response_timeout = LONG;
    let node = testing::start(far, App::new().register("jobs", gate.clone())).await;
    (way, node)
}

fn is_mark(command: &[Vec<u8>]) -> bool {
    command[0] == b"EVALSHA" && is_about(command, ":once:")
}

/// Seed 1327 of the schedules: the replica could not ask whether the call had run, and told its caller that it never did.
#[tokio::test]
async fn a_replica_that_can_not_ask_whether_a_call_ran_leaves_the_answer_to_the_heir_that_runs_it() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let (way, _stale) = replica(&redis, &Gate::open("stale")).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let asks = Arc::new(Notify::new());
    let refused = Arc::new(Notify::new());
    let is_refused = Arc::new(AtomicBool::new(false));
    let acts = Arc::new(Notify::new());
    let request = Arc::new(OnceLock::<String>::new());
    way.decide({
        let (asks, refused, is_refused, acts) = (asks.clone(), refused.clone(), is_refused.clone(), acts.clone());
        let request = request.clone();
        let never = Arc::new(Notify::new());
        let mut has_asked = false;
        move |command| {
            let is_over = is_refused.load(Ordering::SeqCst);
            if is_mark(command) {
                has_asked = true;
                asks.notify_one();
                let refusal = "NOPERM User default has no permissions to access one of the keys used as arguments";
                return if is_over { Act::Refuse(refusal) } else { Act::RefuseLater(refused.clone(), refusal) };
            }
            // Nobody hears from it any more.
            if has_asked && is_about(command, ":{mesh}:") {
                return Act::Hold(never.clone());
            }
            // It settles the request, or tries to.
            if is_over && request.get().is_some_and(|id| command.iter().any(|word| *word == id.as_bytes())) {
                acts.notify_one();
            }
            Act::Pass
        }
    });
    let create = tokio::spawn(here.service("jobs").create("x").idempotency_key(KEY).answer());
    asks.notified().await;
    let entries = command(&config, &["XRANGE", &calls_of(&config, "worker"), "-", "+"]).await.unwrap();
    let entries: Vec<(String, redis::Value)> = redis::from_redis_value(entries).unwrap();
    request.set(entries.into_iter().next().expect("the request is there").0).unwrap();
    let gate = Gate::closed("heir");
    let _heir = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    testing::eventually("the heir runs it", async || gate.started() == 1).await;
    is_refused.store(true, Ordering::SeqCst);
    refused.notify_waiters();
    acts.notified().await;
    gate.open_up();
    assert_eq!(create.await.unwrap().unwrap().result, "heir");
}

/// Seed 2665 of the schedules: the replica heard after the deadline that it may begin, and did.
#[tokio::test]
async fn a_call_that_may_begin_only_after_its_deadline_is_not_begun() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let gate = Gate::open("there");
    let (way, _there) = replica(&redis, &gate).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let go_on = Arc::new(Notify::new());
    let goes_on = Arc::new(AtomicBool::new(false));
    way.decide({
        let (go_on, goes_on) = (go_on.clone(), goes_on.clone());
        move |command| match is_mark(command) && !goes_on.load(Ordering::SeqCst) {
            true => Act::Hold(go_on.clone()),
            false => Act::Pass,
        }
    });
    let create = here.service("jobs").create("x").idempotency_key(KEY).timeout(Duration::from_millis(500)).answer();
    let error = create.await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Timeout, "unknown"), "{error}");
    // By the replica's clock, too, which is within a beat of the caller's.
    tokio::time::sleep(config.heartbeat_interval).await;
    goes_on.store(true, Ordering::SeqCst);
    go_on.notify_waiters();
    let is_let_go = async || {
        let keys = command(&config, &["KEYS", &format!("{}:*:once:*", config.namespace)]).await.unwrap();
        keys == redis::Value::Array(Vec::new())
    };
    assert_eq!(here.service("jobs").create("y").answer().await.unwrap().result, "there");
    testing::eventually("nothing marks it as running", is_let_go).await;
    assert_eq!(gate.started(), 1, "it was begun");
}

#[tokio::test]
async fn a_call_that_was_given_up_is_answered_though_redis_did_not_say_so() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = config_of(&redis);
    let gate = Gate::open("there");
    let (way, _there) = replica(&redis, &gate).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let loses = Arc::new(AtomicBool::new(false));
    way.decide({
        let loses = loses.clone();
        move |command| match command {
            mark if is_mark(mark) => Act::Refuse("NOPERM User default has no permissions to run the 'evalsha' command"),
            // Redis runs it, and its answer is lost.
            settles
                if settles[0] == b"EVALSHA" && is_about(settles, ":calls") && loses.swap(false, Ordering::SeqCst) =>
            {
                Act::LoseReply
            }
            _ => Act::Pass,
        }
    });
    let create = async |key| here.service("jobs").create("x").idempotency_key(key).answer().await.unwrap_err();
    // Redis has the script after the first.
    for (key, is_lost) in [("first", false), ("second", true)] {
        loses.store(is_lost, Ordering::SeqCst);
        let error = create(key).await;
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Some(Outcome::NeverRan)), "{error}");
    }
    assert!(!loses.load(Ordering::SeqCst), "no answer was lost");
    assert_eq!(gate.started(), 0);
}
