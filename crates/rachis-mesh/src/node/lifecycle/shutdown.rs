//! How a node leaves: withdraw, stop pulling, hand back what was not started, finish, close.

use crate::node::{Inner, Node};
use crate::redis::{Failure, event_log::Outgoing, registry::Promise};
use rachis_core::{Error, Result};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// How far a node has come in its life.
pub(crate) enum Running {
    /// Every part is there, none is connected.
    Assembled {
        dead: mpsc::UnboundedReceiver<String>,
        outgoing: mpsc::Receiver<Outgoing>,
    },
    /// It is about to join the mesh.
    Joining,
    /// It has, and hears of the mesh by this task, which is also the one that announces it.
    Joined {
        discovery: JoinHandle<()>,
    },
    /// It only looks on.
    LookingOn,
    Over,
}

/// How long Redis may take to let go of a node; beyond that its TTL does it.
const WITHDRAW_TIME: Duration = Duration::from_secs(2);
/// How long the last replies may take to reach Redis.
const FLUSH_TIME: Duration = Duration::from_secs(2);

impl Node {
    /// Says that this node drains ([`Node::readiness`], `/readyz` of a gateway) and waits for `shutdown.delay`; calls go on
    /// meanwhile. For gateways behind load balancers that ask: one that stops listening before they have heard of it
    /// refuses what they still send. Does nothing where `shutdown.delay` is 0.
    ///
    /// ```no_run
    /// use rachis::{gateway::{Gateway, serve}, signal};
    ///
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
    /// let leaving = node.clone();
    /// let stop = async move {
    ///     signal().await;
    ///     leaving.retire().await;
    /// };
    /// serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(stop).await?;
    /// node.shutdown().await
    /// # }
    /// ```
    pub async fn retire(&self) {
        let delay = self.inner.live.load().shutdown.delay;
        if delay.is_zero() {
            return;
        }
        self.inner.retiring.store(true, Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.inner.stop.cancelled() => {}
        }
    }

    /// Leaves the mesh in good order; takes no longer than the configured `shutdown.grace` and a few seconds for Redis.
    ///
    /// New calls go to other replicas at once; what was pulled and not started is handed back; what runs is finished.
    /// A second call does nothing.
    ///
    /// # Errors
    /// `Timeout` when calls still ran at the end of the grace; they are left to other replicas as if this one had died.
    pub async fn shutdown(&self) -> Result<()> {
        // By itself, so that a caller who goes leaves no member behind that pulls nothing.
        let leaving = tokio::spawn(leave(self.clone()));
        leaving
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("The runtime ended before this node had left the mesh")))
    }
}

/// Takes a node out of the mesh.
async fn leave(leaving: Node) -> Result<()> {
    let node = &leaving.inner;
    let running = node.replace_running(Running::Over);
    node.draining.cancel();
    let discovery = match running {
        Running::Joined { discovery } => discovery,
        Running::LookingOn => {
            node.flush().await;
            node.app.teardown().await;
            node.flush().await;
            node.stop.cancel();
            return Ok(());
        }
        Running::Assembled { .. } | Running::Joining | Running::Over => {
            node.stop.cancel();
            return Ok(());
        }
    };
    let deadline = Instant::now() + node.live.load().shutdown.grace;
    node.pulling.cancel();
    // While calls run it stays in the registry as `draining`: known to be alive, so nobody claims them.
    if node.partitions.is_busy() {
        node.tell_registry(Step::Draining).await;
    }
    let left = node.partitions.drain(node, deadline.saturating_duration_since(Instant::now())).await;
    node.flush().await;
    node.beating.cancel();
    // It ends with what it has begun: an announcement that came behind the withdrawal would take that back.
    let abort = discovery.abort_handle();
    if tokio::time::timeout(WITHDRAW_TIME, discovery).await.is_err() {
        abort.abort();
    }
    node.tell_registry(Step::Withdrawn).await;
    node.app.teardown().await;
    // Services may have fired some at the end.
    node.flush().await;
    node.stop.cancel();
    tracing::info!(node = %node.id, "left the mesh");
    match left {
        0 => Ok(()),
        left => Err(Error::timeout(format!(
            "{left} calls still ran after shutdown.grace ({}); other replicas take them over",
            humantime::format_duration(node.live.load().shutdown.grace)
        ))),
    }
}

/// What a leaving node says of itself.
#[derive(Clone, Copy, Debug)]
enum Step {
    Draining,
    Withdrawn,
}

impl Inner {
    async fn tell_registry(&self, step: Step) {
        let told = async {
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
        match tokio::time::timeout(WITHDRAW_TIME, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(?step, %error, "Redis could not be told; the TTL will"),
            Err(_) => tracing::warn!(?step, "Redis took too long; the TTL will tell"),
        }
    }

    /// Waits until replies and events that are due have been written.
    async fn flush(&self) {
        let flushed = async {
            self.rpc.flush().await;
            self.events.flush().await;
        };
        if tokio::time::timeout(FLUSH_TIME, flushed).await.is_err() {
            tracing::warn!("Redis took too long to take the last replies");
        }
    }

    /// What joining needs, once; `None` when the node has joined or is over.
    pub(in crate::node) fn take_assembled(
        &self,
    ) -> Option<(mpsc::UnboundedReceiver<String>, mpsc::Receiver<Outgoing>)> {
        let mut running = self.running.lock();
        if !matches!(*running, Running::Assembled { .. }) {
            return None;
        }
        match std::mem::replace(&mut *running, Running::Joining) {
            Running::Assembled { dead, outgoing } => Some((dead, outgoing)),
            _ => None,
        }
    }

    pub(in crate::node) fn joined(&self, as_what: Running) {
        let mut running = self.running.lock();
        // A shutdown that came first has stopped everything already.
        if matches!(*running, Running::Joining) {
            *running = as_what;
        }
    }

    fn replace_running(&self, with: Running) -> Running {
        std::mem::replace(&mut *self.running.lock(), with)
    }
}

/// Ends at Ctrl-C (SIGINT) or SIGTERM.
pub async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Failing to listen means that the signal ends the process at once, as it would without this.
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            },
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}
