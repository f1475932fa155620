//! `rachis nodes`: the nodes of the mesh.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out, age, list},
};
use rachis::NodeInfo;

/// List the nodes of the mesh
///
/// Nodes of one app are replicas of each other. The age is by the node's own clock. With --json: an array of objects
/// with id, key, app, version, host, pid, started (ms since 1970), up, partitions and services.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let nodes = node.nodes();
    let namespace = node.config().namespace.clone();
    observe::leave(node).await;
    if out.json {
        out.document(&nodes)?;
    } else if nodes.is_empty() {
        out::say(&format!("no nodes in the mesh {namespace:?}"));
    } else {
        let header = ["ID", "APP", "KEY", "VERSION", "HOST", "PID", "AGE", "STATE", "SERVICES"];
        out.table(header, nodes.iter().map(row).collect())?;
    }
    Ok(Exit::Good)
}

fn row(node: &NodeInfo) -> [String; 9] {
    let version = if node.version.is_empty() { "-" } else { &node.version };
    [
        node.id.clone(),
        node.app.clone(),
        node.key.clone(),
        version.to_owned(),
        node.host.clone(),
        node.pid.to_string(),
        age(node.started),
        if node.up { "up" } else { "draining" }.to_owned(),
        list(&node.services),
    ]
}
