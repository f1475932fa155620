//! Values that must not be seen.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

const MASK: &str = "***";

/// Text that is never printed: `Debug`, `Display` and `Serialize` show `***`. [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself. Call it where the secret is used, not before.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Secret(text.into())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// The address of Redis. `Debug`, `Display` and `Serialize` mask its password; [`RedisUrl::expose`] gives it away.
///
/// ```
/// use rachis::config::RedisUrl;
///
/// let url = RedisUrl::from("redis://ann:hunter2@redis:6379/1");
/// assert_eq!(url.to_string(), "redis://ann:***@redis:6379/1");
/// assert_eq!(url.expose(), "redis://ann:hunter2@redis:6379/1");
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The URL with its password. Call it where it is used, not before.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for RedisUrl {
    fn from(text: T) -> Self {
        RedisUrl(text.into())
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", mask_url(&self.0))
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Masks what could be a password, also in text that only resembles a URL: people forget to escape `@` and `/`, and
/// leave out the scheme or the host. So it shows only what cannot be one, and rather hides too much.
pub(crate) fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return MASK.into() };
    let (user, rest) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        // Text without a colon is a user name, or a password whose colon was forgotten.
        Some((login, rest)) => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:{MASK}@"), rest),
            None => (format!("{MASK}@"), rest),
        },
    };
    let (address, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], MASK),
        None => (rest, ""),
    };
    let (hosts, path) = address.find('/').map_or((address, ""), |at| address.split_at(at));
    let hosts = if hosts.is_empty() || hosts.split(',').all(is_host) { hosts } else { MASK };
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{user}{hosts}{path}{separator}{query}")
}

/// Whether `text` reads as `host` or `host:port`, IPv6 in brackets included.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let is_in_host = |c: char| c.is_alphanumeric() || "-._".contains(c);
    let name = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.chars().all(|c| c.is_ascii_hexdigit() || ":.%".contains(c)),
        None => host.chars().all(is_in_host),
    };
    !host.is_empty() && name && port.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_shown_only_when_exposed() {
        let secret = Secret::from("hunter2");
        assert_eq!((secret.to_string(), format!("{secret:?}")), ("***".into(), "***".into()));
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let cases = [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://localhost/2", "redis://localhost/2"),
            ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
            ("redis://a:1,b:2", "redis://a:1,b:2"),
            ("redis://:hunter2@redis:6379", "redis://:***@redis:6379"),
            ("rediss://ann:hunter2@redis/1", "rediss://ann:***@redis/1"),
            ("redis://ann:p@ss:w/rd@redis/1", "redis://ann:***@redis/1"),
            ("redis://hunter2@redis", "redis://***@redis"),
            ("redis://redis?password=hunter2", "redis://redis?***"),
            ("redis+unix:///run/redis.sock?pass=hunter2", "redis+unix:///run/redis.sock?***"),
            ("redis://ann:hunter2", "redis://***"),
            ("redis://:12345", "redis://***"),
            ("hunter2@redis:6379", "***"),
            ("hunter2", "***"),
            ("", "***"),
        ];
        for (url, shown) in cases {
            let url = RedisUrl::from(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }

    proptest! {
        #[test]
        fn no_password_shows_through_however_it_is_spelled(password in "Hunter2[ -~]{0,12}", host in "[a-z]{1,9}") {
            for url in [format!("redis://ann:{password}@{host}:1"), format!("redis://:{password}@{host}/0?a=b")] {
                prop_assert!(!mask_url(&url).contains("Hunter2"), "{}", url);
            }
        }
    }
}
