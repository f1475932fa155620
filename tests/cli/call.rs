//! `rachis call`.

use crate::mesh;
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
    assert!(ended.err.contains("Nobody serves 'todo'") && ended.err.contains("served are: echo, todos"), "{ended:?}");
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
