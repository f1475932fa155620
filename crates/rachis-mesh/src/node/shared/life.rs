//! How far a node has come in its life, and what ends when.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether a node can be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has not joined the mesh yet.
    Starting,
    /// It has, and Redis answers.
    Ready,
    /// Redis has not answered for longer than the TTL; local services work, and the last catalog is served from.
    Degraded,
    /// It is leaving.
    Draining,
}

impl Readiness {
    /// Returns its name, as `/readyz` of a gateway says it: `starting`, `ready`, `degraded` or `draining`.
    pub fn as_str(self) -> &'static str {
        match self {
            Readiness::Starting => "starting",
            Readiness::Ready => "ready",
            Readiness::Degraded => "degraded",
            Readiness::Draining => "draining",
        }
    }
}

/// The signals by which the parts of a node end, and when it was last heard by Redis.
pub(crate) struct Life {
    /// Ends every task.
    pub(crate) stop: CancellationToken,
    /// Ends the pulling of requests.
    pub(crate) pulling: CancellationToken,
    /// Ends the heartbeat.
    pub(crate) beating: CancellationToken,
    /// Cancelled when a shutdown begins.
    pub(crate) draining: CancellationToken,
    /// Cancelled when an operator has told it to leave.
    pub(crate) dismissed: CancellationToken,
    /// `true` once it was told to stop and goes on until load balancers know.
    retiring: AtomicBool,
    /// `true` once it has begun to join: before, it asks Redis nothing.
    open: AtomicBool,
    last_beat: watch::Sender<Option<Instant>>,
    ttl: Duration,
}

impl Life {
    pub(crate) fn new(ttl: Duration) -> Self {
        let stop = CancellationToken::new();
        Life {
            pulling: stop.child_token(),
            beating: stop.child_token(),
            draining: CancellationToken::new(),
            dismissed: CancellationToken::new(),
            stop,
            retiring: AtomicBool::new(false),
            open: AtomicBool::new(false),
            last_beat: watch::Sender::new(None),
            ttl,
        }
    }

    /// Notes that it begins to join.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Returns `true` once it has begun to join.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Notes that Redis has answered a heartbeat just now.
    pub(crate) fn note_beat(&self) {
        self.last_beat.send_replace(Some(Instant::now()));
    }

    /// Returns `true` once it has joined.
    pub(crate) fn has_joined(&self) -> bool {
        self.last_beat.borrow().is_some()
    }

    /// Notes that it was told to stop.
    pub(crate) fn retire(&self) {
        self.retiring.store(true, Ordering::Relaxed);
    }

    pub(crate) fn readiness(&self) -> Readiness {
        if self.draining.is_cancelled() || self.stop.is_cancelled() || self.retiring.load(Ordering::Relaxed) {
            return Readiness::Draining;
        }
        match *self.last_beat.borrow() {
            None => Readiness::Starting,
            Some(last) if last.elapsed() > self.ttl => Readiness::Degraded,
            Some(_) => Readiness::Ready,
        }
    }
}
