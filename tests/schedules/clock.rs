//! One clock for everybody: this process, and the Redis beside it. It stands still while anything is under way, and then jumps
//! to whatever is due next. And one order: of the threads of this process, each of which drives a node, one runs at a time.
//! `clock.c` sees to both. For it to know that nothing is under way, what is written to a socket has to be there at once, as
//! it is in a Unix socket.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What the clocks show when a schedule begins, in ns since 1970.
const BEGIN: u64 = 1_800_000_000_000_000_000;

/// The environment of a process that is to go by this clock.
pub(crate) const FILE: &str = "SCHEDULE_CLOCK";
/// Whether its monotonic clock shows the same, and its threads take turns.
pub(crate) const MONOTONIC: &str = "SCHEDULE_MONOTONIC";
/// What its random numbers follow from.
pub(crate) const SEED: &str = "SCHEDULE_SEED";

/// Where the file says how many threads there are, and which of them stand still.
const EXPECTED: u64 = 8;
const STILL: u64 = 16;

/// Builds what has to be loaded in front of the C library, into `folder`.
pub(crate) fn build(folder: &Path) -> io::Result<PathBuf> {
    let (source, built) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, include_str!("clock.c"))?;
    let mut cc = Command::new("cc");
    let cc = cc.args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread", "-o"]);
    let status = cc.arg(&built).arg(&source).status()?;
    if status.success() { Ok(built) } else { Err(io::Error::other("cc could not build the clock")) }
}

/// Makes the file that a clock is shown in.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    let mut bytes = vec![0; 4096];
    bytes[..8].copy_from_slice(&BEGIN.to_ne_bytes());
    std::fs::write(path, bytes)
}

/// The clock, and who goes by it.
#[derive(Clone)]
pub(crate) struct Clock {
    file: Arc<File>,
    begin: Instant,
    /// How often each thread, but for the first, was told to stand still.
    still: Arc<Mutex<Vec<u8>>>,
}

impl Clock {
    /// Takes over the clock in this file.
    pub(crate) fn take(path: &Path) -> io::Result<Clock> {
        let file = Arc::new(File::options().write(true).open(path)?);
        Ok(Clock { file, begin: Instant::now(), still: Arc::default() })
    }

    /// Since the schedule began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Says that there is one thread more, and returns its number. Nobody gets a turn before it waits for something.
    pub(crate) fn expect_thread(&self) -> usize {
        let mut still = self.still.lock().unwrap_or_else(PoisonError::into_inner);
        still.push(0);
        self.file.write_all_at(&(still.len() as u64).to_ne_bytes(), EXPECTED).expect("the clock can be written to");
        still.len()
    }

    /// Lets a thread stand still, as a process that was stopped, or once less.
    pub(crate) fn stop_thread(&self, number: usize, stop: bool) {
        let mut still = self.still.lock().unwrap_or_else(PoisonError::into_inner);
        let count = &mut still[number - 1];
        *count = if stop { *count + 1 } else { *count - 1 };
        self.file.write_all_at(&[*count], STILL + number as u64).expect("the clock can be written to");
    }
}
