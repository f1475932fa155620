//! How logins and tokens work; the defaults are those of Feathers where it has any.

use rachis_config::host::SECRET_BYTES;
use rachis_config::{Gateway, JwtOptions, LocalOptions, Secret};
use rachis_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// Another secret that tokens may be signed with, while the secret is being changed. Default `None`.
    pub previous_secret: Option<Secret>,
    /// Takes a shorter secret too. Default no.
    pub allow_weak_secret: bool,
    /// Where the service is registered. Default `authentication`.
    pub path: String,
    /// The field of a login's result that holds the entity that logged in. Default `user`; empty: tokens stand for themselves,
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

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            secret: Secret::from(""),
            previous_secret: None,
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

impl AuthConfig {
    /// The defaults with this secret.
    pub fn new(secret: impl Into<Secret>) -> Self {
        AuthConfig { secret: secret.into(), ..AuthConfig::default() }
    }

    /// What `gateway.auth` says, for the login service at `gateway.authentication_path`; `None` without a secret.
    ///
    /// # Errors
    /// `BadRequest` for settings that do not hold together, with the key to change.
    pub fn of_gateway(gateway: &Gateway) -> Result<Option<Self>> {
        if !gateway.authenticates()? {
            return Ok(None);
        }
        let auth = gateway.auth.clone();
        Ok(auth.secret.map(|secret| AuthConfig {
            secret,
            previous_secret: auth.previous_secret,
            allow_weak_secret: auth.allow_weak_secret,
            path: gateway.authentication_path.clone(),
            entity: auth.entity,
            service: auth.service,
            entity_id: auth.entity_id,
            auth_strategies: auth.strategies,
            jwt: auth.jwt,
            local: auth.local,
        }))
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
        if let Some((key, why)) = self.jwt.mistake() {
            return Err(Error::general(format!("`jwt.{key}` of the authentication {why}")));
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
    use rachis_config::Algorithm;

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
