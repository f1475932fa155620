//! A pipeline of commands, built in one buffer.

use super::{EntryId, entry_id::write_digits};
use std::ops::Range;

/// Commands in RESP.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    bytes: Vec<u8>,
    count: usize,
    /// A buffer for parts whose length is not known before.
    spare: Vec<u8>,
}

impl Commands {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Commands { bytes: Vec::with_capacity(bytes), ..Commands::default() }
    }

    /// Begins a command of `parts` parts, which are to follow.
    pub(crate) fn begin(&mut self, parts: usize) {
        self.count += 1;
        self.line(b'*', parts);
    }

    /// Adds a part to the last command.
    pub(crate) fn part(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.line(b'$', part.len());
        self.bytes.extend_from_slice(part);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds a number to the last command.
    pub(crate) fn number(&mut self, number: u64) {
        self.spare.clear();
        write_digits(&mut self.spare, number);
        self.spared();
    }

    /// Adds the id of an entry to the last command.
    pub(crate) fn id(&mut self, id: EntryId) {
        self.spare.clear();
        write_digits(&mut self.spare, id.ms);
        self.spare.push(b'-');
        write_digits(&mut self.spare, id.count);
        self.spared();
    }

    /// Returns the position of the next part.
    pub(crate) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// Adds these parts of an earlier command to the last one.
    pub(crate) fn again(&mut self, parts: Range<usize>) {
        self.bytes.extend_from_within(parts);
    }

    fn spared(&mut self) {
        let spare = std::mem::take(&mut self.spare);
        self.part(&spare);
        self.spare = spare;
    }

    /// Adds a whole command.
    pub(crate) fn add(&mut self, parts: &[&[u8]]) {
        self.begin(parts.len());
        parts.iter().for_each(|part| self.part(part));
    }

    fn line(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        write_digits(&mut self.bytes, number as u64);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_rs_is_given_is_what_it_would_have_made() {
        let mut commands = Commands::default();
        commands.add(&[b"XADD", b"calls", b"*", b"m", b"a\r\n$1\r\nb"]);
        commands.begin(3);
        commands.part("PEXPIRE");
        commands.part("");
        commands.number(120_000);
        commands.begin(2);
        commands.part("XDEL");
        let id = commands.end();
        commands.id(EntryId::new(17, 0));
        let id = id..commands.end();
        commands.begin(2);
        commands.part("XACK");
        commands.again(id);
        let mut expected = redis::pipe();
        expected.cmd("XADD").arg("calls").arg("*").arg("m").arg("a\r\n$1\r\nb");
        expected.cmd("PEXPIRE").arg("").arg(120_000);
        expected.cmd("XDEL").arg("17-0");
        expected.cmd("XACK").arg("17-0");
        assert_eq!(commands.len(), 4);
        assert_eq!(commands.bytes(), expected.get_packed_pipeline());
    }
}
