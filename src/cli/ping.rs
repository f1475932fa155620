//! `rachis ping`: which nodes answer, and how fast.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out, latency},
};
use futures_util::future::join_all;
use rachis::NodeInfo;
use serde_json::json;

/// Ask nodes whether they are there, and measure the way
///
/// The question goes through Redis to the program's runtime and back, so the time is what a call takes that does nothing.
/// Ends with 4 if a node did not answer within --timeout. With --json: an array of objects with id, app and, of those that
/// answered, microseconds, else error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes by their ids, or by unique ends of these [default: all]
    node: Vec<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let asked = match args.node.iter().map(|end| observe::find(&node, end)).collect::<Result<Vec<NodeInfo>, _>>() {
        Ok(named) if named.is_empty() => node.nodes(),
        Ok(named) => named,
        Err(failure) => {
            observe::leave(node).await;
            return Err(failure);
        }
    };
    let took = join_all(asked.iter().map(async |known| node.peer(&known.id).ping().await)).await;
    let namespace = node.config().namespace.clone();
    observe::leave(node).await;
    let all = took.iter().all(Result::is_ok);
    if out.json {
        let told = asked.iter().zip(&took).map(|(known, took)| match took {
            Ok(took) => json!({ "id": known.id, "app": known.app, "microseconds": micros(*took) }),
            Err(error) => json!({ "id": known.id, "app": known.app, "error": error.message() }),
        });
        out.document(&told.collect::<Vec<_>>())?;
    } else if asked.is_empty() {
        out::say(&format!("no nodes in the mesh {namespace:?}"));
    } else {
        let row = |known: &NodeInfo, took: &rachis::Result<_>| {
            let took = took.as_ref().map_or_else(|error| error.message().to_owned(), |took| latency(*took));
            [known.id.clone(), known.app.clone(), known.host.clone(), took]
        };
        let rows = asked.iter().zip(&took).map(|(known, took)| row(known, took)).collect();
        out.table(["NODE", "APP", "HOST", "ANSWER"], rows)?;
    }
    Ok(if all { Exit::Good } else { Exit::NoAnswer })
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
