//! Service paths: slashes stripped, segments compared exactly.

use crate::{Error, Result};

/// Removes slashes at both ends; the root service is `/` in Feathers and the empty string here.
pub fn strip(path: &str) -> &str {
    path.trim_matches('/')
}

/// Checks that `path` can name a service and returns it stripped.
///
/// # Errors
/// `BadRequest` for empty inner segments, white space, control characters, or a `:` without a name.
pub fn check(path: &str) -> Result<&str> {
    let stripped = strip(path);
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}' | '*' | '?' | '#');
    let bad_segment = |segment: &str| segment.is_empty() || segment == ":" || segment.contains(odd);
    if !stripped.is_empty() && stripped.split('/').any(bad_segment) {
        return Err(Error::bad_request(format!(
            "'{path}' is not a valid service path: use segments such as `api/todos` or `orgs/:orgId/users`"
        )));
    }
    Ok(stripped)
}

/// Returns `true` if the path has a `:placeholder`.
pub fn is_pattern(path: &str) -> bool {
    path.split('/').any(|segment| segment.starts_with(':'))
}
