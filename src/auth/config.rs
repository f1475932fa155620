//! How logins and tokens work; the defaults are those of Feathers where it has any.

use crate::{
    Error, Result,
    config::{Secret, duration},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The shortest secret that is not weak: an HMAC key shorter than its hash can be guessed sooner than forged.
const SECRET_BYTES: usize = 32;

/// Everything an [`Authentication`](super::Authentication) needs to know. Only the secret has no default.
///
/// ```
/// use rachis::auth::AuthConfig;
///
/// let config: AuthConfig = serde_json::from_value(serde_json::json!({
///     "secret": "keep-this-one-out-of-version-control",
///     "jwt": { "audience": "https://todos.example", "expires_in": "12h" },
/// }))?;
/// assert_eq!(config.service, "users");
/// assert_eq!(format!("{:?}", config.secret), "***");
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// What tokens are signed with. At least 32 bytes; all nodes that verify tokens share it.
    pub secret: Secret,
    /// Takes a shorter secret too. Default no.
    pub allow_weak_secret: bool,
    /// Where the service is registered. Default `authentication`.
    pub path: String,
    /// The field of a login's result that holds whoever logged in. Default `user`; empty: tokens stand for themselves,
    /// no service is asked.
    pub entity: String,
    /// The service that has the entities. Default `users`.
    pub service: String,
    /// The field of an entity that names it. Default `id`.
    pub entity_id: String,
    /// The strategies that clients may log in with. Default `jwt` and `local`.
    pub auth_strategies: Vec<String>,
    /// What tokens say.
    pub jwt: JwtOptions,
    /// How a login with a password is written.
    pub local: LocalOptions,
}

/// What tokens say, and must say to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtOptions {
    /// `typ` in the header of new tokens; it is not verified. Default `access`.
    pub typ: String,
    /// What new tokens are signed by. Default HS256.
    pub algorithm: Algorithm,
    /// By what else tokens may be signed, say, while the algorithm is being changed. Default nothing.
    pub also_accept: Vec<Algorithm>,
    /// Who tokens are for (`aud`). Default `https://yourdomain.com`; empty: not said, not verified.
    pub audience: String,
    /// Who tokens are from (`iss`). Default `feathers`; empty: not said, not verified.
    pub issuer: String,
    /// How long new tokens are good for, at least a second. Default one day. Written as text with a unit; a bare number
    /// is milliseconds, as everywhere in our configuration, where Feathers takes it for seconds.
    #[serde(with = "duration")]
    pub expires_in: Duration,
}

/// How a login with a password is written. A dot leads into a nested field, both of the request and of the entity.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalOptions {
    /// The field that names the entity. Default `email`.
    pub username_field: String,
    /// The field with the password, in the entity its hash. Default `password`.
    pub password_field: String,
}

/// Ways to sign with a shared secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
// By its text, since figment would also take 0, 1 and 2.
#[serde(try_from = "String")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

impl Algorithm {
    /// The name as it stands in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let all = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        let known = all.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| format!("is {name:?}, expected \"HS256\", \"HS384\" or \"HS512\""))
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            secret: Secret::from(""),
            allow_weak_secret: false,
            path: "authentication".into(),
            entity: "user".into(),
            service: "users".into(),
            entity_id: "id".into(),
            auth_strategies: vec!["jwt".into(), "local".into()],
            jwt: JwtOptions::default(),
            local: LocalOptions::default(),
        }
    }
}

impl Default for JwtOptions {
    fn default() -> Self {
        JwtOptions {
            typ: "access".into(),
            algorithm: Algorithm::HS256,
            also_accept: Vec::new(),
            audience: "https://yourdomain.com".into(),
            issuer: "feathers".into(),
            expires_in: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions { username_field: "email".into(), password_field: "password".into() }
    }
}

impl AuthConfig {
    /// The defaults with this secret.
    pub fn new(secret: impl Into<Secret>) -> Self {
        AuthConfig { secret: secret.into(), ..AuthConfig::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let length = self.secret.expose().len();
        if length == 0 {
            return Err(Error::general(
                "Authentication needs a `secret`: set one of 32 bytes or more, the same on all nodes that verify tokens",
            ));
        }
        if length < SECRET_BYTES && !self.allow_weak_secret {
            return Err(Error::general(format!(
                "The authentication `secret` has {length} bytes, less than {SECRET_BYTES}: take a longer one, or set \
                 `allow_weak_secret`"
            )));
        }
        if self.jwt.expires_in < Duration::from_secs(1) {
            return Err(Error::general("`jwt.expires_in` of the authentication is less than a second: raise it"));
        }
        let names = [
            ("path", &self.path),
            ("entity_id", &self.entity_id),
            ("local.username_field", &self.local.username_field),
            ("local.password_field", &self.local.password_field),
        ];
        match names.into_iter().find(|(_, value)| value.is_empty()) {
            Some((key, _)) => Err(Error::general(format!("`{key}` of the authentication is empty: give it a name"))),
            None if !self.entity.is_empty() && self.service.is_empty() => Err(Error::general(
                "The authentication has an `entity` but no `service` to find it in: name one, or leave both empty",
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: AuthConfig) -> String {
        config.check().unwrap_err().message().to_owned()
    }

    #[test]
    fn a_weak_secret_is_refused_unless_it_is_allowed() {
        let weak = AuthConfig::new("x".repeat(31));
        let message = refusal(weak.clone());
        assert!(message.contains("31 bytes") && message.contains("allow_weak_secret"), "{message}");
        assert_eq!(AuthConfig { allow_weak_secret: true, ..weak }.check(), Ok(()));
        assert_eq!(AuthConfig::new("x".repeat(32)).check(), Ok(()));
    }

    #[test]
    fn no_secret_at_all_is_never_allowed() {
        let message = refusal(AuthConfig { allow_weak_secret: true, ..AuthConfig::default() });
        assert!(message.contains("needs a `secret`"), "{message}");
    }

    #[test]
    fn names_that_must_be_there_are_asked_for() {
        let config = AuthConfig::new("x".repeat(32));
        assert!(refusal(AuthConfig { path: String::new(), ..config.clone() }).contains("`path`"));
        assert!(refusal(AuthConfig { service: String::new(), ..config }).contains("`service`"));
    }

    #[test]
    fn a_token_that_is_over_at_once_is_a_mistake() {
        let mut config = AuthConfig::new("x".repeat(32));
        config.jwt.expires_in = Duration::from_millis(999);
        assert!(refusal(config).contains("`jwt.expires_in`"));
    }

    #[test]
    fn what_is_misspelled_is_an_error() {
        let read = |text: &str| toml::from_str::<AuthConfig>(text);
        assert!(read("secrett = 'x'").is_err());
        for wrong in ["'none'", "'hs256'", "0"] {
            assert!(read(&format!("[jwt]\nalgorithm = {wrong}")).is_err(), "{wrong}");
        }
        assert_eq!(read("[jwt]\nexpires_in = '12h'").unwrap().jwt.expires_in, Duration::from_secs(43_200));
        assert_eq!(read("[jwt]\nalgorithm = 'HS512'").unwrap().jwt.algorithm, Algorithm::HS512);
    }

    #[test]
    fn the_secret_is_never_shown() {
        let config = AuthConfig::new("x".repeat(32));
        assert!(!format!("{config:?}").contains("xxx") && !serde_json::to_string(&config).unwrap().contains("xxx"));
    }
}
