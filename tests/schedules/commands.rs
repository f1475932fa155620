//! How a command is executed: by Redis itself, but for what waits, what is published and what is about connections.

use crate::{
    connection::Connection,
    hub::{Blocked, Came, State},
    link::Cut,
    resp,
};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// The commands that may wait for something to come.
const BLOCKING: [&str; 2] = ["XREAD", "XREADGROUP"];
const NIL: &[u8] = b"*-1\r\n";

impl State {
    pub(crate) fn execute(&mut self, connection: &Connection, words: &[Vec<u8>]) -> Came {
        let id = connection.id;
        let word =
            |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word).to_uppercase()).unwrap_or_default();
        let number = |at: usize| words.get(at).and_then(|word| std::str::from_utf8(word).ok()?.parse::<i64>().ok());
        let is_own = matches!((word(0).as_str(), word(1).as_str()), ("SUBSCRIBE", _) | ("CLIENT", "UNBLOCK" | "KILL"));
        if let Some(refusal) = is_own.then(|| self.refusal(connection, words)).flatten() {
            return Came::Reply(refusal);
        }
        let reply = match (word(0).as_str(), word(1).as_str()) {
            ("SUBSCRIBE" | "UNSUBSCRIBE", _) => self.subscribe(connection, &word(0).to_lowercase(), &words[1..]),
            ("HELLO", "3") => {
                connection.pushes.store(true, Ordering::Relaxed);
                connection.run(words)
            }
            ("PING", "")
                if !connection.is_pushed() && self.channels.values().any(|listeners| listeners.contains(&id)) =>
            {
                b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec()
            }
            ("CLIENT", "UNBLOCK") => match self.blocked.iter().position(|blocked| Some(blocked.id) == number(2)) {
                Some(at) => {
                    let _ = self.blocked.remove(at).answer.send(NIL.to_vec());
                    b":1\r\n".to_vec()
                }
                None => b":0\r\n".to_vec(),
            },
            ("CLIENT", "KILL") => match number(3).and_then(|id| self.connections.get(&id).cloned()) {
                Some(other) => {
                    other.cut(Cut::Lost);
                    self.connections.remove(&other.id);
                    b":1\r\n".to_vec()
                }
                None => b":0\r\n".to_vec(),
            },
            ("INFO", _) => self.disguised(connection.run(words)),
            (name, _) if BLOCKING.contains(&name) && words.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK")) => {
                return self.read(connection, words);
            }
            _ => connection.run(words),
        };
        if word(0) == "SCRIPT" && word(1) == "LOAD" {
            self.names.learn(&words[2], &reply);
        }
        self.wake(words);
        Came::Reply(reply)
    }

    fn read(&mut self, connection: &Connection, words: &[Vec<u8>]) -> Came {
        let at = words.iter().position(|word| word.eq_ignore_ascii_case(b"BLOCK")).expect("it blocks");
        let time = std::str::from_utf8(&words[at + 1]).ok().and_then(|time| time.parse().ok()).filter(|time| *time > 0);
        let mut rest = words.to_vec();
        rest.drain(at..at + 2);
        let reply = connection.run(&rest);
        if reply != NIL {
            return Came::Reply(reply);
        }
        let (answer, answered) = oneshot::channel();
        let key = rest[rest.len() - 2].clone();
        self.blocked.push(Blocked { id: connection.id, key, words: rest, answer });
        Came::Waits(answered, time)
    }

    /// Passes on what a command has published, and ends the reads that it has brought something.
    pub(crate) fn wake(&mut self, words: &[Vec<u8>]) {
        let name = words[0].to_ascii_uppercase();
        if name.starts_with(b"EVAL") || name.ends_with(b"PUBLISH") {
            self.hear();
        }
        let touches = |key: &Vec<u8>| name.starts_with(b"FLUSH") || words.contains(key);
        let mut at = 0;
        while let Some(blocked) = self.blocked.get(at) {
            let served = match self.connections.get(&blocked.id) {
                Some(_) if blocked.answer.is_closed() => Some(Vec::new()),
                Some(connection) if touches(&blocked.key) => {
                    Some(connection.run(&blocked.words)).filter(|reply| reply != NIL)
                }
                Some(_) => None,
                None => Some(Vec::new()),
            };
            match served {
                Some(reply) => drop(self.blocked.remove(at).answer.send(reply)),
                None => at += 1,
            }
        }
    }

    fn hear(&mut self) {
        let mut heard = self.ear.run(&["PING"]);
        while !heard.starts_with(b"*2\r\n") {
            let parts = resp::texts(&heard);
            if let [_, _, channel, payload] = &parts[..] {
                for listener in self.channels.get(channel).into_iter().flatten() {
                    if let Some(connection) = self.connections.get(listener) {
                        connection.send(resp::message(connection.is_pushed(), channel, payload));
                    }
                }
            }
            heard = self.ear.next();
        }
    }

    fn subscribe(&mut self, connection: &Connection, kind: &str, channels: &[Vec<u8>]) -> Vec<u8> {
        let (id, mut reply) = (connection.id, Vec::new());
        for channel in channels {
            let listeners = self.channels.entry(channel.clone()).or_default();
            listeners.retain(|listener| *listener != id);
            if kind == "subscribe" {
                listeners.push(id);
            }
            let count = self.channels.values().filter(|listeners| listeners.contains(&id)).count();
            reply.extend(resp::subscribed(connection.is_pushed(), kind, channel, count));
        }
        reply
    }

    /// As another process, with another history, would tell of itself.
    fn disguised(&self, mut info: Vec<u8>) -> Vec<u8> {
        for field in [&b"run_id:"[..], b"master_replid:"] {
            if let Some(at) = info.windows(field.len()).position(|bytes| bytes == field) {
                let life = format!("{:08x}", self.life);
                info[at + field.len()..at + field.len() + 8].copy_from_slice(life.as_bytes());
            }
        }
        info
    }
}
