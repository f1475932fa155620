//! A digest saves reading, and is never believed more than the hashes.

use super::{super::Announced, *};
use crate::redis::{keys::Keys, registry::Linger};
use futures_util::future::join_all;
use rachis_testing::ThrowawayRedis;

const TTL: Duration = Duration::from_secs(3600);

struct Mesh {
    _redis: ThrowawayRedis,
    on: redis::aio::MultiplexedConnection,
}

impl Mesh {
    async fn of(nodes: usize) -> Self {
        let redis = ThrowawayRedis::start().unwrap();
        let client = redis::Client::open(redis.url()).unwrap();
        let on = client.get_multiplexed_async_connection().await.unwrap();
        let mut mesh = Mesh { _redis: redis, on };
        mesh.grow(0, nodes).await;
        mesh
    }

    fn registry(&self, node: usize) -> Registry {
        let (id, app) = (format!("node-{node:03}"), format!("default/{node}"));
        Registry::new(Keys::new("test"), &id, &app, TTL, Linger::For(TTL))
    }

    async fn grow(&mut self, from: usize, to: usize) {
        for node in from..to {
            let services = vec![(format!("path-{node}"), format!("descriptor {node}").into_bytes())];
            let what = Announced { head: b"head".to_vec(), state: "up".into(), services, schemas: String::new() };
            let _ = self.registry(node).register(&mut self.on, &what).await.unwrap();
        }
    }

    async fn read(&self) -> Snapshot {
        self.registry(0).read(&mut self.on.clone()).await.unwrap()
    }

    /// What was read is what the hashes say.
    async fn agrees(&self, read: &Snapshot) {
        let whole = self.registry(0).snapshot(&mut self.on.clone()).await.unwrap();
        let by_id = |snapshot: &Snapshot| {
            let mut nodes = snapshot.nodes.clone();
            nodes.sort_by(|a, b| a.id.cmp(&b.id));
            (snapshot.epoch, nodes, snapshot.lingering.clone(), snapshot.silent.clone())
        };
        assert_eq!(by_id(read), by_id(&whole));
    }

    /// How many hashes were read since the last question.
    async fn hashes(&mut self) -> usize {
        let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut self.on).await.unwrap();
        let read = info.split("cmdstat_hgetall:calls=").nth(1).map_or("0", |rest| rest.split(',').next().unwrap());
        redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut self.on).await.unwrap();
        read.parse().unwrap()
    }

    async fn set(&mut self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.exec_async(&mut self.on).await.unwrap();
    }
}

#[tokio::test]
async fn many_who_read_a_big_registry_at_once_read_its_hashes_once() {
    let mut mesh = Mesh::of(60).await;
    mesh.hashes().await;
    for read in join_all((0..20).map(|_| mesh.read())).await {
        mesh.agrees(&read).await;
    }
    // Each look at whether it is right has read all of them, too.
    assert_eq!(mesh.hashes().await, 60 + 20 * 60);
}

#[tokio::test]
async fn what_came_since_is_read_as_changes_until_it_is_much() {
    let mut mesh = Mesh::of(60).await;
    mesh.read().await;
    mesh.grow(60, 120).await;
    let _ = mesh.registry(3).withdraw(&mut mesh.on).await.unwrap();
    mesh.hashes().await;
    let read = mesh.read().await;
    assert_eq!(mesh.hashes().await, 0);
    assert_eq!((read.nodes.len(), read.lingering.len()), (119, 1));
    mesh.agrees(&read).await;
    mesh.grow(120, 130).await;
    // The node that made it last no longer counts as making it.
    mesh.set(&["DEL", "test:{mesh}:digest-by"]).await;
    mesh.hashes().await;
    for read in join_all((0..10).map(|_| mesh.read())).await {
        assert_eq!(read.nodes.len(), 129);
    }
    assert_eq!(mesh.hashes().await, 129 + 1, "each node, and the app that lingers, once");
}

#[tokio::test]
async fn a_small_registry_has_no_digest() {
    let mut mesh = Mesh::of(MANY - 1).await;
    mesh.read().await;
    let kept: u64 = redis::cmd("EXISTS").arg("test:{mesh}:digest").query_async(&mut mesh.on).await.unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn who_waits_in_vain_for_another_to_make_it_reads_the_hashes() {
    let mut mesh = Mesh::of(60).await;
    mesh.set(&["SET", "test:{mesh}:digest-by", "somebody who has just died"]).await;
    let read = mesh.read().await;
    mesh.agrees(&read).await;
}

#[tokio::test]
async fn a_digest_that_does_not_lead_up_to_now_is_not_believed() {
    let mut mesh = Mesh::of(60).await;
    mesh.read().await;
    mesh.grow(60, 63).await;
    let _ = mesh.registry(3).withdraw(&mut mesh.on).await.unwrap();
    for broken in [
        &["XTRIM", "test:{mesh}:changes", "MAXLEN", "1"][..],
        &["SET", "test:{mesh}:epoch", "7"],
        &["SET", "test:{mesh}:digest", "no digest"],
        &["SET", "test:{mesh}:digest", ""],
    ] {
        mesh.set(broken).await;
        let found = mesh.registry(0).by_digest(&mut mesh.on.clone()).await.unwrap();
        assert!(found.is_none(), "{broken:?}");
        let read = mesh.read().await;
        mesh.agrees(&read).await;
    }
    mesh.set(&["DEL", "test:{mesh}:digest"]).await;
    mesh.set(&["RPUSH", "test:{mesh}:digest", "a list"]).await;
    let read = mesh.read().await;
    mesh.agrees(&read).await;
}
