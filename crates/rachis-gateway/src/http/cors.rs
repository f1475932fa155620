//! CORS: which pages of other origins may call.

mod layer;
mod origins;

pub use layer::{CorsLayer, CorsService, cors};
pub(crate) use origins::Origins;

use axum::{body::Body, response::Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
    },
};
use rachis_config::Gateway;

const ANY: HeaderValue = HeaderValue::from_static("*");
const YES: HeaderValue = HeaderValue::from_static("true");
/// What pages may read without that the configuration says so.
const EXPOSED: [&str; 5] = ["allow", "location", "idempotency-replayed", "x-request-id", "retry-after"];

/// Everything that answers say is made once: an answer only gets copies, which share it.
pub(crate) struct Cors {
    origins: Origins,
    credentials: bool,
    methods: HeaderValue,
    /// What pages may send; `None` for whatever they ask for.
    headers: Option<HeaderValue>,
    exposed: HeaderValue,
    max_age: HeaderValue,
}

impl Cors {
    /// What `config` says; `None` where no origin is named, so that there is no CORS.
    pub(crate) fn new(config: &Gateway) -> Option<Self> {
        let origins = Origins::new(&config.cors_origins);
        let exposed = EXPOSED.into_iter().chain(config.cors_exposed_headers.iter().map(String::as_str));
        (!origins.is_empty()).then(|| Cors {
            origins,
            credentials: config.cors_credentials,
            methods: list(config.cors_methods.iter().map(String::as_str)),
            headers: (!config.cors_headers.is_empty()).then(|| list(config.cors_headers.iter().map(String::as_str))),
            exposed: list(exposed),
            max_age: config.cors_max_age.as_secs().into(),
        })
    }

    /// Returns the answer to a preflight.
    pub(crate) fn preflight(&self, request: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.mark(request, headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        match &self.headers {
            Some(allowed) => drop(headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone())),
            None => {
                vary(headers, &ACCESS_CONTROL_REQUEST_HEADERS);
                if let Some(asked) = joined(request, &ACCESS_CONTROL_REQUEST_HEADERS) {
                    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
                }
            }
        }
        response
    }

    /// Marks any other answer with the origins that may read it and the headers that they may read.
    pub(crate) fn mark(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        if self.origins.has_any() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        } else {
            vary(headers, &ORIGIN);
            if let Some(origin) = self.origins.allowed(request) {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
        }
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, YES);
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
    }
}

/// Tells caches that the answer depends on the header `name`, unless they are told so already.
fn vary(headers: &mut HeaderMap, name: &HeaderName) {
    let mut names =
        headers.get_all(VARY).iter().filter_map(|names| names.to_str().ok()).flat_map(|names| names.split(','));
    if !names.any(|there| there.trim().eq_ignore_ascii_case(name.as_str())) {
        headers.append(VARY, name.clone().into());
    }
}

/// All values of a header as one; `None` where there is nothing in them.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(first.clone()).filter(|value| !value.is_empty()) };
    let all = [first, second].into_iter().chain(values).map(HeaderValue::as_bytes).collect::<Vec<_>>();
    HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> HeaderValue {
    let names: Vec<&str> = names.collect();
    // A validated configuration has names only, and those can stand in a header.
    HeaderValue::try_from(names.join(",")).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_config::Config;

    fn cors(toml: &str) -> Option<Cors> {
        Cors::new(&Config::from_toml(&format!("[gateway]\n{toml}")).unwrap().gateway)
    }

    fn from(origins: &[&str]) -> HeaderMap {
        origins.iter().map(|origin| (ORIGIN, origin.parse().unwrap())).collect()
    }

    fn marked(cors: &Cors, origins: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("Accept"))]);
        cors.mark(&from(origins), &mut headers);
        // By the router, and by a layer of the application around it.
        cors.mark(&from(origins), &mut headers);
        headers
    }

    #[test]
    fn without_origins_there_is_no_cors() {
        assert!(cors("cors_origins = []").is_none());
        assert!(cors("cors_origins = ['https://app.example']").is_some());
    }

    #[test]
    fn a_listed_origin_is_named_and_caches_are_told_that_it_matters() {
        let cors = cors("cors_origins = ['HTTPS://app.example:443/', 'https://*.b.example']").unwrap();
        let app = "https://app.example";
        for (origins, named) in [
            (&[app][..], Some(app)),
            (&["https://a.b.example"], Some("https://a.b.example")),
            (&["https://other.example"], None),
            (&[], None),
            (&[app, app], None),
        ] {
            let headers = marked(&cors, origins);
            let said = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|origin| origin.to_str().unwrap());
            assert_eq!(said, named);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "origin"]);
            assert_eq!(
                cors.preflight(&from(origins)).headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
                named.is_some()
            );
        }
    }

    #[test]
    fn any_origin_is_allowed_in_the_same_words() {
        let cors = cors("cors_origins = ['https://app.example', '*']").unwrap();
        for origins in [&["https://app.example"][..], &[]] {
            let headers = marked(&cors, origins);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept"]);
        }
    }

    #[test]
    fn what_a_page_asks_to_send_is_allowed_unless_headers_are_listed() {
        let mut request = from(&["https://app.example"]);
        for asked in ["baggage,sentry-trace", "x-tenant"] {
            request.append(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(asked));
        }
        let headers = cors("").unwrap().preflight(&request).into_parts().0.headers;
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "baggage,sentry-trace, x-tenant");
        assert_eq!(headers[VARY], "access-control-request-headers");
        let listed = cors("cors_headers = ['X-A', 'x-b']").unwrap().preflight(&request).into_parts().0.headers;
        assert_eq!(
            (&listed[ACCESS_CONTROL_ALLOW_HEADERS], listed.get(VARY)),
            (&HeaderValue::from_static("X-A,x-b"), None)
        );
    }
}
