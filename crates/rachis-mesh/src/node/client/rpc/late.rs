//! Callers whose time is over. One timer for all calls of a node: almost every call is answered long before its own would
//! go off, and to set and to clear one was a twentieth of what a call takes.

use super::{Arrived, PendingCalls, Rpc};
use crate::wire;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long to pause after a look for each call that was looked at, so that looking takes a small part of the time however
/// many wait: 1 ms for 10,000 of them.
const PAUSE_EACH: Duration = Duration::from_nanos(100);

/// When a call of that much time is over, or of as much as a request can tell.
pub(super) fn deadline(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(wire::LONGEST)
}

impl Rpc {
    /// Makes sure that a caller that begins to wait is woken when its time is over.
    pub(super) fn awaited(&self, pending: &mut PendingCalls, deadline: Instant) {
        if pending.advance_alarm(deadline) {
            self.hurry.notify_one();
        }
    }
}

/// Wakes the callers whose time is over.
pub(crate) async fn wake_late(rpc: Arc<Rpc>) {
    loop {
        let alarm = rpc.lock().alarm();
        let Some(alarm) = alarm else {
            rpc.hurry.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(alarm.into()) => {}
            () = rpc.hurry.notified() => continue,
        }
        let (late, looked_at) = {
            let mut pending = rpc.lock();
            (pending.late(Instant::now()), pending.len())
        };
        for waiter in late {
            // It may have gone in this moment.
            let _ = waiter.send(Arrived::Late);
        }
        tokio::time::sleep(PAUSE_EACH * u32::try_from(looked_at).unwrap_or(u32::MAX)).await;
    }
}
