//! A mesh with a secret, and somebody who reaches its Redis and does not have it.

use crate::{
    calls_of, command, dead_letters, knows, named, queued, redis_of, sees_replicas,
    services::{Echo, Gate, Named},
    start,
    wire::{self, frames, inbox_of, request},
};
use hmac::{Hmac, KeyInit, Mac};
use rachis::{App, Config, ErrorKind, EventStream, Method, Node, config::Secret};
use rachis_testing as testing;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{collections::HashMap, time::Duration};

const SECRET: &str = "a secret of the whole mesh";
const LONG: Duration = Duration::from_secs(10);

fn with_secret() -> Config {
    let mut config = testing::config();
    config.mesh.secret = Some(SECRET.into());
    config
}

fn secrets(config: &Config, secret: &str, previous: Option<&str>) -> Config {
    let mut config = config.clone();
    config.mesh.secret = Some(secret.into());
    config.mesh.previous_secret = previous.map(Secret::from);
    config
}

/// Redis's time, in ms.
async fn redis_now(config: &Config) -> u64 {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut redis_of(config).await).await.unwrap();
    seconds * 1000 + micros / 1000
}

/// Signs as a node would, by what is written about it: should the two ever differ, these tests fail.
fn sign(secret: &str, place: &str, until: u64, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[1] = frame[1].to_ascii_lowercase();
    frame.extend(until.to_be_bytes());
    let mut signature = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    signature.update(&(place.len() as u64).to_be_bytes());
    signature.update(place.as_bytes());
    signature.update(&frame[..2]);
    signature.update(&frame[if frame[1] == b'q' { 6 } else { 2 }..]);
    frame.extend(signature.finalize().into_bytes());
    frame
}

/// A frame that is no request.
fn frame(kind: u8, value: &impl serde::Serialize) -> Vec<u8> {
    [vec![1, kind], rmp_serde::to_vec(value).unwrap()].concat()
}

/// Waits until `count` requests of `app` were set aside, and says why the last one was.
async fn set_aside(config: &Config, app: &str, count: usize) -> String {
    testing::eventually("it is set aside", async || dead_letters(config, app).await.len() == count).await;
    dead_letters(config, app).await.pop().unwrap().0
}

/// The request of a caller whose app is away: it waits in Redis, where anybody can read it.
async fn overheard(config: &Config, app: &str, path: &str, method: &str) -> Vec<u8> {
    start(config, app, App::new().register(path, Echo)).await.shutdown().await.unwrap();
    let caller = start(config, "overheard", App::new()).await;
    knows(&caller, path).await;
    let call = tokio::spawn(caller.service(path).method(method).id(1).data(json!({})).answer());
    testing::eventually("it waits", async || queued(config, app).await == 1).await;
    let frame = frames(config, &calls_of(config, app)).await.remove(0);
    call.abort();
    let _ = call.await;
    testing::eventually("it is withdrawn", async || queued(config, app).await == 0).await;
    frame
}

async fn publish(config: &Config, channel: &str, message: &[u8]) {
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(channel).arg(message).query_async::<i64>(&mut redis_of(config).await).await.unwrap();
}

#[tokio::test]
async fn nodes_of_one_secret_call_and_hear_each_other_as_ever() {
    let config = with_secret();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let mut events = here.service("echo").on("*").await.unwrap();
    for method in ["find", "get", "create", "update", "patch", "remove", "inspect"] {
        let seen = here.service("echo").method(method).id(1).data(json!({})).await.unwrap();
        assert_eq!(seen["method"], method);
    }
    for name in ["created", "updated", "patched", "removed"] {
        assert_eq!(events.next().await.unwrap().name, name);
    }
    there.service("echo").emit("shouted", json!(1)).unwrap();
    assert_eq!(events.next().await.unwrap().data, json!(1));
    assert_eq!(dead_letters(&config, "worker").await.len(), 0);
    // All that Redis keeps is signed.
    let key = format!("{}:{{mesh}}:node:{}", config.namespace, there.id());
    let fields: HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(key).query_async(&mut redis_of(&config).await).await.unwrap();
    assert_eq!((fields["head"][1], fields["s:echo"][1]), (b'a', b'd'));
}

#[tokio::test]
async fn a_request_is_handed_on_and_handed_back_with_a_signature_that_holds() {
    let mut config = with_secret();
    config.limits.max_in_flight = 2;
    let caller = start(&config, "caller", App::new()).await;
    let old = start(&config, "worker", App::new().register("old", Named("old"))).await;
    let _new = start(&config, "worker", App::new().register("old", Named("new")).register("new", Named("new"))).await;
    knows(&caller, "new").await;
    sees_replicas(&old, "new", 1).await;
    for _ in 0..20 {
        assert_eq!(caller.service("new").create(json!({})).await.unwrap(), "new");
    }
    // Calls under way while one replica leaves.
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(caller.service("old").create(json!({})).answer())).collect();
    old.shutdown().await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(dead_letters(&config, "worker").await.len(), 0);
}

#[tokio::test]
async fn a_forged_request_never_runs() {
    let config = with_secret();
    let gate = Gate::open("worker");
    let there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let stream = calls_of(&config, "worker");
    let forged = request(1, "jobs", "find", LONG);
    wire::send(&config, "worker", &forged).await;
    let reason = set_aside(&config, "worker", 1).await;
    assert!(reason.contains("not signed") && reason.contains("MESH_SECRET") && reason.contains(&stream), "{reason}");

    wire::send(&config, "worker", &sign("a secret of one's own", &stream, u64::MAX, &forged)).await;
    let reason = set_aside(&config, "worker", 2).await;
    assert!(reason.contains("another secret"), "{reason}");

    // By the inbox as well, where requests are handed on.
    wire::add(&config, &inbox_of(&config, there.id()), &forged).await;
    // The same with the secret runs, so it was refused for want of it and of nothing else.
    wire::send(&config, "worker", &sign(SECRET, &stream, u64::MAX, &forged)).await;
    testing::eventually("it is answered", async || frames(&config, &inbox_of(&config, wire::NOBODY)).await.len() == 1)
        .await;
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_request_that_was_changed_on_its_way_never_runs() {
    let config = with_secret();
    let good = overheard(&config, "worker", "jobs", "create").await;
    let gate = Gate::open("worker");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let at = good.windows(6).position(|bytes| bytes == b"create").unwrap();
    let mut changed = good.clone();
    changed[at..at + 6].copy_from_slice(b"update");
    wire::send(&config, "worker", &changed).await;
    let mut later = good.clone();
    let until = good.len() - 40;
    later[until..until + 8].copy_from_slice(&u64::MAX.to_be_bytes());
    wire::send(&config, "worker", &later).await;
    let longer = [&good[..], &[0xc0]].concat();
    wire::send(&config, "worker", &longer).await;
    set_aside(&config, "worker", 3).await;
    assert_eq!(gate.started(), 0);
}

#[tokio::test]
async fn a_good_request_is_worthless_in_the_stream_of_another_app_or_mesh() {
    let config = with_secret();
    let good = overheard(&config, "worker", "jobs", "create").await;
    let gate = Gate::open("other");
    let other_mesh = secrets(&testing::config(), SECRET, None);
    let _other = start(&config, "other", App::new().register("jobs", gate.clone())).await;
    let _elsewhere = start(&other_mesh, "worker", App::new().register("jobs", gate.clone())).await;
    wire::send(&config, "other", &good).await;
    wire::send(&other_mesh, "worker", &good).await;
    let reason = set_aside(&config, "other", 1).await;
    assert!(reason.contains("for another place"), "{reason}");
    set_aside(&other_mesh, "worker", 1).await;
    assert_eq!(gate.started(), 0);
}

#[tokio::test]
async fn a_good_request_that_is_written_again_after_its_deadline_never_runs() {
    let config = with_secret();
    let gate = Gate::open("worker");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let stream = calls_of(&config, "worker");
    let now = redis_now(&config).await;
    // Nodes know Redis's time to some milliseconds only.
    let mut replayed = sign(SECRET, &stream, now - 60_000, &request(1, "jobs", "find", LONG));
    // The time left is not signed; whoever stretches it wins nothing.
    replayed[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
    wire::send(&config, "worker", &replayed).await;
    testing::eventually("it is gone", async || queued(&config, "worker").await == 0).await;
    let good = sign(SECRET, &stream, now + 60_000, &request(2, "jobs", "find", LONG));
    wire::send(&config, "worker", &good).await;
    testing::eventually("a good one runs", async || gate.started() == 1).await;
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_copy_of_a_request_does_not_run_again_on_the_replica_that_had_it() {
    let config = with_secret();
    let gate = Gate::open("worker");
    let there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let stream = calls_of(&config, "worker");
    let copies = async |method: &str, id: u64| {
        let frame = sign(SECRET, &stream, redis_now(&config).await + 60_000, &request(id, "jobs", method, LONG));
        for _ in 0..5 {
            wire::send(&config, "worker", &frame).await;
            wire::give(&config, "worker", there.id(), &frame).await;
        }
        // Those that were given to it behind its back are found when its connection is new.
        command(&config, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
        testing::eventually("all are dealt with", async || {
            queued(&config, "worker").await == 0 && there.in_flight() == 0
        })
        .await;
    };
    copies("create", 1).await;
    assert_eq!(gate.started(), 1);
    copies("charge", 2).await;
    assert_eq!(gate.started(), 1, "a method that is not there does not even run once");
}

#[tokio::test]
async fn a_forged_reply_ends_no_call() {
    let config = with_secret();
    let gate = Gate::closed("the truth");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let call = tokio::spawn(here.service("jobs").get(1).answer());
    testing::eventually("it runs", async || gate.started() == 1).await;
    let inbox = inbox_of(&config, here.id());
    for id in 0..100u64 {
        let lie = json!({ "Answer": ["a lie", [], null] });
        let forged = frame(b'R', &(id, lie));
        wire::add(&config, &inbox, &forged).await;
        wire::add(&config, &inbox, &sign("a secret of one's own", &inbox, u64::MAX, &forged)).await;
        // A reply to the same number of another node.
        wire::add(&config, &inbox, &sign(SECRET, &inbox_of(&config, "another"), u64::MAX, &forged)).await;
    }
    gate.open_up();
    assert_eq!(call.await.unwrap().unwrap().result, "the truth");
}

/// Events until the one that was `last`, but for notices that something was missed: whoever writes to a log can bring
/// about those.
async fn heard_until(events: &mut EventStream, last: i64) -> Vec<Value> {
    let mut heard = Vec::new();
    while heard.last() != Some(&json!(last)) {
        let event = tokio::time::timeout(LONG, events.next()).await.expect("nothing is heard any more").unwrap();
        if event.name != rachis::RESYNC {
            heard.push(event.data);
        }
    }
    heard
}

#[tokio::test]
async fn a_forged_event_is_heard_by_nobody() {
    let config = with_secret();
    let there = start(&config, "worker", App::new().register("echo", Echo).register("other", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let mut events = here.service("echo").on("shouted").await.unwrap();
    let mut others = here.service("other").on("shouted").await.unwrap();
    let channel = |path: &str| format!("{}:{{events:default/{path}}}", config.namespace);
    let none: Option<Value> = None;
    let event = |number: u64| {
        frame(b'E', &(there.id(), "default/worker", number, "echo", "shouted", json!("a lie"), none.clone()))
    };
    let send = async |frame: &[u8]| publish(&config, &channel("echo"), &[b"0-0 1-1 ", frame].concat()).await;
    send(&event(1000)).await;
    send(&sign("a secret of one's own", &channel("echo"), u64::MAX, &event(1001))).await;
    send(&sign(SECRET, &channel("echo"), redis_now(&config).await - 60_000, &event(1002))).await;
    // A true event of another service.
    there.service("other").emit("shouted", json!(7)).unwrap();
    assert_eq!(heard_until(&mut others, 7).await, [7]);
    send(&frames(&config, &format!("{}:log", channel("other"))).await[0]).await;
    // A forgery of the log, which is read where something was missed.
    wire::add(&config, &format!("{}:log", channel("echo")), &event(1003)).await;
    there.service("echo").emit("shouted", json!(1)).unwrap();
    assert_eq!(heard_until(&mut events, 1).await, [1]);
}

#[tokio::test]
async fn a_forged_announcement_steals_no_path() {
    let config = with_secret();
    let there = start(&config, "worker", App::new().register("echo", Named("worker")).register("fine", Echo)).await;
    let mesh = |rest: &str| format!("{}:{{mesh}}:{rest}", config.namespace);
    let mut redis = redis_of(&config).await;
    let node: HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(mesh(&format!("node:{}", there.id()))).query_async(&mut redis).await.unwrap();
    // What the thief can make: a head of its own, a head of another node, and a descriptor of another path or app.
    let head = frame(b'A', &("default", "thief", "", "host", 1u32, 1u64, Some(1000u64)));
    let descriptor = &node["s:echo"];
    for (id, head, app, service) in [
        ("forged", head.clone(), "default/thief", "s:echo"),
        ("signed", sign("a secret of one's own", &mesh("node:signed"), u64::MAX, &head), "default/thief", "s:echo"),
        ("copied", node["head"].clone(), "default/worker", "s:echo"),
        // By somebody who has the secret, so that head and path are good: the descriptor is still one of another app.
        ("inside", sign(SECRET, &mesh("node:inside"), u64::MAX, &head), "default/thief", "s:echo"),
        ("moved", sign(SECRET, &mesh("node:moved"), u64::MAX, &head), "default/worker", "s:stolen"),
    ] {
        let mut set = redis::cmd("HSET");
        set.arg(mesh(&format!("node:{id}"))).arg("app").arg(app).arg("head").arg(head).arg("state").arg("up");
        set.arg(service).arg(descriptor).arg(service.replace("s:", "t:")).arg(1);
        set.query_async::<i64>(&mut redis).await.unwrap();
        command(&config, &["ZADD", &mesh("nodes"), "99999999999999", id]).await.unwrap();
    }
    // A path of an app that is gone, which calls would wait for.
    let mut set = redis::cmd("HSET");
    set.arg(mesh("app:default/ghost")).arg("s:echo").arg(descriptor).arg("t:echo").arg(1).arg("e:echo").arg("inf");
    set.query_async::<i64>(&mut redis).await.unwrap();
    command(&config, &["ZADD", &mesh("apps"), "+inf", "default/ghost"]).await.unwrap();

    let here = start(&config, "caller", App::new()).await;
    let mut nodes: Vec<String> = here.nodes().into_iter().map(|node| node.id).collect();
    nodes.sort();
    let mut real = [here.id().to_owned(), there.id().to_owned(), "inside".to_owned()];
    real.sort();
    assert_eq!(nodes, real);
    let paths: Vec<_> = here.services().into_iter().map(|service| (service.path, service.app)).collect();
    let worker = |path: &str| (path.to_owned(), "worker".to_owned());
    assert_eq!(paths, [worker("echo"), worker("fine")]);
    assert_eq!(here.service("echo").find().await.unwrap(), "worker");
}

#[tokio::test]
async fn a_forged_death_denies_and_nothing_more() {
    let config = with_secret();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let epoch: u64 = redis::cmd("GET")
        .arg(format!("{}:{{mesh}}:epoch", config.namespace))
        .query_async(&mut redis_of(&config).await)
        .await
        .unwrap();
    let nothing: [&[u8]; 0] = [];
    let down = rmp_serde::to_vec(&(epoch, epoch + 1, [("node-down", there.id(), nothing)])).unwrap();
    publish(&config, &format!("{}:lifecycle", config.namespace), &down).await;
    testing::eventually("it is believed dead or alive again", async || here.service("echo").get(1).await.is_ok()).await;
    // The next beat shows another version of the registry, which knows better.
    testing::eventually("it is back", async || here.nodes().len() == 2).await;
    assert_eq!(here.service("echo").get(1).await.unwrap()["id"], 1);
}

async fn calls_work(from: &Node, path: &str) {
    knows(from, path).await;
    from.service(path).method("inspect").data(json!({})).await.unwrap();
}

#[tokio::test]
async fn the_secret_is_changed_in_three_rounds_without_a_call_lost() {
    const OLD: &str = "the secret of yesterday";
    const NEW: &str = "the secret of tomorrow";
    let config = testing::config();
    let rounds = [(OLD, None), (OLD, Some(NEW)), (NEW, Some(OLD)), (NEW, None)];
    let config_of = |(secret, previous): (&str, Option<&str>)| secrets(&config, secret, previous);
    let worker = |config: &Config| {
        let config = config.clone();
        async move { start(&config, "worker", App::new().register("echo", Echo)).await }
    };
    let mut a = worker(&config_of(rounds[0])).await;
    let mut b = start(&config_of(rounds[0]), "b", App::new()).await;
    for round in &rounds[1..] {
        let next = config_of(*round);
        calls_work(&b, "echo").await;
        // One node after the other.
        let new = worker(&next).await;
        sees_replicas(&b, "echo", 2).await;
        a.shutdown().await.unwrap();
        a = new;
        calls_work(&b, "echo").await;
        b.shutdown().await.unwrap();
        b = start(&next, "b", App::new()).await;
    }
    calls_work(&b, "echo").await;
    assert_eq!(dead_letters(&config, "worker").await.len(), 0);
    // Who still has only the old one is refused.
    let late = start(&secrets(&config, OLD, None), "late", App::new().register("late", Echo)).await;
    assert_eq!((late.nodes().len(), b.nodes().len()), (1, 2));
    assert_eq!(late.service("echo").find().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_node_without_the_secret_does_not_join_a_mesh_that_has_one() {
    let config = with_secret();
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let plain = Config { mesh: Default::default(), ..named(&config, "worker") };
    for builder in [Node::builder(plain.clone()), Node::builder(plain).observer()] {
        let error = builder.app(App::new().register("echo", Echo)).start().await.unwrap_err();
        assert!(error.message().contains("this mesh signs its frames: set mesh.secret"), "{error}");
    }
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    assert_eq!(here.nodes().len(), 2);
    for _ in 0..20 {
        here.service("echo").create(json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_with_a_secret_believes_no_node_without_one() {
    let config = testing::config();
    let gate = Gate::open("worker");
    let plain = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let sealed = start(&secrets(&config, SECRET, None), "other", App::new()).await;
    assert_eq!(sealed.nodes().len(), 1);
    assert!(sealed.resolve("jobs").is_none());
    assert_eq!(plain.service("jobs").method(Method::Find).await.unwrap(), "worker");
}

#[tokio::test]
async fn dead_nodes_that_had_a_secret_keep_nobody_out() {
    let config = with_secret();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    // Without a shutdown, as if it was killed: its announcement stays, and nobody is there to remove it.
    drop(there);
    let plain = Config { mesh: Default::default(), ..config };
    let joined = async || Node::builder(named(&plain, "worker")).start().await;
    testing::eventually("it counts as dead", async || joined().await.is_ok()).await;
}
