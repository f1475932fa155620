//! Where the counters are told.

use crate::Secret;
use serde::{Deserialize, Serialize};

/// Where a node serves its counters, as OpenMetrics text, which Prometheus reads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The path of a gateway at which they are; it wins over a service of that name. Default `metrics`; empty: none.
    pub path: String,
    /// `host:port` of a listener of their own, with `/metrics`, `/livez`, `/readyz` and `healthcheck_path`, for nodes that are
    /// no gateway and for gateways that show their clients none of it. Default empty: none.
    pub listen: String,
    /// What has to be sent as `Authorization: Bearer` to be told the counters, or the health of the mesh. Default `None`:
    /// everyone is told.
    pub token: Option<Secret>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { path: "metrics".to_owned(), listen: String::new(), token: None }
    }
}
