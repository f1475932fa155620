//! `rachis nodes`, `rachis services`: looking without being seen.

use crate::{Rachis, mesh};
use futures_util::StreamExt;
use rachis::App;
use rachis_testing as testing;
use serde_json::json;

#[tokio::test]
async fn nodes_are_listed_for_people() {
    let (node, rachis) = mesh().await;
    let ended = rachis.run(&["nodes"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let lines: Vec<Vec<&str>> = ended.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "APP", "KEY", "VERSION", "HOST", "PID", "AGE", "STATE", "SERVICES"]);
    assert_eq!(lines[1][..4], [node.id(), "home", "default", "1.2.3"]);
    assert_eq!(lines[1][5], std::process::id().to_string());
    assert_eq!(lines[1][7..], ["s", "up", "echo,", "todos"]);
    assert_eq!(lines.len(), 2);
    assert!(!ended.out.contains('\u{1b}'));
}

#[tokio::test]
async fn nodes_are_listed_for_programs() {
    let (node, rachis) = mesh().await;
    let nodes = rachis.run(&["nodes", "--json"]).await.json();
    let seen = &node.nodes()[0];
    assert_eq!(
        nodes,
        json!([{
            "id": node.id(), "key": "default", "app": "home", "version": "1.2.3", "host": seen.host,
            "pid": std::process::id(), "started": seen.started, "up": true, "partitions": 1, "services": ["echo", "todos"],
        }])
    );
}

#[tokio::test]
async fn services_are_listed_for_people_and_programs() {
    let (node, rachis) = mesh().await;
    let ended = rachis.run(&["services"]).await;
    let lines: Vec<Vec<&str>> = ended.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PATH", "APP", "REPLICAS", "HEALTHY", "METHODS", "EVENTS"]);
    assert_eq!(lines[1][..5], ["echo", "default/home", "1", "yes", "find,"]);
    assert!(lines[1].contains(&"shout,"));

    let services = rachis.run(&["services", "--json"]).await.json();
    assert_eq!(services[1]["path"], "todos");
    assert_eq!(services[1]["methods"], json!(["find", "get", "create", "update", "patch", "remove"]));
    assert_eq!(services[1]["events"], json!(["created", "updated", "patched", "removed"]));
    assert_eq!((&services[1]["healthy"], &services[1]["replicas"]), (&json!(true), &json!([node.id()])));
}

#[tokio::test]
async fn an_empty_mesh_is_no_failure() {
    let config = testing::config();
    let rachis = Rachis::on(&config);
    for command in ["nodes", "services"] {
        let ended = rachis.run(&[command]).await;
        assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
        assert!(ended.err.contains(&format!("no {command} in the mesh \"{}\"", config.namespace)), "{ended:?}");
        assert_eq!(rachis.run(&[command, "--json"]).await.json(), json!([]));
    }
}

#[tokio::test]
async fn no_node_hears_of_a_look() {
    let (node, rachis) = mesh().await;
    let mut changes = node.changes();
    for command in [&["nodes"][..], &["services"], &["call", "todos", "find"], &["watch", "--for", "10ms"]] {
        assert_eq!(rachis.run(command).await.code, 0);
    }
    let late = testing::start(node.config().clone(), App::new()).await;
    match changes.next().await {
        Some(rachis::Change::NodeUp(up)) => assert_eq!(up.id, late.id()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_mesh_with_a_secret_is_seen_by_who_has_it() {
    let mut config = testing::config();
    config.mesh.secret = Some("a secret of the whole mesh".into());
    let node = testing::start(config.clone(), App::new().register("todos", rachis::MemoryService::new())).await;
    let knowing = Rachis::on(&config).env("MESH_SECRET", "a secret of the whole mesh").env("RUST_LOG", "trace");
    for command in [&["nodes", "--json"][..], &["services", "--json"], &["call", "todos", "find"]] {
        let ended = knowing.run(command).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!format!("{ended:?}").contains("a secret of"), "{ended:?}");
    }
    assert_eq!(knowing.run(&["nodes", "--json"]).await.json()[0]["id"], node.id());
    for command in ["nodes", "services", "watch"] {
        let ended = Rachis::on(&config).run(&[command]).await;
        assert!(ended.code != 0 && ended.err.contains("this mesh signs its frames: set mesh.secret"), "{ended:?}");
    }
}

#[tokio::test]
async fn services_are_described_for_generators_and_their_types_are_those_of_the_document() {
    let (_node, rachis) = mesh().await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("openapi.json");
    let ended = rachis.run(&["openapi", "--server", "https://api.example.org/", "--out", file.to_str().unwrap()]).await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""), "{ended:?}");
    let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written["servers"], json!([{ "url": "https://api.example.org" }]));
    assert!(written["paths"]["/todos/{id}"]["get"].is_object());
    let shown = rachis.run(&["openapi", "--json"]).await.json();
    assert_eq!(shown["paths"], written["paths"]);

    let live = rachis.run(&["types"]).await;
    assert_eq!(live.code, 0, "{live:?}");
    assert!(live.out.contains("  'todos': TodosService\n"), "{}", live.out);
    let from_file = rachis.run(&["types", "--from", file.to_str().unwrap()]).await;
    assert_eq!(from_file.out, live.out);
}

#[tokio::test]
async fn what_is_no_document_of_services_has_no_types() {
    let rachis = Rachis::on(&testing::config());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("openapi.json");
    for (text, why) in [(None, "can not read"), (Some("{"), "can not read"), (Some("{}"), "has no x-rachis-services")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let ended = rachis.run(&["types", "--from", file.to_str().unwrap()]).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
        assert!(ended.err.contains(why), "{ended:?}");
    }
}
