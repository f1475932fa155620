//! `WAIT`: how many replicas have what was written, where that is asked for.

use super::{commands::Commands, resp::Told};
use std::time::{Duration, Instant};

/// The time in which a shortfall is told at most once.
const QUIET: Duration = Duration::from_secs(10);

/// What to wait for after a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitFor {
    /// Replicas, at least 1.
    pub(crate) replicas: usize,
    /// How long at most.
    pub(crate) time: Duration,
}

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

/// Tells of writes that too few replicas have, a few words for many.
#[derive(Default)]
pub(super) struct Shortfalls {
    since_told: u64,
    told: Option<Instant>,
}

impl Shortfalls {
    /// Takes in what WAIT brought. The write counts as accepted either way: it cannot be taken back.
    pub(super) fn note(&mut self, wanted: WaitFor, reply: &Told) {
        if matches!(reply, Told::Int(had) if usize::try_from(*had).is_ok_and(|had| had >= wanted.replicas)) {
            return;
        }
        self.since_told += 1;
        if self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return;
        }
        let (writes, wanted) = (std::mem::take(&mut self.since_told), wanted.replicas);
        self.told = Some(Instant::now());
        match reply {
            Told::Int(had) => {
                tracing::warn!(
                    had,
                    wanted,
                    writes,
                    "fewer replicas than redis.wait_replicas had a write in time; a failover may lose it"
                );
            }
            Told::Error(error) => {
                tracing::warn!(%error, wanted, writes, "Redis does not say how many replicas have a write");
            }
            Told::Id(_) | Told::Text(_) | Told::Nil | Told::Done => {}
        }
    }
}
