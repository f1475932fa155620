//! The options of every command, and the configuration that they end up in.

use super::exit::Failure;
use clap::{ArgAction, Args};
use rachis::{Config, config::Loader};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file [env: DISTRIBUTION_CONFIG] [default: distribution.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where Redis is [env: REDIS_URL] [default: redis://127.0.0.1:6379]
    ///
    /// Written as redis://[user:password@]host[:port][/db], with rediss:// for TLS. Others on this machine can see what
    /// is typed here: give a password by REDIS_URL or REDIS_URL_FILE instead.
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,

    /// Which mesh: the prefix of everything in Redis [default: rachis]
    #[arg(long, global = true, value_name = "NS")]
    namespace: Option<String>,

    /// Partition key [default: default]
    #[arg(long, global = true)]
    key: Option<String>,

    /// How long to wait for an answer, e.g. 500ms or 1m [default: 20s; health: 5s]
    #[arg(long, global = true, value_name = "DUR")]
    pub(crate) timeout: Option<String>,

    /// How long to try to reach Redis before giving up
    #[arg(long, global = true, value_name = "DUR", default_value = "10s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    /// Print JSON, for programs
    ///
    /// One document, or one per line where there is no end (watch). The answer of a failed call is the error as Feathers
    /// writes it; the exit code tells the difference.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say more on stderr; twice: everything
    ///
    /// Without -v and -q, the gateway logs by `log.level` and the other commands only say warnings, unless RUST_LOG is
    /// set.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Say only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

/// A duration as people write it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 500ms, 10s or 1m"))
}

/// What the command line says, in the shape of the configuration. Plain text, since secrets serialize as asterisks.
#[derive(Default, Serialize)]
struct Overrides<'a> {
    namespace: Option<&'a str>,
    key: Option<&'a str>,
    timeout: Option<&'a str>,
    redis: Redis<'a>,
    gateway: Gateway<'a>,
    log: Log<'a>,
}

#[derive(Default, Serialize)]
struct Redis<'a> {
    url: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Gateway<'a> {
    listen: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Log<'a> {
    level: Option<&'a str>,
}

impl Global {
    /// The configuration with these options on top.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        self.config_with(None, None)
    }

    /// The same for a gateway: what it listens on, and the Redis that it brings.
    pub(crate) fn config_with(&self, listen: Option<&str>, own_redis: Option<&str>) -> Result<Config, Failure> {
        Ok(self.loader(listen, own_redis).load()?)
    }

    /// What loads it, as often as wanted.
    pub(crate) fn loader(&self, listen: Option<&str>, own_redis: Option<&str>) -> Loader {
        let overrides = Overrides {
            namespace: self.namespace.as_deref(),
            key: self.key.as_deref(),
            timeout: self.timeout.as_deref(),
            redis: Redis { url: own_redis.or(self.redis.as_deref()) },
            gateway: Gateway { listen },
            log: Log { level: self.level() },
        };
        let loader = match &self.config {
            Some(file) => Config::loader().file(file),
            None => Config::loader(),
        };
        loader.overrides(overrides)
    }

    /// The same for a command that only looks: it says no more than warnings unless asked to.
    pub(crate) fn config_for_a_look(&self) -> Result<Config, Failure> {
        let mut config = self.config()?;
        let asked = self.level().is_some() || std::env::var_os("RUST_LOG").is_some_and(|level| !level.is_empty());
        if !asked {
            "warn".clone_into(&mut config.log.level);
        }
        Ok(config)
    }

    /// The option that sets `key`.
    pub(crate) fn flag_of(&self, key: &str) -> &'static str {
        match key {
            "namespace" => "--namespace",
            "key" => "--key",
            "timeout" => "--timeout",
            "redis.url" => "--redis",
            "gateway.listen" => "--listen",
            "log.level" if self.quiet => "--quiet",
            "log.level" => "--verbose",
            _ => "command line",
        }
    }

    /// Returns `true` if a Redis was named on the command line.
    pub(crate) fn names_redis(&self) -> bool {
        self.redis.is_some()
    }

    fn level(&self) -> Option<&'static str> {
        match (self.quiet, self.verbose) {
            (true, _) => Some("error"),
            (false, 0) => None,
            (false, 1) => Some("info,rachis=debug"),
            (false, _) => Some("debug,rachis=trace"),
        }
    }
}
