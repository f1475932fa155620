//! The tasks that a shutdown waits for.

use futures_util::future::join_all;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// How long whatever brings requests in may take to end.
pub(crate) const SOURCES_TIME: Duration = Duration::from_secs(1);

/// The tasks of a node by what they do.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    /// Calls of other nodes.
    pub(crate) requests: TaskTracker,
    /// Calls of this process that go on without their callers.
    pub(crate) own: TaskTracker,
    /// Whatever brings requests in.
    pub(crate) sources: TaskTracker,
}

impl Tasks {
    /// Returns `true` if a call runs that a shutdown waits for.
    pub(crate) fn is_busy(&self) -> bool {
        !self.requests.is_empty() || !self.own.is_empty()
    }

    /// Waits until no request comes in any more. Returns `false` if that took too long.
    pub(crate) async fn end_sources(&self) -> bool {
        self.sources.close();
        tokio::time::timeout(SOURCES_TIME, self.sources.wait()).await.is_ok()
    }

    /// Waits until no call runs, at most for `grace`. Returns how many are left.
    pub(crate) async fn end_calls(&self, grace: Duration) -> usize {
        let all = [&self.requests, &self.own];
        for tasks in all {
            tasks.close();
        }
        let _ = tokio::time::timeout(grace, join_all(all.iter().map(|tasks| tasks.wait()))).await;
        all.iter().map(|tasks| tasks.len()).sum()
    }
}
