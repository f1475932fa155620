//! How commands look at a mesh: as an observer, which is not announced to any node.

use super::{exit::Failure, global::Global, log};
use rachis::{
    Node,
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
