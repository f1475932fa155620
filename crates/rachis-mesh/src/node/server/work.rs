//! What the partitions of a node share.

use super::{admission::Admission, execution::Execution, slots::Slots, tasks::Tasks};
use crate::{
    node::{
        catalog::SharedCatalog,
        shared::{clock::Clock, commands::Commands, life::Life, limits::CallLimits, metrics::Metrics},
    },
    redis::{
        connection::pool::Admin,
        keys::Keys,
        queue::{Write, Writer},
    },
    wire::Signer,
};
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// The parts by which requests are answered.
pub(crate) struct Work {
    pub(crate) keys: Keys,
    pub(crate) signer: Signer,
    pub(crate) limits: ArcSwap<CallLimits>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) tasks: Tasks,
    pub(crate) admission: Admission,
    pub(crate) execution: Execution,
    pub(crate) writer: Writer,
    pub(crate) commands: Commands,
    pub(crate) admin: Admin,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) catalog: SharedCatalog,
    pub(crate) life: Arc<Life>,
    pub(crate) ttl: Duration,
    /// Takes the ids of replicas that left or died.
    pub(crate) dead_replicas: mpsc::UnboundedSender<String>,
    /// How many partitions the replicas of the app announce; what is open beyond is surplus.
    pub(crate) wanted: AtomicUsize,
}

impl Work {
    /// Hands a write to the writer. After a shutdown it is left to other replicas.
    pub(super) fn write(&self, write: Write) {
        self.writer.push(write);
    }

    /// Returns how many partitions the replicas of the app announce.
    pub(super) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }
}
