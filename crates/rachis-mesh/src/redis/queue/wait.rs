//! `WAIT`: how many replicas have a write, where `redis.wait_replicas` asks for it.

use crate::redis::{
    connection::WaitFor,
    resp::{Commands, RespValue},
};
use std::time::{Duration, Instant};

/// The time in which a shortfall is logged at most once.
const QUIET: Duration = Duration::from_secs(10);

impl WaitFor {
    pub(super) fn add_to(self, commands: &mut Commands) {
        // Zero would wait for ever.
        let ms = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX).max(1);
        commands.begin(3);
        commands.part("WAIT");
        commands.number(self.replicas as u64);
        commands.number(ms);
    }
}

/// Logs writes that too few replicas have, one line for many.
#[derive(Default)]
pub(super) struct Shortfalls {
    since_warning: u64,
    last_warning: Option<Instant>,
}

impl Shortfalls {
    /// Notes the response to WAIT. The write counts as accepted either way: it cannot be taken back.
    pub(super) fn note(&mut self, wanted: WaitFor, reply: &RespValue) {
        if matches!(reply, RespValue::Int(had) if usize::try_from(*had).is_ok_and(|had| had >= wanted.replicas)) {
            return;
        }
        self.since_warning += 1;
        if self.last_warning.is_some_and(|last| last.elapsed() < QUIET) {
            return;
        }
        let writes = std::mem::take(&mut self.since_warning);
        let wanted = wanted.replicas;
        self.last_warning = Some(Instant::now());
        match reply {
            RespValue::Int(had) => {
                tracing::warn!(
                    had,
                    wanted,
                    writes,
                    "fewer replicas than redis.wait_replicas had a write in time; a failover may lose it"
                );
            }
            RespValue::Error(error) => {
                tracing::warn!(%error, wanted, writes, "Redis does not say how many replicas have a write");
            }
            RespValue::Id(_) | RespValue::Text(_) | RespValue::Nil | RespValue::Other => {}
        }
    }
}
