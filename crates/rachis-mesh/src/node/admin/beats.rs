//! When nodes were last heard, as Redis has it.

use crate::{
    node::shared::{commands::unreachable, context::NodeContext},
    redis::{Failure, connection::pool::Admin, registry::Registry},
};
use rachis_core::Result;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Reads when nodes were last heard.
pub(crate) struct Beats {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) registry: Registry,
    pub(crate) admin: Admin,
    pub(crate) ttl: Duration,
}

impl Beats {
    /// Returns how long ago the last beat of each node was, by its id.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub(crate) async fn ages(&self) -> Result<BTreeMap<String, Duration>> {
        let expiries = self.expiries().await.map_err(unreachable)?;
        let now = self.context.clock.now();
        let age = |expiry: u64| {
            // What is kept is when it counts as dead.
            let left = Duration::from_millis(expiry.saturating_sub(now));
            let late = Duration::from_millis(now.saturating_sub(expiry));
            self.ttl.saturating_sub(left) + late
        };
        Ok(expiries.into_iter().map(|(id, expiry)| (id, age(expiry))).collect())
    }

    async fn expiries(&self) -> Result<Vec<(String, u64)>, Failure> {
        let mut redis = self.admin.get(&self.registry.key()).await?;
        self.registry.expiries(&mut redis).await
    }
}
