//! The command line: what was typed, one file per command, and what they share.
//!
//! Data goes to stdout, talk to stderr.

mod bench;
mod call;
mod completions;
mod config;
mod dead;
mod doctor;
mod drain;
mod exit;
mod gateway;
mod global;
mod health;
mod info;
mod init;
mod level;
mod log;
mod man;
mod nodes;
mod observe;
mod openapi;
mod out;
mod ping;
mod plain;
mod queues;
mod request;
mod services;
mod stats;
mod tap;
mod types;
mod watch;

pub(crate) use exit::Exit;

use clap::{CommandFactory, Parser, Subcommand};
use exit::Failure;
use global::Global;
use out::Out;
use rachis::config::RedisUrl;
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  rachis gateway --dev                          a gateway with a Redis of its own, to try things
  rachis services                               what can be called
  rachis call todos find --query '{\"$limit\":5}' call it
  rachis watch todos                            what happens in the mesh, and to the todos

Configuration: defaults, then distribution.toml in the current directory (or --config), then environment variables
(REDIS_URL, DISTRIBUTION_NAMESPACE, DISTRIBUTION__SECTION__KEY ...), then these options. `rachis config show` prints
the outcome.
";

/// Services that find each other over one Redis: serve them over HTTP, look at them, call them
#[derive(Debug, Parser)]
#[command(name = "rachis", version, max_term_width = 100, after_long_help = format!("{EXAMPLES}\n{}", Exit::table()))]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Gateway(gateway::Args),
    Nodes(nodes::Args),
    Services(services::Args),
    Info(info::Args),
    Stats(stats::Args),
    Queues(queues::Args),
    Ping(ping::Args),
    Call(call::Args),
    Bench(bench::Args),
    Openapi(openapi::Args),
    Types(types::Args),
    Watch(watch::Args),
    Tap(tap::Args),
    Dead(dead::Args),
    Drain(drain::Args),
    #[command(name = "log")]
    Level(level::Args),
    Health(health::Args),
    Config(config::Args),
    Doctor(doctor::Args),
    Init(init::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Reads what was typed.
///
/// # Errors
/// Help, or what is wrong. It quotes words, which may come from elsewhere: of those that a terminal would obey, it quotes
/// what stands for them.
pub(crate) fn read() -> Result<Args, clap::Error> {
    let words: Vec<OsString> = std::env::args_os().collect();
    Args::try_parse_from(&words).map_err(|error| {
        if !words.iter().any(|word| word.to_string_lossy().contains(plain::is_unsafe)) {
            return error;
        }
        let plain = words.iter().map(|word| plain::plain(&word.to_string_lossy()));
        Args::try_parse_from(plain).err().unwrap_or_else(|| clap::Error::new(error.kind()).with_cmd(&Args::command()))
    })
}

/// Prints help, or what is wrong with the command line.
pub(crate) fn tell(message: &clap::Error) -> Exit {
    if !message.use_stderr() {
        // Where stderr is closed, that can not be reported either.
        let _ = message.print();
        return Exit::Good;
    }
    // The parser quotes what it does not understand, which may be a URL with a password that lost its --redis.
    let words = std::env::args_os().filter_map(|word| word.into_string().ok());
    let urls: Vec<String> = words.filter(|word| word.contains("://")).collect();
    if urls.is_empty() {
        let _ = message.print();
    } else {
        let hide = |text: String, url: &String| text.replace(url, &RedisUrl::from(url.as_str()).to_string());
        out::say_lines(urls.iter().fold(message.to_string(), hide).trim_end());
    }
    Exit::Usage
}

/// Runs what was asked for and says on stderr why it did not work.
pub(crate) fn run(args: &Args) -> Exit {
    let mut out = Out::stdout(args.global.json);
    let outcome = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(args.command.run(&args.global, &mut out)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(exit) => exit,
        Err(Failure::BrokenPipe) => Exit::Good,
        // What is wrong with a file is shown with its place in it.
        Err(Failure::Said(Exit::Usage, message)) => {
            out::say_lines(&format!("error: {message}"));
            Exit::Usage
        }
        Err(Failure::Said(exit, message)) => {
            out::say(&format!("error: {message}"));
            exit
        }
    }
}

impl Command {
    async fn run(&self, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
        match self {
            Command::Gateway(args) => gateway::run(args, global, out).await,
            Command::Nodes(args) => nodes::run(args, global, out).await,
            Command::Services(args) => services::run(args, global, out).await,
            Command::Info(args) => info::run(args, global, out).await,
            Command::Stats(args) => stats::run(args, global, out).await,
            Command::Queues(args) => queues::run(args, global, out).await,
            Command::Ping(args) => ping::run(args, global, out).await,
            Command::Call(args) => call::run(args, global, out).await,
            Command::Bench(args) => bench::run(args, global, out).await,
            Command::Openapi(args) => openapi::run(args, global, out).await,
            Command::Types(args) => types::run(args, global, out).await,
            Command::Watch(args) => watch::run(args, global, out).await,
            Command::Tap(args) => tap::run(args, global, out).await,
            Command::Dead(args) => dead::run(args, global, out).await,
            Command::Drain(args) => drain::run(args, global, out).await,
            Command::Level(args) => level::run(args, global, out).await,
            Command::Health(args) => health::run(args, global, out).await,
            Command::Config(args) => config::run(args, global, out).await,
            Command::Doctor(args) => doctor::run(args, global, out).await,
            Command::Init(args) => init::run(args, out),
            Command::Completions(args) => completions::run(args, out),
            Command::Man(args) => man::run(args, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }
}
