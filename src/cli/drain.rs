//! `rachis drain`: lets one node leave.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out},
};
use futures_util::StreamExt;
use rachis::{Change, Node};
use serde_json::json;

/// Tell a node to leave the mesh in good order
///
/// It takes no more calls, ends those that run, and leaves. A program that waits for a signal by `run_until_signal`, and
/// `rachis gateway`, end then; whatever supervises them may start them anew. Waits until the node has left, for --timeout at
/// most. With --json: an object with node and left.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node by its id, or by a unique end of it
    node: String,

    /// Do not wait until it has left
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let left = drain(&node, args).await;
    observe::leave(node).await;
    let (id, left) = left?;
    if out.json {
        out.document(&json!({ "node": id, "left": left }))?;
    } else if left {
        out::say(&format!("{id} has left"));
    } else {
        out::say(&format!("{id} drains"));
    }
    Ok(if left || args.no_wait { Exit::Good } else { Exit::NoAnswer })
}

async fn drain(node: &Node, args: &Args) -> Result<(String, bool), Failure> {
    let known = observe::find(node, &args.node)?;
    let mut changes = node.changes();
    node.peer(&known.id).drain().await.map_err(|error| observe::unanswered(&error))?;
    if args.no_wait {
        return Ok((known.id, false));
    }
    let left = async {
        while let Some(change) = changes.next().await {
            if matches!(&change, Change::NodeDown(down) if down.id == known.id) {
                return true;
            }
        }
        false
    };
    let left = tokio::time::timeout(node.config().timeout, left).await.unwrap_or(false);
    Ok((known.id, left))
}
