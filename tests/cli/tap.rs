//! `rachis tap`.

use crate::mesh;
use rachis::{App, Config, MemoryService};
use rachis_testing as testing;
use serde_json::{Value, json};

/// A node that permits to watch it, in the mesh of `node`.
async fn open(node: &rachis::Node) -> rachis::Node {
    let config = Config { app: "open".into(), tap: true, ..node.config().clone() };
    testing::start(config, App::new().register("notes", MemoryService::new())).await
}

#[tokio::test]
async fn calls_are_told_as_json_lines_without_what_is_in_them() {
    let (node, rachis) = mesh().await;
    let open = open(&node).await;
    let mut tap = rachis.start(&["tap", "--json"]);
    tap.said("watching calls of 1 of 2 nodes").await;

    let secret = json!({ "password": "hunter2", "text": "hunter2" });
    open.service("notes").create(secret.clone()).await.unwrap();
    open.service("notes").get("hunter2").query(json!({ "token": "hunter2" })).await.unwrap_err();
    // Nor is a call of a node that does not permit it.
    node.service("notes").create(secret).await.unwrap();
    open.service("notes").find().query(json!({ "text": "hunter2" })).await.unwrap();

    let mut told = Vec::new();
    for _ in 0..3 {
        let line = tap.json().await;
        assert!(!line.to_string().contains("hunter2"), "{line}");
        assert_eq!((&line["path"], &line["app"]), (&json!("notes"), &json!("default/open")));
        assert!(line["micros"].is_u64() && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        told.push((line["method"].clone(), line["outcome"].clone(), line["code"].clone()));
    }
    let expected = [
        (json!("create"), json!("ok"), Value::Null),
        (json!("get"), json!("NotFound"), json!(404)),
        (json!("find"), json!("ok"), Value::Null),
    ];
    assert_eq!(told, expected);
    tap.signal("INT");
    assert_eq!(tap.ended().await.0, 0);
}

#[tokio::test]
async fn people_read_one_line_a_call_and_see_errors_alone() {
    let (node, rachis) = mesh().await;
    let open = open(&node).await;
    let mut tap = rachis.start(&["tap", "notes", "--errors", "--app", "open"]);
    tap.said("watching calls of 1 of 1 nodes").await;
    open.service("notes").find().await.unwrap();
    open.service("notes").get(7).await.unwrap_err();
    let line = tap.line().await;
    assert!(line.contains("404 NotFound") && line.contains("get notes  default/open"), "{line}");
    tap.signal("TERM");
    assert_eq!(tap.ended().await.0, 0);
}

#[tokio::test]
async fn without_permission_nothing_is_told_and_it_is_said_what_gives_it() {
    let (node, rachis) = mesh().await;
    let error = node.peer(node.id()).tap(None).await.unwrap_err();
    assert_eq!(error.code(), 403);
    let mut tap = rachis.start(&["tap"]);
    tap.said("no node permits it: set `tap = true`").await;
    assert_ne!(tap.ended().await.0, 0);
}
