//! `rachis log`: how much a node says.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out},
};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  rachis log 01K8ZD3N9R debug            all of it
  rachis log 3N9R info,rachis=trace      the mesh's side of it
  rachis log 3N9R info                   as before
";

/// Let a node log by another level
///
/// Until its configuration changes or it is started anew. `rachis gateway` can do so, and programs that take `log.level` at
/// reload (`NodeBuilder::on_reload`). With --json: an object with node and level.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The node by its id, or by a unique end of it
    node: String,

    /// As `log.level` is written, e.g. debug or info,rachis=trace
    level: String,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let set = async {
        let known = observe::find(&node, &args.node)?;
        node.peer(&known.id).set_log_level(&args.level).await.map_err(|error| observe::unanswered(&error))?;
        Ok::<_, Failure>(known.id)
    };
    let set = set.await;
    observe::leave(node).await;
    let id = set?;
    if out.json {
        out.document(&json!({ "node": id, "level": args.level }))?;
    } else {
        out::say(&format!("{id} logs by {}", args.level));
    }
    Ok(Exit::Good)
}
