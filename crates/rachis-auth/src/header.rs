//! The token that comes with a request.

use serde_json::{Value, json};

/// Reads an `Authorization` header as Feathers does: `Bearer` and `JWT`, in any case, are schemes, a single word is the
/// token itself, and any other scheme is none of ours.
///
/// Nothing is verified here: services that do not ask for authentication take calls with any token.
///
/// ```
/// use rachis::auth::parse_header;
/// use serde_json::json;
///
/// assert_eq!(parse_header("Bearer abc"), Some(json!({ "strategy": "jwt", "accessToken": "abc" })));
/// assert_eq!(parse_header("Basic YWRhOnB3"), None);
/// ```
pub fn parse_header(header: &str) -> Option<Value> {
    let mut words = header.split_whitespace();
    let token = match (words.next(), words.next()) {
        (Some(scheme), Some(token)) => is_token_scheme(scheme).then_some(token)?,
        (Some(token), None) => token,
        (None, _) => return None,
    };
    Some(json!({ "strategy": "jwt", "accessToken": token }))
}

/// `Bearer`, `JWT`, and names that contain them.
fn is_token_scheme(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    scheme.contains("bearer") || scheme.contains("jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> Option<String> {
        parse_header(header).map(|read| read["accessToken"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn bearer_and_jwt_are_schemes_in_any_case() {
        for header in ["Bearer abc", "bearer   abc", "JWT abc", "jwt\tabc", "X-Bearer abc", "Bearer abc def"] {
            assert_eq!(token(header).as_deref(), Some("abc"), "{header}");
        }
    }

    #[test]
    fn a_single_word_is_the_token() {
        assert_eq!(token("abc.def.ghi").as_deref(), Some("abc.def.ghi"));
    }

    #[test]
    fn other_schemes_and_nothing_are_no_credentials() {
        for header in ["Basic YWRhOnB3", "Digest a b", "", "   "] {
            assert_eq!(token(header), None, "{header}");
        }
    }
}
