//! `rachis config`: what the configuration comes to, and whether it holds.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    log, observe,
    out::{self, Out},
};
use clap::Subcommand;
use rachis::{Config, Node, config::StartDelay};
use serde_json::json;

/// Check or print the configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read all layers and say what is wrong, without connecting to anything
    ///
    /// Ends with 0 or 2. With --json: an object with ok, warnings and, where it is not, error.
    Check,
    /// Print the outcome of all layers as TOML, or as JSON with --json; secrets as ***
    Show,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let config = global.config().and_then(|config| log::filter(&config.log).map(|_| config));
    match args.what {
        What::Check => check(tried(config).await, out),
        What::Show => show(&config?, out),
    }
}

/// Takes the configuration as far as a gateway goes before it connects.
async fn tried(config: Result<Config, Failure>) -> Result<Config, Failure> {
    let config = config?;
    config.gateway.authenticates()?;
    let idle = Config { start_delay: StartDelay::Manual, ..config.clone() };
    let node = Node::builder(idle).observer().start().await.map_err(|error| Failure::joining(&error))?;
    observe::leave(node).await;
    Ok(config)
}

fn check(config: Result<Config, Failure>, out: &mut Out) -> Result<Exit, Failure> {
    match config {
        Ok(config) if out.json => out.document(&json!({ "ok": true, "warnings": config.warnings }))?,
        Ok(config) => {
            warn(&config);
            out.line("The configuration is good.")?;
        }
        Err(Failure::Said(exit, message)) if out.json => {
            out.document(&json!({ "ok": false, "warnings": [], "error": message }))?;
            return Ok(exit);
        }
        Err(failure) => return Err(failure),
    }
    Ok(Exit::Good)
}

fn show(config: &Config, out: &mut Out) -> Result<Exit, Failure> {
    warn(config);
    if out.json {
        out.document(config)?;
    } else {
        let text = toml::to_string(config).map_err(|error| Failure::failed(error.to_string()))?;
        out.line(text.trim_end())?;
    }
    Ok(Exit::Good)
}

fn warn(config: &Config) {
    for warning in &config.warnings {
        out::say(&format!("warning: {warning}"));
    }
}
