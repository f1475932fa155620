//! Whole meshes in one process.

use crate::{config, eventually};
use rachis_config::Config;
use rachis_core::{App, Result};
use rachis_mesh::Node;
use std::time::Duration;

/// Lets the nodes that this process starts from now on beat on the runtime that starts them, instead of on a thread of
/// their own, so that whoever pauses tokio's clock rules over heartbeats as well.
pub fn beat_with_the_rest() {
    rachis_mesh::beat_with_the_rest();
}

/// Starts a node per app, each an app of its own by name (`app-0`, `app-1`, …), and waits until all know each other.
///
/// # Panics
/// When a node does not start.
pub async fn cluster<const N: usize>(apps: [App; N]) -> [Node; N] {
    let config = config();
    let mut nodes = Vec::with_capacity(N);
    for (number, app) in apps.into_iter().enumerate() {
        let config = Config { app: format!("app-{number}"), ..config.clone() };
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
