//! Events between nodes.

use crate::{
    command, knows, named, redis_of, sees_replicas,
    services::{Echo, Named},
    start,
};
use rachis::{
    App, Config, Event, EventStream, MemoryService, Method, Node, Params, RESYNC, Registration, ServiceExt,
    config::{ByteSize, NameFilter, ServiceConfig},
};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::{Value, json};
use std::time::Duration;

fn todos() -> App {
    App::new().register("todos", Registration::from(MemoryService::new().multi(true)).events(["shouted"]))
}

async fn next(events: &mut EventStream) -> Event {
    tokio::time::timeout(Duration::from_secs(10), events.next()).await.expect("no event came").unwrap()
}

/// Says `end` on `node` and collects what `events` brings before it.
async fn until_end(events: &mut EventStream, node: &Node, path: &str) -> Vec<Event> {
    node.service(path).emit("shouted", "end").unwrap();
    let mut heard = Vec::new();
    loop {
        let event = next(events).await;
        if event.data == "end" {
            return heard;
        }
        heard.push(event);
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test]
async fn every_event_reaches_every_node_that_listens_once_and_with_its_context() {
    let [there, b, c] = testing::cluster([todos(), App::new(), App::new()]).await;
    let mut streams = Vec::new();
    for node in [&there, &b, &c] {
        streams.push(node.service("todos").on("*").await.unwrap());
    }
    let mut params = Params::default().with_query(json!({ "tag": "x" }));
    params.provider = Some("rest".into());
    params.user = Some(json!({ "id": 3, "password": "hunter2", "accessToken": "t" }));
    params.headers.insert("authorization".into(), "secret".into());
    let todos = c.service("todos");
    let saved = todos.create(json!({ "text": "write" })).params(params).await.unwrap();
    todos.update(0, json!({ "text": "more" })).await.unwrap();
    todos.patch(0, json!({ "done": true })).await.unwrap();
    todos.remove(0).await.unwrap();
    for (number, stream) in streams.iter_mut().enumerate() {
        let heard = until_end(stream, &there, "todos").await;
        assert_eq!(names(&heard), ["created", "updated", "patched", "removed"], "node {number}");
        assert!(heard.iter().all(|event| event.path == "todos" && event.from_remote == (number > 0)));
        assert_eq!(heard[0].data, saved);
        let context = heard[0].context.clone().unwrap();
        assert_eq!((context.method, context.provider.as_deref()), (Method::Create, Some("rest")));
        assert_eq!((context.query, context.user), (json!({ "tag": "x" }), Some(json!({ "id": 3 }))));
        let context = heard[2].context.clone().unwrap();
        assert_eq!((context.method, context.id), (Method::Patch, Some(0.into())));
    }
}

#[tokio::test]
async fn a_stream_brings_only_the_events_it_was_opened_for() {
    let [there, here] = testing::cluster([todos(), App::new()]).await;
    let mut removed = here.service("todos").on("removed").await.unwrap();
    let mut shouted = here.service("todos").on("shouted").await.unwrap();
    here.service("todos").create(json!({})).await.unwrap();
    here.service("todos").remove(0).await.unwrap();
    there.service("todos").emit("shouted", json!({ "loud": true })).unwrap();
    assert_eq!(next(&mut removed).await.name, "removed");
    let event = next(&mut shouted).await;
    assert_eq!((event.data, event.context), (json!({ "loud": true }), None));
    assert!(here.service("todos").emit("shouted", 1).is_err(), "only the process that serves it can");
    assert!(there.service("todos").emit("unheard", 1).is_err(), "only events that were declared");
}

#[tokio::test]
async fn creating_several_records_is_one_event_for_each() {
    let [there, here] = testing::cluster([todos(), App::new()]).await;
    let mut events = here.service("todos").on("*").await.unwrap();
    let records: Vec<Value> = (0..5).map(|n| json!({ "n": n })).collect();
    here.service("todos").create(records).await.unwrap();
    here.service("todos").patch_many(json!({ "done": true })).await.unwrap();
    let heard = until_end(&mut events, &there, "todos").await;
    assert_eq!(names(&heard), [["created"; 5], ["patched"; 5]].concat());
    assert_eq!(heard[..5].iter().map(|event| event.data["n"].clone()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn nothing_is_published_where_events_are_off() {
    let config = testing::config();
    let there = testing::start(Config { publish_events: false, ..named(&config, "worker") }, todos()).await;
    let loud = start(&config, "loud", App::new().register("loud", Named("loud"))).await;
    let here = start(&config, "caller", App::new()).await;
    let mut quiet = here.service("todos").on("*").await.unwrap();
    let mut marker = here.service("loud").on("*").await.unwrap();
    here.service("todos").create(json!({})).await.unwrap();
    loud.service("loud").emit("shouted", 1).unwrap();
    next(&mut marker).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), quiet.next()).await.is_err());
    assert_eq!(keys(&config, "*events:default/todos*").await, 0);
    drop(there);
}

async fn keys(config: &Config, pattern: &str) -> usize {
    let pattern = format!("{}:{pattern}", config.namespace);
    let found: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis_of(config).await).await.unwrap();
    found.len()
}

#[tokio::test]
async fn the_lists_say_which_events_leave_a_node() {
    let config = testing::config();
    let only = |names: &[&str]| NameFilter::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let mut there = named(&config, "worker");
    there.distributed_events = only(&["created", "shouted"]);
    there.service.insert(
        "listed".into(),
        ServiceConfig { events: Some(only(&["removed", "shouted"])), ..ServiceConfig::default() },
    );
    let memory = || Registration::from(MemoryService::new()).events(["shouted"]);
    let app = App::new().register("plain", memory()).register("listed", memory()).register(
        "own",
        Registration::from(MemoryService::new()).events(["shouted"]).distributed_events(["patched", "shouted"]),
    );
    let there = testing::start(there, app).await;
    let here = start(&config, "caller", App::new()).await;
    for (path, expected) in [("plain", "created"), ("listed", "removed"), ("own", "patched")] {
        let mut events = here.service(path).on("*").await.unwrap();
        let service = here.service(path);
        service.create(json!({})).await.unwrap();
        service.patch(0, json!({ "a": 1 })).await.unwrap();
        service.remove(0).await.unwrap();
        assert_eq!(names(&until_end(&mut events, &there, path).await), [expected], "{path}");
    }
}

#[tokio::test]
async fn an_event_that_a_hook_muted_is_heard_nowhere() {
    let muted = MemoryService::new()
        .after(Method::Create, async |mut ctx: rachis::Context| {
            if ctx.data["quiet"] == true {
                ctx.event = None;
            }
            Ok(ctx)
        })
        .events(["shouted"]);
    let [there, here] = testing::cluster([App::new().register("todos", muted), App::new()]).await;
    let mut events = here.service("todos").on("*").await.unwrap();
    here.service("todos").create(json!({ "quiet": true })).await.unwrap();
    here.service("todos").create(json!({ "quiet": false })).await.unwrap();
    let heard = until_end(&mut events, &there, "todos").await;
    assert_eq!(heard.iter().map(|event| event.data["quiet"].clone()).collect::<Vec<_>>(), [false]);
}

#[tokio::test]
async fn nothing_goes_round_between_nodes_that_all_listen_to_each_other() {
    let config = testing::config();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let services = App::new().register(&format!("of-{name}"), Echo).register("own", Named("own"));
        nodes.push(start(&config, name, services).await);
    }
    let mut streams = Vec::new();
    for node in &nodes {
        for path in ["of-a", "of-b", "of-c"] {
            knows(node, path).await;
            streams.push((path, node.service(path).on("*").await.unwrap()));
        }
    }
    for n in 0..10 {
        for (node, path) in nodes.iter().zip(["of-b", "of-c", "of-a"]) {
            node.service(path).create(json!(n)).await.unwrap();
        }
    }
    for (owner, path) in nodes.iter().zip(["of-a", "of-b", "of-c"]) {
        owner.service(path).emit("shouted", "end").unwrap();
    }
    for (path, stream) in &mut streams {
        for n in 0..10 {
            assert_eq!(next(stream).await.data["data"], n, "{path}");
        }
        assert_eq!(next(stream).await.data, "end", "{path}");
        assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn events_of_every_replica_are_heard_also_by_one_of_the_replicas() {
    let config = testing::config();
    let one = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let two = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    sees_replicas(&here, "jobs", 2).await;
    for listener in [&here, &one, &two] {
        let mut events = listener.service("jobs").on("shouted").await.unwrap();
        one.service("jobs").emit("shouted", "one").unwrap();
        two.service("jobs").emit("shouted", "two").unwrap();
        let mut heard = [next(&mut events).await, next(&mut events).await].map(|event| event.data);
        heard.sort_by_key(Value::to_string);
        assert_eq!(heard, ["one", "two"]);
        assert!(tokio::time::timeout(Duration::from_millis(30), events.next()).await.is_err(), "each once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_that_happen_at_the_same_moment_are_all_heard() {
    let [there, here] = testing::cluster([App::new().register("jobs", Echo), App::new()]).await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let jobs = there.service("jobs");
            tokio::spawn(async move {
                for n in 0..100 {
                    jobs.emit("shouted", json!([task, n])).unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let heard = until_end(&mut events, &there, "jobs").await;
    assert_eq!(heard.len(), 800);
    for task in 0..8 {
        let of_task: Vec<u64> =
            heard.iter().filter(|event| event.data[0] == task).map(|event| event.data[1].as_u64().unwrap()).collect();
        assert!(of_task.is_sorted(), "in the order in which they happened");
    }
}

#[tokio::test]
async fn events_missed_while_the_subscription_was_cut_are_read_from_the_log_in_order_and_once() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    there.service("jobs").emit("shouted", 0).unwrap();
    assert_eq!(next(&mut events).await.data, 0);
    for round in 1..=5 {
        command(here.config(), &["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
        for n in 0..20 {
            there.service("jobs").emit("shouted", round * 100 + n).unwrap();
        }
        for n in 0..20 {
            assert_eq!(next(&mut events).await.data, round * 100 + n);
        }
    }
    assert!(until_end(&mut events, &there, "jobs").await.is_empty());
}

#[tokio::test]
async fn events_missed_while_redis_was_down_are_heard_when_it_is_back_with_its_data() {
    let mut redis = ThrowawayRedis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    let config = testing::config_for(&redis.url());
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    there.service("jobs").emit("shouted", 0).unwrap();
    assert_eq!(next(&mut events).await.data, 0);
    redis.stop();
    for n in 1..=50 {
        there.service("jobs").emit("shouted", n).unwrap();
    }
    redis.launch().unwrap();
    for n in 1..=50 {
        assert_eq!(next(&mut events).await.data, n);
    }
    assert!(until_end(&mut events, &there, "jobs").await.is_empty());
}

#[tokio::test]
async fn a_subscriber_that_the_log_can_not_help_gets_exactly_one_resync() {
    let redis = ThrowawayRedis::start().unwrap();
    let mut config = testing::config_for(&redis.url());
    config.limits.event_log = 1;
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("shouted").await.unwrap();
    there.service("jobs").emit("shouted", 0).unwrap();
    assert_eq!(next(&mut events).await.data, 0);
    let log = format!("{}:{{events:default/jobs}}:log", config.namespace);
    for round in 0..2 {
        // The log loses what was missed: Redis trims it in whole nodes only, so the test does it by the entry.
        let mut pipe = redis::pipe();
        pipe.cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").ignore();
        for n in 0..3 {
            pipe.cmd("XADD").arg(&log).arg("*").arg("m").arg(n).arg("p").arg("0-1").ignore();
        }
        pipe.cmd("XTRIM").arg(&log).arg("MAXLEN").arg(1).ignore();
        let () = pipe.query_async(&mut redis_of(&config).await).await.unwrap();
        note_last(&config).await;
        assert_eq!(next(&mut events).await.name, RESYNC, "round {round}");
        there.service("jobs").emit("shouted", "after").unwrap();
        assert_eq!(next(&mut events).await.data, "after", "round {round}: exactly one");
    }
}

/// Notes, as the script that publishes does, which event of `jobs` was the last one.
async fn note_last(config: &Config) {
    let note = "local id = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
        return redis.call('HSET', KEYS[2], 'id', id)";
    let key = |what: &str| format!("{}:{{events:default/jobs}}:{what}", config.namespace);
    command(config, &["EVAL", note, "2", &key("log"), &key("last")]).await.unwrap();
}

#[tokio::test]
async fn a_second_gap_right_after_a_resync_is_noticed_too() {
    let redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("shouted").await.unwrap();
    let log = format!("{}:{{events:default/jobs}}:log", config.namespace);
    let mut pipe = redis::pipe();
    pipe.cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").ignore();
    pipe.cmd("XADD").arg(&log).arg("*").arg("m").arg("lost").arg("p").arg("0-1").ignore();
    let () = pipe.query_async(&mut redis_of(&config).await).await.unwrap();
    note_last(&config).await;
    assert_eq!(next(&mut events).await.name, RESYNC);
    // No event in between.
    command(&config, &["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    there.service("jobs").emit("shouted", "missed").unwrap();
    there.service("jobs").emit("shouted", "heard").unwrap();
    assert_eq!(next(&mut events).await.data, "missed");
    assert_eq!(next(&mut events).await.data, "heard");
}

#[tokio::test]
async fn a_slow_reader_gets_a_resync_in_place_of_what_it_missed() {
    let mut config = testing::config();
    config.limits.event_buffer = ByteSize(64 << 10);
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut slow = here.service("jobs").on("shouted").await.unwrap();
    let mut marker = here.service("jobs").on("created").await.unwrap();
    for n in 0..50 {
        there.service("jobs").emit("shouted", json!({ "number": n, "text": "x".repeat(8 << 10) })).unwrap();
    }
    there.service("jobs").create(json!({})).await.unwrap();
    while !["created", RESYNC].contains(&next(&mut marker).await.name.as_str()) {}
    // What had room comes first.
    let mut before = 0;
    while next(&mut slow).await.name != RESYNC {
        before += 1;
    }
    assert!((1..=8).contains(&before), "{before}");
    there.service("jobs").emit("shouted", "later").unwrap();
    loop {
        let event = next(&mut slow).await;
        match event.name.as_str() {
            // The rest of the fifty came in at once, and took the place of this one, too.
            RESYNC => there.service("jobs").emit("shouted", "later").unwrap(),
            _ if event.data == "later" => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_is_not_published_but_a_resync_says_so() {
    let mut config = testing::config();
    config.limits.max_payload = ByteSize(2000);
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("shouted").await.unwrap();
    there.service("jobs").emit("shouted", "x".repeat(3000)).unwrap();
    there.service("jobs").emit("shouted", "small").unwrap();
    assert_eq!(next(&mut events).await.name, RESYNC);
    assert_eq!(next(&mut events).await.data, "small");
}

#[tokio::test]
async fn listening_follows_the_path_to_the_app_that_takes_it_over() {
    let config = testing::config();
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let young = start(&config, "young", App::new().register("both", Named("young"))).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("both").on("shouted").await.unwrap();
    young.service("both").emit("shouted", "hidden").unwrap();
    old.service("both").emit("shouted", "old").unwrap();
    assert_eq!(next(&mut events).await.data, "old");
    old.shutdown().await.unwrap();
    testing::eventually("the other is called", async || {
        here.service("both").get(1).await.is_ok_and(|by| by == "young")
    })
    .await;
    young.service("both").emit("shouted", "young").unwrap();
    assert_eq!(next(&mut events).await.data, "young");
}

/// Takes `both` from `old`, and holds back the word of it as while many changes are told together.
async fn leave_unnoticed(config: &Config, old: &Node, pause: u64) {
    let key = |what: &str| format!("{}:{{mesh}}:{what}", config.namespace);
    let get = async |key: &str| -> String {
        let value = command(config, &["GET", key]).await.unwrap();
        redis::from_redis_value(value).unwrap()
    };
    let time: Vec<u64> = redis::from_redis_value(command(config, &["TIME"]).await.unwrap()).unwrap();
    let epoch = get(&key("epoch")).await;
    let rest = time[0] * 1000 + time[1] / 1000 + pause;
    command(config, &["SET", &key("told"), &format!("{epoch} {rest} {pause} 0 0")]).await.unwrap();
    old.unregister("both").await.unwrap();
    testing::eventually("it has left the path", async || get(&key("epoch")).await != epoch).await;
}

#[tokio::test]
async fn events_that_come_ahead_of_the_word_that_their_app_has_taken_over_are_heard() {
    let config = testing::config();
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let young = start(&config, "young", App::new().register("both", Named("young"))).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("both").on("shouted").await.unwrap();
    young.service("both").emit("shouted", "hidden").unwrap();
    old.service("both").emit("shouted", "old").unwrap();
    assert_eq!(next(&mut events).await.data, "old");
    leave_unnoticed(&config, &old, 1000).await;
    for n in 0..3 {
        young.service("both").emit("shouted", n).unwrap();
    }
    for n in 0..3 {
        assert_eq!(next(&mut events).await.data, n);
    }
}

#[tokio::test]
async fn a_resync_comes_in_place_of_events_ahead_of_a_takeover_that_found_no_room() {
    let mut config = testing::config();
    config.limits.event_buffer = ByteSize(64 << 10);
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let young = start(&config, "young", App::new().register("both", Named("young"))).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("both").on("shouted").await.unwrap();
    leave_unnoticed(&config, &old, 2000).await;
    for n in 0..30 {
        young.service("both").emit("shouted", json!({ "number": n, "text": "x".repeat(8 << 10) })).unwrap();
    }
    assert_eq!(next(&mut events).await.name, RESYNC);
    let first = next(&mut events).await.data["number"].as_u64().unwrap();
    assert!((20..30).contains(&first), "the last ones are kept: {first}");
    for n in first + 1..30 {
        assert_eq!(next(&mut events).await.data["number"], n);
    }
}

#[tokio::test]
async fn events_of_an_app_that_is_not_called_take_no_room_from_those_of_the_one_that_is() {
    let mut config = testing::config();
    config.limits.event_buffer = ByteSize(64 << 10);
    let old = start(&config, "old", App::new().register("both", Named("old"))).await;
    let young = start(&config, "young", App::new().register("both", Named("young"))).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("both").on("shouted").await.unwrap();
    for _ in 0..50 {
        young.service("both").emit("shouted", "x".repeat(8 << 10)).unwrap();
    }
    let log = format!("{}:{{events:default/both}}:log", config.namespace);
    testing::eventually("they are published", async || {
        let length = command(&config, &["XLEN", &log]).await.unwrap();
        redis::from_redis_value::<u64>(length).unwrap() == 50
    })
    .await;
    old.service("both").emit("shouted", "old").unwrap();
    assert_eq!(next(&mut events).await.data, "old");
}

#[tokio::test]
async fn a_stream_that_is_dropped_unsubscribes() {
    let [there, here] = testing::cluster([App::new().register("jobs", Echo), App::new()]).await;
    let channel = format!("{}:{{events:default/jobs}}", here.config().namespace);
    let subscribers = async || {
        let mut count = redis::cmd("PUBSUB");
        let found: (String, u64) =
            count.arg("NUMSUB").arg(&channel).query_async(&mut redis_of(here.config()).await).await.unwrap();
        found.1
    };
    let one = here.service("jobs").on("created").await.unwrap();
    let mut two = here.service("jobs").on("*").await.unwrap();
    assert_eq!(subscribers().await, 1);
    drop(one);
    there.service("jobs").emit("shouted", 1).unwrap();
    assert_eq!(next(&mut two).await.data, 1);
    drop(two);
    testing::eventually("nobody listens", async || subscribers().await == 0).await;
}

#[tokio::test]
async fn events_that_found_no_room_during_an_outage_end_in_a_resync() {
    let mut redis = ThrowawayRedis::start_with(&["--appendonly", "yes"]).unwrap();
    let mut config = testing::config_for(&redis.url());
    config.limits.event_log = 100_000;
    let there = start(&config, "worker", App::new().register("jobs", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    let mut events = here.service("jobs").on("*").await.unwrap();
    there.service("jobs").emit("shouted", 0).unwrap();
    assert_eq!(next(&mut events).await.data, 0);
    redis.stop();
    for n in 1..=40_000 {
        there.service("jobs").emit("shouted", n).unwrap();
    }
    redis.launch().unwrap();
    let mut last = 0;
    loop {
        let event = next(&mut events).await;
        if event.name == RESYNC {
            break;
        }
        last += 1;
        assert_eq!(event.data, last);
    }
    assert!((30_000..40_000).contains(&last), "{last}");
    assert!(until_end(&mut events, &there, "jobs").await.is_empty(), "exactly one");
}
