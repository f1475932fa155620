//! `rachis call`.

use crate::{Rachis, mesh};
use rachis::{ALL, App, Config, Error, MemoryService, ServiceExt, auth::protect};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn every_method_gets_what_was_typed() {
    let (_node, rachis) = mesh().await;
    let cases: &[(&[&str], Value)] = &[
        (&["find", "--query", r#"{"a":{"$gt":1}}"#], json!({"query": {"a": {"$gt": 1}}})),
        (&["get", "-7"], json!({"id": "-7"})),
        (&["create", r#"{"b":[1]}"#], json!({"data": {"b": [1]}})),
        (&["update", "x", "{}"], json!({"id": "x", "data": {}})),
        (&["patch", "x", r#"{"c":2}"#], json!({"id": "x", "data": {"c": 2}, "query": {}})),
        (&["patch", r#"{"c":2}"#, "--query", r#"{"d":3}"#], json!({"id": null, "data": {"c": 2}, "query": {"d": 3}})),
        (&["remove", "x"], json!({"id": "x", "query": {}})),
        (&["remove", "--query", r#"{"d":3}"#], json!({"id": null, "query": {"d": 3}})),
        (&["shout", "1"], json!({"method": "shout", "data": 1})),
    ];
    for (words, answer) in cases {
        let ended = rachis.run(&[&["call", "/echo/"], *words].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{words:?}: {ended:?}");
        assert_eq!(ended.json(), *answer, "{words:?}");
    }
}

#[tokio::test]
async fn data_can_be_piped_in() {
    let (_node, rachis) = mesh().await;
    let mut child = rachis.command(&["call", "todos", "create", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{ \"text\": \"write\" }\n").await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"text": "write", "id": 0}));
}

#[tokio::test]
async fn an_error_answer_is_told_and_ends_with_1() {
    let (_node, rachis) = mesh().await;
    let ended = rachis.run(&["call", "todos", "get", "9"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.starts_with("NotFound: No record found for id '9'"), "{ended:?}");

    let ended = rachis.run(&["call", "todos", "get", "9", "--json"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    let error = ended.json();
    assert_eq!((&error["name"], &error["code"]), (&json!("NotFound"), &json!(404)));
    assert_eq!(error["className"], "not-found");

    let ended = rachis.run(&["call", "todos", "shout"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.starts_with("MethodNotAllowed: "), "{ended:?}");
}

#[tokio::test]
async fn a_path_that_nobody_serves_ends_with_4() {
    let (_node, rachis) = mesh().await;
    let ended = rachis.run(&["call", "todo", "find"]).await;
    assert_eq!(ended.code, 4);
    assert!(ended.err.contains("No node serves 'todo'") && ended.err.contains("served are: echo, todos"), "{ended:?}");
    let ended = rachis.run(&["call", "todo", "find", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["name"]), (4, &json!("NotFound")));
}

#[tokio::test]
async fn no_answer_in_time_ends_with_4() {
    let (_node, rachis) = mesh().await;
    let ended = rachis.run(&["call", "echo", "get", "never", "--timeout", "100ms"]).await;
    assert_eq!(ended.code, 4);
    assert!(ended.err.starts_with("Timeout: "), "{ended:?}");
}

#[tokio::test]
async fn what_can_not_be_meant_is_refused_before_anything_is_asked() {
    let rachis = crate::Rachis::new().env("REDIS_URL", "redis://127.0.0.1:1");
    let cases: &[(&[&str], &str)] = &[
        (&["find", "1"], "find takes neither ID nor JSON"),
        (&["get"], "get takes an ID"),
        (&["create"], "create takes JSON"),
        (&["create", "{"], "the data is no JSON"),
        (&["patch", "7"], "the JSON is an object"),
        (&["update"], "update takes [ID] JSON"),
        (&["find", "--query", "[]"], "--query takes a JSON object"),
        (&["create", "-", "--query", "-"], "there is one stdin"),
        (&["get", "1", "2", "3"], "unexpected argument"),
    ];
    for (words, reason) in cases {
        let ended = rachis.run(&[&["call", "echo"], *words].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{words:?}: {ended:?}");
        assert!(ended.err.contains(reason), "{words:?}: {ended:?}");
    }
}

#[tokio::test]
async fn what_is_hidden_from_clients_or_secret_by_its_name_is_not_shown_unless_asked_for() {
    let (node, rachis) = mesh().await;
    let hash = "$2b$10$z14AlfujEji82X30QHCLyu4K0nCuYz7UW0T/BAuvhSc.MkyjbRhJa";
    let ada = json!({ "id": 1, "email": "ada@example.org", "hash": hash, "resetToken": "r3s3t", "pin": 1234 });
    let app = App::new()
        .register("users", MemoryService::new().records([ada.clone()]).after(ALL, protect(["hash"])))
        .register(
            "fails",
            MemoryService::new().before(ALL, async |_| {
                Err(Error::conflict("taken").with_data(json!({ "token": "r3s3t", "name": "ada" })))
            }),
        );
    let users = testing::start(Config { app: "users".into(), ..node.config().clone() }, app).await;
    let shown = json!({ "id": 1, "email": "ada@example.org", "resetToken": "***", "pin": "***" });
    for words in [&["find"][..], &["find", "--json"], &["find", "--query", r#"{"hash":{"$gte":"$"}}"#]] {
        let ended = rachis.run(&[&["call", "users"], words].concat()).await;
        assert_eq!(ended.json(), json!([shown]), "{words:?}");
    }
    assert_eq!(rachis.run(&["--json", "call", "users", "get", "1"]).await.json(), shown);
    assert_eq!(rachis.run(&["--json", "call", "users", "get", "1", "--reveal"]).await.json(), ada);
    assert_eq!(
        rachis.run(&["call", "fails", "find", "--json"]).await.json()["data"],
        json!({ "token": "***", "name": "ada" })
    );
    let ended = rachis.run(&["call", "fails", "find"]).await;
    assert!(ended.err.contains(r#"data: {"token":"***","name":"ada"}"#), "{ended:?}");

    let mut watch = rachis.start(&["watch", "users", "--json"]);
    watch.said("watching").await;
    users.service("users").patch(1, json!({ "token": "t0k3n" })).await.unwrap();
    let mut patched = shown;
    patched["token"] = json!("***");
    assert_eq!(watch.json().await["data"], patched);
}

#[tokio::test]
async fn nothing_from_elsewhere_commands_a_terminal() {
    let wicked = "\u{1b}]0;x\u{7}\n2026-11-30 ERROR \u{9b}2J\u{202e}\u{2028}\u{200b}";
    let harmless = |text: &str| {
        let controls = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2028}\u{200b}".contains(c));
        assert!(!text.contains(controls) && !text.lines().any(|line| line.starts_with("2026-11-30 ERROR")), "{text:?}");
    };
    let app = App::new().register("todos", MemoryService::new()).register(
        "fails",
        MemoryService::new()
            .before(ALL, move |_| std::future::ready(Err(Error::conflict(wicked).with_data(json!({ "a": wicked }))))),
    );
    let config = Config { version: wicked.into(), ..testing::config() };
    let rachis = Rachis::on(&config);
    let node = testing::start(config.clone(), app).await;
    for words in [
        &["nodes"][..],
        &["nodes", "--json"],
        &["services"],
        &["services", "--json"],
        &["call", "todos", "create", &json!({ "text": wicked }).to_string()],
        &["call", "todos", "find", "--json"],
        &["call", "fails", "find"],
        &["call", "fails", "find", "--json"],
        &["call", "todos", wicked],
        &["call", wicked, "find"],
        &["dead", "show", "app", wicked],
        &[wicked],
        &["nodes", wicked],
    ] {
        let ended = rachis.run(words).await;
        harmless(&ended.out);
        harmless(&ended.err);
        assert!(!ended.out.is_empty() || !ended.err.is_empty(), "{words:?}");
    }
    let found = rachis.run(&["call", "todos", "find", "--json"]).await.json();
    assert_eq!(found[0]["text"], wicked, "what is escaped is still the same");
    for words in [&["watch", "--events"][..], &["watch", "--events", "--json"]] {
        let mut watch = Rachis::on(&config).start(words);
        watch.said("watching").await;
        node.service("todos").create(json!({ wicked: wicked })).await.unwrap();
        harmless(&watch.line().await);
    }
}
