//! What an error means for its connection.

use redis::RedisError;

/// Returns the error for `what` that took too long.
pub(crate) fn timed_out(what: &'static str) -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{what} took too long")))
}

/// Returns `true` if the error makes the connection, or the server behind it, unusable. Errors about the command itself
/// (a missing group, a refused argument, a full memory) do not.
pub(crate) fn is_fatal(error: &RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind as Kind};
    match error.kind() {
        // Redis before 7 wraps what a script fails with.
        ErrorKind::Server(Kind::ResponseError) => {
            let detail = error.detail().unwrap_or_default();
            FATAL.iter().any(|code| detail.contains(&format!("-{code} ")))
        }
        ErrorKind::Server(_) => is_elsewhere(error),
        ErrorKind::Extension => is_elsewhere(error) || error.code().is_some_and(|code| FATAL.contains(&code)),
        _ => true,
    }
}

/// Returns `true` if the error says that, in a cluster, another server holds the key now, or will soon. The connection
/// stays usable.
pub(crate) fn is_redirect(error: &RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind as Kind};
    matches!(error.kind(), ErrorKind::Server(Kind::Moved | Kind::Ask | Kind::TryAgain | Kind::ClusterDown))
}

/// Returns `true` if the error says that the command was not run, and belongs to another server, or to the same one
/// later.
pub(crate) fn is_elsewhere(error: &RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind as Kind};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            Kind::Moved
                | Kind::Ask
                | Kind::TryAgain
                | Kind::ClusterDown
                | Kind::ReadOnly
                | Kind::MasterDown
                | Kind::BusyLoading
        ),
        ErrorKind::Extension => match error.code() {
            Some("NOREPLICAS") => true,
            // A read that blocked is also ended when its stream is deleted, which is no reason to go elsewhere.
            Some("UNBLOCKED") => error.detail().is_some_and(|detail| detail.contains("instance state")),
            _ => false,
        },
        _ => false,
    }
}

/// The codes of errors that are [fatal](is_fatal).
const FATAL: [&str; 7] = ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "WRONGPASS", "MISCONF", "NOREPLICAS"];

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(line: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        answer.extract_error().unwrap_err()
    }

    #[test]
    fn errors_about_the_server_cost_the_connection_and_errors_about_a_command_do_not() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica. script: 1f2, on @user_script:1.",
            "ERR Error running script (call to f_1f2): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "LOADING Redis is loading the dataset in memory",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert!(is_fatal(&server_error(line)), "{line}");
        }
        for line in [
            "ERR unknown command 'FOO'",
            "NOGROUP No such key 'calls' or consumer group 'replicas'",
            "UNBLOCKED the stream key no longer exists",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "NOSCRIPT No matching script. Please use EVAL.",
            "BUSYGROUP Consumer Group name already exists",
            "NOPERM this user has no permissions to run the 'xadd' command",
        ] {
            assert!(!is_fatal(&server_error(line)), "{line}");
        }
        assert!(is_fatal(&timed_out("a test")));
    }
}
