//! What nodes may do: each has a user of its own in Redis, whose rights may be narrow, or become so for a while.

use crate::{
    connection::Connection,
    hub::{Hub, State},
    link::Cut,
    random::Random,
};

/// What may be left out for good, at a price that `docs/security.md` names.
const OPTIONAL: [&str; 6] = ["zcard", "client|id", "client|kill", "client|unblock", "client|setname", "info"];
/// What a node may not do for a while, as after a mistake of whoever gives rights.
const TAKEN: [Right; 16] = [
    Right::Command("zcard"),
    Right::Command("publish"),
    Right::Command("subscribe"),
    Right::Command("xadd"),
    Right::Command("xdel"),
    Right::Command("xack"),
    Right::Command("xread"),
    Right::Command("xreadgroup"),
    Right::Command("xpending"),
    Right::Command("xclaim"),
    Right::Command("xrange"),
    Right::Command("evalsha"),
    Right::Command("hgetall"),
    Right::Command("set"),
    Right::Command("zadd"),
    Right::Events,
];

/// A right that is taken away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Right {
    Command(&'static str),
    /// The channels of events.
    Events,
}

impl Right {
    pub(crate) fn any(random: &mut Random) -> Right {
        TAKEN[random.below(TAKEN.len() as u64) as usize]
    }

    /// Some of those that nodes do without, if any.
    pub(crate) fn narrow(random: &mut Random) -> Vec<&'static str> {
        if random.below(3) > 0 {
            return Vec::new();
        }
        OPTIONAL.into_iter().filter(|_| random.below(2) == 0).collect()
    }

    fn rules(self, allowed: bool) -> Vec<String> {
        match (self, allowed) {
            (Right::Command(command), true) => vec![format!("+{command}")],
            (Right::Command(command), false) => vec![format!("-{command}")],
            (Right::Events, true) => vec!["allchannels".into()],
            (Right::Events, false) => vec!["resetchannels".into(), "&s:lifecycle*".into()],
        }
    }
}

/// The user of a node.
fn user(node: usize) -> String {
    format!("node-{node}")
}

impl Hub {
    /// Lets a node do something, or no longer.
    pub(crate) fn allow(&self, node: usize, right: Right, allowed: bool) {
        let (user, rules) = (user(node), right.rules(allowed));
        let words: Vec<&str> = ["ACL", "SETUSER", &user].into_iter().chain(rules.iter().map(String::as_str)).collect();
        self.run(&words);
        if right == Right::Events && !allowed {
            // Whoever hears what it may not is cut off.
            for connection in self.listeners(node) {
                connection.cut(Cut::Lost);
            }
        }
    }
}

impl State {
    /// Makes the user of a node, without the rights that are named.
    pub(crate) fn make_user(&mut self, node: usize, without: &[&str]) {
        let mut words: Vec<String> =
            ["ACL", "SETUSER", &user(node), "reset", "on", "nopass", "~*", "&*", "+@all"].map(str::to_owned).into();
        words.extend(without.iter().map(|command| format!("-{command}")));
        self.admin.run(&words);
    }

    /// Why Redis would refuse a command that it is not given.
    pub(crate) fn refusal(&mut self, connection: &Connection, words: &[Vec<u8>]) -> Option<Vec<u8>> {
        let user = user(connection.node).into_bytes();
        let asked: Vec<&[u8]> =
            [&b"ACL"[..], b"DRYRUN", &user].into_iter().chain(words.iter().map(Vec::as_slice)).collect();
        let reply = self.admin.run(&asked);
        let why = reply.strip_prefix(b"$")?.splitn(2, |byte| *byte == b'\n').nth(1)?;
        Some([b"-NOPERM ", why].concat())
    }
}

/// Who a connection of this node says to be.
pub(crate) fn login(node: usize) -> [String; 3] {
    ["AUTH".into(), user(node), "any".into()]
}
