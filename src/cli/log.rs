//! What is said while running: always on stderr.

use super::exit::Failure;
use rachis::config::{Log, LogFormat};
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Begins to log as the configuration says.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    let filter = filter(log)?;
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    // Fails only where something logs already, which is as well.
    let _ = match json {
        true => lines.json().flatten_event(true).try_init(),
        false => lines.with_ansi(terminal && super::out::colours_wanted()).with_target(false).try_init(),
    };
    Ok(())
}

/// Reads which lines are wanted.
pub(crate) fn filter(log: &Log) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(&log.level).map_err(|error| {
        Failure::usage(format!("`log.level` is {:?} ({error}): write a level, or info,rachis=debug", log.level))
    })
}
