//! Requests that a proxy in front might have read otherwise.
//!
//! Hyper refuses folded headers, spaces before a colon, bare carriage returns, lengths that are no digits or differ, and a
//! `Transfer-Encoding` that does not end in `chunked`; a length beside `chunked` it leaves out, and closes the connection
//! after the answer. What it lets pass is looked at here.

use super::reply;
use axum::response::Response;
use http::{
    HeaderMap, HeaderValue, Request, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    uri::Authority,
};
use rachis_core::{Error, Result};

/// The answer to a request that has no clear meaning, after which the connection is closed.
pub(super) fn refuse<B>(request: &Request<B>) -> Option<Response> {
    let headers = request.headers();
    let error = check_host(request.version(), headers).and_then(|()| check_encoding(headers)).err()?;
    let mut response = reply::error(&error);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// # Errors
/// `BadRequest` for none, since HTTP/1.1, for several, and for what names no host.
fn check_host(version: Version, headers: &HeaderMap) -> Result<()> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if names_host(host) => Ok(()),
        (Some(_), None) => Err(Error::bad_request("The header Host names no host")),
        _ => Err(Error::bad_request("A request has one header Host")),
    }
}

/// Empty is what a client says that knows no name.
fn names_host(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    bytes.is_empty() || (!bytes.contains(&b'@') && Authority::try_from(bytes).is_ok())
}

/// # Errors
/// `BadRequest` for anything but one `chunked`.
fn check_encoding(headers: &HeaderMap) -> Result<()> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(encoding), None) if encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => {
            Err(Error::bad_request("A body is sent with a Content-Length, or with the one Transfer-Encoding `chunked`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn status(version: Version, headers: &[(HeaderName, &'static str)]) -> u16 {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        refuse(&request).map_or(200, |response| response.status().as_u16())
    }

    #[test]
    fn a_request_has_one_host() {
        for (hosts, expected) in [
            (&["a.example"][..], 200),
            (&["a.example:3030"], 200),
            (&["[::1]:3030"], 200),
            (&["under_score"], 200),
            (&[""], 200),
            (&[], 400),
            (&["a", "a"], 400),
            (&["a, b"], 400),
            (&["a b"], 400),
            (&["me@a"], 400),
            (&["a/b"], 400),
            (&["http://a"], 400),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| (HOST, *host)).collect();
            assert_eq!(status(Version::HTTP_11, &headers), expected, "{hosts:?}");
        }
        assert_eq!(status(Version::HTTP_10, &[]), 200);
        assert_eq!(status(Version::HTTP_10, &[(HOST, "a"), (HOST, "b")]), 400);
    }

    #[test]
    fn a_transfer_encoding_is_chunked_and_nothing_else() {
        for (encodings, expected) in [
            (&[][..], 200),
            (&["chunked"], 200),
            (&["Chunked "], 200),
            (&["gzip, chunked"], 400),
            (&["identity, chunked"], 400),
            (&["chunked, chunked"], 400),
            (&[",chunked"], 400),
            (&["chunked", "chunked"], 400),
            (&["identity", "chunked"], 400),
            (&[""], 400),
        ] {
            let encodings_of = encodings.iter().map(|encoding| (TRANSFER_ENCODING, *encoding));
            let headers: Vec<_> = [(HOST, "a")].into_iter().chain(encodings_of).collect();
            assert_eq!(status(Version::HTTP_11, &headers), expected, "{encodings:?}");
        }
    }
}
