//! `rachis call`: one call, as any node would make it.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out},
    plain,
    request::{Request, Words},
};
use rachis::{Answer, Error, ErrorKind, Node, mask_secrets, signal};
use serde_json::Value;

const EXAMPLES: &str = "\
Examples:
  rachis call todos find --query '{\"done\":false,\"$limit\":5}'
  rachis call todos get 7
  rachis call todos create '{\"text\":\"write\"}'
  rachis call todos patch 7 '{\"done\":true}'
  rachis call todos patch '{\"done\":true}' --query '{\"owner\":3}'   (many)
  rachis call mailer send - < letter.json                         (a method of its own)
";

/// Call a method of a service
///
/// It is made as code makes it, and shown as a client sees it: without fields that the service hides, and with *** in
/// place of what its name tells to be secret, unless --reveal is given. The result goes to stdout as JSON, spread out on a terminal and on one line otherwise. An error goes to stderr with
/// its data; with --json it goes to stdout instead, as Feathers writes it, and the exit code tells it from a result.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    words: Words,

    /// Show what the service hides from clients, and secrets
    #[arg(long)]
    reveal: bool,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let request = Request::read(&args.words)?;
    let node = observe::join(global).await?;
    // Interrupted, the request is taken back unless a replica has begun it.
    let outcome = tokio::select! {
        outcome = make(&request, &node) => Some(outcome),
        () = signal() => None,
    };
    observe::leave(node).await;
    match outcome {
        Some(Ok(answer)) => {
            out.value(&if args.reveal { answer.result } else { masked(answer.external()) })?;
            Ok(Exit::Good)
        }
        Some(Err((exit, error))) => {
            tell(&error, args.reveal, out)?;
            Ok(exit)
        }
        None => Err(Failure::failed("interrupted before an answer came")),
    }
}

async fn make(request: &Request, node: &Node) -> Result<Answer, (Exit, Error)> {
    if let Some(error) = request.unserved(node) {
        return Err((Exit::NoAnswer, error));
    }
    request.call(node).answer().await.map_err(|error| {
        let exit = if error.kind() == ErrorKind::Timeout { Exit::NoAnswer } else { Exit::Failed };
        (exit, error)
    })
}

/// Without secrets.
pub(super) fn masked(mut value: Value) -> Value {
    mask_secrets(&mut value);
    value
}

fn tell(error: &Error, reveal: bool, out: &mut Out) -> Result<(), Failure> {
    let shown = |value: &Value| if reveal { value.clone() } else { masked(value.clone()) };
    if out.json {
        return Ok(out.document(&shown(&error.to_json()))?);
    }
    out::say(&error.to_string());
    for (name, value) in [("data", error.data()), ("errors", error.errors())] {
        if let Some(value) = value {
            out::say(&format!("{name}: {}", plain::json(&shown(value))?));
        }
    }
    Ok(())
}
