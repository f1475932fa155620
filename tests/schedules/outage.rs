//! What befalls Redis as a whole.

use crate::{hub::Hub, link::Cut, resp};

const UNBLOCKED: &[u8] =
    b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";

impl Hub {
    /// Runs a command of the schedule's own.
    pub(crate) fn run(&self, words: &[&str]) -> Vec<u8> {
        self.trace.note(format_args!("Redis: {}", words.join(" ")));
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut state = self.state();
        let reply = state.admin.run(&words);
        if words[0] == b"REPLICAOF" {
            for blocked in state.blocked.drain(..) {
                let _ = blocked.answer.send(UNBLOCKED.to_vec());
            }
        }
        state.wake(&words);
        reply
    }

    /// Stops Redis, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    pub(crate) async fn runs(&self) {
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }

    pub(crate) fn load(&self, loading: bool) {
        self.state().loading = loading;
    }

    /// Lets nobody connect any more, or again.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state().refusing = refuse;
    }

    /// From now on Redis is another process.
    pub(crate) fn reborn(&self) {
        self.cut_all(Cut::Lost);
        let mut state = self.state();
        state.life += 1;
        state.admin.run(&["SCRIPT", "FLUSH"]);
        // Nothing is wrong with the new one.
        state.loading = false;
        state.admin.run(&["REPLICAOF", "NO", "ONE"]);
        state.admin.run(&["CONFIG", "SET", "maxmemory", "0", "min-replicas-to-write", "0"]);
        // Nobody is left who would hear or read, whatever was half open.
        state.connections.clear();
        state.blocked.clear();
        state.channels.clear();
    }

    /// Remembers everything that Redis holds.
    pub(crate) fn remember(&self) {
        let mut state = self.state();
        let mut keys = resp::texts(&state.admin.run(&["KEYS", "*"]));
        keys.sort();
        let held = keys.into_iter().filter_map(|key| {
            let dump = state.admin.run(&[b"DUMP", &key[..]]);
            let expires = state.admin.run(&[b"PEXPIRETIME", &key[..]]);
            let expires = String::from_utf8_lossy(&expires[1..]).trim().parse::<i64>().unwrap_or(-1).max(0);
            let start = dump.windows(2).position(|two| two == b"\r\n")? + 2;
            Some([key, expires.to_string().into_bytes(), dump.get(start..dump.len() - 2)?.to_vec()])
        });
        state.snapshot = held.collect();
    }

    /// Takes Redis back to what it held when it was last asked to remember.
    pub(crate) fn roll_back(&self) {
        let mut state = self.state();
        state.admin.run(&["FLUSHALL"]);
        for [key, expires, dump] in std::mem::take(&mut state.snapshot) {
            let reply = state.admin.run(&[b"RESTORE", &key[..], &expires, &dump, b"ABSTTL"]);
            assert!(reply.starts_with(b"+"), "{}", String::from_utf8_lossy(&reply));
        }
    }
}
