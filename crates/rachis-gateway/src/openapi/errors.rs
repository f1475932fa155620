//! Errors as a document tells of them.

use rachis_core::ErrorKind;
use serde_json::{Map, Value, json};

/// The errors that every method may end in, beside those of the service itself.
pub(super) const OF_ALL: [ErrorKind; 4] =
    [ErrorKind::BadRequest, ErrorKind::Timeout, ErrorKind::TooManyRequests, ErrorKind::Unavailable];

/// Returns the reference to a response that is an error.
pub(super) fn error_response(kind: ErrorKind) -> Value {
    json!({ "$ref": format!("#/components/responses/{}", kind.name()) })
}

/// Returns the responses that are errors, by name.
pub(super) fn error_responses() -> Value {
    let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
    let about = |kind: ErrorKind| match kind {
        ErrorKind::BadRequest => "The query or the data does not fit; `errors` tells what is wrong, by field",
        ErrorKind::NotAuthenticated => "It takes a token, and none came along, or not a good one",
        ErrorKind::NotFound => "There is no such record",
        ErrorKind::Timeout => "No answer came in time",
        ErrorKind::PayloadTooLarge => "The body, or the result, is too large",
        ErrorKind::UnsupportedMediaType => "The body is of a type that is not read",
        ErrorKind::TooManyRequests => "Too many calls are under way; try again later",
        ErrorKind::Unavailable => "No replica of the service can be reached; try again later",
        _ => "Any other error of the service",
    };
    let kinds = OF_ALL.iter().chain(&[
        ErrorKind::NotAuthenticated,
        ErrorKind::NotFound,
        ErrorKind::PayloadTooLarge,
        ErrorKind::UnsupportedMediaType,
    ]);
    let mut responses: Map<String, Value> = kinds
        .map(|kind| (kind.name().to_owned(), json!({ "description": about(*kind), "content": content })))
        .collect();
    let other = json!({ "description": about(ErrorKind::GeneralError), "content": content });
    responses.insert("Error".into(), other);
    responses.into()
}

/// Returns the schema of an error as clients of Feathers know it.
pub(super) fn error_schema() -> Value {
    let names: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    json!({
        "title": "Error",
        "description": "An error, in the form that clients of Feathers make their error classes of",
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": format!("Its class: {}, or one of the service's own", names.join(", ")) },
            "message": { "type": "string" },
            "code": { "type": "integer", "description": "The status" },
            "className": { "type": "string" },
            "data": { "description": "What else the service says of it" },
            "errors": { "description": "What is wrong, mostly by field" },
        },
        "required": ["name", "message", "code", "className"],
    })
}
