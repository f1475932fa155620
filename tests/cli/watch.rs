//! `rachis watch`.

use crate::mesh;
use rachis::{App, Config, MemoryService};
use rachis_testing as testing;
use serde_json::json;

#[tokio::test]
async fn changes_and_events_come_as_json_lines() {
    let (node, rachis) = mesh().await;
    let mut watch = rachis.start(&["watch", "todos", "later", "--json"]);
    watch.said("(nodes: 1, services: 2)").await;

    node.service("echo").create(json!({})).await.unwrap();
    node.service("todos").create(json!({ "text": "a" })).await.unwrap();
    let line = watch.json().await;
    assert_eq!((&line["type"], &line["path"], &line["event"]), (&json!("event"), &json!("todos"), &json!("created")));
    assert_eq!(line["data"], json!({ "text": "a", "id": 0 }));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));

    let config = Config { app: "second".into(), ..node.config().clone() };
    let other = testing::start(config, App::new().register("later", MemoryService::new())).await;
    let mut types = [watch.json().await, watch.json().await].map(|line| match line["type"].as_str().unwrap() {
        "node-up" => ("node-up", line["node"]["id"].clone()),
        "service" => ("service", line["service"]["path"].clone()),
        other => panic!("{other}"),
    });
    types.sort_by_key(|(kind, _)| *kind);
    assert_eq!(types, [("node-up", json!(other.id())), ("service", json!("later"))]);

    // A service that came later is heard as well, as soon as the subscription is made.
    let text = loop {
        other.service("later").create(json!({ "text": "b" })).await.unwrap();
        let heard = tokio::time::timeout(std::time::Duration::from_millis(50), watch.json());
        if let Ok(line) = heard.await {
            break line["data"]["text"].clone();
        }
    };
    assert_eq!(text, "b");

    watch.signal("INT");
    assert_eq!(watch.ended().await.0, 0);
}

#[tokio::test]
async fn people_read_one_line_per_thing() {
    let (node, rachis) = mesh().await;
    let mut watch = rachis.start(&["watch", "--events"]);
    watch.said("watching").await;
    node.service("echo").create(json!({ "a": "\u{1b}[31m" })).await.unwrap();
    let line = watch.line().await;
    assert!(line.contains("  created          echo  {\"data\":{\"a\":\"\\u001b[31m\"}}"), "{line}");
    node.unregister("echo").await.unwrap();
    let line = watch.line().await;
    assert!(line.contains("  service-removed  echo  default/home"), "{line}");
    watch.signal("TERM");
    assert_eq!(watch.ended().await.0, 0);
}

#[tokio::test]
async fn it_ends_after_the_time_it_was_given() {
    let (_node, rachis) = mesh().await;
    let ended = rachis.run(&["watch", "--for", "50ms"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_failure() {
    let (node, rachis) = mesh().await;
    let mut watch = rachis.start(&["watch", "--events"]);
    watch.said("watching").await;
    let crate::Running { mut child, out, err: _err, _folder } = watch;
    drop(out);
    // It notices when it next has something to say.
    node.service("echo").create(json!({})).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}
