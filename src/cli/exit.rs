//! How the program ends: every exit code, and what leads to it.

use rachis::{Error, ErrorKind, config::ConfigError};
use std::{io, process::ExitCode};

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Good = 0,
    Failed = 1,
    Usage = 2,
    NoRedis = 3,
    NoAnswer = 4,
}

/// The table of `rachis --help`.
const MEANINGS: &[(Exit, &str)] = &[
    (Exit::Good, "it worked"),
    (Exit::Failed, "it failed: the service answered with an error, the gateway is not ready"),
    (Exit::Usage, "the command line or the configuration is wrong"),
    (Exit::NoRedis, "Redis was not reached within --connect-timeout, or refused us"),
    (Exit::NoAnswer, "no node serves the path, or no answer came within --timeout"),
];

impl Exit {
    pub(crate) fn table() -> String {
        let rows = MEANINGS.iter().map(|(exit, meaning)| format!("  {}  {meaning}\n", *exit as u8));
        format!("Exit codes:\n{}", rows.collect::<String>())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of the output has closed it, which is no failure.
    BrokenPipe,
    /// To be said on stderr.
    Said(Exit, String),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::Said(Exit::Usage, message.into())
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Failure::Said(Exit::Failed, message.into())
    }

    /// What kept a node from joining.
    pub(crate) fn joining(error: &Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Unavailable => Exit::NoRedis,
            ErrorKind::BadRequest => Exit::Usage,
            _ => Exit::Failed,
        };
        Failure::Said(exit, error.message().to_owned())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::failed(error.to_string()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::usage(error.to_string())
    }
}
