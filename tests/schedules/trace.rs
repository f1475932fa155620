//! What happened, in the order in which it did.

use crate::clock::Clock;
use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

/// Lines with the time, of which a whole run is made once more from its seed.
#[derive(Clone)]
pub(crate) struct Trace {
    clock: Clock,
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    /// Of all lines.
    hash: DefaultHasher,
    count: usize,
    /// Where they are wanted.
    kept: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(clock: Clock, keep: bool) -> Trace {
        let lines = Lines { hash: DefaultHasher::new(), count: 0, kept: keep.then(Vec::new) };
        Trace { clock, lines: Arc::new(Mutex::new(lines)) }
    }

    pub(crate) fn note(&self, line: impl fmt::Display) {
        let line = format!("{:>10.3} {line}", self.clock.elapsed().as_secs_f64());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.hash.write(line.as_bytes());
        lines.count += 1;
        if let Some(kept) = &mut lines.kept {
            kept.push(line);
        }
    }

    /// The same, of what need not be the same each time.
    pub(crate) fn remark(&self, line: impl fmt::Display) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &mut lines.kept {
            kept.push(format!("{:>10.3}   {line}", self.clock.elapsed().as_secs_f64()));
        }
    }

    /// A number that two runs share only where all their lines are the same, and how many there are.
    pub(crate) fn sum(&self) -> (u64, usize) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        (lines.hash.finish(), lines.count)
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).kept.take().unwrap_or_default()
    }
}
