//! The login of a connection.

use super::token;
use rachis_core::Params;
use serde_json::{Value, json};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// The login of a connection: its token, its user and its end.
///
/// ```
/// use rachis::{Params, auth::Identity};
/// use serde_json::json;
///
/// let login = json!({
///     "accessToken": "abc", "authentication": { "strategy": "local", "payload": { "exp": 4102444800u64 } },
///     "user": { "id": 1 },
/// });
/// let identity = Identity::of_login(&login, "user").unwrap();
/// let mut params = Params::default();
/// identity.apply(&mut params);
/// assert_eq!(params.authentication, Some(json!({ "strategy": "jwt", "accessToken": "abc" })));
/// assert_eq!(params.user, Some(json!({ "id": 1 })));
/// assert!(identity.remaining().is_some_and(|time| !time.is_zero()));
/// ```
#[derive(Clone, PartialEq)]
pub struct Identity {
    token: String,
    user: Option<Value>,
    expires: Option<SystemTime>,
}

impl Identity {
    /// Reads the result of `create` on the authentication service; `entity` is the field with the user. `None` if there
    /// is no token in it.
    pub fn of_login(result: &Value, entity: &str) -> Option<Self> {
        let token = result.get("accessToken")?.as_str().filter(|token| !token.is_empty())?.to_owned();
        let end = result.pointer("/authentication/payload/exp").and_then(Value::as_f64);
        Some(Identity { token, user: result.get(entity).cloned(), expires: end.and_then(token::time) })
    }

    /// The token it was made by; calls that come in by the connection carry it, so it is verified with each of them.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The entity that logged in, as it may see itself.
    pub fn user(&self) -> Option<&Value> {
        self.user.as_ref()
    }

    /// Returns when the token ends, and the connection with it; `None` if it never does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Returns the time until the token ends, zero if it has ended, `None` if it never does.
    pub fn remaining(&self) -> Option<Duration> {
        self.expires.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Returns `true` if `result` is that of a logout with the token of this login.
    pub fn ends_with(&self, result: &Value) -> bool {
        result.get("accessToken").and_then(Value::as_str) == Some(&self.token)
    }

    /// Puts the token and the user into the params of a call that came in by the connection.
    pub fn apply(&self, params: &mut Params) {
        params.authentication = Some(json!({ "strategy": "jwt", "accessToken": self.token }));
        params.user = self.user.clone();
    }
}

impl fmt::Debug for Identity {
    // Neither the token nor what is known of the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(exp: Value) -> Value {
        json!({ "accessToken": "abc", "authentication": { "payload": { "exp": exp } }, "user": { "id": 1 } })
    }

    #[test]
    fn a_result_without_a_token_is_no_login() {
        for result in [json!({}), json!(null), json!({ "accessToken": 1 }), json!({ "accessToken": "" })] {
            assert_eq!(Identity::of_login(&result, "user"), None, "{result}");
        }
    }

    #[test]
    fn it_ends_when_the_token_does_and_never_without_an_end() {
        let ended = Identity::of_login(&login(json!(1_700_000_000)), "user").unwrap();
        assert_eq!(ended.remaining(), Some(Duration::ZERO));
        for never in [json!(null), json!(1e300), json!(-1)] {
            assert_eq!(Identity::of_login(&login(never), "user").unwrap().expires(), None);
        }
    }

    #[test]
    fn only_a_logout_with_its_own_token_ends_it() {
        let identity = Identity::of_login(&login(json!(4_102_444_800u64)), "user").unwrap();
        assert!(identity.ends_with(&json!({ "accessToken": "abc" })));
        assert!(!identity.ends_with(&json!({ "accessToken": "abd" })) && !identity.ends_with(&json!(null)));
    }

    #[test]
    fn debug_shows_neither_token_nor_user() {
        let shown = format!("{:?}", Identity::of_login(&login(json!(5)), "user").unwrap());
        assert!(!shown.contains("abc") && !shown.contains("id"), "{shown}");
    }
}
