//! The few kinds of responses that Engine.IO has.

use axum::{body::Body, response::Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE},
};

/// A body of this type.
pub(super) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Packets for a client that polls.
pub(super) fn payload(packets: String) -> Response {
    not_kept(typed(StatusCode::OK, "text/plain; charset=UTF-8", packets))
}

/// The answer to packets that were taken. HTML, since some browsers offer plain text as a download.
pub(super) fn taken() -> Response {
    not_kept(typed(StatusCode::OK, "text/html", "ok"))
}

fn not_kept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No body, on a connection that goes on.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// No body, and the end of the connection: what it still brings is not wanted.
pub(super) fn last(status: StatusCode) -> Response {
    closing(empty(status))
}

/// A message to people, and the end of the connection.
pub(super) fn page(status: StatusCode, message: &'static str) -> Response {
    closing(typed(status, "text/html", message))
}

fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
