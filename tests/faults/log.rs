//! What this process logs, of which the caller is a part: counted, and thrown away but for the last line.

use std::{
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

static LINES: AtomicUsize = AtomicUsize::new(0);
static LAST: Mutex<String> = Mutex::new(String::new());

struct Counter;

impl Write for Counter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(1, Ordering::Relaxed);
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = String::from_utf8_lossy(line).trim().to_owned();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to count.
pub(crate) fn start() {
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Counter).init();
}

/// Lines so far.
pub(crate) fn lines() -> usize {
    LINES.load(Ordering::Relaxed)
}

/// The last line.
pub(crate) fn last() -> String {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
