//! One call of a client, from its arguments to its answer.

use super::Realtime;
use crate::{
    channels::Connection,
    http::{refusal, reply, target},
};
use futures_util::FutureExt;
use rachis_core::{
    Call, Error, Id, Method, Params, Query, Result,
    host::{excerpt, not_offered},
};
use serde_json::Value;
use std::{panic::AssertUnwindSafe, sync::Arc};

/// Runs the call in a message: the name of a method, and its arguments.
///
/// # Errors
/// Those of the call, and of a message that is none.
pub(super) async fn answer(
    realtime: &Arc<Realtime>,
    connection: &Connection,
    content: Result<(String, Vec<Value>)>,
) -> Result<Value> {
    let (method, arguments) = content?;
    let answer = AssertUnwindSafe(run(realtime, connection, method.into(), arguments)).catch_unwind().await;
    // What panicked is in the log, by the panic hook; the client learns nothing of it.
    answer.unwrap_or_else(|_| Err(Error::general("The server failed at this request")))
}

/// The checks are in the order of Feathers' servers, and so are their words, but that a stranger to a guarded service is told
/// that first.
async fn run(
    realtime: &Arc<Realtime>,
    connection: &Connection,
    method: Method,
    arguments: Vec<Value>,
) -> Result<Value> {
    let mut arguments = arguments.into_iter();
    let Some(Value::String(path)) = arguments.next() else {
        return Err(Error::not_found("Invalid service path"));
    };
    let unknown = || Error::not_found(format!("Service '{}' not found", excerpt(&path)));
    let found = realtime.node.resolve(&path);
    let service = found.ok_or_else(|| target::away(&realtime.node, &path).unwrap_or_else(unknown))?;
    if !service.descriptor.methods.contains(&method) {
        let caller = || Ok(params(connection, Query::default()));
        let error = not_offered(&method, &path);
        return Err(refusal::of(&realtime.node, &service, &path, None, caller, error).await);
    }
    let Arguments { id, data, query } = match Arguments::read(&method, arguments.collect()) {
        Ok(arguments) => arguments,
        Err(error) => {
            let caller = || Ok(params(connection, Query::default()));
            return Err(refusal::of(&realtime.node, &service, &path, Some(&method), caller, error).await);
        }
    };
    let params = params(connection, query);
    let call = Call { id, data, params, ..Call::new(path, method) };
    let answer = realtime.call(Box::new(call), Some(connection)).await?;
    // Unlike over REST, an external view that JavaScript takes for false counts as none.
    Ok(answer.dispatch.filter(|dispatch| !reply::is_falsy(dispatch)).unwrap_or(answer.result))
}

/// What goes with every call of this socket. Whether its credentials are good is for hooks to decide.
fn params(connection: &Connection, query: Query) -> Params {
    let mut params = Params {
        query,
        provider: Some("socketio".into()),
        headers: connection.shared_headers(),
        authentication: connection.authentication(),
        user: connection.user(),
        ip: connection.ip(),
        ..Params::default()
    };
    params.extensions.insert(connection.clone());
    params
}

/// What follows the path.
#[derive(Debug, Default, PartialEq)]
struct Arguments {
    id: Option<Id>,
    data: Value,
    query: Query,
}

impl Arguments {
    /// # Errors
    /// `BadRequest` for more arguments than the method has, an id that is none, and a query that is no object.
    fn read(method: &Method, arguments: Vec<Value>) -> Result<Arguments> {
        let takes_id = matches!(method, Method::Get | Method::Update | Method::Patch | Method::Remove);
        let takes_data = !matches!(method, Method::Find | Method::Get | Method::Remove);
        if arguments.len() > usize::from(takes_id) + usize::from(takes_data) + 1 {
            return Err(Error::bad_request(format!("Too many arguments for '{method}' method")));
        }
        let mut arguments = arguments.into_iter();
        let id = if takes_id { arguments.next().map_or(Ok(None), read_id)? } else { None };
        let data = if takes_data { arguments.next().unwrap_or_default() } else { Value::Null };
        let query = arguments.next().map_or(Ok(Query::default()), read_query)?;
        Ok(Arguments { id, data, query })
    }
}

/// `null` stands for many records.
fn read_id(id: Value) -> Result<Option<Id>> {
    match Id::from_json(&id) {
        None if !id.is_null() => Err(Error::bad_request("An id must be a string or a number")),
        id => Ok(id),
    }
}

/// Anything else than an object is refused: taken for an empty one, it would choose every record there is.
fn read_query(query: Value) -> Result<Query> {
    match query {
        Value::Object(fields) => Ok(fields.into()),
        Value::Null => Ok(Query::default()),
        _ => Err(Error::bad_request("The query must be an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(method: &str, arguments: Value) -> Result<Arguments> {
        let Value::Array(arguments) = arguments else { unreachable!("tests pass arrays") };
        Arguments::read(&method.into(), arguments)
    }

    #[test]
    fn every_method_has_its_order_of_arguments() {
        let query = json!({ "q": 1 });
        for (method, arguments, id, data) in [
            ("find", json!([query]), None, Value::Null),
            ("get", json!([1, query]), Some(Id::from(1)), Value::Null),
            ("create", json!([[2], query]), None, json!([2])),
            ("update", json!(["x", {"d": 1}, query]), Some(Id::from("x")), json!({"d": 1})),
            ("patch", json!([null, {"d": 1}, query]), None, json!({"d": 1})),
            ("remove", json!([null, query]), None, Value::Null),
            ("shout", json!(["text", query]), None, json!("text")),
        ] {
            let expected = Arguments { id, data, query: query.clone().into() };
            assert_eq!(read(method, arguments), Ok(expected), "{method}");
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_empty() {
        for method in ["find", "get", "create", "update", "patch", "remove", "shout"] {
            assert_eq!(read(method, json!([])), Ok(Arguments::default()), "{method}");
        }
        assert_eq!(read("find", json!([null])), Ok(Arguments::default()));
    }

    #[test]
    fn one_argument_too_many_is_refused() {
        for (method, arguments) in [("find", json!([{}, 1])), ("get", json!([1, {}, 1])), ("shout", json!([1, {}, 1]))]
        {
            let error = read(method, arguments).unwrap_err();
            assert_eq!(error, Error::bad_request(format!("Too many arguments for '{method}' method")));
        }
    }

    #[test]
    fn a_query_that_is_no_object_does_not_choose_everything() {
        for query in [json!("x"), json!([1]), json!(true)] {
            assert_eq!(read("remove", json!([null, query])).unwrap_err().code(), 400);
        }
        assert_eq!(read("get", json!([{}])).unwrap_err().code(), 400);
    }
}
