//! How a node leaves: withdraw, stop pulling, hand back what was not started, finish, close.

use crate::{
    node::{
        events::outbox::Outbox,
        server::partitions::Partitions,
        shared::{identity::Identity, life::Life, live_config::LiveConfig},
    },
    redis::{
        Failure,
        connection::pool::Admin,
        keys::Keys,
        queue::Writer,
        registry::{Promise, Registry},
    },
};
use rachis_core::{App, Error, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// How long Redis may take to let go of a node; beyond that its TTL does it.
const WITHDRAW_TIME: Duration = Duration::from_secs(2);
/// How long the last replies may take to reach Redis.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Takes a node out of the mesh.
pub(crate) struct Exit {
    pub(crate) identity: Arc<Identity>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) life: Arc<Life>,
    pub(crate) app: App,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) writer: Writer,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) admin: Admin,
    pub(crate) registry: Registry,
    pub(crate) keys: Keys,
}

/// What a leaving node says of itself.
#[derive(Clone, Copy, Debug)]
enum Step {
    Draining,
    Withdrawn,
}

impl Exit {
    /// Leaves in good order. `discovery` announces the node.
    ///
    /// # Errors
    /// `Timeout` when calls still ran at the end of the grace.
    pub(super) async fn leave(&self, discovery: JoinHandle<()>) -> Result<()> {
        let deadline = Instant::now() + self.config.load().shutdown.grace;
        self.life.pulling.cancel();
        // While calls run it stays in the registry as `draining`: known to be alive, so that its requests are not claimed.
        if self.partitions.is_busy() {
            self.tell_registry(Step::Draining).await;
        }
        let left = self.partitions.drain(deadline.saturating_duration_since(Instant::now())).await;
        self.flush().await;
        self.life.beating.cancel();
        // It ends with what it has begun: an announcement that came behind the withdrawal would take that back.
        let abort = discovery.abort_handle();
        if tokio::time::timeout(WITHDRAW_TIME, discovery).await.is_err() {
            abort.abort();
        }
        self.tell_registry(Step::Withdrawn).await;
        self.app.teardown().await;
        // Services may have fired some at the end.
        self.flush().await;
        self.life.stop.cancel();
        tracing::info!(node = %self.identity.id, "left the mesh");
        if left == 0 {
            return Ok(());
        }
        Err(Error::timeout(format!(
            "{left} calls still ran after shutdown.grace ({}); other replicas take them over",
            humantime::format_duration(self.config.load().shutdown.grace)
        )))
    }

    /// Ends an observer.
    pub(super) async fn stop_looking(&self) {
        self.flush().await;
        self.app.teardown().await;
        self.flush().await;
        self.life.stop.cancel();
    }

    async fn tell_registry(&self, step: Step) {
        let telling = async {
            let mut connection = self.admin.get(&self.keys.registry()).await?;
            let promise = match step {
                Step::Draining => self.registry.set_state(&mut connection, "draining").await,
                Step::Withdrawn => self.registry.withdraw(&mut connection).await,
            };
            if let Some(wait) = promise?.and_then(Promise::wait) {
                tokio::time::sleep(wait).await;
                self.registry.tell(&mut connection).await?;
            }
            Ok::<_, Failure>(())
        };
        match tokio::time::timeout(WITHDRAW_TIME, telling).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(?step, %error, "Redis could not be told; the TTL will"),
            Err(_) => tracing::warn!(?step, "Redis took too long; the TTL will tell"),
        }
    }

    /// Waits until replies and events that are due have been written.
    async fn flush(&self) {
        let flushed = async {
            self.writer.flush().await;
            self.outbox.flush().await;
        };
        if tokio::time::timeout(FLUSH_TIME, flushed).await.is_err() {
            tracing::warn!("Redis took too long to take the last replies");
        }
    }
}

/// Ends at Ctrl-C (SIGINT) or SIGTERM.
pub async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Failing to listen means that the signal ends the process at once, as it would without this.
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            let _ = tokio::signal::ctrl_c().await;
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}
