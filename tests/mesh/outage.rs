//! A Redis that fails, forgets or stands still.

use crate::{command, knows, redis_of, services::Echo, start};
use futures_util::{FutureExt, StreamExt};
use rachis::{App, Change, Config, Node, Readiness};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::time::{Duration, Instant};

struct Mesh {
    redis: ThrowawayRedis,
    config: Config,
    nodes: Vec<Node>,
}

impl Mesh {
    /// Three nodes, each with a service of its own.
    async fn start(arguments: &[&str]) -> Mesh {
        let redis = ThrowawayRedis::start_with(arguments).unwrap();
        let mut config = testing::config_for(&redis.url());
        config.redis.response_timeout = Duration::from_millis(700);
        let mut nodes = Vec::new();
        for name in ["a", "b", "c"] {
            nodes.push(start(&config, name, App::new().register(&format!("of-{name}"), Echo)).await);
        }
        let mesh = Mesh { redis, config, nodes };
        mesh.is_whole().await;
        mesh
    }

    async fn is_whole(&self) {
        testing::eventually("all know all", async || {
            self.nodes.iter().all(|node| {
                node.nodes().len() == 3
                    && node.services().len() == 3
                    && node.services().iter().all(|service| service.healthy)
            })
        })
        .await;
    }

    async fn calls_work(&self) {
        for node in &self.nodes {
            for path in ["of-a", "of-b", "of-c"] {
                let path_works =
                    async || node.service(path).create(json!({})).timeout(Duration::from_secs(1)).await.is_ok();
                testing::eventually("calls work", path_works).await;
            }
        }
    }

    /// Waits until every node has beaten well since now, twice, and so has judged whom it would judge.
    async fn settles(&self) {
        let all_ready = async || self.nodes.iter().all(|node| node.readiness() == Readiness::Ready);
        testing::eventually("all are ready", all_ready).await;
        let beaten = async |id: &str| {
            let key = format!("{}:{{mesh}}:nodes", self.config.namespace);
            let score: Option<f64> =
                redis::cmd("ZSCORE").arg(key).arg(id).query_async(&mut redis_of(&self.config).await).await.unwrap();
            score
        };
        for node in &self.nodes {
            testing::eventually("it is registered", async || beaten(node.id()).await.is_some()).await;
            let before = beaten(node.id()).await.unwrap();
            let enough = before + 2.0 * self.config.ttl().as_millis() as f64;
            testing::eventually("it goes on beating", async || beaten(node.id()).await.is_some_and(|now| now > enough))
                .await;
        }
    }
}

/// What a node was told of since: who went down, what was removed.
fn losses(changes: &mut (impl futures_core::Stream<Item = Change> + Unpin)) -> Vec<String> {
    let mut lost = Vec::new();
    while let Some(Some(change)) = changes.next().now_or_never() {
        match change {
            Change::NodeDown(node) => lost.push(format!("node-down {}", node.app)),
            Change::ServiceRemoved(service) => lost.push(format!("service-removed {}", service.path)),
            _ => {}
        }
    }
    lost
}

#[tokio::test]
async fn after_a_flush_all_nodes_register_anew_and_nobody_is_missed() {
    let mesh = Mesh::start(&[]).await;
    let mut watched: Vec<_> = mesh.nodes.iter().map(Node::changes).collect();
    for _ in 0..2 {
        command(&mesh.config, &["FLUSHALL"]).await.unwrap();
        mesh.calls_work().await;
        mesh.settles().await;
        mesh.is_whole().await;
    }
    let newcomer = start(&mesh.config, "newcomer", App::new()).await;
    assert_eq!((newcomer.nodes().len(), newcomer.services().len()), (4, 3));
    for changes in &mut watched {
        assert_eq!(losses(changes), Vec::<String>::new());
    }
}

#[tokio::test]
async fn after_a_restart_without_its_data_everything_is_as_before() {
    let mut mesh = Mesh::start(&[]).await;
    let mut watched: Vec<_> = mesh.nodes.iter().map(Node::changes).collect();
    mesh.redis.stop();
    mesh.redis.launch().unwrap();
    mesh.calls_work().await;
    mesh.settles().await;
    mesh.is_whole().await;
    for changes in &mut watched {
        assert_eq!(losses(changes), Vec::<String>::new());
    }
}

async fn is_away_longer_than_the_ttl(mesh: &Mesh) {
    let away = Instant::now();
    testing::eventually("all notice", async || mesh.nodes.iter().all(|node| node.readiness() == Readiness::Degraded))
        .await;
    let beyond = away + mesh.config.ttl() + Duration::from_millis(500);
    tokio::time::sleep_until(beyond.into()).await;
    for node in &mesh.nodes {
        assert_eq!((node.nodes().len(), node.services().len()), (3, 3), "the last view is kept");
    }
}

#[tokio::test]
async fn an_outage_longer_than_the_ttl_ends_with_every_node_still_believed() {
    let mut mesh = Mesh::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let mut watched: Vec<_> = mesh.nodes.iter().map(Node::changes).collect();
    mesh.redis.stop();
    is_away_longer_than_the_ttl(&mesh).await;
    assert_eq!(mesh.nodes[0].service("of-a").get(1).await.unwrap()["id"], 1, "local services go on");
    mesh.redis.launch().unwrap();
    mesh.calls_work().await;
    mesh.settles().await;
    mesh.is_whole().await;
    for changes in &mut watched {
        assert_eq!(losses(changes), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_redis_that_stood_still_for_longer_than_the_ttl_costs_nobody_its_place() {
    let mesh = Mesh::start(&[]).await;
    let mut watched: Vec<_> = mesh.nodes.iter().map(Node::changes).collect();
    for _ in 0..2 {
        mesh.redis.freeze().unwrap();
        is_away_longer_than_the_ttl(&mesh).await;
        mesh.redis.thaw().unwrap();
        mesh.calls_work().await;
        mesh.settles().await;
        mesh.is_whole().await;
    }
    for changes in &mut watched {
        assert_eq!(losses(changes), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_beat_that_waited_out_a_standstill_judges_nobody() {
    // The standstill is over before a beat gives up waiting, and longer than the TTL.
    let redis = ThrowawayRedis::start().unwrap();
    let mut config = testing::config_for(&redis.url());
    config.redis.response_timeout = Duration::from_secs(10);
    let mut nodes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        nodes.push(start(&config, name, App::new()).await);
    }
    testing::eventually("all know all", async || nodes.iter().all(|node| node.nodes().len() == 4)).await;
    let judging = Instant::now() + config.ttl() + config.heartbeat_interval;
    tokio::time::sleep_until(judging.into()).await;
    let mut watched: Vec<_> = nodes.iter().map(Node::changes).collect();
    redis.freeze().unwrap();
    testing::eventually("all notice", async || nodes.iter().all(|node| node.readiness() == Readiness::Degraded)).await;
    redis.thaw().unwrap();
    let mesh = Mesh { redis, config, nodes };
    mesh.settles().await;
    for changes in &mut watched {
        assert_eq!(losses(changes), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_node_that_died_during_an_outage_is_found_out_after_it() {
    let mut mesh = Mesh::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    mesh.redis.stop();
    drop(mesh.nodes.pop());
    mesh.redis.launch().unwrap();
    testing::eventually("the dead one is gone", async || mesh.nodes.iter().all(|node| node.nodes().len() == 2)).await;
    assert!(!mesh.nodes[0].health(None).unwrap()["of-c"]);
}

#[tokio::test]
async fn a_node_that_died_before_a_loss_of_data_is_forgotten() {
    let mut mesh = Mesh::start(&[]).await;
    drop(mesh.nodes.pop());
    command(&mesh.config, &["FLUSHALL"]).await.unwrap();
    testing::eventually("the dead one is gone", async || mesh.nodes.iter().all(|node| node.nodes().len() == 2)).await;
    mesh.nodes[0].service("of-b").get(1).await.unwrap();
}

#[tokio::test]
async fn calls_made_while_redis_is_away_are_answered_when_it_is_back() {
    let mut mesh = Mesh::start(&[]).await;
    mesh.redis.stop();
    let call = mesh.nodes[0].service("of-b").get(5).timeout(Duration::from_secs(9));
    let call = tokio::spawn(call.answer());
    testing::eventually("it waits", async || mesh.nodes[0].pending() == 1).await;
    mesh.redis.launch().unwrap();
    assert_eq!(call.await.unwrap().unwrap().result["id"], 5);
}

#[tokio::test]
async fn a_call_fails_at_its_deadline_while_redis_is_away() {
    let mut mesh = Mesh::start(&[]).await;
    mesh.redis.stop();
    let asked = Instant::now();
    let error = mesh.nodes[0].service("of-b").get(5).timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.kind(), rachis::ErrorKind::Timeout);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn every_connection_killed_is_made_anew_and_no_reply_is_lost() {
    let mesh = Mesh::start(&[]).await;
    let mut watched: Vec<_> = mesh.nodes.iter().map(Node::changes).collect();
    for n in 0..10 {
        let call = tokio::spawn(mesh.nodes[0].service("of-b").get(n).answer());
        let mut connection = redis_of(&mesh.config).await;
        for kind in ["normal", "pubsub"] {
            let mut kill = redis::cmd("CLIENT");
            let _: u64 = kill
                .arg("KILL")
                .arg("TYPE")
                .arg(kind)
                .arg("SKIPME")
                .arg("yes")
                .query_async(&mut connection)
                .await
                .unwrap();
        }
        assert_eq!(call.await.unwrap().unwrap().result["id"], n);
    }
    mesh.calls_work().await;
    let late = start(&mesh.config, "late", App::new().register("late", Echo)).await;
    for node in &mesh.nodes {
        knows(node, "late").await;
        testing::eventually("it can be called", async || node.service("late").get(1).await.is_ok()).await;
    }
    late.shutdown().await.unwrap();
    for changes in &mut watched {
        testing::eventually("it is gone", async || mesh.nodes.iter().all(|node| node.nodes().len() == 3)).await;
        let lost = losses(changes);
        assert!(lost.iter().all(|lost| lost.ends_with("late")), "{lost:?}");
    }
}

#[tokio::test]
async fn what_was_finished_while_redis_was_away_is_not_begun_again() {
    let mut redis = ThrowawayRedis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    let config = testing::config_for(&redis.url());
    let gate = crate::services::Gate::closed("there");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    for round in 1..=3 {
        let calls: Vec<_> = (0..20).map(|n| tokio::spawn(here.service("jobs").create(n).answer())).collect();
        testing::eventually("all have begun", async || gate.started() == 20 * round).await;
        redis.stop();
        gate.open_up();
        // The replies now wait for Redis, which still lists what they answer as given to the replica.
        testing::eventually("all have ended", async || gate.running() == 0).await;
        redis.launch().unwrap();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().result, "there");
        }
        assert_eq!(gate.started(), 20 * round);
        gate.close();
    }
}

#[tokio::test]
async fn a_node_whose_process_stood_still_comes_back_by_itself() {
    let config = testing::config();
    let caller = start(&config, "caller", App::new()).await;
    let replica = crate::process::Replica::spawn(&config, "worker", true);
    knows(&caller, "jobs").await;
    replica.signal("STOP");
    testing::eventually("it is believed dead", async || !caller.health(None).unwrap()["jobs"]).await;
    replica.signal("CONT");
    testing::eventually("it is back", async || caller.health(None).unwrap()["jobs"]).await;
    assert_ne!(caller.service("jobs").get(1).await.unwrap(), std::process::id());
    assert_eq!(caller.nodes().len(), 2);
}
