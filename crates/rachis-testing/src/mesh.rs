//! Whole meshes in one process.

use crate::{config, eventually};
use rachis_config::Config;
use rachis_core::{App, Result};
use rachis_mesh::Node;
use std::time::Duration;

/// Lets the nodes that this process starts later send their heartbeats on the runtime that starts them instead of on a thread
/// of their own, so that a paused clock of tokio pauses heartbeats as well.
pub fn beat_on_starting_runtime() {
    rachis_mesh::beat_on_starting_runtime();
}

/// Starts a node for each app, with the names `app-0`, `app-1` and so on, and waits until all know each other.
///
/// # Panics
/// When a node does not start.
pub async fn cluster<const N: usize>(apps: [App; N]) -> [Node; N] {
    cluster_with(apps, |_, _| {}).await
}

/// Starts a node for each app as [`cluster`] does, each with a configuration that `configure` may change; it is given the
/// number of the node, from 0. Nodes that get the same `app` are replicas.
///
/// ```no_run
/// use rachis::{App, MemoryService};
/// use rachis_testing::cluster_with;
///
/// #[tokio::test]
/// async fn a_replica_takes_over() {
///     let todos = || App::new().register("todos", MemoryService::new());
///     let [first, _second, caller] = cluster_with([todos(), todos(), App::new()], |number, config| {
///         config.app = if number < 2 { "todos".into() } else { "caller".into() };
///     })
///     .await;
///     first.shutdown().await.unwrap();
///     caller.service("todos").find().await.unwrap();
/// }
/// ```
///
/// # Panics
/// When a node does not start.
pub async fn cluster_with<const N: usize>(apps: [App; N], configure: impl Fn(usize, &mut Config)) -> [Node; N] {
    let config = config();
    let mut nodes = Vec::with_capacity(N);
    for (number, app) in apps.into_iter().enumerate() {
        let mut config = Config { app: format!("app-{number}"), ..config.clone() };
        configure(number, &mut config);
        nodes.push(start(config, app).await);
    }
    let nodes: [Node; N] = match nodes.try_into() {
        Ok(nodes) => nodes,
        Err(_) => unreachable!("one node was started per app"),
    };
    eventually("all nodes know each other", async || nodes.iter().all(|node| node.nodes().len() == N)).await;
    nodes
}

/// Starts one node.
///
/// # Panics
/// When it does not start.
pub async fn start(config: Config, app: App) -> Node {
    let started: Result<Node> = Node::builder(config).app(app).connect_within(Duration::from_secs(10)).start().await;
    match started {
        Ok(node) => node,
        Err(error) => panic!("the node did not start: {error}"),
    }
}
