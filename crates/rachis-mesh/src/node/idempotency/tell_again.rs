//! Tells Redis again what calls with an idempotency key came to, where it may have lost that.

use super::{Idempotency, recent_outcomes::RecentOutcome};
use crate::redis::Failure;
use futures_util::{StreamExt, stream};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How many calls are told to Redis again at the same time.
const TOGETHER: usize = 32;
/// The pause before Redis is told again of what it could not be told.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells Redis again what calls came to, whenever it may have lost that, until the node is stopped.
pub(crate) async fn watch(idempotency: Arc<Idempotency>) {
    let mut renewals = idempotency.commands.links().renewals();
    let mut losses = idempotency.waiting.recovery().losses();
    let stop = &idempotency.life.stop;
    loop {
        let next = async {
            tokio::select! {
                Ok(()) = renewals.changed() => true,
                Ok(()) = losses.changed() => true,
                else => false,
            }
        };
        if stop.run_until_cancelled(next).await != Some(true) {
            return;
        }
        if stop.run_until_cancelled(idempotency.tell_again()).await.is_none() {
            return;
        }
    }
}

impl Idempotency {
    async fn tell_again(&self) {
        let mut untold = self.recent.all(Instant::now());
        while !untold.is_empty() {
            let telling = untold.into_iter().map(async |over| match self.tell_of(&over).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::debug!(%error, "what a call with an idempotency key came to could not be told again");
                    Some(over)
                }
            });
            untold = stream::iter(telling).buffered(TOGETHER).filter_map(async |untold| untold).collect().await;
            if !untold.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn tell_of(&self, over: &RecentOutcome) -> Result<(), Failure> {
        if !self.recent.stands(over) {
            return Ok(());
        }
        let mark = &over.mark;
        match &over.kept {
            None => self.let_go(mark).await,
            Some((value, until)) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(());
                }
                let told = self
                    .commands
                    .run(&mark.key, |mut live| async move { mark.keep(&mut live.connection, value, left).await });
                if told.await? {
                    tracing::debug!(key = mark.key, "Redis knows again what a call came to");
                }
                Ok(())
            }
        }
    }
}
