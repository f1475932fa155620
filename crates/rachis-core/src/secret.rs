//! Which values are secret, as far as their names tell.
//!
//! Names are taken apart into words (`apiKey`, `API_KEY` and `x-api-key` are two or three), so that `spinning` has no
//! `pin` in it and `tokenizer` no `token`. Letters beyond ASCII are part of no word that tells anything.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Words that make whatever has them in its name secret. A plural is taken for its singular.
const SECRET: &[&str] = &[
    "authorization",
    "credential",
    "jwt",
    "mnemonic",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "token",
];

/// The same for texts and numbers: under these names there are also records of other things, a pin on a map for one.
const SECRET_IF_PLAIN: &[&str] =
    &["bearer", "cookie", "csrf", "cvc", "cvv", "otp", "pin", "sid", "ssn", "totp", "xsrf"];

/// Whole names of secret texts.
const SECRET_NAMES: &[&str] = &["auth", "pass", "pw", "session"];

/// Words that are secret in front of `key`.
const KEYS: &[&str] =
    &["access", "account", "api", "auth", "encryption", "hmac", "master", "private", "shared", "signing", "ssh"];

/// Other pairs.
const PAIRS: &[(&str, &str)] = &[
    ("backup", "code"),
    ("card", "number"),
    ("connection", "string"),
    ("recovery", "code"),
    ("security", "answer"),
    ("security", "code"),
    ("seed", "phrase"),
    ("session", "id"),
    ("session", "key"),
    ("social", "security"),
    ("verification", "code"),
];

/// What names contain that show no beginnings of words, or show them elsewhere, as `pass_word` does.
const JOINED: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "authkey",
    "authtoken",
    "clientsecret",
    "csrftoken",
    "encryptionkey",
    "masterkey",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "refreshtoken",
    "resettoken",
    "secretkey",
    "sessionid",
    "sessionkey",
    "signingkey",
    "sshkey",
];

/// Words beside which a number counts, as in `maxTokens`.
const COUNTS: &[&str] =
    &["count", "length", "limit", "max", "min", "per", "remaining", "size", "total", "usage", "used"];

/// Names with up to so many words and letters, which are almost all, are looked at without an allocation.
const MOST_WORDS: usize = 16;
const MOST_LETTERS: usize = 96;

/// How a name sounds.
#[derive(Clone, Copy, PartialEq)]
enum Sound {
    Harmless,
    SecretIfPlain,
    SecretIfText,
    Secret { counts: bool },
}

/// Returns `true` if the name of a field or header says that its value is secret.
pub fn is_secret(name: &str) -> bool {
    sound(name) != Sound::Harmless
}

/// Returns `true` if the field is secret. `null`, `true` and `false` hide nothing.
fn is_secret_field(name: &str, value: &Value) -> bool {
    match (value, sound(name)) {
        (Value::Null | Value::Bool(_), _) | (_, Sound::Harmless) => false,
        (value, Sound::SecretIfText) => value.is_string(),
        (value, Sound::SecretIfPlain) => is_plain(value),
        (value, Sound::Secret { counts }) => !(counts && value.is_number()),
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_plain),
        value => value.is_string() || value.is_number(),
    }
}

fn sound(name: &str) -> Sound {
    let mut few = [""; MOST_WORDS];
    let mut number = 0;
    let many = &mut Vec::new();
    let mut rest = Words(name);
    for (place, word) in few.iter_mut().zip(&mut rest) {
        *place = word;
        number += 1;
    }
    let words: &[&str] = if number == MOST_WORDS {
        many.extend(Words(name));
        many
    } else {
        &few[..number]
    };
    let has = |told: &[&str]| words.iter().any(|word| told.iter().any(|told| is(word, told)));
    let is_pair = |(first, second): (&str, &str)| {
        is(second, "key") && KEYS.iter().any(|told| is(first, told))
            || PAIRS.iter().any(|(left, right)| is(first, left) && is(second, right))
    };
    if has(SECRET) || is_joined(words) {
        return Sound::Secret { counts: has(COUNTS) };
    }
    if words.windows(2).any(|pair| is_pair((pair[0], pair[1]))) {
        return Sound::Secret { counts: false };
    }
    if has(SECRET_IF_PLAIN) {
        return Sound::SecretIfPlain;
    }
    match words {
        [only] | ["x" | "X", only] if SECRET_NAMES.iter().any(|told| only.eq_ignore_ascii_case(told)) => {
            Sound::SecretIfText
        }
        _ => Sound::Harmless,
    }
}

fn is_joined(words: &[&str]) -> bool {
    let mut few = [0; MOST_LETTERS];
    let many = &mut Vec::new();
    let length = words.iter().map(|word| word.len()).sum();
    let all = words.iter().flat_map(|word| word.bytes()).map(|letter| letter.to_ascii_lowercase());
    let letters: &[u8] = if length > MOST_LETTERS {
        many.extend(all);
        many
    } else {
        few.iter_mut().zip(all).for_each(|(place, letter)| *place = letter);
        &few[..length]
    };
    let contains = |told: &str| letters.windows(told.len()).any(|part| part == told.as_bytes());
    ["key", "token", "pass", "secret", "session"].into_iter().any(contains) && JOINED.iter().any(|told| contains(told))
}

/// Returns `true` for the word and its plural.
fn is(word: &str, told: &str) -> bool {
    let word = word.as_bytes();
    let told = told.as_bytes();
    word.get(..told.len()).is_some_and(|start| start.eq_ignore_ascii_case(told))
        && matches!(&word[told.len()..], [] | [b's' | b'S'])
}

/// The words of a name: runs of letters, of which `fooBar` has two and `APIKey` as well.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = self.0.find(|c: char| c.is_ascii_alphabetic())?;
        let rest = &self.0[start..];
        let letters = rest.as_bytes();
        let upper = |at: usize| letters.get(at).is_some_and(u8::is_ascii_uppercase);
        let lower = |at: usize| letters.get(at).is_some_and(u8::is_ascii_lowercase);
        let ends = |at: &usize| {
            let at = *at;
            !letters[at].is_ascii_alphabetic()
                || upper(at) && (lower(at - 1) || lower(at + 1) && !is_plural(letters, at))
        };
        let end = (1..letters.len()).find(ends).unwrap_or(letters.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }
}

/// Returns `true` if the small letter behind the capital is the last one of the name, as in `PINs`.
fn is_plural(letters: &[u8], at: usize) -> bool {
    letters.get(at + 1) == Some(&b's') && !letters.get(at + 2).is_some_and(u8::is_ascii_lowercase)
}

/// Puts `***` in place of what its name tells to be secret, however deep it lies, as dead letters and the command line show
/// records.
///
/// Names are taken apart into words: `newPassword`, `api_key`, `X-Auth-Token`, `userPin` and `ssn` are secret,
/// `spinning`, `tokenizer` and `primaryKey` are not. `null` and booleans stay, and so do numbers that count something
/// (`maxTokens`). Text that holds a secret under a harmless name is not found.
///
/// ```
/// use serde_json::json;
///
/// let mut user = json!({ "name": "Ada", "logins": [{ "pin": 1234, "at": 5 }], "apiKey": "k1", "isPinned": true });
/// rachis::mask_secrets(&mut user);
/// assert_eq!(user, json!({ "name": "Ada", "logins": [{ "pin": "***", "at": 5 }], "apiKey": "***", "isPinned": true }));
/// ```
pub fn mask_secrets(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask_secrets),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if is_secret_field(name, value) { *value = "***".into() } else { mask_secrets(value) }
            }
        }
        _ => {}
    }
}

/// Removes secrets, however deep they lie.
pub fn remove(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove),
        Value::Object(fields) => remove_from(fields),
        _ => {}
    }
}

/// The same for the fields of a record.
pub fn remove_from(fields: &mut Map<String, Value>) {
    fields.retain(|name, value| !is_secret_field(name, value));
    fields.values_mut().for_each(remove);
}

/// `value` without secrets; copied only where there is one.
pub fn without(value: &Value) -> Cow<'_, Value> {
    if !has_any(value) {
        return Cow::Borrowed(value);
    }
    let mut copy = value.clone();
    remove(&mut copy);
    Cow::Owned(copy)
}

fn has_any(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_any),
        Value::Object(fields) => fields.iter().any(|(name, value)| is_secret_field(name, value) || has_any(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_known_by_their_names_however_these_are_written() {
        for name in [
            "password",
            "newPassword",
            "passwords",
            "PASSWORD",
            "Password2",
            "userpassword",
            "passwordHash",
            "password_hash",
            "passwd",
            "pwd",
            "userPwd",
            "PWD",
            "passphrase",
            "passcode",
            "pass",
            "pw",
            "pin",
            "PIN",
            "userPin",
            "pin_code",
            "newPIN",
            "PINs",
            "PINCode",
            "card-pin",
            "ssn",
            "SSN",
            "ssn_last4",
            "socialSecurityNumber",
            "apiKey",
            "apikey",
            "API_KEY",
            "APIKey",
            "x-api-key",
            "api key",
            "apiKeys",
            "myapikey",
            "accessKey",
            "access_key_id",
            "privateKey",
            "signingKey",
            "encryption-key",
            "secret",
            "clientSecret",
            "client_secret",
            "secretKey",
            "token",
            "accessToken",
            "access_token",
            "refresh token",
            "csrfToken",
            "X-CSRF-Token",
            "resettoken",
            "tokens",
            "idToken",
            "OAuthToken",
            "jwt",
            "Authorization",
            "Proxy-Authorization",
            "Set-Cookie",
            "cookie",
            "sessionId",
            "session",
            "x-session",
            "credentials",
            "otp",
            "totpCode",
            "cvv",
            "CVC",
            "cardNumber",
            "recoveryCodes",
            "mnemonic",
            "bearer",
            "pass_word",
            "api.key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "author",
            "key",
            "idempotency-key",
            "passenger",
            "text",
            "id",
            "pinned",
            "spinning",
            "opinion",
            "shipping",
            "mapping",
            "isPinned",
            "topics",
            "tokenizer",
            "tokenize",
            "secretary",
            "keyboard",
            "monkey",
            "primaryKey",
            "foreign_key",
            "publicKey",
            "compass",
            "bypass",
            "passport",
            "passed",
            "sidebar",
            "inside",
            "session_title",
            "sessions",
            "authors",
            "authorized",
            "robot",
            "hotpot",
            "cookiecutter",
            "assets",
            "sort",
            "pinterest",
            "",
            "élan",
            "description",
            "className",
            "lesson",
            "salt",
            "oneTimeOffer",
            "timeCode",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_name_tells_of_a_secret_however_long_it_is() {
        for words in [1, 15, 16, 17, 1000] {
            let long = "of_".repeat(words);
            for end in ["password", "apiKey", "PassWord", "clientsecret"] {
                assert!(is_secret(&format!("{long}{end}")), "{words} words and {end}");
            }
            assert!(!is_secret(&format!("{long}number")), "{words} words");
            assert!(is_secret(&format!("{}accesskey", "a".repeat(words))), "{words} letters");
        }
    }

    #[test]
    fn what_is_no_secret_stays_under_a_name_that_tells_of_one() {
        let harmless = json!({
            "hasPassword": true, "token": null, "maxTokens": 512, "tokenCount": 3, "passwordLength": 12,
            "pin": { "lat": 1.5 }, "session": 7, "auth": { "provider": "x" },
        });
        let mut value = harmless.clone();
        mask_secrets(&mut value);
        assert_eq!(value, harmless);
        let mut value =
            json!({ "pin": 1234, "otp": "1", "tokens": 5, "tokenLimit": "x", "ssn": 78051120, "session": "x" });
        remove(&mut value);
        assert_eq!(value, json!({}));
    }

    #[test]
    fn secrets_are_masked_at_any_depth_and_the_rest_stays() {
        let mut value = json!({ "a": [{ "token": { "x": 1 }, "b": 2 }], "password": null, "secret": "s" });
        mask_secrets(&mut value);
        assert_eq!(value, json!({ "a": [{ "token": "***", "b": 2 }], "password": null, "secret": "***" }));
    }

    #[test]
    fn only_what_has_a_secret_is_copied() {
        let plain = json!({ "a": [{ "b": 1 }] });
        assert!(matches!(without(&plain), Cow::Borrowed(_)));
        assert_eq!(*without(&json!({ "a": [{ "pwd": "x", "b": 1 }] })), json!({ "a": [{ "b": 1 }] }));
    }
}
