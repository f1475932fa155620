//! A call as it is typed: the words of `rachis call` and `rachis bench`.

use super::exit::Failure;
use rachis::{CallBuilder, Error, Id, Method, Node};
use serde_json::{Map, Value};
use std::io::Read;

/// What to call.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {
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

/// What was typed, understood.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) method: Method,
    id: Option<Id>,
    data: Option<Value>,
    query: Value,
}

impl Request {
    pub(crate) fn read(words: &Words) -> Result<Self, Failure> {
        let method = Method::from(words.method.as_str());
        let (id, data) = split(&method, words.first.as_deref(), words.second.as_deref())?;
        if data == Some("-") && words.query.as_deref() == Some("-") {
            return Err(Failure::usage("data and --query can not both be -: there is one stdin"));
        }
        let data = data.map(|text| json(text, "the data")).transpose()?;
        if matches!(method, Method::Update | Method::Patch) && !data.as_ref().is_some_and(Value::is_object) {
            return Err(Failure::usage(format!("{method} takes [ID] JSON, and the JSON is an object")));
        }
        let query = words.query.as_deref().map(|text| json(text, "--query")).transpose()?;
        if query.as_ref().is_some_and(|query| !query.is_object()) {
            return Err(Failure::usage("--query takes a JSON object such as '{\"$limit\":5}'"));
        }
        let query = query.unwrap_or_else(|| Map::new().into());
        Ok(Request { path: words.path.clone(), method, id: id.map(Id::from), data, query })
    }

    /// The call, ready to be made.
    pub(crate) fn call(&self, node: &Node) -> CallBuilder {
        let mut call = node.service(&self.path).method(self.method.clone());
        if let Some(id) = &self.id {
            call = call.id(id.clone());
        }
        if let Some(data) = &self.data {
            call = call.data(data.clone());
        }
        call.query(self.query.clone())
    }

    /// Returns the error for a path that no node serves.
    pub(crate) fn unserved(&self, node: &Node) -> Option<Error> {
        node.resolve(&self.path).is_none().then(|| unserved(&self.path, node))
    }
}

/// The error for a path that no node serves.
pub(crate) fn unserved(path: &str, node: &Node) -> Error {
    let known: Vec<String> = node.services().into_iter().map(|service| service.path).collect();
    let known = if known.is_empty() { "nothing is".to_owned() } else { format!("served are: {}", known.join(", ")) };
    let mesh = &node.config().namespace;
    Error::not_found(format!("No node serves '{path}' in the mesh {mesh:?}; {known}"))
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
