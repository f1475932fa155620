//! What is meant for one node alone: replies to its calls, and notes of requests handed on to it.

use super::{Entry, Reader, entries, reader::Read};
use redis::Cmd;

/// How many entries one read takes.
const BATCH: usize = 256;

/// Reads a node's inbox from the beginning of its life on, each entry once.
pub(crate) struct Inbox {
    stream: String,
    last: String,
    reader: Reader,
}

/// What came in.
pub(crate) enum Inward {
    /// Entries, none when none came in time.
    Entries(Vec<Entry>),
    /// The connection is new; the stream itself may be, too.
    Reconnected,
}

impl Inbox {
    pub(crate) fn new(stream: String, reader: Reader) -> Self {
        // The node is new and so is its id: whatever stands in the stream is meant for it.
        Inbox { stream, last: "0-0".to_owned(), reader }
    }

    /// Waits for entries; `None` when the reader was stopped.
    pub(crate) async fn next(&mut self) -> Option<Inward> {
        match self.reader.read(&self.command()).await {
            Read::Reply(reply) => {
                let read = entries(reply);
                if let Some(entry) = read.last() {
                    self.last.clone_from(&entry.id);
                }
                Some(Inward::Entries(read))
            }
            // The stream keeps what came meanwhile, and `last` says where to go on.
            Read::Reconnected => Some(Inward::Reconnected),
            Read::Refused(error) => {
                tracing::warn!(stream = %self.stream, %error, "the inbox can not be read");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                Some(Inward::Entries(Vec::new()))
            }
            Read::Stopped => None,
        }
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(self.reader.block_ms());
        command.arg("STREAMS").arg(&self.stream).arg(&self.last);
        command
    }
}
