//! What goes around every request: its id and span, CORS, compression, and a net for panics.

use super::{reply, rest::SERVICE_METHOD};
use crate::Error;
use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method as Verb,
    header::{
        ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, SET_COOKIE,
    },
};
use std::{
    any::Any,
    time::{Duration, Instant},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
};
use tracing::Instrument;
use ulid::Ulid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that a reply is that of an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static(crate::node::once::REPLAYED);
/// Longer ids are replaced: they travel with the call and stand in every log line.
const REQUEST_ID_LENGTH: usize = 128;
/// How long a browser may remember a preflight answer; Chromium allows two hours, but changes shall arrive sooner.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// The innermost layer stands first, so even the answer to a panic has its CORS headers and its id.
pub(super) fn around(router: Router, origins: &[String], compression: bool) -> Router {
    let mut router = router.layer(CatchPanicLayer::custom(panicked));
    if let Some(cors) = cors(origins) {
        router = router.layer(cors);
    }
    if compression {
        router = router.layer(CompressionLayer::new());
    }
    let secret = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];
    router.layer(middleware::from_fn(observe)).layer(SetSensitiveHeadersLayer::new(secret))
}

/// What panicked is in the log, by the panic hook; the client learns nothing of it.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request panicked");
    reply::error(&Error::general("The server failed at this request"))
}

/// `*` stands for every origin; without origins there is no CORS.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| parse_origin(origin)).collect();
        (!origins.is_empty()).then(|| AllowOrigin::list(origins))?
    };
    let methods = [Verb::GET, Verb::HEAD, Verb::POST, Verb::PUT, Verb::PATCH, Verb::DELETE];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(methods)
        .allow_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, REQUEST_ID, SERVICE_METHOD])
        .expose_headers([ALLOW, LOCATION, REPLAYED, REQUEST_ID, RETRY_AFTER])
        .max_age(PREFLIGHT_AGE);
    Some(layer)
}

fn parse_origin(origin: &str) -> Option<HeaderValue> {
    let parsed = origin.trim_end_matches('/').parse().ok();
    if parsed.is_none() {
        tracing::warn!(origin, "this CORS origin cannot stand in a header; it is ignored");
    }
    parsed
}

/// Gives every request an id, which services see as a header, and a span. The query stays out of the log, since it may
/// hold what nobody else shall read.
async fn observe(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
    );
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let answer = async {
        let started = Instant::now();
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), latency = ?started.elapsed(), "answered");
        response
    };
    let mut response = answer.instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The id that came along if it is harmless in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let sane = |id: &&HeaderValue| (1..=REQUEST_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(harmless);
    let sent = headers.get(REQUEST_ID).filter(sane).cloned();
    // A ULID is letters and digits, which any header can hold.
    sent.unwrap_or_else(|| {
        HeaderValue::from_str(&Ulid::generate().to_string()).unwrap_or(HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        let id_of =
            |sent: &[u8]| request_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(sent).unwrap())]));
        assert_eq!(id_of(b"req-1:a/b"), "req-1:a/b");
        for odd in [&b""[..], b"a b", b"\"quoted\"", b"\xff", &[b'a'; 129]] {
            assert_eq!(id_of(odd).len(), Ulid::generate().to_string().len());
        }
    }

    #[test]
    fn without_origins_there_is_no_cors() {
        assert!(cors(&[]).is_none());
        assert!(cors(&["\n".into()]).is_none());
        assert!(cors(&["https://app.example".into()]).is_some());
    }
}
