//! `rachis gateway`, and `rachis health` that asks it.

use crate::{Rachis, Running, mesh};
use rachis::{App, MemoryService, Node};
use rachis_testing as testing;
use rachis_testing::{ThrowawayRedis, config_for, eventually};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::TcpListener, path::Path};

const ANY: [&str; 3] = ["gateway", "--listen", "127.0.0.1:0"];

/// The process ids of children and their children.
fn descendants(pid: u32) -> Vec<u32> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(file).unwrap_or_default();
    let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    children.iter().flat_map(|child| std::iter::once(*child).chain(descendants(*child))).collect()
}

async fn get(url: &str) -> (u16, Value) {
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn it_serves_whatever_is_registered() {
    let (node, rachis) = mesh().await;
    let mut gateway = rachis.start(&ANY);
    let url = gateway.line().await;
    node.service("todos").create(json!({ "text": "a" })).await.unwrap();
    assert_eq!(get(&format!("{url}/todos/0")).await, (200, json!({ "text": "a", "id": 0 })));
    node.register("later", MemoryService::new()).await.unwrap();
    eventually("a service that came later is served", async || get(&format!("{url}/later")).await.0 == 200).await;
    gateway.signal("TERM");
    let (code, rest) = gateway.ended().await;
    assert_eq!(code, 0, "{rest}");
    eventually("it has left the mesh", async || node.nodes().len() == 1).await;
}

#[tokio::test]
async fn a_development_gateway_brings_and_takes_its_redis() {
    for signal in ["TERM", "INT", "KILL"] {
        // What is meant for another Redis must not get in the way.
        let rachis = Rachis::new().env("REDIS_URL", "redis://127.0.0.1:1").env("REDIS_PASSWORD", "hunter2");
        let mut gateway = rachis.start(&[&ANY[..], &["--dev"]].concat());
        let url = gateway.line().await;
        let redis = gateway.line().await;
        let hint = gateway.said("REDIS_URL=").await;
        assert_eq!(hint.trim(), format!("REDIS_URL={redis} DISTRIBUTION_NAMESPACE=rachis cargo run"));

        let mut config = config_for(&redis);
        config.namespace = "rachis".into();
        let node = testing::start(config, App::new().register("todos", MemoryService::new())).await;
        eventually("the service is served", async || get(&format!("{url}/todos")).await == (200, json!([]))).await;
        node.shutdown().await.unwrap();

        let processes = descendants(gateway.child.id().unwrap());
        let names = processes.iter().map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap());
        assert!(names.into_iter().any(|name| name.starts_with("redis-server")));
        gateway.signal(signal);
        let status = gateway.child.wait().await.unwrap();
        assert_eq!(status.success(), signal != "KILL");
        eventually("redis-server is gone", async || {
            processes.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        })
        .await;
    }
}

#[tokio::test]
async fn without_a_redis_server_to_start_it_says_so() {
    let rachis = Rachis::new();
    std::os::unix::fs::symlink("/bin/sh", rachis.path().join("sh")).unwrap();
    let path = rachis.path().to_str().unwrap().to_owned();
    let ended = rachis.env("PATH", &path).run(&[&ANY[..], &["--dev"]].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{ended:?}");
    assert_eq!(ended.err, "error: redis-server did not start: is it installed and on the PATH?\n");
}

#[tokio::test]
async fn programs_read_where_it_serves() {
    let redis = ThrowawayRedis::start_with(&["--requirepass", "hunter2"]).unwrap();
    let url = redis.url().replace("redis://", "redis://:hunter2@");
    let rachis = Rachis::new().env("REDIS_URL", &url).file("[gateway]\nprefix = '/api/'");
    let mut gateway = rachis.start(&[&ANY[..], &["--json"]].concat());
    let told = gateway.json().await;
    assert!(told["url"].as_str().unwrap().ends_with("/api"), "{told}");
    assert_eq!(told["redis"], url.replace("hunter2", "***"));
    gateway.signal("TERM");
    let (code, rest) = gateway.ended().await;
    assert_eq!((code, rest.contains("hunter2")), (0, false), "{rest}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let (_node, rachis) = mesh().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = rachis.run(&["gateway", "--listen", &address]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains(&format!("can not listen on {address}")) && ended.err.contains("--listen"), "{ended:?}");
}

/// A gateway whose address is known before it serves.
fn start_at(rachis: Rachis) -> (Running, String) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (rachis.start(&["gateway", "--listen", &address.to_string()]), address.to_string())
}

#[tokio::test]
async fn it_is_alive_but_not_ready_until_redis_is_there() {
    let mut redis = ThrowawayRedis::start().unwrap();
    redis.stop();
    let (mut gateway, address) = start_at(Rachis::new().env("REDIS_URL", &redis.url()));
    gateway.said("no connection to Redis").await;
    let asker = Rachis::new().env("DISTRIBUTION__GATEWAY__LISTEN", &address);
    let ended = asker.run(&["health"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, "starting\n"), "{ended:?}");
    assert_eq!(asker.run(&["health", &format!("http://{address}/livez")]).await.code, 0);
    redis.launch().unwrap();
    assert_eq!(gateway.line().await, format!("http://{address}"));

    let ended = asker.run(&["health"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "ready\n"), "{ended:?}");
    let url = format!("http://{address}/readyz");
    let ended = asker.run(&["health", "--json", &format!("http://{address}")]).await;
    assert_eq!((ended.code, ended.json()), (0, json!({ "url": url, "status": "ready", "code": 200 })));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn it_can_be_stopped_while_it_waits_for_redis() {
    let mut gateway = Rachis::new().env("REDIS_URL", "redis://127.0.0.1:1").start(&ANY);
    gateway.said("no connection to Redis").await;
    gateway.signal("TERM");
    let (code, rest) = gateway.ended().await;
    assert_eq!(code, 0, "{rest}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (node, rachis) = mesh().await;
    let mut gateway = rachis.start(&ANY);
    let url = gateway.line().await;
    let asked = tokio::spawn(reqwest::get(format!("{url}/echo/never")));
    eventually("the call runs", async || node.in_flight() == 1).await;
    gateway.signal("TERM");
    gateway.said("stopping").await;
    gateway.signal("TERM");
    let (code, rest) = gateway.ended().await;
    assert_eq!((code, rest.contains("stopped before it was done")), (1, true), "{rest}");
    assert!(asked.await.unwrap().is_err());
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_it_ends() {
    let (node, rachis) = mesh().await;
    let mut gateway = rachis.start(&ANY);
    let url = gateway.line().await;
    let asked = tokio::spawn(reqwest::get(format!("{url}/echo/late")));
    eventually("the call runs", async || node.in_flight() == 1).await;
    gateway.signal("TERM");
    gateway.said("stopping").await;
    node.service("echo").custom("release", json!(null)).await.unwrap();
    assert!(asked.await.unwrap().unwrap().status().is_success());
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_not_healthy() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rachis = Rachis::new();
    let ended = rachis.run(&["health", &format!("http://{nobody}")]).await;
    assert_eq!((ended.code, ended.err.contains("refused")), (1, true), "{ended:?}");
    let url = format!("http://{}", silent.local_addr().unwrap());
    let ended = rachis.run(&["health", &url, "--timeout", "50ms"]).await;
    assert_eq!((ended.code, ended.err.contains("no answer within 50ms")), (1, true), "{ended:?}");
    let ended = rachis.run(&["health", &url, "--timeout", "50ms", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["code"]), (1, &Value::Null));
    assert_eq!(rachis.run(&["health", "https://a"]).await.code, 2);
}

#[tokio::test]
async fn told_to_stop_it_says_so_and_goes_on_until_load_balancers_have_heard() {
    let (node, rachis) = mesh().await;
    let config = node.config().clone();
    let mut gateway = rachis.env("DISTRIBUTION__SHUTDOWN__DELAY", "1h").start(&ANY);
    let url = gateway.line().await;
    gateway.signal("TERM");
    let draining = (503, json!({ "status": "draining" }));
    eventually("it says that it drains", async || get(&format!("{url}/readyz")).await == draining).await;
    assert_eq!(get(&format!("{url}/livez")).await.0, 200);
    assert_eq!(get(&format!("{url}/todos")).await, (200, json!([])));
    assert_eq!(node.nodes().len(), 2);
    // Who can not wait for it says so twice.
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 1);

    let mut gateway = Rachis::on(&config).env("DISTRIBUTION__SHUTDOWN__DELAY", "100ms").start(&ANY);
    gateway.line().await;
    gateway.signal("TERM");
    let (code, rest) = gateway.ended().await;
    assert_eq!(code, 0, "{rest}");
}

/// Puts a node into the registry that says the same as `node`, in the next version of the format.
async fn newcomer(node: &Node) {
    let config = node.config();
    let client = redis::Client::open(config.redis.url.expose()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = |rest: &str| format!("{}:{{mesh}}:{rest}", config.namespace);
    let mut announced: BTreeMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(key(&format!("node:{}", node.id()))).query_async(&mut connection).await.unwrap();
    for (field, frame) in &mut announced {
        if field == "head" || field.starts_with("s:") {
            frame[0] += 1;
        }
    }
    let mut said = redis::cmd("HSET");
    said.arg(key("node:NEWCOMER"));
    announced.into_iter().for_each(|(field, value)| {
        said.arg(field).arg(value);
    });
    let mut all = redis::pipe();
    all.add_command(said).cmd("ZADD").arg(key("nodes")).arg("99999999999999").arg("NEWCOMER");
    all.cmd("INCR").arg(key("epoch")).exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_node_that_speaks_a_newer_format_is_told_of_and_the_others_go_on() {
    let (node, rachis) = mesh().await;
    let config = node.config().clone();
    let mut gateway = rachis.start(&ANY);
    let url = gateway.line().await;
    newcomer(&node).await;
    let line = gateway.said("a node is ignored").await;
    assert!(line.contains("version 2") && line.contains("version 1") && line.contains("NEWCOMER"), "{line}");
    node.register("later", MemoryService::new()).await.unwrap();
    eventually("news of others arrive", async || get(&format!("{url}/later")).await == (200, json!([]))).await;
    assert_eq!(get(&format!("{url}/todos")).await, (200, json!([])));
    let looked = Rachis::on(&config).run(&["nodes", "--json"]).await;
    assert_eq!((looked.code, looked.json().as_array().unwrap().len()), (0, 2), "{looked:?}");
    assert!(looked.err.contains("a node is ignored"), "{looked:?}");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}
