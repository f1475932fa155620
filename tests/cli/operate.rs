//! `rachis info`, `ping`, `stats`, `queues`, `drain`, `log`: single nodes asked, and told.

use crate::{Echo, Rachis, mesh};
use rachis::{
    App, Config, MemoryService, ServiceExt,
    config::{CircuitBreaker, ServiceConfig},
    schema::Schemas,
};
use rachis_testing::{self as testing, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// The id of the only node of `app` that `rachis` sees.
async fn id_of(rachis: &Rachis, app: &str) -> String {
    let nodes = rachis.run(&["nodes", "--json"]).await.json();
    let node = nodes.as_array().unwrap().iter().find(|node| node["app"] == app);
    node.unwrap_or_else(|| panic!("no node of {app} in {nodes}"))["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_service_is_shown_with_its_replicas() {
    let (node, rachis) = mesh().await;
    let ended = rachis.run(&["info", "/todos/"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(
        lines[..3],
        ["path      todos", "app       default/home", "methods   find, get, create, update, patch, remove"]
    );
    let replica: Vec<&str> = lines.last().unwrap().split_whitespace().collect();
    assert_eq!((replica[0], replica[3], replica[4]), (node.id(), "1.2.3", "up"));

    let told = rachis.run(&["info", "todos", "--json"]).await.json();
    assert_eq!((&told["path"], &told["replicas"][0]["id"]), (&json!("todos"), &json!(node.id())));
    assert_eq!(told["replicas"][0]["pid"], std::process::id());

    assert_eq!((&told["schemas"], ended.out.contains("schemas   -")), (&Value::Null, true), "{ended:?}");

    let ended = rachis.run(&["info", "todoes"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{ended:?}");
    assert!(
        ended.err.contains("No node serves 'todoes'") && ended.err.contains("served are: echo, todos"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_service_is_shown_with_the_schemas_that_its_node_announced() {
    let config = Config { app: "home".into(), version: "1.2.3".into(), ..testing::config() };
    let record = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    let todos = MemoryService::new().schemas(Schemas::new().record(record.clone()));
    let node = testing::start(config.clone(), App::new().register("todos", todos)).await;
    let rachis = Rachis::on(&config);
    let told = rachis.run(&["info", "todos", "--json"]).await.json();
    assert_eq!(told["schemas"]["record"], record, "{told}");
    let ended = rachis.run(&["info", "todos"]).await;
    let hash = node.schemas("todos").await.unwrap().unwrap().hash;
    assert!(ended.out.contains(&format!("schemas   {}, of version 1.2.3;", &hash[..12])), "{ended:?}");
}

#[tokio::test]
async fn nodes_answer_a_ping_and_one_that_is_frozen_is_told_of() {
    let (node, rachis) = mesh().await;
    let told = rachis.run(&["ping", "--json"]).await.json();
    assert_eq!((&told[0]["id"], &told[0]["app"]), (&json!(node.id()), &json!("home")));
    assert!(told[0]["microseconds"].as_u64().unwrap() > 0, "{told}");
    let end = &node.id()[20..].to_lowercase();
    let ended = rachis.run(&["ping", end]).await;
    assert!(ended.code == 0 && ended.out.contains(node.id()), "{ended:?}");

    let gateway = Rachis::on(node.config()).env("DISTRIBUTION__TTL", "60s").env("DISTRIBUTION_APP", "frozen");
    let mut gateway = gateway.start(&["gateway", "--listen", "127.0.0.1:0"]);
    gateway.line().await;
    let frozen = id_of(&rachis, "frozen").await;
    gateway.signal("STOP");
    let ended = rachis.run(&["ping", "--timeout", "500ms"]).await;
    gateway.signal("CONT");
    assert_eq!(ended.code, 4, "{ended:?}");
    let line = ended.out.lines().find(|line| line.starts_with(&frozen)).unwrap();
    assert!(line.contains("said nothing within 500ms"), "{ended:?}");
    assert!(ended.out.contains(node.id()), "{ended:?}");
}

#[tokio::test]
async fn a_node_is_named_by_a_unique_end_of_its_id() {
    let (node, rachis) = mesh().await;
    for (end, words) in [("ZZZZ", "has the id \"ZZZZ\""), ("", "has the id \"\""), (&node.id()[..5], "rachis nodes")] {
        for command in [&["ping", end][..], &["drain", end], &["log", end, "debug"]] {
            let ended = rachis.run(command).await;
            assert!(ended.code == 1 && ended.err.contains(words), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn calls_errors_and_latencies_are_told_by_method() {
    let (node, rachis) = mesh().await;
    let caller = testing::start(Config { app: "caller".into(), ..node.config().clone() }, App::new()).await;
    caller.wait_for("todos").await.unwrap();
    for _ in 0..3 {
        caller.service("todos").create(json!({ "text": "write" })).await.unwrap();
    }
    caller.service("todos").get(7).await.unwrap_err();

    let told = rachis.run(&["stats", "todos", "--json"]).await.json();
    let of = |told: &Value, method: &str| {
        let row = told.as_array().unwrap().iter().find(|row| row["method"] == method).cloned();
        row.unwrap_or_else(|| panic!("no {method} in {told}"))
    };
    let create = of(&told, "create");
    assert_eq!((&create["path"], &create["calls"], &create["errors"]), (&json!("todos"), &json!(3), &json!(0)));
    let [p50, p99] = ["p50", "p99"].map(|name| create[name].as_u64().unwrap());
    assert!(0 < p50 && p50 <= p99 && p99 < 20_000_000, "{create}");
    assert_eq!((&of(&told, "get")["calls"], &of(&told, "get")["errors"]), (&json!(1), &json!(1)));

    // What the replica ran, by node.
    let told = rachis.run(&["stats", "--served", "--by-node", "--json"]).await.json();
    assert_eq!((&of(&told, "create")["node"], &of(&told, "create")["calls"]), (&json!(node.id()), &json!(3)));
    let ended = rachis.run(&["stats"]).await;
    let header: Vec<&str> = ended.out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["PATH", "METHOD", "CALLS", "ERRORS", "P50", "P95", "P99"]);
    let create: Vec<&str> =
        ended.out.lines().find(|line| line.contains("create")).unwrap().split_whitespace().collect();
    assert_eq!(create[..4], ["todos", "create", "3", "0"]);
}

#[tokio::test]
async fn what_limits_and_breakers_did_is_told_by_service_and_node() {
    let (node, rachis) = mesh().await;
    let mut config = Config { app: "caller".into(), ..node.config().clone() };
    let breaker = Some(CircuitBreaker::default());
    config.service.insert("todos".into(), ServiceConfig { rate_limit: Some(1), breaker, ..ServiceConfig::default() });
    let caller = testing::start(config, App::new()).await;
    caller.wait_for("todos").await.unwrap();
    let todos = caller.service("todos");
    todos.create(json!({})).await.unwrap();
    todos.create(json!({})).await.unwrap_err();
    let told = rachis.run(&["stats", "--resilience", "--json"]).await.json();
    let refused = json!({ "rate_limit": 1, "concurrency": 0, "breaker": 0 });
    let expected =
        json!([{ "path": "todos", "node": caller.id(), "breaker": "closed", "refused": refused, "retries": 0 }]);
    assert_eq!(told, expected);
    let ended = rachis.run(&["stats", "--resilience", "todos"]).await;
    assert!(ended.out.starts_with("PATH"), "{}", ended.out);
    let row: Vec<&str> = ended.out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["todos", caller.id(), "closed", "1", "0", "0", "0"]);
    assert_eq!(rachis.run(&["stats", "--resilience", "others", "--json"]).await.json(), json!([]));
}

#[tokio::test]
async fn what_is_counted_from_now_on_leaves_out_what_was_before() {
    let (node, rachis) = mesh().await;
    node.service("todos").create(json!({})).await.unwrap();
    let counted = tokio::spawn(async move { rachis.run(&["stats", "--for", "2s", "--json"]).await.json() });
    // While it counts, and before: those that come before it began are not among them.
    let calls = async {
        loop {
            node.service("todos").find().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::select! {
        told = counted => told.unwrap(),
        () = calls => unreachable!(),
    };
    let [row] = &told.as_array().unwrap()[..] else { panic!("only find was called: {told}") };
    assert_eq!((&row["method"], &row["seconds"]), (&json!("find"), &json!(2.0)));
    assert!((10..=101).contains(&row["calls"].as_u64().unwrap()), "{row}");
}

#[tokio::test]
async fn what_waits_is_told_with_the_replicas_that_have_it() {
    let (node, rachis) = mesh().await;
    let caller = testing::start(Config { app: "caller".into(), ..node.config().clone() }, App::new()).await;
    caller.wait_for("echo").await.unwrap();
    let call = tokio::spawn(async move { caller.service("echo").get("late").await });
    eventually("the call runs", async || node.in_flight() == 1).await;
    let told = rachis.run(&["queues", "--json"]).await.json();
    let [queue] = &told.as_array().unwrap()[..] else { panic!("one app has services: {told}") };
    assert_eq!((&queue["app"], &queue["depth"], &queue["dead_letters"]), (&json!("home"), &json!(1), &json!(0)));
    assert_eq!(queue["pending"], json!({ node.id(): 1 }));
    assert!(queue["age"].as_u64().is_some_and(|age| age < 60_000), "{queue}");
    let ended = rachis.run(&["queues"]).await;
    assert!(ended.out.contains("default/home") && ended.out.contains(&format!("{}: 1", node.id())), "{ended:?}");
    assert_eq!(rachis.run(&["call", "echo", "release"]).await.code, 0);
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_that_is_told_to_drain_ends_what_runs_and_leaves() {
    let (node, rachis) = mesh().await;
    let config = Config { app: "worker".into(), ..node.config().clone() };
    let worker = testing::start(config, App::new().register("work", Echo::default())).await;
    node.wait_for("work").await.unwrap();
    let running = tokio::spawn({
        let node = node.clone();
        async move { node.service("work").get("late").await }
    });
    eventually("the call runs", async || worker.in_flight() == 1).await;
    let ended = rachis.run(&["drain", worker.id(), "--no-wait", "--json"]).await;
    assert_eq!((ended.code, ended.json()), (0, json!({ "node": worker.id(), "left": false })), "{ended:?}");
    eventually("it drains", async || worker.readiness() == rachis::Readiness::Draining).await;
    worker.service("work").custom("release", Value::Null).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Value::Null);
    // What the program waits in has ended, and shutting down once more does no harm.
    tokio::time::timeout(Duration::from_secs(10), worker.run_until_signal()).await.unwrap().unwrap();
    worker.shutdown().await.unwrap();
    eventually("it is gone", async || node.nodes().iter().all(|known| known.id != worker.id())).await;
}

#[tokio::test]
async fn a_gateway_that_is_told_to_drain_ends() {
    let config = testing::config();
    let rachis = Rachis::on(&config);
    let mut gateway = Rachis::on(&config).env("DISTRIBUTION_APP", "web").start(&["gateway", "--listen", "127.0.0.1:0"]);
    gateway.line().await;
    let id = id_of(&rachis, "web").await;
    let ended = rachis.run(&["drain", &id]).await;
    assert!(ended.code == 0 && ended.err.contains(&format!("{id} has left")), "{ended:?}");
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn a_gateway_logs_by_the_level_that_it_is_told() {
    let config = testing::config();
    let rachis = Rachis::on(&config);
    let mut gateway = Rachis::on(&config).env("DISTRIBUTION_APP", "web").start(&["gateway", "--listen", "127.0.0.1:0"]);
    gateway.line().await;
    let id = id_of(&rachis, "web").await;
    let ended = rachis.run(&["log", &id, "info,rachis=trace"]).await;
    assert!(ended.code == 0 && ended.err.contains("logs by info,rachis=trace"), "{ended:?}");
    gateway.said("another log level").await;
    let ended = rachis.run(&["log", &id, "a=b=c"]).await;
    assert!(ended.code == 1 && ended.err.contains("`log.level`"), "{ended:?}");
    let (node, rachis) = mesh().await;
    let ended = rachis.run(&["log", node.id(), "debug"]).await;
    assert!(ended.code == 1 && ended.err.contains("takes no log level while it runs"), "{ended:?}");
}

#[tokio::test]
async fn nodes_of_a_mesh_with_a_secret_obey_none_that_does_not_have_it() {
    let mut config = testing::config();
    config.mesh.secret = Some("a secret of the whole mesh".into());
    let node = testing::start(config.clone(), App::new()).await;
    let knowing = Rachis::on(&config).env("MESH_SECRET", "a secret of the whole mesh");
    assert_eq!(knowing.run(&["ping"]).await.code, 0);
    for command in [&["ping"][..], &["stats"], &["drain", node.id()], &["log", node.id(), "trace"]] {
        let ended = Rachis::on(&config).run(command).await;
        assert!(ended.code == 2 && ended.err.contains("set mesh.secret"), "{ended:?}");
    }
    assert_eq!(node.readiness(), rachis::Readiness::Ready);
}

#[tokio::test]
async fn without_redis_each_command_says_so_and_with_nobody_there_too() {
    let config = testing::config();
    for command in [&["ping"][..], &["stats"], &["queues"], &["info", "todos"], &["drain", "X"], &["log", "X", "info"]]
    {
        let away = Rachis::new().env("REDIS_URL", "redis://127.0.0.1:1");
        let ended = away.run(&[command, &["--connect-timeout", "200ms"]].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{ended:?}");
        let ended = Rachis::on(&config).run(command).await;
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{ended:?}");
    }
    for command in ["ping", "stats", "queues"] {
        assert_eq!(Rachis::on(&config).run(&[command, "--json"]).await.json(), json!([]));
    }
}
