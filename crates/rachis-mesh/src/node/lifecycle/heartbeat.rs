//! The heartbeat, on a thread of its own: a node whose runtime is busy is alive all the same.

use super::rhythm::Rhythm;
#[cfg(feature = "schema")]
use crate::node::schemas::OwnSchemas;
use crate::node::shared::{clock::Clock, metrics::Metrics};
use crate::redis::{
    connection::{Connector, Opened, is_fatal},
    registry::{Beat, Registry},
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The pause after a heartbeat whose connection broke.
const RETRY: Duration = Duration::from_millis(100);

/// Whether nodes beat on the runtime that starts them.
static ON_THE_STARTING_RUNTIME: AtomicBool = AtomicBool::new(false);

/// Lets nodes beat on the runtime that starts them.
pub fn on_the_starting_runtime() {
    ON_THE_STARTING_RUNTIME.store(true, Ordering::Relaxed);
}

/// The one thread on which all nodes of this process beat.
fn thread() -> std::io::Result<Handle> {
    static THREAD: OnceLock<Handle> = OnceLock::new();
    if ON_THE_STARTING_RUNTIME.load(Ordering::Relaxed) {
        return Ok(Handle::current());
    }
    if let Some(handle) = THREAD.get() {
        return Ok(handle.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("rachis-beat".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(THREAD.get_or_init(|| handle).clone())
}

/// What drives one node's heartbeat.
pub(crate) struct Heartbeat {
    pub(crate) connector: Connector,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) interval: Duration,
    pub(crate) ttl: Duration,
    pub(crate) stop: CancellationToken,
    #[cfg(feature = "schema")]
    pub(crate) schemas: Arc<OwnSchemas>,
}

impl Heartbeat {
    /// Starts to beat, first after one interval, and reports every beat that came through. Says in the log if the runtime
    /// that this is called on runs nothing for a TTL.
    pub(crate) fn start(self, reports: mpsc::UnboundedSender<Beat>) -> std::io::Result<()> {
        let pulse = Pulse::of(Handle::current(), self.ttl);
        thread()?.spawn(self.run(reports, pulse));
        Ok(())
    }

    async fn run(self, reports: mpsc::UnboundedSender<Beat>, mut pulse: Pulse) {
        let mut link = None;
        let mut troubled = false;
        let mut backoff = self.connector.reconnect_backoff();
        let key = self.registry.key();
        // A node that was away does not judge: after a silence longer than half the TTL, others may have been as silent, so
        // for one whole TTL none is swept. A node that has just joined has been away as well.
        let mut judges_from = Instant::now() + self.ttl;
        let mut last = Instant::now();
        let rhythm = Rhythm::new(self.interval);
        let mut next = Instant::now() + rhythm.pause(self.clock.now());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.stop.cancelled() => return,
            }
            pulse.feel(Instant::now());
            // One that was cut because it rested for long is no outage, and costs no node its place.
            let mut cut_at_rest = false;
            if link.as_ref().is_some_and(|Opened { signs, .. }: &Opened| signs.has_ended()) {
                cut_at_rest = !troubled && self.connector.servers().is_one();
                link = None;
            }
            if link.is_none() {
                if backoff.before_connecting(&self.stop).await.is_none() {
                    return;
                }
                let attempt = || self.connector.connect("beat", &key, Duration::ZERO);
                let Some(opened) = self.connector.until("beat", &self.stop, attempt).await else { return };
                // It may lead to another server, which has not heard what was said to the last one for a while.
                if !cut_at_rest || Instant::now().duration_since(last) > self.ttl / 2 {
                    judges_from = judges_from.max(Instant::now() + self.ttl);
                }
                link = Some(opened);
            }
            let Some(Opened { connection, signs }) = &mut link else { continue };
            if signs.has_login_changed() {
                self.connector.log_in(connection).await;
            }
            let asked = Instant::now();
            next = asked + rhythm.pause(self.clock.now());
            if asked.duration_since(last) > self.ttl / 2 {
                judges_from = asked + self.ttl;
            }
            // The beat that is due then may come a little before.
            let judges = asked + rhythm.slot() >= judges_from;
            match self.registry.beat(connection, judges, self.clock.now()).await {
                Ok(beat) => {
                    if std::mem::take(&mut troubled) {
                        tracing::info!("heartbeats come through again");
                        self.connector.resumed();
                    }
                    last = Instant::now();
                    // This machine's clock stands still while it is suspended, Redis's does not.
                    let ahead = beat.now.saturating_sub(self.clock.now());
                    if u128::from(ahead) > self.ttl.as_millis() / 2 {
                        judges_from = last + self.ttl;
                    }
                    self.clock.set(beat.now, last.duration_since(asked));
                    self.metrics.beat(last.duration_since(asked));
                    if let Some(wait) = beat.promise.wait() {
                        tokio::spawn(self.registry.clone().tell_after(wait, connection.clone()));
                    }
                    #[cfg(feature = "schema")]
                    if beat.known && self.schemas.is_due() {
                        // Over this connection, which every node has anyway.
                        let (schemas, connection) = (self.schemas.clone(), connection.clone());
                        pulse.runtime.spawn(async move { schemas.renew(connection).await });
                    }
                    if reports.send(beat).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if std::mem::replace(&mut troubled, true) {
                        tracing::debug!(%error, "a heartbeat did not come through");
                    } else {
                        tracing::warn!(%error, "a heartbeat did not come through, trying on");
                    }
                    if is_fatal(&error) {
                        link = None;
                        self.connector.servers().learn_from(&error).await;
                        // Nothing else wakes a connection that waits on a server gone silent. One that was closed says so
                        // to each connection by itself, and what goes well on others is not to be cut short.
                        if error.is_timeout() {
                            self.connector.suspect(&key);
                        }
                        // Not to wait a whole interval for the next attempt.
                        next = Instant::now() + RETRY.min(self.interval);
                    }
                }
            }
        }
    }
}

/// Looks whether a runtime still runs anything: with all its threads blocked, nothing else in this process could say so.
struct Pulse {
    runtime: Handle,
    patience: Duration,
    /// A task that does nothing, and since when it is due.
    task: JoinHandle<()>,
    since: Instant,
    told: bool,
}

impl Pulse {
    fn of(runtime: Handle, patience: Duration) -> Self {
        let task = runtime.spawn(async {});
        Pulse { runtime, patience, task, since: Instant::now(), told: false }
    }

    fn feel(&mut self, now: Instant) {
        let waits = now.saturating_duration_since(self.since);
        if self.task.is_finished() {
            if std::mem::take(&mut self.told) {
                tracing::warn!(after = ?waits, "the runtime of this process works again");
            }
            (self.task, self.since) = (self.runtime.spawn(async {}), now);
        } else if waits > self.patience && !std::mem::replace(&mut self.told, true) {
            tracing::error!(
                "the runtime of this process has run nothing for {waits:?}: all its threads are blocked, by handlers that \
                 wait or compute without giving way (tokio::task::spawn_blocking is for these). Calls given to it end at \
                 their deadlines, and /livez does not answer; a restart lets other replicas take them over"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::{
        connection::{Options, topology::TopologyConfig},
        keys::Keys,
        registry::{Announced, Linger},
    };
    use rachis_testing::ThrowawayRedis;
    #[cfg(feature = "schema")]
    use {
        crate::{
            node::shared::{context::NodeContext, identity::Identity},
            redis::connection::pool::Admin,
            wire::Signer,
        },
        parking_lot::Mutex,
        rachis_core::App,
    };

    #[test]
    fn a_runtime_that_runs_nothing_is_noticed_and_so_is_its_return() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (begun, blocked) = std::sync::mpsc::channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        runtime.spawn(async move {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        });
        blocked.recv().unwrap();
        let mut pulse = Pulse::of(runtime.handle().clone(), Duration::from_secs(6));
        let start = pulse.since;
        for (after, told) in [(5, false), (7, true), (9, true)] {
            pulse.feel(start + Duration::from_secs(after));
            assert_eq!(pulse.told, told, "after {after} s");
        }
        go_on.send(()).unwrap();
        while !pulse.task.is_finished() {
            std::thread::yield_now();
        }
        pulse.feel(start + Duration::from_secs(11));
        assert!(!pulse.told);
    }

    #[tokio::test]
    async fn a_machine_that_was_suspended_gives_the_others_a_ttl_before_it_judges() {
        let redis = ThrowawayRedis::start().unwrap();
        let mut options = Options::for_tests(Duration::from_secs(1));
        options.topology = TopologyConfig::Standalone(redis.url());
        let connector = Connector::new(options, "test").unwrap();
        let mut on = connector.connect("test", "key", Duration::ZERO).await.unwrap().connection;
        let ttl = Duration::from_secs(3);
        let keys = Keys::new("test");
        let (clock, metrics) = (Arc::new(Clock::new()), Arc::new(Metrics::new("test")));
        let of = |node: &str| Registry::new(keys.clone(), node, "default/x", ttl, Linger::For(ttl));
        for node in ["awake", "asleep"] {
            of(node).register(&mut on, &Announced::default()).await.unwrap();
        }
        // As if the machine slept now: its own clock stands still, and both are silent meanwhile.
        let is_known = async |on: &mut crate::redis::connection::socket::Shared| {
            let score: Option<f64> =
                redis::cmd("ZSCORE").arg(keys.nodes()).arg("asleep").query_async(on).await.unwrap();
            score.is_some()
        };
        let heart = Heartbeat {
            connector: connector.clone(),
            registry: of("awake"),
            clock: clock.clone(),
            metrics: metrics.clone(),
            interval: Duration::from_millis(100),
            ttl,
            stop: CancellationToken::new(),
            #[cfg(feature = "schema")]
            schemas: Arc::new(OwnSchemas {
                context: Arc::new(NodeContext {
                    identity: Arc::new(Identity::new("default", "x".into(), false)),
                    keys: keys.clone(),
                    signer: Signer::default(),
                    clock: clock.clone(),
                    metrics: metrics.clone(),
                }),
                app: App::new(),
                published: Arc::default(),
                registry: of("awake"),
                admin: Admin::new(&connector),
                state: Mutex::default(),
                told: AtomicBool::default(),
            }),
        };
        let stop = heart.stop.clone().drop_guard();
        let (reports, mut beats) = mpsc::unbounded_channel();
        let started = Instant::now();
        heart.start(reports).unwrap();
        // One that has just begun judges none either.
        while started.elapsed() < ttl * 2 {
            beats.recv().await.unwrap();
            let mut beat = redis::cmd("ZADD");
            beat.arg(keys.nodes()).arg("99999999999999").arg("asleep").exec_async(&mut on).await.unwrap();
        }
        clock.set(clock.now() - 60_000, Duration::ZERO);
        redis::cmd("ZADD").arg(keys.nodes()).arg(1).arg("asleep").exec_async(&mut on).await.unwrap();
        let woke = Instant::now();
        for _ in 0..5 {
            beats.recv().await.unwrap();
            assert!(is_known(&mut on).await, "judged {:?} after it woke", woke.elapsed());
        }
        while is_known(&mut on).await {
            beats.recv().await.unwrap();
        }
        assert!(woke.elapsed() >= ttl / 2);
        drop(stop);
    }
}
