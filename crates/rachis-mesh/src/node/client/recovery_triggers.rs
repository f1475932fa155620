//! Reasons to look after requests under way.

use super::pending::RecoveryScope;
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{Notify, watch};

/// What makes recovery look after requests at once, before the next regular scan.
#[derive(Debug, Default)]
pub(crate) struct RecoveryTriggers {
    wake: Notify,
    all: Mutex<bool>,
    orphans: Mutex<BTreeSet<Arc<str>>>,
    losses: watch::Sender<u64>,
}

impl RecoveryTriggers {
    /// Redis has forgotten this node, so perhaps its requests, too.
    pub(crate) fn forgotten(&self) {
        self.losses.send_modify(|losses| *losses += 1);
        self.all();
    }

    /// Returns how often that happened so far.
    pub(crate) fn count(&self) -> u64 {
        *self.losses.borrow()
    }

    /// Returns a receiver of that number, which changes with each loss.
    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// An app has lost its last replica. It is named by its first stream.
    pub(crate) fn orphaned(&self, stream: Arc<str>) {
        self.orphans.lock().insert(stream);
        self.wake.notify_one();
    }

    /// Has all calls looked after.
    pub(super) fn all(&self) {
        *self.all.lock() = true;
        self.wake.notify_one();
    }

    /// Waits for the next reason.
    pub(super) async fn next(&self) -> RecoveryScope {
        loop {
            if std::mem::take(&mut *self.all.lock()) {
                return RecoveryScope::All;
            }
            if let Some(stream) = self.orphans.lock().pop_first() {
                return RecoveryScope::Orphans(stream);
            }
            self.wake.notified().await;
        }
    }
}
