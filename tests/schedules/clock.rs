//! One clock for everybody: this process, tokio's timers, and the Redis beside it. It stands still while anything is under
//! way, and then jumps to whatever is due next: tokio lets it, as soon as no task has anything to do and no socket anything
//! to read. For that to be sure, what is written to a socket has to be there at once, as it is in a Unix socket.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// What the clocks show when a schedule begins, in ns since 1970.
const BEGIN: u64 = 1_800_000_000_000_000_000;

/// The environment of a process that is to go by this clock.
pub(crate) const FILE: &str = "SCHEDULE_CLOCK";
/// Whether its monotonic clock shows the same.
pub(crate) const MONOTONIC: &str = "SCHEDULE_MONOTONIC";
/// What its random numbers follow from.
pub(crate) const SEED: &str = "SCHEDULE_SEED";

/// Builds what has to be loaded in front of the C library, into `folder`.
pub(crate) fn build(folder: &Path) -> io::Result<PathBuf> {
    let (source, built) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, include_str!("clock.c"))?;
    let mut cc = Command::new("cc");
    let status = cc.args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o"]).arg(&built).arg(&source).status()?;
    if status.success() { Ok(built) } else { Err(io::Error::other("cc could not build the clock")) }
}

/// Makes the file that a clock is shown in.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    let mut bytes = vec![0; 4096];
    bytes[..8].copy_from_slice(&BEGIN.to_ne_bytes());
    std::fs::write(path, bytes)
}

/// The hand of the clock.
#[derive(Clone)]
pub(crate) struct Clock {
    file: Arc<File>,
    begin: Instant,
}

impl Clock {
    /// Takes over the clock in this file; inside the runtime whose time is paused.
    pub(crate) fn take(path: &Path) -> io::Result<Clock> {
        let file = Arc::new(File::options().write(true).open(path)?);
        Ok(Clock { file, begin: Instant::now() })
    }

    /// Since the schedule began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Shows to everybody what time it is by tokio's clock. A runtime has to call it whenever it goes on after a pause.
    pub(crate) fn show(&self) {
        let now = BEGIN + u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.file.write_all_at(&now.to_ne_bytes(), 0).expect("the clock can be set");
    }
}
