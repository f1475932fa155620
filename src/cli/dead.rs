//! `rachis dead`: requests that no replica could finish.

mod replay;
mod show;

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out, age},
};
use clap::Subcommand;
use rachis::{DeadLetter, Error, ErrorKind, Node};
use serde_json::json;
use std::collections::BTreeSet;

const EXAMPLES: &str = "\
Examples:
  rachis dead list                          those of every app
  rachis dead show shop 1763796000000-0     one, with data and query
  rachis dead replay shop 1763796000000-0   make its call again
  rachis dead drop shop --all               throw all of them away
";

/// Look at dead letters, make their calls again, throw them away
///
/// A request becomes a dead letter when it was given out `limits.max_deliveries` times and no replica finished it, or
/// when none could read it. Credentials are not kept with it. APP is an app of the partition key (--key), or KEY/APP.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List dead letters, the newest first
    ///
    /// Without APP: those of all apps that the mesh knows of, which are those with nodes and those that linger. Where an app
    /// has more than --limit, stderr says so. With --json: an array of what `show --json` prints.
    List {
        /// Whose
        app: Option<String>,

        /// How many of each app at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },

    /// Show one, with what it asked for
    ///
    /// What is secret by its name is shown as ***. The id of a letter of any partition but the first ends with a point and
    /// the partition's number. With --json: an object with id, key, app, reason, deliveries, queued
    /// and buried (ms since 1970), replica (the one that had it last), buried_by, size (bytes) and call, which is null for
    /// a request that could not be read: path, method, id, data, query, route, provider, user, headers, extra,
    /// idempotency_key and caller.
    Show {
        /// Whose
        app: String,

        /// Which
        id: String,
    },

    /// Make the call again, and show what comes of it
    ///
    /// It is a new call by the same user, with --timeout. The letter goes when it was answered, or refused by the service
    /// itself (400 to 499, but for 401, 404, 405, 408 and 429); else it stays. Whether the first call ran in part is not
    /// known: look before you replay a create. The result goes to stdout as with `rachis call`, for --all after its
    /// letter's id, the oldest first. With --json: an object with id, removed and result or error; for --all, one a line.
    Replay(Which),

    /// Throw letters away
    ///
    /// With --json: an object with dropped, how many there were.
    Drop(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Whose
    app: String,

    /// Which
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,

    /// All of the app
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let outcome = match &args.what {
        What::List { app, limit } => list(&node, app.as_deref(), *limit as usize, out).await,
        What::Show { app, id } => show::show(&node.dead_letters(app), id, out).await,
        What::Replay(which) => replay::replay(&node.dead_letters(&which.app), which.id.as_deref(), out).await,
        What::Drop(which) => drop_letters(&node, which, out).await,
    };
    observe::leave(node).await;
    outcome
}

async fn list(node: &Node, app: Option<&str>, limit: usize, out: &mut Out) -> Result<Exit, Failure> {
    let apps = app.map_or_else(|| known_apps(node), |app| vec![app.to_owned()]);
    let mut letters = Vec::new();
    for app in &apps {
        let mut found = node.dead_letters(app).list(limit.saturating_add(1)).await.map_err(failed)?;
        if found.len() > limit {
            found.truncate(limit);
            out::say(&format!("{app} has more than these {limit}: --limit shows them"));
        }
        letters.extend(found);
    }
    // Of ids that are times, the larger is the newer.
    letters.sort_by_key(|letter: &DeadLetter| std::cmp::Reverse(letter.set_aside));
    if out.json {
        out.document(&letters)?;
    } else if letters.is_empty() {
        let whose = app.map_or_else(String::new, |app| format!(" of app {app:?}"));
        out::say(&format!("no dead letters{whose} in the mesh {:?}", node.config().namespace));
    } else {
        let header = ["ID", "APP", "CALL", "DELIVERIES", "AGE", "REASON"];
        out.table(header, letters.iter().map(row).collect())?;
    }
    Ok(Exit::Good)
}

fn row(letter: &DeadLetter) -> [String; 6] {
    [
        letter.id.clone(),
        format!("{}/{}", letter.key, letter.app),
        letter.call.as_ref().map_or_else(|| "-".to_owned(), |call| format!("{} {}", call.path, call.method)),
        letter.deliveries.to_string(),
        age(letter.set_aside),
        letter.reason.clone(),
    ]
}

fn known_apps(node: &Node) -> Vec<String> {
    let up = node.nodes().into_iter().map(|node| format!("{}/{}", node.key, node.app));
    let offering = node.services().into_iter().map(|service| format!("{}/{}", service.key, service.app));
    up.chain(offering).collect::<BTreeSet<_>>().into_iter().collect()
}

async fn drop_letters(node: &Node, which: &Which, out: &mut Out) -> Result<Exit, Failure> {
    let letters = node.dead_letters(&which.app);
    let dropped = match &which.id {
        None => letters.clear().await.map_err(failed)?,
        Some(id) => {
            // So that a mistyped id is told from one that is gone now.
            letters.get(id).await.map_err(failed)?;
            u64::from(letters.remove(id).await.map_err(failed)?)
        }
    };
    if out.json {
        out.document(&json!({ "dropped": dropped }))?
    } else {
        out::say(&format!("dropped: {dropped}"))
    }
    Ok(Exit::Good)
}

fn failed(error: Error) -> Failure {
    let exit = if error.kind() == ErrorKind::Unavailable { Exit::NoRedis } else { Exit::Failed };
    Failure::Said(exit, error.message().to_owned())
}
