//! Redis behind TLS, with an authority of one's own and client certificates. Certificates are made by `openssl`.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

#[path = "mesh/proxy.rs"]
#[allow(dead_code)]
mod proxy;

use rachis::{App, Config, MemoryService, Node};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::{net::TcpListener, path::Path, process::Command, time::Duration};

/// Makes an authority and a certificate for 127.0.0.1 that serves both sides.
fn certificates(folder: &Path) {
    certificates_for(folder, "IP:127.0.0.1,DNS:localhost");
}

/// The same for these names.
fn certificates_for(folder: &Path, names: &str) {
    let script = r#"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout node.key -out node.csr
        printf 'subjectAltName=%s' "$NAMES" > names
        openssl x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out node.crt
    "#;
    let made = Command::new("sh").args(["-ec", script]).env("NAMES", names).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A Redis that speaks TLS on the second port and asks clients for a certificate.
fn server(folder: &Path, more: &[&str]) -> (ThrowawayRedis, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| folder.join(name).display().to_string();
    let port_text = port.to_string();
    let ca = file("ca.crt");
    let cert = file("node.crt");
    let key = file("node.key");
    let arguments = [
        "--tls-port",
        &port_text,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "yes",
    ];
    let redis = ThrowawayRedis::start_with(&[&arguments[..], more].concat()).unwrap();
    (redis, format!("rediss://127.0.0.1:{port}"))
}

fn config(url: &str, folder: &Path, app: &str) -> Config {
    let mut config = Config { app: app.to_owned(), ..testing::config_for(url) };
    config.redis.ca_file = Some(folder.join("ca.crt"));
    config.redis.cert_file = Some(folder.join("node.crt"));
    config.redis.key_file = Some(folder.join("node.key"));
    config
}

#[tokio::test]
async fn nodes_meet_behind_tls_with_certificates_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (_redis, url) = server(folder.path(), &[]);
    let _todos =
        testing::start(config(&url, folder.path(), "todos"), App::new().register("todos", MemoryService::new())).await;
    let other = testing::start(config(&url, folder.path(), "other"), App::new()).await;
    other.wait_for("todos").await.unwrap();
    let todo = other.service("todos").create(json!({ "text": "write" })).await.unwrap();
    assert_eq!(todo["text"], "write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_however_connections_behind_tls_ended_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (redis, url) = server(folder.path(), &[]);
    let mut plain = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut rules = redis::cmd("ACL");
    rules.arg(&["SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-client|kill", "-client|id", "-info"]);
    rules.exec(&mut plain).unwrap();
    let proxy = proxy::Proxy::before_port(url.rsplit_once(':').unwrap().1.parse().unwrap()).await;
    let url = proxy.url().replace("redis://", "rediss://blind:secret@");
    let rarely = |app: &str| Config {
        heartbeat_interval: Duration::from_secs(30),
        ttl: None,
        timeout: Duration::from_secs(10),
        ..config(&url, folder.path(), app)
    };
    let _todos = testing::start(rarely("todos"), App::new().register("todos", MemoryService::new())).await;
    let other = testing::start(rarely("other"), App::new()).await;
    other.wait_for("todos").await.unwrap();
    let todos = other.service("todos");
    todos.create(json!({})).await.unwrap();
    for (round, end) in [proxy::End::Closed, proxy::End::Reset, proxy::End::ResetAtNextWrite, proxy::End::Silent]
        .into_iter()
        .enumerate()
    {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        proxy.end(end);
        let created = todos.create(json!({})).await;
        created.unwrap_or_else(|error| panic!("{end:?}: {error} {:?}", error.data()));
        assert_eq!(todos.find().await.unwrap().as_array().unwrap().len(), round + 2, "{end:?}");
    }
}

#[tokio::test]
async fn the_servers_of_a_cluster_are_reached_by_the_same_certificates() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--tls-cluster", "yes"];
    let (redis, url) = server(folder.path(), &cluster);
    let mut plain = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16383).exec(&mut plain).unwrap();
    let url = url.replace("rediss:", "rediss+cluster:");
    let _todos =
        testing::start(config(&url, folder.path(), "todos"), App::new().register("todos", MemoryService::new())).await;
    let other = testing::start(config(&url, folder.path(), "other"), App::new()).await;
    other.wait_for("todos").await.unwrap();
    let todo = other.service("todos").create(json!({ "text": "write" })).await.unwrap();
    assert_eq!(todo["text"], "write");
}

#[tokio::test]
async fn a_server_that_the_authority_does_not_vouch_for_is_refused() {
    let ours = tempfile::tempdir().unwrap();
    let theirs = tempfile::tempdir().unwrap();
    certificates(ours.path());
    certificates(theirs.path());
    let (_redis, url) = server(theirs.path(), &[]);
    let refused = Node::builder(config(&url, ours.path(), "todos"))
        .connect_within(Duration::from_millis(800))
        .start()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), 503);
}

/// Returns whether a node joins with this configuration.
async fn joins(config: Config) -> bool {
    let started = Node::builder(config).connect_within(Duration::from_millis(1500)).start().await;
    started.is_ok()
}

#[tokio::test]
async fn a_server_is_verified_by_the_name_that_is_set_and_not_by_its_address() {
    let folder = tempfile::tempdir().unwrap();
    certificates_for(folder.path(), "DNS:redis.example");
    let (_redis, url) = server(folder.path(), &[]);
    let elsewhere = config(&url, folder.path(), "todos");
    assert!(!joins(elsewhere.clone()).await);
    let named = |name: &str| {
        let mut config = elsewhere.clone();
        config.redis.tls_server_name = Some(name.to_owned());
        config
    };
    assert!(!joins(named("localhost")).await);
    testing::start(named("redis.example"), App::new()).await;
}

#[tokio::test]
async fn a_server_that_signed_its_own_certificate_is_taken_only_where_that_is_asked_for_and_is_warned_of() {
    let ours = tempfile::tempdir().unwrap();
    let theirs = tempfile::tempdir().unwrap();
    certificates(ours.path());
    certificates(theirs.path());
    let (_redis, url) = server(theirs.path(), &["--tls-auth-clients", "no"]);
    let mut config = Config { app: "todos".into(), ..testing::config_for(&url) };
    assert!(!joins(config.clone()).await);
    config.redis.tls_insecure = true;
    assert!(config.hazards().iter().any(|hazard| hazard.starts_with("redis.tls_insecure is on")));
    let _todos = testing::start(config.clone(), App::new().register("todos", MemoryService::new())).await;
    let other = testing::start(Config { app: "other".into(), ..config }, App::new()).await;
    other.wait_for("todos").await.unwrap();
    other.service("todos").create(json!({ "text": "write" })).await.unwrap();
}

#[tokio::test]
async fn a_url_that_asks_to_trust_anybody_is_refused_and_says_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("rediss://127.0.0.1:1#insecure", folder.path(), "todos");
    let refused = Node::builder(config).start().await.unwrap_err();
    assert!(refused.message().contains("redis.tls_insecure"), "{refused}");
}

#[tokio::test]
async fn a_certificate_file_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("rediss://127.0.0.1:1", folder.path(), "todos");
    let refused = Node::builder(config).start().await.unwrap_err();
    assert!(refused.message().contains("node.crt"), "{refused}");
}

#[tokio::test]
async fn certificates_are_swapped_while_nodes_run() {
    let folder = tempfile::tempdir().unwrap();
    let next = tempfile::tempdir().unwrap();
    certificates(folder.path());
    certificates(next.path());
    let (redis, url) = server(folder.path(), &[]);
    let todos = config(&url, folder.path(), "todos");
    let node = testing::start(todos.clone(), App::new().register("todos", MemoryService::new())).await;
    let caller = config(&url, folder.path(), "other");
    let other = testing::start(caller.clone(), App::new()).await;
    other.wait_for("todos").await.unwrap();
    assert_eq!(node.reload(todos.clone()).unwrap(), Default::default());

    let good = std::fs::read(folder.path().join("ca.crt")).unwrap();
    std::fs::write(folder.path().join("ca.crt"), "no certificate").unwrap();
    let refused = node.reload(todos.clone()).unwrap_err();
    assert!(refused.message().contains("certificates"), "{refused}");
    std::fs::write(folder.path().join("ca.crt"), good).unwrap();

    // The server goes over to another authority, and so do the nodes; then every connection has to be made anew.
    let mut plain = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let at = |name: &str| next.path().join(name).display().to_string();
    let mut swap = redis::cmd("CONFIG");
    swap.arg("SET").arg("tls-ca-cert-file").arg(at("ca.crt"));
    swap.arg("tls-cert-file").arg(at("node.crt")).arg("tls-key-file").arg(at("node.key"));
    swap.exec(&mut plain).unwrap();
    for name in ["ca.crt", "node.crt", "node.key"] {
        std::fs::copy(next.path().join(name), folder.path().join(name)).unwrap();
    }
    for (node, config) in [(&node, todos), (&other, caller)] {
        let reloaded = node.reload(config).unwrap();
        assert_eq!(reloaded.taken, ["redis.ca_file", "redis.cert_file", "redis.key_file"]);
    }
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut plain).unwrap();
    for _ in 0..20 {
        other.service("todos").find().await.unwrap();
    }
    other.service("todos").create(json!({ "text": "write" })).await.unwrap();
}
