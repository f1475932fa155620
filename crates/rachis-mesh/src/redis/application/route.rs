//! Which server of a cluster a command goes to: the one that holds its first key.
//!
//! A guess that is wrong costs a round trip and nothing else: the server answers with the one that holds the key.

use redis::{Arg, Cmd};

/// Where a command is sent.
#[derive(Debug, PartialEq)]
pub(super) enum Route<'a> {
    /// To the server that holds this key.
    Key(&'a [u8]),
    /// To any server: it has no key.
    Any,
    /// To every server, since it changes what each of them has for itself.
    All,
}

/// Returns where `command` is sent.
pub(super) fn route(command: &Cmd) -> Route<'_> {
    let words = || {
        command.args_iter().filter_map(|word| match word {
            Arg::Simple(word) => Some(word),
            _ => None,
        })
    };
    let name = words().next().unwrap_or_default().to_ascii_uppercase();
    let position = match name.as_slice() {
        b"SCRIPT" | b"FUNCTION" => return Route::All,
        b"ACL" | b"AUTH" | b"CLIENT" | b"CLUSTER" | b"COMMAND" | b"CONFIG" | b"DBSIZE" | b"ECHO" | b"FLUSHALL"
        | b"FLUSHDB" | b"HELLO" | b"INFO" | b"KEYS" | b"LASTSAVE" | b"LATENCY" | b"MODULE" | b"MULTI" | b"EXEC"
        | b"DISCARD" | b"PING" | b"PUBLISH" | b"PUBSUB" | b"RANDOMKEY" | b"ROLE" | b"SCAN" | b"SELECT" | b"SLOWLOG"
        | b"TIME" | b"UNWATCH" | b"WAIT" | b"WAITAOF" => return Route::Any,
        // Behind a subcommand, an operation, or the number of keys.
        b"BITOP" | b"DEBUG" | b"LMPOP" | b"MEMORY" | b"OBJECT" | b"SINTERCARD" | b"XGROUP" | b"XINFO" | b"ZDIFF"
        | b"ZINTER" | b"ZINTERCARD" | b"ZMPOP" | b"ZUNION" => 2,
        // Behind a timeout, a script or a function, and the number of keys, which may be none.
        b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" if words().nth(2) == Some(b"0") => {
            return Route::Any;
        }
        b"BLMPOP" | b"BZMPOP" | b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" => 3,
        b"XREAD" | b"XREADGROUP" => {
            let streams = words().position(|word| word.eq_ignore_ascii_case(b"STREAMS"));
            streams.map_or(1, |streams| streams + 1)
        }
        _ => 1,
    };
    words().nth(position).map_or(Route::Any, Route::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Cmd {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command
    }

    #[test]
    fn a_command_goes_to_its_first_key_wherever_that_stands() {
        for line in [
            "get KEY",
            "MSET KEY 1 other 2",
            "EVALSHA digest 1 KEY arg",
            "xread COUNT 1 streams KEY other 0 0",
            "OBJECT ENCODING KEY",
            "XGROUP CREATE KEY group $",
            "BITOP AND KEY a b",
            "ZUNION 2 KEY other",
            "BLMPOP 1 2 KEY other LEFT",
        ] {
            assert_eq!(route(&command(line)), Route::Key(b"KEY"), "{line}");
        }
    }

    #[test]
    fn a_command_without_a_key_goes_to_any_server_and_a_script_to_all() {
        for line in ["PING", "EVAL script 0", "INFO server", "GET"] {
            assert_eq!(route(&command(line)), Route::Any, "{line}");
        }
        assert_eq!(route(&command("SCRIPT LOAD x")), Route::All);
    }
}
