//! Which values are secret, as far as their names tell.

use serde_json::Value;

/// What the names of secrets contain, without dashes and underscores.
const TELLING: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "credential",
    "cookie",
    "jwt",
    "session",
];

/// Does the name of a field or header say that its value is secret?
pub(crate) fn is_secret(name: &str) -> bool {
    let letters = name.chars().filter(|letter| !matches!(letter, '-' | '_' | ' '));
    let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    TELLING.iter().any(|telling| name.contains(telling))
}

/// Puts asterisks in place of secrets, however deep they lie.
pub(crate) fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match is_secret(name) && !value.is_null() {
                    true => *value = "***".into(),
                    false => mask(value),
                }
            }
        }
        _ => {}
    }
}

/// Removes secrets, however deep they lie.
pub(crate) fn remove(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove),
        Value::Object(fields) => {
            fields.retain(|name, _| !is_secret(name));
            fields.values_mut().for_each(remove);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_known_by_their_names_however_these_are_written() {
        for name in ["password", "newPassword", "API_KEY", "x-api-key", "Authorization", "Set-Cookie", "refresh token"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["author", "key", "idempotency-key", "passenger", "text", "id"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_masked_at_any_depth_and_the_rest_stays() {
        let mut value = json!({ "a": [{ "token": { "x": 1 }, "b": 2 }], "password": null, "secret": "s" });
        mask(&mut value);
        assert_eq!(value, json!({ "a": [{ "token": "***", "b": 2 }], "password": null, "secret": "***" }));
    }
}
