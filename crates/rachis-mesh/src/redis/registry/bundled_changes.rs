//! Changes that come close together in a big mesh are told together, and none is forgotten.

use super::*;
use futures_util::{FutureExt, StreamExt};
use rachis_testing::ThrowawayRedis;

const TTL: Duration = Duration::from_secs(3600);
/// Nodes of a mesh that rests for 2 s after each message.
const BIG: usize = 40_000;

/// A registry with this many nodes, all of them quiet, and a subscription to its channel.
struct Mesh {
    _redis: ThrowawayRedis,
    on: redis::aio::MultiplexedConnection,
    heard: redis::aio::PubSub,
}

impl Mesh {
    async fn of(nodes: usize) -> Self {
        let redis = ThrowawayRedis::start().unwrap();
        let client = redis::Client::open(redis.url()).unwrap();
        // A great many nodes are added at once.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(TTL));
        let mut on = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        let mut heard = client.get_async_pubsub().await.unwrap();
        heard.subscribe(Keys::new("test").lifecycle()).await.unwrap();
        let mut add = redis::cmd("ZADD");
        add.arg(Keys::new("test").nodes());
        for node in 0..nodes {
            add.arg("inf").arg(format!("quiet-{node}"));
        }
        add.exec_async(&mut on).await.unwrap();
        Mesh { _redis: redis, on, heard }
    }

    fn registry(&self, node: usize) -> Registry {
        Registry::new(Keys::new("test"), &format!("node-{node}"), "default/x", TTL, Linger::For(TTL))
    }

    async fn register(&mut self, node: usize) -> Promise {
        let services = vec![(format!("path-{node}"), b"descriptor".to_vec())];
        let what = Announced { head: b"head".to_vec(), state: "up".into(), services, schemas: String::new() };
        self.registry(node).register(&mut self.on, &what).await.unwrap().promise
    }

    /// The next message.
    async fn news(&mut self) -> Vec<RegistryChange> {
        let message = self.heard.on_message().next().await.unwrap();
        RegistryChange::decode(message.get_payload_bytes()).unwrap()
    }

    /// What was published by now: the connection that published has been answered, and so was this one.
    async fn silent(&mut self) -> bool {
        redis::cmd("PING").exec_async(&mut self.on).await.unwrap();
        self.heard.ping::<redis::Value>().await.unwrap();
        self.heard.on_message().next().now_or_never().is_none()
    }

    async fn changes(&mut self) -> Vec<RegistryChange> {
        self.registry(0).changes_since(&mut self.on, 0).await.unwrap().unwrap()
    }

    /// Waits until a pause is over.
    async fn rest(&mut self) {
        let told: String = redis::cmd("GET").arg(Keys::new("test").told()).query_async(&mut self.on).await.unwrap();
        let rest: u64 = told.split(' ').nth(1).unwrap().parse().unwrap();
        while self.registry(0).now(&mut self.on).await.unwrap() < rest {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn in_a_small_mesh_every_change_is_told_at_once() {
    let mut mesh = Mesh::of(10).await;
    for node in 0..5 {
        assert_eq!(mesh.register(node).await.wait(), None);
        assert_eq!(mesh.news().await.len(), 1);
    }
}

#[tokio::test]
async fn in_a_big_mesh_the_first_change_is_told_at_once_and_the_next_ones_together() {
    let mut mesh = Mesh::of(BIG).await;
    assert_eq!(mesh.register(0).await.wait(), None);
    assert_eq!(mesh.news().await, mesh.changes().await);
    // One of those that are held back promises to tell of all.
    assert!(mesh.register(1).await.wait().is_some());
    assert_eq!(mesh.register(2).await.wait(), None);
    assert_eq!(mesh.registry(0).withdraw(&mut mesh.on).await.unwrap().unwrap().wait(), None);
    assert!(mesh.silent().await, "it was told though it was to be held back");
    mesh.rest().await;
    mesh.registry(1).tell(&mut mesh.on).await.unwrap();
    assert_eq!(mesh.news().await, mesh.changes().await[1..]);
    mesh.registry(2).tell(&mut mesh.on).await.unwrap();
    assert!(mesh.silent().await, "it was told twice");
}

#[tokio::test]
async fn a_beat_tells_what_nobody_told_as_promised() {
    let mut mesh = Mesh::of(BIG).await;
    let _ = (mesh.register(0).await, mesh.register(1).await);
    let first = mesh.news().await;
    let now = mesh.registry(0).now(&mut mesh.on).await.unwrap();
    let early = mesh.registry(0).beat(&mut mesh.on, false, now).await.unwrap();
    assert_eq!((early.published, early.epoch), (first[0].epoch, mesh.changes().await[1].epoch));
    mesh.rest().await;
    let late = mesh.registry(0).beat(&mut mesh.on, false, now).await.unwrap();
    assert_eq!(late.published, late.epoch);
    assert_eq!(mesh.news().await, mesh.changes().await[1..]);
}

#[tokio::test]
async fn a_bundle_has_an_end_however_much_happens() {
    let mut mesh = Mesh::of(BIG).await;
    for node in 0..=101 {
        let _ = mesh.register(node).await;
    }
    assert_eq!(mesh.news().await.len(), 1);
    let bundle = mesh.news().await;
    assert_eq!(bundle, mesh.changes().await[1..=bundle.len()]);
}

#[tokio::test]
async fn what_is_held_back_when_the_version_is_lost_looks_like_no_continuation() {
    let mut mesh = Mesh::of(BIG).await;
    let _ = (mesh.register(0).await, mesh.register(1).await);
    let first = mesh.news().await;
    redis::cmd("DEL").arg(Keys::new("test").epoch()).exec_async(&mut mesh.on).await.unwrap();
    let _ = mesh.register(2).await;
    mesh.rest().await;
    mesh.registry(1).tell(&mut mesh.on).await.unwrap();
    let news = mesh.news().await;
    assert_ne!(news[0].prev, first[0].epoch);
    assert_eq!(news[0].prev, 0);
}
