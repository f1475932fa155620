//! The table `gateway.query`: how large a query string may be.

use crate::{ConfigError, load::validate::check};
use serde::{Deserialize, Serialize};

/// Deeper than any query, and below the depth at which readers of JSON give up.
const DEEPEST: usize = 100;
/// More than a URL has room for.
const MOST: usize = 1_000_000;

/// How large a query string, or a form, may be. What exceeds a limit is refused with 400, and nothing of it runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GatewayQuery {
    /// Parameters, which are what stands between two `&`. Default 10,000.
    pub parameters: usize,
    /// Brackets behind each other in one key, as in `a[b][c]`. Default 32, at most 100.
    pub depth: usize,
    /// The index from which on a list may have no gaps: `a[2]=x` alone is a list, `a[2000]=x` alone is refused. Default 20.
    pub sparse_index: usize,
}

impl GatewayQuery {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (key, count, most) in [
            ("gateway.query.parameters", self.parameters, MOST),
            ("gateway.query.depth", self.depth, DEEPEST),
            ("gateway.query.sparse_index", self.sparse_index, MOST),
        ] {
            check((1..=most).contains(&count), key, || format!("is {count}: set it to 1 or more, at most {most}"))?;
        }
        Ok(())
    }
}

impl Default for GatewayQuery {
    fn default() -> Self {
        GatewayQuery { parameters: 10_000, depth: 32, sparse_index: 20 }
    }
}
