//! What several lookers ask for at once is read once.

use rachis_core::Result;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// A value that is read at most once in a while, whoever asks.
pub(super) struct Cached<T> {
    fresh: Duration,
    kept: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Cached<T> {
    /// A value that is not read again for so long.
    pub(super) fn new(fresh: Duration) -> Self {
        Cached { fresh, kept: Mutex::default() }
    }

    /// Returns the value, read now unless it was a moment ago.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn get<Fut>(&self, read: impl FnOnce() -> Fut) -> Result<Arc<T>>
    where
        Fut: Future<Output = Result<T>>,
    {
        let mut kept = self.kept.lock().await;
        if let Some((at, value)) = &*kept
            && at.elapsed() < self.fresh
        {
            return Ok(value.clone());
        }
        let value = Arc::new(read().await?);
        *kept = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    /// Has it read anew the next time.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}
