//! What is said while running: always on stderr.

use super::exit::Failure;
use rachis::config::{Log, LogFormat};
use std::{
    io::{IsTerminal, stderr},
    sync::Arc,
};
use tracing_subscriber::EnvFilter;

/// Lets other lines be wanted from now on.
pub(crate) type Relevel = Arc<dyn Fn(EnvFilter) + Send + Sync>;

/// Begins to log as the configuration says.
pub(crate) fn start(log: &Log) -> Result<Relevel, Failure> {
    let filter = filter(log)?;
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    // Both fail only where something logs already, or no longer does, which is as well.
    let relevel: Relevel = match json {
        true => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
        false => {
            let lines = lines.with_ansi(terminal && super::out::colours_wanted()).with_target(false);
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
    };
    Ok(relevel)
}

/// Reads which lines are wanted.
pub(crate) fn filter(log: &Log) -> Result<EnvFilter, Failure> {
    read(log).map_err(Failure::usage)
}

/// The same, with the bare reason why it is not readable.
pub(crate) fn read(log: &Log) -> Result<EnvFilter, String> {
    EnvFilter::try_new(&log.level)
        .map_err(|error| format!("`log.level` is {:?} ({error}): write a level, or info,rachis=debug", log.level))
}
