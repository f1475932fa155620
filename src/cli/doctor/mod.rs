//! `rachis doctor`: what is wrong, or will be soon, and what to do.

mod finding;
mod mesh;
mod server;

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{BAD, DIM, GOOD, Out},
};
use finding::{Findings, Level};
use rachis::config::Config;
use serde_json::json;

/// Look for what is wrong with the mesh, its Redis and the configuration
///
/// Reads the configuration; asks Redis for its version, memory, policy, persistence, clock and latency; and looks for nodes
/// that do not answer, for limits near their end, and for what nodes that are gone have left. It changes nothing. Each
/// finding says what to do.
///
/// Ends with 1 if something is wrong, with --strict also if something may become so, and with 2 or 3 if the configuration or
/// Redis keeps it from looking. With --json: an object with ok and findings, each with level (good, warning, bad), about,
/// found and, unless good, advice.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exit with 1 if there is a warning
    #[arg(long)]
    strict: bool,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    let outcome = examine(global, &mut findings).await;
    let end = match outcome {
        Ok(()) => None,
        Err(Failure::Said(exit, message)) => {
            let (about, advice) = match exit {
                Exit::Usage => ("configuration", "correct it; `rachis config show` tells where each value comes from"),
                _ => (
                    "redis",
                    "see that it runs, that redis.url leads to it, and that its user may do what docs/security.md lists",
                ),
            };
            findings.bad(about, message, advice);
            Some(exit)
        }
        Err(failure) => return Err(failure),
    };
    let worst = findings.worst();
    let good = worst == Level::Good || (worst == Level::Warning && !args.strict);
    if out.json {
        out.document(&json!({ "ok": good, "findings": findings.all() }))?;
    } else {
        show(&findings, out)?;
    }
    Ok(end.unwrap_or(if good { Exit::Good } else { Exit::Failed }))
}

async fn examine(global: &Global, findings: &mut Findings) -> Result<(), Failure> {
    let config = global.config()?;
    of_configuration(&config, findings);
    let node = observe::join(global).await?;
    server::examine(&node, findings).await;
    mesh::examine(&node, findings).await;
    observe::leave(node).await;
    Ok(())
}

fn of_configuration(config: &Config, findings: &mut Findings) {
    let warnings: Vec<String> = config.warnings.iter().cloned().chain(config.hazards()).collect();
    if warnings.is_empty() {
        findings.good("configuration", "it holds together".into());
    }
    for warning in warnings {
        findings.warning("configuration", warning, "`rachis config show` tells where each value comes from");
    }
}

fn show(findings: &Findings, out: &mut Out) -> Result<(), Failure> {
    for finding in findings.all() {
        let style = if finding.level == Level::Good { GOOD } else { BAD };
        let level = out.paint(style, finding.level.word());
        out.line(level.then(format!("{}: {}", finding.about, finding.found)))?;
        if let Some(advice) = finding.advice {
            let advice = out.paint(DIM, advice);
            out.line(out.paint(DIM, "        ").then(advice))?;
        }
    }
    Ok(())
}
