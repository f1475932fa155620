//! What a URL's path means: a service, and perhaps an id.

use percent_encoding::percent_decode_str;
use rachis_core::{Error, Id, Outcome, Result};
use rachis_mesh::{Node, Readiness, Resolved};
use std::borrow::Cow;

/// A service on the mesh and the record that a path named.
pub(crate) struct RestTarget {
    /// What to call, decoded, without outer slashes.
    pub(crate) path: String,
    pub(crate) service: Resolved,
    pub(crate) id: Option<Id>,
}

impl RestTarget {
    /// The service that the whole of `path` names, or the one that all but its last segment names.
    ///
    /// # Errors
    /// `BadRequest` for percent codes that are no UTF-8.
    pub(crate) fn find(node: &Node, prefix: &str, path: &str) -> Result<Option<RestTarget>> {
        let Some(path) = below(prefix, path) else { return Ok(None) };
        let whole = named(path)?;
        let as_whole = node.resolve(&whole);
        if path.is_empty() {
            return Ok(as_whole.map(|found| RestTarget::new(path, found, None)));
        }
        if path.split('/').any(str::is_empty) {
            return Ok(None);
        }
        let parent = whole.rsplit_once('/').map_or("", |(parent, _)| parent);
        match (as_whole, node.resolve(parent)) {
            (Some(found), Some(nearer)) if !is_nearer(&found, &nearer) => one(path, parent, nearer),
            (Some(found), _) => Ok(Some(RestTarget::new(&whole, found, None))),
            (None, Some(found)) => one(path, parent, found),
            (None, None) => Ok(None),
        }
    }

    fn new(path: &str, resolved: Resolved, id: Option<String>) -> RestTarget {
        RestTarget { path: path.to_owned(), service: resolved, id: id.map(Id::from) }
    }
}

/// The record that the last segment of `path` names, of the service found at what is before it.
fn one(path: &str, parent: &str, found: Resolved) -> Result<Option<RestTarget>> {
    let id = decode(path.rsplit('/').next().unwrap_or_default())?;
    Ok(Some(RestTarget::new(parent, found, Some(id))))
}

/// What to say of a path that is not known, where `NotFound` would be too much to say.
///
/// A gateway listens before it has joined the mesh, and knows no service then. And clients forget their tokens when the
/// authentication service is not found, so of that one it is never said: its node may be about to come back, or has not
/// come yet.
pub(crate) fn away(node: &Node, path: &str) -> Option<Error> {
    let why = if node.readiness() == Readiness::Starting {
        "This gateway has not joined the mesh yet and knows no services: try again when /readyz says so".to_owned()
    } else if is_authentication(node, path) {
        format!("Logins are not possible: the service '{}' is not there. Try again later", authentication(node))
    } else {
        return None;
    };
    Some(Error::unavailable(why).with_outcome(Outcome::NeverRan))
}

/// The path of the authentication service; empty if there is none.
fn authentication(node: &Node) -> &str {
    node.config().gateway.authentication_path.trim_matches('/')
}

/// Returns `true` for the authentication service and its records.
fn is_authentication(node: &Node, path: &str) -> bool {
    let rest = path.trim_matches('/').strip_prefix(authentication(node));
    !authentication(node).is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The same for the path of a URL.
pub(crate) fn away_at(node: &Node, prefix: &str, path: &str) -> Option<Error> {
    away(node, &below(prefix, path).map(named)?.ok()?)
}

/// Does the service that takes the whole path mean it more literally than the one that takes its last segment for an
/// id? `messages` is nearer to `messages/5` than `:tenant/:thing` is, at the first segment already.
fn is_nearer(whole: &Resolved, parent: &Resolved) -> bool {
    fn literal(path: &str) -> impl Iterator<Item = bool> {
        path.split('/').filter(|segment| !segment.is_empty()).map(|segment| !segment.starts_with(':'))
    }
    literal(&whole.descriptor.path).ge(literal(&parent.descriptor.path).chain([false]))
}

/// `path` without outer slashes and the prefix, or `None` outside of it.
fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let path = path.trim_matches('/');
    if prefix.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

/// A path as services are looked up by; most have nothing to decode.
fn named(path: &str) -> Result<Cow<'_, str>> {
    if path.contains('%') {
        segments(path).map(|segments| Cow::Owned(join(&segments)))
    } else {
        Ok(Cow::Borrowed(path))
    }
}

/// Returns the segments, each decoded once: decoded twice, a segment could bring slashes past a check in between.
fn segments(path: &str) -> Result<Vec<String>> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(decode).collect()
}

/// # Errors
/// `BadRequest` for percent codes that are no UTF-8.
pub(crate) fn decode(segment: &str) -> Result<String> {
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| Error::bad_request("The path is not valid UTF-8: encode it as such before percent-encoding"))
}

/// The path of decoded segments. A slash inside of one stays encoded, since it separates nothing; so placeholders, unlike
/// ids, show it as `%2F`.
fn join(segments: &[String]) -> String {
    let segments: Vec<String> = segments.iter().map(|segment| segment.replace('/', "%2F")).collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_core::ErrorKind;

    #[test]
    fn a_prefix_ends_at_a_slash() {
        assert_eq!(below("", "/todos/1"), Some("todos/1"));
        assert_eq!(below("api/v1", "/api/v1/todos/"), Some("todos"));
        assert_eq!(below("api", "/api"), Some(""));
        assert_eq!(below("api", "/apis/todos"), None);
        assert_eq!(below("api", "/todos"), None);
    }

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(segments("a%20b/%252F/%C3%A9/100%").unwrap(), ["a b", "%2F", "é", "100%"]);
        assert_eq!(segments("").unwrap(), [""; 0]);
    }

    #[test]
    fn a_path_that_is_no_utf8_is_refused() {
        assert_eq!(segments("a/%FF%FE").unwrap_err().kind(), ErrorKind::BadRequest);
    }

    #[test]
    fn an_encoded_slash_separates_nothing() {
        assert_eq!(join(&segments("a%2Fb/c").unwrap()), "a%2Fb/c");
    }
}
