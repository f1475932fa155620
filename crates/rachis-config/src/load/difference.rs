//! In which keys two configurations differ.

use crate::{Config, ConfigError, Secret};
use serde_json::Value;
use std::collections::BTreeSet;

/// Every secret, since they all look the same where a configuration is serialized.
pub(crate) fn secret<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    let auth = &config.gateway.auth;
    let secret = match key {
        "redis.url" => return Some(config.redis.url.expose()),
        "redis.password" => &config.redis.password,
        "redis.sentinel_password" => &config.redis.sentinel_password,
        "metrics.token" => &config.metrics.token,
        "mesh.secret" => &config.mesh.secret,
        "mesh.previous_secret" => &config.mesh.previous_secret,
        "gateway.auth.secret" => &auth.secret,
        "gateway.auth.previous_secret" => &auth.previous_secret,
        _ => return None,
    };
    secret.as_ref().map(Secret::expose)
}

/// A key in which two configurations differ, with its value in the first; a secret as `***`.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name, with those of its tables: `redis.url`.
    pub key: String,
    /// Its value in the first one.
    pub was: String,
}

/// Where `new` differs from `old`, by key.
pub fn differences(old: &Config, new: &Config) -> Result<Vec<Difference>, ConfigError> {
    let value = |config: &Config| {
        serde_json::to_value(config).map_err(|error| ConfigError::new(format!("can not be compared: {error}")))
    };
    let shown = value(old)?;
    let then = value(new)?;
    let mut keys = BTreeSet::new();
    compare("", &shown, &then, &mut keys);
    let secrets = crate::ENV.iter().filter(|row| row.usage == crate::EnvUse::Secret).map(|row| row.key);
    keys.extend(secrets.filter(|key| secret(old, key) != secret(new, key)).map(str::to_owned));
    let was = |key: &str| match shown.pointer(&format!("/{}", key.replace('.', "/"))) {
        None | Some(Value::Null) => "not set".to_owned(),
        Some(value) => value.to_string(),
    };
    Ok(keys.into_iter().map(|key| Difference { was: was(&key), key }).collect())
}

fn compare(key: &str, old: &Value, new: &Value, keys: &mut BTreeSet<String>) {
    match (old, new) {
        // Which services have exceptions is one thing.
        (Value::Object(old), Value::Object(new)) if key != "service" => {
            for (name, old) in old {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(&below, old, new.get(name).unwrap_or(&Value::Null), keys);
            }
        }
        _ if old != new => drop(keys.insert(key.to_owned())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ENV, EnvUse};

    #[test]
    fn differences_are_told_by_key_and_secrets_by_nothing_else() {
        let old = Config::from_toml("app = 'a'\nredis.password = 'hush-1'\nredis.url = 'redis://:hush-1@h'").unwrap();
        let new = "app = 'b'\nredis.password = 'hush-2'\nredis.url = 'redis://:hush-2@h'\nlimits.max_queue = 1\n[service.x]\nevents = []";
        let found = differences(&old, &Config::from_toml(new).unwrap()).unwrap();
        let found: Vec<_> = found.iter().map(|difference| (difference.key.as_str(), difference.was.as_str())).collect();
        let expected = [
            ("app", "\"a\""),
            ("limits.max_queue", "10000"),
            ("redis.password", "\"***\""),
            ("redis.url", "\"redis://:***@h\""),
            ("service", "{}"),
        ];
        assert_eq!(found, expected);
        assert_eq!(differences(&old, &old).unwrap(), []);
    }

    #[test]
    fn every_secret_is_compared() {
        for row in ENV.iter().filter(|row| row.usage == EnvUse::Secret) {
            let text = "redis://a-long-name-of-a-host:1/7";
            let set = [("MESH_SECRET", "sixteen bytes or more"), (row.name, text)];
            let config = Config::loader().file_if_there("/nowhere").env(set).load().unwrap();
            assert_eq!(secret(&config, row.key), Some(text), "{}", row.key);
        }
    }
}
