//! What is meant for one node alone: replies to its calls, and notes of requests handed on to it.

use super::{Entry, Reader, entries, entry, entry_order, reader::Read};
use redis::{Cmd, Value};

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
            Read::Reconnected => {
                self.rewind().await;
                Some(Inward::Reconnected)
            }
            Read::Refused(error) => {
                tracing::warn!(stream = %self.stream, %error, "the inbox can not be read");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                Some(Inward::Entries(Vec::new()))
            }
            Read::Stopped => None,
        }
    }

    /// The id up to which everything was read.
    pub(crate) fn position(&self) -> &str {
        &self.last
    }

    /// Begins anew with a stream that is not the one that was read: a server that has lost it, or never had it, and whose
    /// clock is behind, gives its entries ids that look as if they had been read.
    async fn rewind(&mut self) {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&self.stream).arg("+").arg("-").arg("COUNT").arg(1);
        let Ok(Value::Array(newest)) = self.reader.run(&command).await else { return };
        let newest = newest.into_iter().find_map(entry).map_or((0, 0), |entry| entry_order(&entry.id));
        if newest < entry_order(&self.last) {
            self.last = "0-0".to_owned();
        }
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(self.reader.block_ms());
        command.arg("STREAMS").arg(&self.stream).arg(&self.last);
        command
    }
}
