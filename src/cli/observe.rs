//! How commands look at a mesh: as an observer, which is not announced to any node.

use super::{Exit, exit::Failure, global::Global, log};
use rachis::{
    Error, ErrorKind, Node, NodeInfo,
    config::{Config, StartDelay},
};
use std::time::Duration;

/// Joins by the configuration and the options.
pub(crate) async fn join(global: &Global) -> Result<Node, Failure> {
    let config = global.config_for_a_look()?;
    log::start(&config.log)?;
    // A start delay is for nodes with services.
    let config = Config { start_delay: StartDelay::After(Duration::ZERO), ..config };
    let observer = Node::builder(config).observer().connect_within(global.connect_timeout);
    observer.start().await.map_err(|error| Failure::joining(&error))
}

/// Says goodbye; what was asked for has been had, so a failure changes nothing.
pub(crate) async fn leave(node: Node) {
    if let Err(error) = node.shutdown().await {
        tracing::debug!(%error, "leaving took too long");
    }
}

/// The node whose id is `end`, or ends with it: the beginnings of ids are times, and alike.
pub(crate) fn find(node: &Node, end: &str) -> Result<NodeInfo, Failure> {
    let upper = end.to_uppercase();
    let mut found: Vec<NodeInfo> = node.nodes().into_iter().filter(|known| known.id.ends_with(&upper)).collect();
    match (found.pop(), found.pop()) {
        (Some(known), None) if !end.is_empty() => Ok(known),
        (Some(_), Some(_)) => Err(Failure::usage(format!("more than one node has an id that ends with {end:?}"))),
        _ => Err(Failure::failed(format!(
            "no node of the mesh {:?} has the id {end:?} or one that ends with it: see `rachis nodes`",
            node.config().namespace
        ))),
    }
}

/// How a command ends that a node did not answer, or refused.
pub(crate) fn unanswered(error: &Error) -> Failure {
    let exit = if error.kind() == ErrorKind::Timeout { Exit::NoAnswer } else { Exit::Failed };
    Failure::Said(exit, error.message().to_owned())
}
