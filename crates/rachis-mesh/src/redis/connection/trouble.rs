//! What keeps a node from joining, and what its operator should look at.

use redis::{ErrorKind, RedisError};
use std::{fmt, time::Duration};

/// The failure of the last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No server answers, or not as Redis does.
    Unreached(String),
    /// The server refuses the login.
    Login(String),
    /// The server accepts the login, and forbids a command or key that a node needs.
    Forbidden(String),
    /// The server does not speak RESP3, which subscriptions need.
    Old(String),
}

impl Trouble {
    pub(crate) fn of(error: &RedisError) -> Self {
        match error.code() {
            Some("NOPERM") => Trouble::Forbidden(in_its_words(error)),
            Some("NOAUTH" | "WRONGPASS") => Trouble::Login(in_its_words(error)),
            Some("NOPROTO") => Trouble::Old(in_its_words(error)),
            _ if is_without_hello(error) => Trouble::Old(in_its_words(error)),
            _ if error.kind() == ErrorKind::AuthenticationFailed => Trouble::Login(error.to_string()),
            _ if is_forbidden_to_a_script(error) => Trouble::Forbidden(in_its_words(error)),
            _ => Trouble::Unreached(error.to_string()),
        }
    }

    /// Describes what is wrong with joining `namespace` at `address`, and what to do.
    pub(crate) fn describe(&self, address: &str, namespace: &str, waited: Duration) -> String {
        let waited = humantime::format_duration(waited);
        match self {
            Trouble::Unreached(reason) => unreached(address, waited, &format!(" ({reason})")),
            Trouble::Login(reason) => format!(
                "Redis at {address} refuses the login ({reason}), for {waited}: are redis.username and redis.password \
                 (REDIS_USERNAME, REDIS_PASSWORD), or those in redis.url, right?"
            ),
            Trouble::Forbidden(reason) => format!(
                "Redis at {address} forbids its user what a node of '{namespace}' has to do ({reason}), for {waited}: \
                 are namespace (DISTRIBUTION_NAMESPACE) and redis.username (REDIS_USERNAME) right? What the user needs is \
                 in docs/security.md, and ACL LOG tells what it lacks"
            ),
            Trouble::Old(reason) => format!(
                "What answers at {address} does not speak RESP3 (HELLO 3), in which a node hears events ({reason}), for \
                 {waited}: is it Redis 6.2 or newer, or Valkey, and does a proxy in front of it pass on HELLO?"
            ),
        }
    }

    /// Describes a failure whose cause is not known.
    pub(crate) fn unknown(address: &str, waited: Duration) -> String {
        unreached(address, humantime::format_duration(waited), "")
    }
}

fn unreached(address: &str, waited: impl fmt::Display, reason: &str) -> String {
    format!(
        "No connection to Redis at {address} within {waited}{reason}: is it running, and is redis.url (REDIS_URL) right?"
    )
}

/// Returns the error in the words of the server.
fn in_its_words(error: &RedisError) -> String {
    let code = error.code().unwrap_or("ERR");
    let detail = error.detail().unwrap_or_default();
    format!("{code} {detail}").trim_end().to_owned()
}

/// Returns `true` if the server does not know HELLO, and so not RESP3.
fn is_without_hello(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default().to_ascii_lowercase();
    error.kind() == ErrorKind::RESP3NotSupported || (detail.contains("unknown command") && detail.contains("hello"))
}

/// Returns `true` for a NOPERM inside a script, whose code is lost: Redis before 7 wraps the error, later ones have a
/// sentence of their own for it.
fn is_forbidden_to_a_script(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default();
    detail.contains("-NOPERM ") || detail.contains("The user executing the script can't")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(line: &str) -> Trouble {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        Trouble::of(&answer.extract_error().unwrap_err())
    }

    #[test]
    fn what_a_server_refuses_is_told_in_its_own_words() {
        for line in [
            "NOPERM this user has no permissions to run the 'subscribe' command",
            "NOPERM No permissions to access a channel",
            "ERR The user executing the script can't run this command or subcommand script: 1f2, on @user_script:1.",
            "ERR Error running script (call to f_1f2): @user_script:1: @user_script: 1: -NOPERM this user has none",
        ] {
            assert_eq!(trouble(line), Trouble::Forbidden(line.into()));
        }
        for line in ["NOAUTH Authentication required.", "WRONGPASS invalid username-password pair or user is disabled."]
        {
            assert_eq!(trouble(line), Trouble::Login(line.into()));
        }
        for line in
            ["NOPROTO unsupported protocol version", "ERR unknown command 'HELLO', with args beginning with: '3' "]
        {
            assert_eq!(trouble(line), Trouble::Old(line.trim_end().into()));
        }
        assert!(matches!(trouble("LOADING Redis is loading the dataset in memory"), Trouble::Unreached(_)));
    }

    #[test]
    fn each_trouble_says_who_failed_and_what_to_look_at() {
        let told = |trouble: Trouble| trouble.describe("redis:6379", "shop", Duration::from_secs(10));
        assert_eq!(
            told(Trouble::Unreached("Connection refused".into())),
            "No connection to Redis at redis:6379 within 10s (Connection refused): is it running, and is redis.url \
             (REDIS_URL) right?"
        );
        assert_eq!(
            told(Trouble::Login("NOAUTH Authentication required.".into())),
            "Redis at redis:6379 refuses the login (NOAUTH Authentication required.), for 10s: are redis.username and \
             redis.password (REDIS_USERNAME, REDIS_PASSWORD), or those in redis.url, right?"
        );
        assert_eq!(
            told(Trouble::Forbidden("NOPERM No permissions to access a channel".into())),
            "Redis at redis:6379 forbids its user what a node of 'shop' has to do (NOPERM No permissions to access a \
             channel), for 10s: are namespace (DISTRIBUTION_NAMESPACE) and redis.username (REDIS_USERNAME) right? What \
             the user needs is in docs/security.md, and ACL LOG tells what it lacks"
        );
        assert_eq!(
            told(Trouble::Old("NOPROTO unsupported protocol version".into())),
            "What answers at redis:6379 does not speak RESP3 (HELLO 3), in which a node hears events (NOPROTO unsupported \
             protocol version), for 10s: is it Redis 6.2 or newer, or Valkey, and does a proxy in front of it pass on HELLO?"
        );
    }
}
