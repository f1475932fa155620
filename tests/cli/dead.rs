//! `rachis dead`: requests that no replica could finish.

use crate::Rachis;
use rachis::{App, Config, Error, MemoryService, Method, Node, Params, Result, Service, config::Linger};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

const SPEC: &str = "RACHIS_TEST_DOOMED";
/// The test that is a replica when the variable is set.
const ENTRY: &str = "dead::a_call_that_kills_every_replica_is_set_aside_and_can_be_made_again";

/// Kills its process when it is called, where it is `deadly`.
struct Mine {
    deadly: bool,
}

impl Service for Mine {
    const METHODS: &[Method] = &[Method::custom("dig"), Method::custom("refuse"), Method::custom("fail")];
    const IDEMPOTENT: &[Method] = &[Method::custom("dig")];

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        if self.deadly {
            // Not a word to anybody, as if it was killed.
            std::process::exit(9);
        }
        match method {
            "refuse" => Err(Error::unprocessable("There is nothing to dig").with_data(json!({ "depth": 7 }))),
            "fail" => Err(Error::general("The shovel broke")),
            _ => Ok(json!({ "found": data, "by": params.user, "key": params.idempotency_key })),
        }
    }
}

fn config(url: &str) -> Config {
    Config {
        app: "mine".into(),
        heartbeat_interval: Duration::from_millis(100),
        ttl: Some(Duration::from_millis(700)),
        linger: Linger::Forever,
        timeout: Duration::from_secs(30),
        ..testing::config_for(url)
    }
}

async fn mine(config: &Config, deadly: bool) -> Node {
    testing::start(config.clone(), App::new().register("mine", Mine { deadly })).await
}

fn spawn(config: &Config) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", ENTRY, "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env(SPEC, format!("{} {}", config.redis.url.expose(), config.namespace)).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_kills_every_replica_is_set_aside_and_can_be_made_again() {
    if let Ok(spec) = std::env::var(SPEC) {
        let (url, namespace) = spec.split_once(' ').unwrap();
        let doomed = mine(&Config { namespace: namespace.into(), ..config(url) }, true).await;
        return doomed.run_until_signal().await.unwrap();
    }
    let config = Config { namespace: testing::config().namespace, ..config(&testing::redis().url()) };
    let rachis = Rachis::on(&config);
    let caller = testing::start(Config { app: "caller".into(), ..config.clone() }, App::new()).await;
    let mut children = [(); 3].map(|()| spawn(&config));
    testing::eventually("three are there", async || {
        caller.services().iter().any(|service| service.path == "mine" && service.replicas.len() == 3)
    })
    .await;
    let params = Params::default().with_user(json!({ "id": 1 }));
    let call = caller.service("mine").custom("dig", json!({ "depth": 5 })).params(params).idempotency_key("dig-1");
    let call = tokio::spawn(call.answer());
    for child in &mut children {
        let status = tokio::task::block_in_place(|| child.wait().unwrap());
        assert_eq!(status.code(), Some(9));
    }
    let survivor = mine(&config, false).await;
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.outcome()), (503, Some(rachis::Outcome::Unknown)));

    // Of every app that is known, for people.
    let ended = rachis.run(&["dead", "list"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["ID", "APP", "CALL", "DELIVERIES", "AGE", "REASON"]);
    assert!(lines[1].contains("default/mine") && lines[1].contains("mine dig"), "{ended:?}");
    assert!(ended.out.contains("was given to 3 replicas and none finished it"), "{ended:?}");

    let letters = rachis.run(&["dead", "list", "mine", "--json"]).await.json();
    let letter = &letters[0];
    let id = letter["id"].as_str().unwrap();
    assert_eq!((letters.as_array().unwrap().len(), &letter["deliveries"]), (1, &json!(4)));
    assert_eq!((&letter["buried_by"], &letter["call"]["caller"]), (&json!(survivor.id()), &json!(caller.id())));
    assert!(letter["replica"] != letter["buried_by"]);
    assert!(letter["buried"].as_u64().unwrap() > letter["queued"].as_u64().unwrap());
    let shown = rachis.run(&["dead", "show", "default/mine", id, "--json"]).await;
    assert_eq!((shown.code, &shown.json()), (0, letter));

    let replayed = rachis.run(&["dead", "replay", "mine", id]).await;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    assert_eq!(replayed.json(), json!({ "found": { "depth": 5 }, "by": { "id": 1 }, "key": "dig-1" }));
    assert!(replayed.err.contains("settled, and gone"), "{replayed:?}");
    assert_eq!(rachis.run(&["dead", "list", "--json"]).await.json(), json!([]));
}

/// A mesh with the app `mine`, and the ids of dead letters of these methods, in that order.
async fn mesh(methods: &[&str]) -> (Node, Rachis, Vec<String>) {
    let config = Config { namespace: testing::config().namespace, ..config(&testing::redis().url()) };
    let stream = format!("{}:{{app:default/mine}}:calls", config.namespace);
    let client = redis::Client::open(config.redis.url.expose()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut run = async |words: &[&[u8]]| -> redis::Value {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut redis).await.unwrap()
    };
    run(&[b"XGROUP", b"CREATE", stream.as_bytes(), b"replicas", b"0", b"MKSTREAM"]).await;
    for method in methods {
        run(&[b"XADD", stream.as_bytes(), b"*", b"m", &frame(method)]).await;
    }
    // As if it had been given to a replica that is gone, for the third time.
    let taken = run(&[b"XREADGROUP", b"GROUP", b"replicas", b"gone", b"STREAMS", stream.as_bytes(), b">"]).await;
    type Streams = Vec<(String, Vec<(String, Vec<(String, Vec<u8>)>)>)>;
    let taken: Streams = redis::from_redis_value(taken).unwrap();
    for (id, _) in &taken[0].1 {
        let to_gone: [&[u8]; 8] =
            [b"XCLAIM", stream.as_bytes(), b"replicas", b"gone", b"0", id.as_bytes(), b"RETRYCOUNT", b"3"];
        run(&to_gone).await;
    }
    let node = mine(&config, false).await;
    let letters = node.dead_letters("mine");
    testing::eventually("all are set aside", async || letters.ids().await.unwrap().len() == methods.len()).await;
    // They were set aside side by side, so their order is another.
    let mut found = letters.list(99).await.unwrap();
    let mut id_of = |method: &&str| {
        let name =
            |letter: &rachis::DeadLetter| letter.call.as_ref().map_or("garbage".into(), |call| call.method.to_string());
        let place = found.iter().position(|letter| name(letter) == *method).unwrap();
        found.remove(place).id
    };
    let ids = methods.iter().map(&mut id_of).collect();
    (node, Rachis::on(&config), ids)
}

/// A request with a secret wherever one can be, or garbage.
fn frame(method: &str) -> Vec<u8> {
    if method == "garbage" {
        return b"hunter2 is in here".to_vec();
    }
    let none: Option<Value> = None;
    let headers = json!({ "authorization": "Bearer hunter2", "cookie": "a=hunter2", "x-api-key": "hunter2", "x": "y" });
    let user = json!({ "id": 1, "name": "Ada", "password": "hunter2" });
    let authentication = json!({ "strategy": "jwt", "accessToken": "hunter2" });
    let params = (
        json!({ "apiKey": "of-the-query", "q": 1 }),
        Some("rest"),
        headers,
        json!({}),
        Some(user),
        Some(authentication),
        true,
        json!({ "token": "hunter2", "tenant": 7 }),
    );
    let data = json!({ "depth": 5, "deep": [{ "password": "of-the-data" }] });
    let body = (1u64, "nobody", 0u8, "mine", method, none, data, params);
    let mut frame = vec![1, b'Q', 0, 0, 0xff, 0xff];
    frame.extend(rmp_serde::to_vec(&body).unwrap());
    frame
}

#[tokio::test]
async fn no_secret_is_kept_with_a_letter_or_shown_of_it() {
    let (node, rachis, ids) = mesh(&["dig", "garbage"]).await;
    let config = node.config();
    let client = redis::Client::open(config.redis.url.expose()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let stream = format!("{}:{{app:default/mine}}:dead", config.namespace);
    let range = redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async::<redis::Value>(&mut redis).await;
    let redis::Value::Array(entries) = range.unwrap() else { panic!("a list") };
    let kept = format!("{entries:?}");
    assert!(entries.len() == 2 && kept.contains("none finished it"), "{kept}");
    // Bytes are printed as text where they are text, and as numbers where they are not.
    assert!(!kept.contains("hunter2") && !kept.contains("104, 117, 110, 116, 101, 114, 50"), "{kept}");

    for words in [&["list"][..], &["list", "mine"], &["show", "mine", &ids[0]], &["show", "mine", &ids[1]]] {
        for json in [&[][..], &["--json"]] {
            let ended = rachis.run(&[&["dead"], words, json].concat()).await;
            assert_eq!(ended.code, 0, "{ended:?}");
            for secret in ["hunter2", "of-the-data", "of-the-query"] {
                assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{words:?}: {ended:?}");
            }
        }
    }
    let call = rachis.run(&["dead", "show", "mine", &ids[0], "--json"]).await.json()["call"].clone();
    assert_eq!(call["data"], json!({ "depth": 5, "deep": [{ "password": "***" }] }));
    assert_eq!((&call["query"], &call["headers"]), (&json!({ "apiKey": "***", "q": 1 }), &json!({ "x": "y" })));
    assert_eq!((&call["user"], &call["extra"]), (&json!({ "id": 1, "name": "Ada" }), &json!({ "tenant": 7 })));

    // But the call is made with what it was sent with, by the same user.
    let replayed = node.dead_letters("mine").replay(&ids[0]).await.unwrap().outcome.unwrap();
    assert_eq!(replayed["found"]["deep"][0]["password"], "of-the-data");
    assert_eq!(replayed["by"], json!({ "id": 1, "name": "Ada" }));
}

#[tokio::test]
async fn a_letter_is_shown_to_people() {
    let (node, rachis, ids) = mesh(&["dig", "garbage"]).await;
    let ended = rachis.run(&["dead", "show", "mine", &ids[0]]).await;
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], format!("id          {}", ids[0]));
    assert_eq!(lines[1], "app         default/mine");
    for line in [
        "reason      dig on 'mine' was given to 3 replicas and none finished it",
        "deliveries  4",
        "last had by gone",
        "call        dig on 'mine'",
        "caller      nobody",
        "provider    \"rest\"",
    ] {
        assert!(lines.contains(&line), "{line}: {ended:?}");
    }
    assert!(ended.out.contains(&format!("Z by {}", node.id())), "{ended:?}");
    let ended = rachis.run(&["dead", "show", "mine", &ids[1]]).await;
    assert!(ended.out.contains("reason      The frame has version 104, this node speaks version 1"), "{ended:?}");
    assert!(ended.out.contains("size        18 bytes") && ended.out.contains("not kept"), "{ended:?}");
}

#[tokio::test]
async fn a_letter_stays_until_its_call_was_answered_or_refused_by_the_service() {
    let (_node, rachis, ids) = mesh(&["fail", "refuse", "garbage", "nothing"]).await;
    let failed = rachis.run(&["dead", "replay", "mine", &ids[0]]).await;
    assert_eq!((failed.code, failed.out.as_str()), (1, ""));
    assert!(failed.err.contains("GeneralError: The shovel broke") && failed.err.contains("it stays"), "{failed:?}");

    let refused = rachis.run(&["dead", "replay", "mine", &ids[1], "--json"]).await;
    let document = refused.json();
    assert_eq!((refused.code, &document["removed"], &document["id"]), (1, &json!(true), &json!(ids[1])));
    assert_eq!((&document["error"]["name"], &document["error"]["data"]["depth"]), (&json!("Unprocessable"), &json!(7)));

    let unreadable = rachis.run(&["dead", "replay", "mine", &ids[2]]).await;
    assert_eq!((unreadable.code, unreadable.out.as_str()), (1, ""));
    assert!(unreadable.err.contains("keeps no call that could be made again"), "{unreadable:?}");

    let lacking = rachis.run(&["dead", "replay", "mine", &ids[3]]).await;
    assert!(lacking.code == 1 && lacking.err.contains("MethodNotAllowed"), "{lacking:?}");
    let left = rachis.run(&["dead", "list", "mine", "--json"]).await.json();
    let left: Vec<&str> = left.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    let mut expected = [&*ids[0], &ids[2], &ids[3]];
    expected.sort_unstable();
    expected.reverse();
    assert_eq!(left, expected, "the newest first");
}

#[tokio::test]
async fn all_letters_of_an_app_are_replayed_the_oldest_first() {
    let (node, rachis, ids) = mesh(&["dig", "fail", "garbage", "dig"]).await;
    let ended = rachis.run(&["dead", "replay", "mine", "--all"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let told: Vec<&str> = ended.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let sorted = |mut ids: [&String; 2]| {
        ids.sort_unstable();
        ids.map(String::clone)
    };
    assert_eq!(told, sorted([&ids[0], &ids[3]]));
    assert!(ended.err.contains("replayed: 4, settled: 2"), "{ended:?}");
    assert_eq!(node.dead_letters("mine").ids().await.unwrap(), sorted([&ids[1], &ids[2]]));
}

#[tokio::test]
async fn a_call_that_nobody_answers_keeps_its_letter_and_ends_with_4() {
    let (node, rachis, ids) = mesh(&["dig"]).await;
    node.shutdown().await.unwrap();
    let ended = rachis.run(&["dead", "replay", "mine", &ids[0], "--timeout", "300ms"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{ended:?}");
    assert!(ended.err.contains("Timeout: ") && ended.err.contains("it stays"), "{ended:?}");
    // The app lingers, so it is still known.
    assert_eq!(rachis.run(&["dead", "list", "--json"]).await.json()[0]["id"], json!(ids[0]));
}

#[tokio::test]
async fn letters_are_dropped_one_by_one_or_all_at_once() {
    let (_node, rachis, ids) = mesh(&["dig", "dig", "garbage"]).await;
    let ended = rachis.run(&["dead", "drop", "mine", &ids[1]]).await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", "dropped: 1\n"));
    let ended = rachis.run(&["dead", "list", "--json", "--limit", "1"]).await;
    assert_eq!(ended.json().as_array().unwrap().len(), 1);
    assert_eq!(ended.err, "default/mine has more than these 1: --limit shows them\n");
    let ended = rachis.run(&["dead", "list", "mine", "--json", "--limit", "2"]).await;
    assert_eq!((ended.json().as_array().unwrap().len(), ended.err.as_str()), (2, ""));
    assert_eq!(rachis.run(&["dead", "drop", "mine", "--all", "--json"]).await.json(), json!({ "dropped": 2 }));
    let ended = rachis.run(&["dead", "list"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    assert!(ended.err.contains("no dead letters in the mesh"), "{ended:?}");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (_node, rachis, ids) = mesh(&["dig"]).await;
    for what in ["show", "replay", "drop"] {
        for (app, id) in [("mine", "1-0"), ("mine", "soon"), ("other", &*ids[0]), ("else/mine", &*ids[0])] {
            let ended = rachis.run(&["dead", what, app, id]).await;
            assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{what} {app} {id}: {ended:?}");
            let key = if app.contains('/') { "" } else { "default/" };
            assert!(ended.err.contains(&format!("No dead letter '{id}' of app '{key}{app}'")), "{ended:?}");
        }
    }
    let ended = rachis.run(&["dead", "list", "other"]).await;
    assert!(ended.code == 0 && ended.err.contains("no dead letters of app \"other\""), "{ended:?}");
}

#[tokio::test]
async fn a_node_of_any_app_can_look_after_dead_letters() {
    let (node, _rachis, ids) = mesh(&["dig"]).await;
    let other = Config { app: "other".into(), ..node.config().clone() };
    let other = testing::start(other, App::new().register("todos", MemoryService::new())).await;
    let letters = other.dead_letters("mine");
    assert_eq!(letters.get(&ids[0]).await.unwrap(), letters.list(10).await.unwrap()[0]);
    let replay = letters.replay(&ids[0]).await.unwrap();
    assert_eq!((replay.outcome.unwrap()["found"]["depth"].as_u64(), replay.removed), (Some(5), true));
    assert!(!letters.remove(&ids[0]).await.unwrap());
}
