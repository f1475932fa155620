//! `rachis openapi`: what the services of the mesh offer, as OpenAPI.

use super::{Exit, exit::Failure, global::Global, observe, out::Out};
use rachis::gateway::openapi;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  rachis openapi --out openapi.json
  rachis openapi --server https://api.example.org | jq '.paths | keys'
";

/// Describe the services that can be called, as OpenAPI 3.1
///
/// It is the document that a gateway with this configuration serves at `gateway.openapi`, made from the live mesh: what
/// `remote_services` leaves out is not in it. Services without schemas are described as taking anything.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The URL below which the services are [default: `gateway.prefix`]
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Write it to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let server = args.server.clone().unwrap_or_else(|| node.config().gateway.prefix.clone());
    let document = openapi::describe(&node, &server).await;
    observe::leave(node).await;
    let document = document.map_err(|error| Failure::failed(error.message()))?;
    match &args.out {
        Some(file) => write(file, &format!("{document:#}\n"))?,
        None => out.value(&document)?,
    }
    Ok(Exit::Good)
}

/// Writes `text` to a file, for a command that was told to.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::failed(format!("can not write {} ({error})", file.display())))
}
