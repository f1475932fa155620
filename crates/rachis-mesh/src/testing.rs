//! What rachis-testing has for applications, for the tests in here.

pub(crate) use rachis_testing::{ThrowawayRedis, config, config_for, eventually, redis};

use crate::Node;
use rachis_config::Config;
use rachis_core::App;
use std::time::Duration;

/// Starts one node.
pub(crate) async fn start(config: Config, app: App) -> Node {
    Node::builder(config).app(app).connect_within(Duration::from_secs(10)).start().await.unwrap()
}
