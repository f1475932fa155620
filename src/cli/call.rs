//! `rachis call`: one call, as any node would make it.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out},
};
use rachis::{Error, ErrorKind, Id, Method, Node, signal};
use serde_json::{Map, Value};
use std::io::Read;

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
/// The result goes to stdout as JSON, spread out on a terminal and on one line otherwise. An error goes to stderr with
/// its data; with --json it goes to stdout instead, as Feathers writes it, and the exit code tells it from a result.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service, e.g. todos or api/todos
    path: String,

    /// find, get, create, update, patch, remove or a method of the service's own
    method: String,

    /// The record: for get, update, patch and remove, not for the others
    ///
    /// Without it, update, patch and remove are about every record that the query chooses, if the service allows that.
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    first: Option<String>,

    /// The data: for create, update, patch and methods of the service's own; - is stdin
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    second: Option<String>,

    /// The query, a JSON object; - is stdin
    #[arg(long, value_name = "JSON")]
    query: Option<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let call = Call::read(args)?;
    let node = observe::join(global).await?;
    // Interrupted, the request is taken back unless somebody has begun with it.
    let outcome = tokio::select! {
        outcome = call.make(&node) => Some(outcome),
        () = signal() => None,
    };
    observe::leave(node).await;
    match outcome {
        Some(Ok(result)) => {
            out.value(&result)?;
            Ok(Exit::Good)
        }
        Some(Err((exit, error))) => {
            tell(&error, out)?;
            Ok(exit)
        }
        None => Err(Failure::failed("interrupted before an answer came")),
    }
}

/// What was typed, understood.
struct Call {
    path: String,
    method: Method,
    id: Option<Id>,
    data: Option<Value>,
    query: Option<Value>,
}

impl Call {
    fn read(args: &Args) -> Result<Self, Failure> {
        let method = Method::from(args.method.as_str());
        let (id, data) = split(&method, args.first.as_deref(), args.second.as_deref())?;
        if data == Some("-") && args.query.as_deref() == Some("-") {
            return Err(Failure::usage("data and --query can not both be -: there is one stdin"));
        }
        let data = data.map(|text| json(text, "the data")).transpose()?;
        if matches!(method, Method::Update | Method::Patch) && !data.as_ref().is_some_and(Value::is_object) {
            return Err(Failure::usage(format!("{method} takes [ID] JSON, and the JSON is an object")));
        }
        let query = args.query.as_deref().map(|text| json(text, "--query")).transpose()?;
        if query.as_ref().is_some_and(|query| !query.is_object()) {
            return Err(Failure::usage("--query takes a JSON object such as '{\"$limit\":5}'"));
        }
        Ok(Call { path: args.path.clone(), method, id: id.map(Id::from), data, query })
    }

    async fn make(self, node: &Node) -> Result<Value, (Exit, Error)> {
        if node.resolve(&self.path).is_none() {
            return Err((Exit::NoAnswer, nobody(&self.path, node)));
        }
        let mut call = node.service(&self.path).method(self.method);
        if let Some(id) = self.id {
            call = call.id(id);
        }
        if let Some(data) = self.data {
            call = call.data(data);
        }
        call.query(self.query.unwrap_or_else(|| Map::new().into())).await.map_err(|error| {
            let exit = if error.kind() == ErrorKind::Timeout { Exit::NoAnswer } else { Exit::Failed };
            (exit, error)
        })
    }
}

/// Which of the words is the id and which the data.
fn split<'a>(
    method: &Method,
    first: Option<&'a str>,
    second: Option<&'a str>,
) -> Result<(Option<&'a str>, Option<&'a str>), Failure> {
    match (method, first, second) {
        (Method::Find | Method::Remove | Method::Custom(_), None, None) => Ok((None, None)),
        (Method::Get | Method::Remove, Some(_), None) => Ok((first, None)),
        (Method::Create | Method::Update | Method::Patch | Method::Custom(_), Some(_), None) => Ok((None, first)),
        (Method::Update | Method::Patch, Some(_), Some(_)) => Ok((first, second)),
        _ => Err(Failure::usage(format!("{method} takes {}", takes(method)))),
    }
}

fn takes(method: &Method) -> &'static str {
    match method {
        Method::Find => "neither ID nor JSON: choose records by --query",
        Method::Get => "an ID",
        Method::Create => "JSON",
        Method::Update | Method::Patch => "[ID] JSON",
        Method::Remove => "[ID]",
        Method::Custom(_) => "[JSON]",
    }
}

fn json(text: &str, what: &str) -> Result<Value, Failure> {
    let mut piped = String::new();
    let text = if text == "-" {
        std::io::stdin().read_to_string(&mut piped)?;
        &piped
    } else {
        text
    };
    serde_json::from_str(text).map_err(|error| Failure::usage(format!("{what} is no JSON ({error})")))
}

fn nobody(path: &str, node: &Node) -> Error {
    let known: Vec<String> = node.services().into_iter().map(|service| service.path).collect();
    let known = if known.is_empty() { "nothing is".to_owned() } else { format!("served are: {}", known.join(", ")) };
    Error::not_found(format!("Nobody serves '{path}' in the mesh {:?}; {known}", node.config().namespace))
}

fn tell(error: &Error, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return Ok(out.document(error)?);
    }
    out::say(&out::plain(&error.to_string()));
    for (name, value) in [("data", error.data()), ("errors", error.errors())] {
        if let Some(value) = value {
            out::say(&format!("{name}: {value}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of<'a>(method: &str, words: &[&'a str]) -> Option<(Option<&'a str>, Option<&'a str>)> {
        split(&Method::from(method), words.first().copied(), words.get(1).copied()).ok()
    }

    #[test]
    fn the_method_says_what_the_words_are() {
        assert_eq!(split_of("find", &[]), Some((None, None)));
        assert_eq!(split_of("get", &["1"]), Some((Some("1"), None)));
        assert_eq!(split_of("create", &["{}"]), Some((None, Some("{}"))));
        assert_eq!(split_of("update", &["1", "{}"]), Some((Some("1"), Some("{}"))));
        assert_eq!(split_of("patch", &["{}"]), Some((None, Some("{}"))));
        assert_eq!(split_of("patch", &["1", "{}"]), Some((Some("1"), Some("{}"))));
        assert_eq!(split_of("remove", &[]), Some((None, None)));
        assert_eq!(split_of("remove", &["1"]), Some((Some("1"), None)));
        assert_eq!(split_of("shout", &["{}"]), Some((None, Some("{}"))));
    }

    #[test]
    fn words_that_a_method_does_not_take_are_refused() {
        for (method, words) in [
            ("find", &["1"][..]),
            ("get", &[]),
            ("get", &["1", "{}"]),
            ("create", &[]),
            ("create", &["1", "{}"]),
            ("update", &[]),
            ("patch", &[]),
            ("remove", &["1", "{}"]),
            ("shout", &["1", "{}"]),
        ] {
            assert_eq!(split_of(method, words), None, "{method} {words:?}");
        }
    }
}
