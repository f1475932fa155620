//! Clients hear what channels let them hear, wherever it happened.

use crate::{
    Server,
    client::Client,
    everyone,
    scripted::{Act, Scripted},
    services::{Echo, app, todos},
};
use rachis::{
    App, Config, Node, Registration,
    config::{ByteSize, Publish},
    gateway::{Channels, Gateway},
};
use rachis_testing as testing;
use rachis_testing::{cluster, eventually};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Everybody hears everything, save events of the record `probe`: they only make a channel of the name they carry.
fn noting() -> Channels {
    Channels::new().on_connection(|connection, channels| channels.channel("everyone").join(connection)).publish(
        |event, channels| {
            let everyone = channels.channel("everyone");
            if event.data["id"] != "probe" {
                return Some(everyone);
            }
            let heard = channels.channel(event.data["name"].as_str().unwrap_or("-"));
            everyone.connections().iter().for_each(|connection| heard.join(connection));
            None
        },
    )
}

/// Waits until the gateways of all `channels` listen to `path`, which they do soon after they know it.
async fn until_heard(node: &Node, path: &str, channels: &[&Channels]) {
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let name = format!("heard/{}", PROBES.fetch_add(1, Ordering::Relaxed));
    let service = node.service(path);
    service.create(json!({ "id": "probe" })).await.unwrap();
    eventually("the gateways listen", async || {
        service.patch("probe", json!({ "name": name })).await.unwrap();
        channels.iter().all(|channels| !channels.channel(&name).is_empty())
    })
    .await;
}

fn event(name: &str, data: Value) -> (String, Value) {
    (name.to_owned(), data)
}

#[tokio::test]
async fn events_of_another_node_are_heard_with_their_path_and_data() {
    let server = Server::remote(app(), noting()).await;
    let mut client = server.connect().await;
    until_heard(&server.nodes[0], "todos", &[&server.channels]).await;
    let todos = server.nodes[0].service("todos");
    todos.create(json!([{ "text": "a" }, { "text": "b" }])).await.unwrap();
    todos.remove(0).await.unwrap();
    assert_eq!(client.event().await, event("todos created", json!({ "text": "a", "id": 0 })));
    assert_eq!(client.event().await, event("todos created", json!({ "text": "b", "id": 1 })));
    assert_eq!(client.event().await, event("todos removed", json!({ "text": "a", "id": 0 })));
}

#[tokio::test]
async fn what_a_client_does_is_heard_once_by_the_clients_of_every_gateway() {
    let [services, one, two] = cluster([app(), App::new(), App::new()]).await;
    let one = Server::of(&one, noting()).await;
    let two = Server::of(&two, noting()).await;
    let mut clients = [one.connect().await, two.connect().await];
    until_heard(&services, "todos", &[&one.channels, &two.channels]).await;
    for text in ["a", "end"] {
        clients[0].call(json!(["create", "todos", { "text": text }, {}])).await.unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.event().await.1["text"], "a");
        assert_eq!(client.event().await.1["text"], "end");
    }
}

#[tokio::test]
async fn replicas_of_one_service_are_all_heard() {
    let config = testing::config();
    let replica =
        || testing::start(Config { app: "todos".into(), ..config.clone() }, App::new().register("todos", todos()));
    let one = replica().await;
    let two = replica().await;
    let web = testing::start(Config { app: "web".into(), ..config.clone() }, App::new()).await;
    web.wait_for("todos").await.unwrap();
    let server = Server::of(&web, noting()).await;
    let mut client = server.connect().await;
    until_heard(&one, "todos", &[&server.channels]).await;
    one.service("todos").create(json!({ "text": "one" })).await.unwrap();
    assert_eq!(client.event().await.1["text"], "one");
    two.service("todos").create(json!({ "text": "two" })).await.unwrap();
    assert_eq!(client.event().await.1["text"], "two");
}

#[tokio::test]
async fn services_that_come_later_are_heard_here_and_elsewhere() {
    let [services, web] = cluster([App::new(), App::new()]).await;
    let server = Server::of(&web, noting()).await;
    let mut client = server.connect().await;
    for (node, path) in [(&services, "there"), (&web, "here")] {
        node.register(path, todos()).await.unwrap();
        web.wait_for(path).await.unwrap();
        until_heard(node, path, &[&server.channels]).await;
        node.service(path).create(json!({ "text": "x" })).await.unwrap();
        assert_eq!(client.event().await.0, format!("{path} created"));
    }
}

#[tokio::test]
async fn a_path_that_is_gone_and_comes_back_is_heard_again() {
    let server = Server::remote(app(), noting()).await;
    let mut client = server.connect().await;
    let [services, web] = &server.nodes[..] else { unreachable!() };
    until_heard(services, "todos", &[&server.channels]).await;
    services.unregister("todos").await.unwrap();
    eventually("the path is gone", async || web.resolve("todos").is_none()).await;
    services.register("todos", todos()).await.unwrap();
    web.wait_for("todos").await.unwrap();
    until_heard(services, "todos", &[&server.channels]).await;
    services.service("todos").create(json!({ "text": "again" })).await.unwrap();
    assert_eq!(client.event().await.1["text"], "again");
}

#[tokio::test]
async fn clients_are_told_to_read_anew_when_a_path_moves_to_another_app() {
    let with_todos = || App::new().register("todos", todos());
    let [first, second, web] = cluster([with_todos(), with_todos(), App::new()]).await;
    let server = Server::of(&web, noting()).await;
    let mut client = server.connect().await;
    until_heard(&first, "todos", &[&server.channels]).await;
    first.unregister("todos").await.unwrap();
    assert_eq!(client.event().await, event("todos resync", Value::Null));
    second.service("todos").create(json!({ "text": "moved" })).await.unwrap();
    assert_eq!(client.event().await.1["text"], "moved");
}

#[tokio::test]
async fn a_gateway_that_missed_events_tells_its_clients() {
    let mut config = testing::config();
    config.gateway.socket_outbox = ByteSize(512 << 20);
    let server = Server::of(&testing::start(config, app()).await, noting()).await;
    let mut client = server.connect().await;
    until_heard(&server.nodes[0], "todos", &[&server.channels]).await;
    // More at once than the gateway's own queue of that path holds, and less than the client's.
    let flood: Vec<Value> = (0..60).map(|number| json!({ "number": number, "text": "x".repeat(1 << 20) })).collect();
    server.nodes[0].service("todos").create(flood).await.unwrap();
    let mut told = BTreeSet::new();
    while !told.contains("todos resync") {
        told.insert(client.event().await.0);
    }
    assert!(told.iter().all(|name| name.starts_with("todos ")), "no other path misses anything: {told:?}");
}

#[tokio::test]
async fn publishers_know_the_call_behind_an_event() {
    let channels = Channels::new()
        .on_login(|login, channels| {
            if let Some(connection) = login.connection {
                let name = connection.user().and_then(|user| user["name"].as_str().map(str::to_owned));
                channels.channel(name.unwrap_or_default()).join(connection);
            }
        })
        .publish(|event, channels| {
            let context = event.context.as_ref()?;
            let user = context.user.as_ref()?["name"].as_str()?;
            let data = json!({
                "method": context.method, "id": context.id, "query": context.query, "provider": context.provider,
            });
            Some(channels.channel(user).send(data))
        });
    let server = Server::remote(app(), channels).await;
    let mut ada = server.connect().await;
    let mut bob = server.connect().await;
    for (client, name) in [(&mut ada, "ada"), (&mut bob, "bob")] {
        client.call(json!(["create", "authentication", { "strategy": "x", "name": name }, {}])).await.unwrap();
        client.call(json!(["create", "todos", { "id": name }, {}])).await.unwrap();
    }
    // The first events may come before the gateway listens, so these calls are repeated until one is heard.
    let patch = |name: &str| json!(["patch", "todos", name, {}, { "id": name }]);
    let mut heard = heard_after(&mut bob, patch("bob")).await;
    if heard.0 == "todos created" {
        heard = heard_after(&mut bob, patch("bob")).await;
    }
    let expected = json!({ "method": "patch", "id": "bob", "query": { "id": "bob" }, "provider": "socketio" });
    assert_eq!(heard, event("todos patched", expected));
    for _ in 0..3 {
        assert_ne!(heard_after(&mut ada, patch("ada")).await.1["id"], "bob");
    }
}

/// Makes the call again and again, until an event comes.
async fn heard_after(client: &mut Client, call: Value) -> (String, Value) {
    loop {
        client.call(call.clone()).await.unwrap();
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(100), client.event()).await {
            return event;
        }
    }
}

#[tokio::test]
async fn a_gateway_without_code_publishes_what_its_configuration_says() {
    for (publish, heard) in [(Publish::None, false), (Publish::Everyone, true), (Publish::Authenticated, false)] {
        let mut config = testing::config();
        config.gateway.channels.publish = publish;
        let node = testing::start(config, app()).await;
        let server = Server::serve(&node, crate::routed(Gateway::new(&node)), Channels::new()).await;
        let mut client = server.connect().await;
        let call = json!(["create", "todos", {}, {}]);
        if heard {
            assert_eq!(heard_after(&mut client, call).await.0, "todos created");
        } else {
            for _ in 0..5 {
                client.call(call.clone()).await.unwrap();
            }
            let silence = tokio::time::timeout(Duration::from_millis(200), client.event()).await;
            assert!(silence.is_err(), "{publish:?}: {silence:?}");
        }
    }
}

#[tokio::test]
#[should_panic(expected = "'nope' is not an event of 'echo', so it can not be published")]
async fn a_publisher_of_an_event_that_does_not_exist_is_a_contradiction() {
    let [node] = cluster([App::new().register("echo", Registration::from(Echo).events(["known"]))]).await;
    let channels = Channels::new().publish_service_event("echo", "known", |_, _| ()).publish_service_event(
        "echo",
        "nope",
        |_, _| (),
    );
    let _ = Gateway::with_channels(&node, channels);
}

#[tokio::test]
async fn events_tell_sockets_no_field_that_is_secret_by_its_name() {
    let server = Server::remote(app(), noting()).await;
    let mut client = server.connect().await;
    until_heard(&server.nodes[0], "todos", &[&server.channels]).await;
    let todos = server.nodes[0].service("todos");
    let open =
        json!({ "text": "a", "isPinned": true, "spinning": 1, "tokenizer": "bpe", "author": "x", "maxTokens": 9 });
    let mut record = open.clone();
    for (name, secret) in [
        ("token", json!("zzz")),
        ("pwd", json!("zzz")),
        ("userPin", json!(1234)),
        ("ssn", json!("078-05-1120")),
        ("apiKey", json!({ "value": "zzz" })),
        ("refresh_tokens", json!(["zzz"])),
        ("Password", json!("zzz")),
    ] {
        record[name] = secret;
    }
    record["logins"] = json!([{ "at": 1, "access-token": "zzz" }]);
    let mut shown = open;
    shown["logins"] = json!([{ "at": 1 }]);
    shown["id"] = json!("x");

    let mut created = record.clone();
    created["id"] = json!("x");
    todos.create(created).await.unwrap();
    assert_eq!(client.event().await, event("todos created", shown.clone()));
    todos.update("x", record.clone()).await.unwrap();
    assert_eq!(client.event().await, event("todos updated", shown.clone()));
    todos.patch("x", json!({ "token": "new" })).await.unwrap();
    assert_eq!(client.event().await, event("todos patched", shown.clone()));
    // Clients that ask see what is theirs to see, and code hears all.
    assert_eq!(client.call(json!(["get", "todos", "x", {}])).await.unwrap()["token"], "new");
    let mut heard = server.nodes[1].service("todos").on("removed").await.unwrap();
    todos.remove("x").await.unwrap();
    assert_eq!(client.event().await, event("todos removed", shown));
    assert_eq!(heard.next().await.unwrap().data["token"], "new");
}

#[tokio::test]
async fn a_publisher_may_send_secrets_on_purpose() {
    let channels = noting().publish_service_event("todos", "created", |event, channels| {
        let token = json!({ "token": event.data["token"] });
        (event.data["id"] != "probe").then(|| channels.channel("everyone").send(token))
    });
    let server = Server::remote(app(), channels).await;
    let mut client = server.connect().await;
    until_heard(&server.nodes[0], "todos", &[&server.channels]).await;
    server.nodes[0].service("todos").create(json!({ "token": "zzz", "pin": 1 })).await.unwrap();
    assert_eq!(client.event().await, event("todos created", json!({ "token": "zzz" })));
}

#[tokio::test]
async fn a_gateway_hears_what_happens_from_its_start_on_though_it_is_not_subscribed_yet() {
    let server = testing::ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&server.url());
    let there = testing::start(Config { app: "there".into(), ..config.clone() }, app()).await;
    let way = Scripted::before(&server).await;
    let mut near = Config { app: "web".into(), ..config };
    near.redis.url = way.url().as_str().into();
    let web = testing::start(near, App::new()).await;
    web.wait_for("todos").await.unwrap();
    let held = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let reached = held.clone();
    let went_on = go_on.clone();
    let mut is_held = false;
    way.decide(move |command| {
        let subscribes = command[0] == b"SUBSCRIBE" && command[1].ends_with(b"todos}");
        if !subscribes || std::mem::replace(&mut is_held, true) {
            return Act::Pass;
        }
        reached.notify_one();
        Act::Hold(went_on.clone())
    });
    let gateway = Server::of(&web, everyone()).await;
    held.notified().await;
    let mut client = gateway.connect().await;
    let created = there.service("todos").create(json!({ "text": "early" })).await.unwrap();
    let log = format!("{}:{{events:default/todos}}:log", web.config().namespace);
    let client_of_redis = redis::Client::open(server.url()).unwrap();
    let mut connection = client_of_redis.get_multiplexed_async_connection().await.unwrap();
    while redis::cmd("XLEN").arg(&log).query_async::<u64>(&mut connection).await.unwrap() == 0 {}
    go_on.notify_one();
    let heard = tokio::time::timeout(Duration::from_secs(10), client.event()).await.expect("it is not heard");
    assert_eq!(heard, event("todos created", created));
}
