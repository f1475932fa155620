//! `rachis types`: types of the services, for the official Feathers client in TypeScript.

mod schema;
mod services;

use super::{Exit, exit::Failure, global::Global, observe, openapi::write, out::Out};
use rachis::gateway::openapi;
use serde_json::Value;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  rachis types --out services.ts
  rachis types --from openapi.json --out services.ts      (no mesh needed)

  import { feathers } from '@feathersjs/feathers'
  import type { ServiceTypes } from './services.js'
  const app = feathers<ServiceTypes>()
";

/// Write the types of all services, in TypeScript
///
/// `ServiceTypes` is for the official Feathers client: paths, records, data, queries with their operators, custom methods
/// and events, with the descriptions of their schemas. It is made from the live mesh, or from a document of `rachis openapi`
/// or a gateway. A service without schemas takes and returns `any`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Read this OpenAPI document, of `rachis openapi` or a gateway, instead of the mesh
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Write them to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let document = match &args.from {
        Some(file) => read(file)?,
        None => live(global).await?,
    };
    let types = services::types(&document).ok_or_else(|| {
        Failure::usage("the document has no x-rachis-services: take one of `rachis openapi`, or of a gateway")
    })?;
    match &args.out {
        Some(file) => write(file, &types)?,
        None if out.json => out.document(&types)?,
        None => out.lines(types.trim_end())?,
    }
    Ok(Exit::Good)
}

async fn live(global: &Global) -> Result<Value, Failure> {
    let node = observe::join(global).await?;
    let document = openapi::describe(&node, "/").await;
    observe::leave(node).await;
    document.map_err(|error| Failure::failed(error.message()))
}

fn read(file: &Path) -> Result<Value, Failure> {
    let wrong = |why: String| Failure::usage(format!("can not read {} ({why})", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}
