//! Callers whose time is over. One timer for all calls of a node: almost every call is answered long before its own would
//! go off, and to set and to clear one was a twentieth of what a call takes.

use super::waiting::{Arrived, Waiting};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long to pause after a look for each call that was looked at, so that looking takes a small part of the time however
/// many wait: 1 ms for 10,000 of them.
const PAUSE_EACH: Duration = Duration::from_nanos(100);

/// Wakes the callers whose time is over.
pub(crate) async fn wake_late(waiting: Arc<Waiting>) {
    loop {
        let alarm = waiting.lock().alarm();
        let Some(alarm) = alarm else {
            waiting.hurry.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(alarm.into()) => {}
            () = waiting.hurry.notified() => continue,
        }
        let looked_at = waiting.len();
        let late = waiting.lock().late(Instant::now());
        for waiter in late {
            // It may have gone in this moment.
            let _ = waiter.send(Arrived::Late);
        }
        tokio::time::sleep(PAUSE_EACH * u32::try_from(looked_at).unwrap_or(u32::MAX)).await;
    }
}
