//! Which pages of other origins may call, as browsers ask for it.

use super::{
    layers::{IDEMPOTENCY_KEY, REPLAYED, REQUEST_ID},
    rest::SERVICE_METHOD,
};
use axum::{body::Body, response::Response};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CONTENT_TYPE, LOCATION, ORIGIN,
        RETRY_AFTER, VARY,
    },
};

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE");
/// How long a browser may remember a preflight answer, in seconds; Chromium allows two hours, but changes shall arrive
/// sooner.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Everything that answers say is made once: an answer only gets copies, which share it.
pub(super) struct Cors {
    origins: Origins,
    allowed: HeaderValue,
    exposed: HeaderValue,
}

enum Origins {
    Any,
    These(Vec<HeaderValue>),
}

impl Cors {
    /// `*` stands for every origin; without origins there is no CORS.
    pub(super) fn new(origins: &[String]) -> Option<Self> {
        let origins = if origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| parse(origin)).collect();
            (!origins.is_empty()).then_some(Origins::These(origins))?
        };
        let allowed = list(&[ACCEPT, AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, REQUEST_ID, SERVICE_METHOD]);
        let exposed = list(&[ALLOW, LOCATION, REPLAYED, REQUEST_ID, RETRY_AFTER]);
        Some(Cors { origins, allowed, exposed })
    }

    /// The answer to a browser that asks what it may send.
    pub(super) fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        self.allow(origin, headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allowed.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        response
    }

    /// Says in any other answer who may read it, and which of its headers.
    pub(super) fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        self.allow(origin, headers);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
    }

    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match &self.origins {
            Origins::Any => drop(headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY)),
            Origins::These(origins) => {
                headers.append(VARY, ORIGIN.into());
                if let Some(origin) = origin.filter(|origin| origins.contains(origin)) {
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
            }
        }
    }
}

fn parse(origin: &str) -> Option<HeaderValue> {
    let parsed = origin.trim_end_matches('/').parse().ok();
    if parsed.is_none() {
        tracing::warn!(origin, "this CORS origin cannot stand in a header; it is ignored");
    }
    parsed
}

fn list(names: &[HeaderName]) -> HeaderValue {
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    // Names of headers and commas can stand in a header.
    HeaderValue::try_from(names.join(",")).unwrap_or(ANY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: HeaderValue = HeaderValue::from_static("https://app.example");
    const OTHER: HeaderValue = HeaderValue::from_static("https://other.example");

    fn marked(cors: &Cors, origin: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("accept"))]);
        cors.mark(origin, &mut headers);
        headers
    }

    #[test]
    fn without_origins_there_is_no_cors() {
        assert!(Cors::new(&[]).is_none());
        assert!(Cors::new(&["\n".into()]).is_none());
        assert!(Cors::new(&["https://app.example".into()]).is_some());
    }

    #[test]
    fn a_listed_origin_is_named_and_caches_are_told_that_it_matters() {
        let cors = Cors::new(&["https://app.example/".into()]).unwrap();
        for (origin, named) in [(Some(&APP), Some(&APP)), (Some(&OTHER), None), (None, None)] {
            let headers = marked(&cors, origin);
            assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN), named);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["accept", "origin"]);
            assert_eq!(cors.preflight(origin).headers().get(ACCESS_CONTROL_ALLOW_ORIGIN), named);
        }
    }

    #[test]
    fn any_origin_is_allowed_in_the_same_words() {
        let cors = Cors::new(&["https://app.example".into(), "*".into()]).unwrap();
        for origin in [Some(&APP), None] {
            let headers = marked(&cors, origin);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["accept"]);
        }
    }
}
