//! How nodes know each other.

use crate::{ConfigError, Secret};
use serde::{Deserialize, Serialize};

/// The shortest secret: with fewer bytes, a reader of a signed frame might find it by trying.
const SECRET_BYTES: usize = 16;

/// How nodes know each other.
///
/// With a secret, every frame is signed, and what is not is refused: a party that can write to Redis but does not have the secret
/// can forge neither call, reply, event nor service. `docs/security.md` says what that does not prevent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    /// What frames are signed with, the same on all nodes, at least 16 bytes. Default `None`: nothing is signed.
    pub secret: Option<Secret>,
    /// Another secret that is believed, while the secret is being changed. Default `None`.
    pub previous_secret: Option<Secret>,
}

impl Mesh {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (key, secret) in [("mesh.secret", &self.secret), ("mesh.previous_secret", &self.previous_secret)] {
            if secret.as_ref().is_some_and(|secret| secret.expose().len() < SECRET_BYTES) {
                let message = format!(
                    "is shorter than {SECRET_BYTES} bytes: take a longer one, e.g. of `openssl rand -base64 32`"
                );
                return Err(ConfigError::new(message).at(key));
            }
        }
        match (&self.secret, &self.previous_secret) {
            (None, Some(_)) => Err(ConfigError::new(
                "is set without mesh.secret, so nothing would be signed: set mesh.secret, or leave out both",
            )
            .at("mesh.previous_secret")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn error_of(toml: &str) -> String {
        Config::from_toml(&format!("[mesh]\n{toml}")).unwrap_err().to_string()
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_and_not_printed() {
        for key in ["secret", "previous_secret"] {
            let error = error_of(&format!("{key} = 'only-15-bytes!!'"));
            assert!(error.contains(&format!("`mesh.{key}` is shorter than 16 bytes")), "{error}");
            assert!(!error.contains("only"), "{error}");
        }
        assert_eq!(Config::from_toml("mesh.secret = 'just-16-bytes-!!'").unwrap().mesh.previous_secret, None);
    }

    #[test]
    fn a_previous_secret_alone_is_refused() {
        let error = error_of("previous_secret = 'sixteen-bytes-at-least'");
        assert!(error.contains("`mesh.previous_secret` is set without mesh.secret"), "{error}");
    }

    #[test]
    fn secrets_come_from_variables_and_are_shown_to_nobody() {
        let variables = [("MESH_SECRET", "a-secret-of-a-mesh"), ("MESH_PREVIOUS_SECRET", "another-secret-of-it")];
        let config = Config::loader().env(variables).load().unwrap();
        assert_eq!(config.mesh.secret.as_ref().unwrap().expose(), "a-secret-of-a-mesh");
        for shown in [format!("{config:?}"), serde_json::to_string(&config).unwrap(), toml::to_string(&config).unwrap()]
        {
            assert!(!shown.contains("a-secret") && !shown.contains("another-secret"), "{shown}");
        }
    }
}
