//! Turns what a call came to into a response.

use axum::{
    body::{Body, HttpBody},
    response::{Html, IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{self, ACCEPT, ALLOW, CONTENT_LENGTH, LOCATION, VARY},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rachis_core::{Answer, Error, Method};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What may not stand in a URL. A `%` is looked at apart, since it may already start a code.
const NOT_IN_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// With its charset, which JSON does not need and some clients do: without, they read Latin-1.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// What most bodies have room in, and how many headers a response of this gateway has; more make both grow.
const BODY: usize = 512;
const HEADERS: usize = 12;

/// How bodies are framed is the server's business; a hook that set one of these would break the connection.
const FRAMING: &[HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The reply to a call that went well.
pub(crate) fn answer(method: &Method, answer: Answer) -> Response {
    let mut headers = custom_headers(&answer.http.headers);
    if let Some(location) = answer.http.location.as_deref().and_then(|location| encode_url(location).parse().ok()) {
        headers.insert(LOCATION, location);
    }
    let status = answer.http.status.and_then(final_status);
    let body = answer.external();
    let status = status.unwrap_or_else(|| default_status(method, &body, headers.contains_key(LOCATION)));
    let mut response = match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => status.into_response(),
        status => json(status, &body),
    };
    if !headers.is_empty() {
        response.headers_mut().extend(headers);
    }
    response
}

/// A response with this JSON, and with room for the headers that are added on its way out.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(BODY);
    if let Err(error) = serde_json::to_writer(&mut bytes, body) {
        return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, JSON);
    *response.headers_mut() = headers;
    response
}

/// A response with JSON that is written already.
#[cfg(feature = "schema")]
pub(crate) fn text(status: StatusCode, json: String) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], json).into_response()
}

/// The reply to a call that failed: the error as Feathers clients expect it.
pub(crate) fn error(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &error.to_json())
}

/// The reply to a path that leads nowhere: JSON, or a page for a browser that asks for one.
pub(crate) fn page_not_found(url: &str, request: &HeaderMap) -> Response {
    let mut response = if wants_page(request) {
        // The URL is not on the page, so it needs no escaping.
        (StatusCode::NOT_FOUND, Html(PAGE)).into_response()
    } else {
        error(&Error::not_found("Page not found").with_data(serde_json::json!({ "url": url })))
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Page not found</title>\n\
                    <h1>Page not found</h1>\n<p>No service has this address.</p>\n</html>\n";

fn wants_page(request: &HeaderMap) -> bool {
    let accepts =
        |what: &str| request.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|a| a.contains(what)));
    accepts("html") && !accepts("json")
}

/// Says which verbs a path takes.
pub(crate) fn allow(mut response: Response, verbs: &[&str]) -> Response {
    if let Ok(verbs) = verbs.join(", ").parse() {
        response.headers_mut().insert(ALLOW, verbs);
    }
    response
}

/// The same response as to a `HEAD` request: its headers, and the length the body would have.
pub(crate) fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|_| parts.status != StatusCode::NO_CONTENT) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

fn default_status(method: &Method, body: &Value, redirects: bool) -> StatusCode {
    match (redirects, is_falsy(body), method) {
        (true, ..) => StatusCode::SEE_OTHER,
        (_, true, _) => StatusCode::NO_CONTENT,
        (_, _, Method::Create) => StatusCode::CREATED,
        _ => StatusCode::OK,
    }
}

/// What JavaScript takes for false.
pub(crate) fn is_falsy(body: &Value) -> bool {
    match body {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// A status a hook may set: one that ends the request.
fn final_status(code: u16) -> Option<StatusCode> {
    let status = StatusCode::from_u16(code).ok().filter(|_| (200..600).contains(&code));
    if status.is_none() {
        tracing::warn!(code, "a hook set http.status to what is no final status code; it is ignored");
    }
    status
}

fn custom_headers(wanted: &BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        match (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) if !FRAMING.contains(&name) => {
                headers.insert(name, value);
            }
            _ => tracing::warn!(name, "a hook set an HTTP header that cannot be sent; it is ignored"),
        }
    }
    headers
}

/// Encodes what may not stand in a URL; codes that are there stay.
fn encode_url(url: &str) -> String {
    let mut parts = url.split('%');
    let mut encoded = utf8_percent_encode(parts.next().unwrap_or_default(), NOT_IN_URL).to_string();
    for part in parts {
        let is_code = part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
        encoded.push_str(if is_code { "%" } else { "%25" });
        encoded.extend(utf8_percent_encode(part, NOT_IN_URL));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_core::Http;
    use serde_json::json;

    fn status(method: Method, result: Value, http: Http) -> u16 {
        answer(&method, Answer { result, dispatch: None, http }).status().as_u16()
    }

    #[test]
    fn the_status_is_the_first_that_applies() {
        let set =
            |status, location: Option<&str>| Http { status, location: location.map(Into::into), ..Http::default() };
        assert_eq!(status(Method::Create, Value::Null, set(Some(202), Some("/x"))), 202);
        assert_eq!(status(Method::Create, Value::Null, set(None, Some("/x"))), 303);
        assert_eq!(status(Method::Create, Value::Null, set(None, None)), 204);
        assert_eq!(status(Method::Create, json!({}), set(None, None)), 201);
        assert_eq!(status(Method::Get, json!({}), set(None, None)), 200);
        assert_eq!(status(Method::custom("shout"), json!({}), set(None, None)), 200);
        let header = Http { headers: [("Location".to_owned(), "/x".to_owned())].into(), ..Http::default() };
        assert_eq!(status(Method::Get, json!({}), header), 303);
    }

    #[test]
    fn what_javascript_takes_for_false_is_no_content() {
        for falsy in [json!(null), json!(0), json!(0.0), json!(-0.0), json!(""), json!(false)] {
            assert_eq!(status(Method::Find, falsy.clone(), Http::default()), 204, "{falsy}");
        }
        for truthy in [json!([]), json!({}), json!("0"), json!(1), json!(true)] {
            assert_eq!(status(Method::Find, truthy.clone(), Http::default()), 200, "{truthy}");
        }
    }

    #[test]
    fn a_status_that_ends_no_request_is_ignored() {
        for odd in [0, 42, 100, 199, 600, 999, u16::MAX] {
            assert_eq!(status(Method::Get, json!({}), Http { status: Some(odd), ..Http::default() }), 200, "{odd}");
        }
    }

    #[test]
    fn a_dispatch_of_null_is_sent_instead_of_the_result() {
        let hidden = Answer { result: json!({"password": "x"}), dispatch: Some(Value::Null), http: Http::default() };
        assert_eq!(answer(&Method::Get, hidden).status(), 204);
    }

    #[test]
    fn a_location_is_encoded_once() {
        assert_eq!(encode_url("/messages?name=a b"), "/messages?name=a%20b");
        assert_eq!(encode_url("/a%20b%zz%é\"<>`{}\r\n"), "/a%20b%25zz%25%C3%A9%22%3C%3E%60%7B%7D%0D%0A");
        assert_eq!(encode_url("https://x.org/a?b=c&d[e]=|^\\#f"), "https://x.org/a?b=c&d[e]=|^\\#f");
    }

    #[test]
    fn headers_that_would_break_the_connection_are_ignored() {
        let wanted = [("X-Ok", "yes"), ("Content-Length", "5"), ("Bad Name", "x"), ("X-Split", "a\r\nSet-Cookie: b")];
        let wanted = wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let headers = custom_headers(&wanted);
        assert_eq!((headers.len(), headers["x-ok"].as_bytes()), (1, &b"yes"[..]));
    }
}
