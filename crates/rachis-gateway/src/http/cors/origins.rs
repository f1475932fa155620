//! The origins of `gateway.cors_origins`.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{HOST, ORIGIN},
};
use rachis_config::host::AllowedOrigin;

/// The host that a client named to the proxy in front.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Which pages may call.
pub(crate) struct Origins(Vec<AllowedOrigin>);

impl Origins {
    pub(crate) fn new(origins: &[String]) -> Self {
        let parse = |origin: &String| {
            let parsed = AllowedOrigin::parse(origin);
            parsed.map_err(|why| tracing::warn!(origin, why, "this CORS origin is ignored")).ok()
        };
        Origins(origins.iter().filter_map(parse).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_any(&self) -> bool {
        self.0.contains(&AllowedOrigin::Any)
    }

    /// The origin of a request if it is one of these. A request has one, or it is none.
    pub(super) fn allowed<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = only(request, &ORIGIN)?;
        let text = origin.to_str().ok()?;
        self.0.iter().any(|allowed| allowed.allows(text)).then_some(origin)
    }

    /// Returns `true` if the sender of a request may read what it opens, which browsers do not check for websockets: a page of
    /// these origins, one of the gateway's own, or a program, which sends no origin.
    pub(crate) fn admits(&self, request: &HeaderMap) -> bool {
        !request.contains_key(ORIGIN) || self.has_any() || self.allowed(request).is_some() || is_own(request)
    }
}

/// Whether a page of the origin that was asked sent this. A proxy may have changed the host; what it was before, no page
/// can set for another origin.
fn is_own(request: &HeaderMap) -> bool {
    let text = |name| only(request, name).and_then(|value| value.to_str().ok());
    let Some((scheme, authority)) = text(&ORIGIN).and_then(|origin| origin.split_once("://")) else { return false };
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let is_host = |host: &str| {
        let host = host.to_ascii_lowercase();
        host == authority || host.strip_suffix(own_port) == Some(authority)
    };
    text(&HOST).is_some_and(is_host) || text(&FORWARDED_HOST).is_some_and(is_host)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(origins: &[&str], headers: &[(&'static str, &'static str)]) -> bool {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Origins::new(&origins).admits(&headers.collect())
    }

    #[test]
    fn pages_of_the_own_origin_and_what_is_no_page_are_admitted_whatever_is_listed() {
        for headers in [
            &[("host", "a.example")][..],
            &[("host", "a.example"), ("origin", "https://a.example")],
            &[("host", "A.example:80"), ("origin", "http://a.example")],
            &[("host", "a.example:443"), ("origin", "https://a.example")],
            &[("host", "localhost:3030"), ("origin", "http://localhost:3030")],
            &[("host", "[::1]:3030"), ("origin", "http://[::1]:3030")],
            &[("host", "backend"), ("x-forwarded-host", "a.example"), ("origin", "https://a.example")],
        ] {
            assert!(admits(&[], headers), "{headers:?}");
            assert!(admits(&["https://other.example"], headers), "{headers:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_admitted_if_they_are_listed() {
        for headers in [
            &[("host", "a.example"), ("origin", "https://evil.example")][..],
            &[("host", "a.example"), ("origin", "null")],
            &[("host", "a.example"), ("origin", "")],
            &[("host", "a.example"), ("origin", "https://a.example:8443")],
            &[("host", "a.example:8443"), ("origin", "https://a.example")],
            &[("host", "a.example"), ("origin", "ftp://a.example")],
            &[("origin", "https://evil.example")],
        ] {
            assert!(!admits(&[], headers), "{headers:?}");
            assert!(admits(&["*"], headers), "{headers:?}");
        }
        let evil = [("host", "a.example"), ("origin", "https://x.evil.example")];
        assert!(admits(&["https://*.evil.example"], &evil));
        let both = [("host", "a.example"), ("origin", "https://a.example"), ("origin", "https://evil.example")];
        assert!(!admits(&["https://evil.example"], &both));
    }
}
