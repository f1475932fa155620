//! `rachis config`: what the configuration comes to, and whether it holds.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    log, observe,
    out::{self, Out},
};
use clap::Subcommand;
use rachis::{
    Config, Node,
    config::{Origin, Origins, SCHEMA, StartDelay},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
    /// Exits with 0 (valid) or 2 (invalid). With --json: an object with ok, warnings and, where it is not valid, error.
    /// Warnings name settings that are allowed and still break a promise, each with what follows.
    Check {
        /// Exit with 2 if there is a warning
        #[arg(long)]
        strict: bool,
        /// Check for a program without a gateway, which needs no secret of [gateway.auth]
        #[arg(long)]
        service: bool,
    },
    /// Print the outcome of all layers as TOML, or as JSON with --json; secrets as ***
    ///
    /// Each line says where its value comes from: a file and its line, an environment variable, or an option; the JSON
    /// says it in `origins`.
    Show,
    /// Print the JSON Schema of distribution.toml, for editors and checkers
    ///
    /// Save it beside the file, and let the file begin with the line `#:schema distribution.schema.json`.
    Schema,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    match args.what {
        What::Check { strict, service } => {
            let loaded = loaded(global).map(|(config, _)| config);
            check(tried(loaded, service).await, strict, out)
        }
        What::Show => show(&loaded(global)?, global, out),
        What::Schema => {
            out.lines(SCHEMA.trim_end())?;
            Ok(Exit::Good)
        }
    }
}

fn loaded(global: &Global) -> Result<(Config, Origins), Failure> {
    let loaded = global.loader(None, None).explain()?;
    log::filter(&loaded.0.log)?;
    Ok(loaded)
}

/// Takes the configuration as far as a gateway, or a `service` without one, goes before it connects.
async fn tried(config: Result<Config, Failure>, service: bool) -> Result<Config, Failure> {
    let config = config?;
    if !service {
        config.gateway.authenticates()?;
    }
    let idle = Config { start_delay: StartDelay::Manual, ..config.clone() };
    let node = Node::builder(idle).observer().start().await.map_err(|error| Failure::joining(&error))?;
    observe::leave(node).await;
    Ok(config)
}

fn check(config: Result<Config, Failure>, strict: bool, out: &mut Out) -> Result<Exit, Failure> {
    match config {
        Ok(config) => {
            let warnings = warnings(&config);
            let good = !strict || warnings.is_empty();
            if out.json {
                out.document(&json!({ "ok": good, "warnings": warnings }))?;
            } else {
                warn(&config);
                out.line(if good { "The configuration is good." } else { "The configuration has warnings." })?;
            }
            Ok(if good { Exit::Good } else { Exit::Usage })
        }
        Err(Failure::Said(exit, message)) if out.json => {
            out.document(&json!({ "ok": false, "warnings": [], "error": message }))?;
            Ok(exit)
        }
        Err(failure) => Err(failure),
    }
}

fn show((config, origins): &(Config, Origins), global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    warn(config);
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let mut shown = serde_json::to_value(config).map_err(|error| failed(&error))?;
    let named = |key: &str| match origins.of(key) {
        Origin::CommandLine => global.flag_of(key).to_owned(),
        origin => origin.to_string(),
    };
    if out.json {
        let set: BTreeMap<&str, String> = origins.iter().map(|(key, _)| (key, named(key))).collect();
        shown["origins"] = json!(set);
        out.document(&shown)?;
    } else {
        let mut lines = Vec::new();
        section("", &shown, &named, &mut lines).map_err(|error| failed(&error))?;
        out.lines(&lines.join("\n"))?;
    }
    Ok(Exit::Good)
}

/// The lines of one section and those below it; what is not set has none.
fn section(
    key: &str,
    values: &Value,
    origin: &impl Fn(&str) -> String,
    lines: &mut Vec<String>,
) -> Result<(), toml::ser::Error> {
    let Some(values) = values.as_object() else { return Ok(()) };
    let below = |name: &str| if key.is_empty() { toml_key(name) } else { format!("{key}.{}", toml_key(name)) };
    // TOML wants what is no section first.
    let (sections, plain): (Vec<_>, Vec<_>) = values.iter().partition(|(_, value)| value.is_object());
    let set: Vec<_> = plain.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if !key.is_empty() && !set.is_empty() {
        lines.extend([String::new(), format!("[{key}]")]);
    }
    for (name, value) in set {
        let value = toml::Value::try_from(value)?;
        lines.push(format!("{} = {value}  # {}", toml_key(name), origin(&below(name))));
    }
    sections.into_iter().try_for_each(|(name, values)| section(&below(name), values, origin, lines))
}

/// A name as TOML, and [`Origins`], write it.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}

/// What the layers brought, and what follows from their outcome.
fn warnings(config: &Config) -> Vec<String> {
    config.warnings.iter().cloned().chain(config.hazards()).collect()
}

fn warn(config: &Config) {
    for warning in warnings(config) {
        out::say(&format!("warning: {warning}"));
    }
}
