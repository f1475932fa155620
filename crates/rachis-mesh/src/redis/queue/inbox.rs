//! The inbox of one node: replies to its calls, and notes of requests to its app.

use super::{
    Entry, EntryId,
    reader::{Read, Reader},
};
use crate::redis::{connection::is_fatal, resp::bytes};
use redis::{Cmd, FromRedisValue, Value};
use std::collections::HashMap;

type Info = HashMap<String, Value>;

/// About how many replies one read brings. While they are handled, Redis fetches the next; with many more at a time,
/// callers, Redis and replicas would take turns instead of working in parallel.
const REPLIES: usize = 64;

/// Entries after which earlier ones count half.
const RECENT: usize = 128;

/// Bytes after which read entries are trimmed from the stream. A larger value lets large replies fill Redis; a smaller
/// one costs it more with small replies.
const TRIM_AFTER: usize = 64 * 1024;

/// Reads a node's inbox from the beginning of its life on, each entry once.
pub(crate) struct Inbox {
    stream: String,
    last: EntryId,
    /// Bytes read since the stream was trimmed.
    read: usize,
    density: Density,
    reader: Reader,
}

/// The outcome of a read.
#[derive(Debug, PartialEq)]
pub(crate) enum InboxRead {
    /// Entries; empty when none came in time.
    Entries(Vec<Entry>),
    /// The connection is new; the stream itself may be, too.
    Reconnected,
}

impl Inbox {
    pub(crate) fn new(stream: String, reader: Reader) -> Self {
        // The node is new and so is its id: whatever stands in the stream is meant for it.
        Inbox { stream, last: EntryId::FIRST, read: 0, density: Density::default(), reader }
    }

    /// Waits for entries. Returns `None` when the reader was stopped.
    pub(crate) async fn next(&mut self) -> Option<InboxRead> {
        let trim = (self.read >= TRIM_AFTER).then(|| self.trim());
        match self.reader.read_behind(trim.as_ref(), &self.command()).await {
            Read::Response(response) => {
                let read = response.into_entries();
                if trim.is_some() {
                    self.read = 0;
                }
                self.read += read.iter().map(|entry| entry.frame.len()).sum::<usize>();
                self.density.note(&read);
                if let Some(entry) = read.last() {
                    self.last = entry.id;
                }
                Some(InboxRead::Entries(read))
            }
            // The stream keeps what came meanwhile, and `last` says where to go on.
            Read::Reconnected => {
                if self.was_rolled_back().await {
                    tracing::info!(stream = %self.stream, "the inbox lost its last entries, reading it from its beginning");
                    self.last = EntryId::FIRST;
                }
                Some(InboxRead::Reconnected)
            }
            Read::Refused(error) => {
                tracing::warn!(stream = %self.stream, %error, "the inbox can not be read");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                Some(InboxRead::Entries(Vec::new()))
            }
            Read::Stopped => None,
        }
    }

    /// Returns the id up to which everything was read.
    pub(crate) fn position(&self) -> EntryId {
        self.last
    }

    /// Returns `true` if the stream ends before the last id that was read. After a failover that lost the last writes,
    /// or a loss of all data, new entries may have lower ids than those already read. Reading an entry twice is
    /// harmless: a reply is matched once, and a note alone starts nothing.
    async fn was_rolled_back(&mut self) -> bool {
        if self.last == EntryId::FIRST {
            return false;
        }
        let mut command = redis::cmd("XINFO");
        command.arg("STREAM").arg(&self.stream);
        let info = match self.reader.run(&command).await.and_then(|reply| Ok(Info::from_redis_value(reply)?)) {
            Ok(info) => info,
            // There is no such stream, or not any more.
            Err(error) => return !is_fatal(&error),
        };
        let end = info.get("last-generated-id").cloned().and_then(bytes);
        end.and_then(|id| EntryId::read(&id)).unwrap_or_default() < self.last
    }

    /// Returns the command that removes read entries, which no other node reads.
    fn trim(&self) -> Cmd {
        let mut command = redis::cmd("XTRIM");
        command.arg(&self.stream).arg("MINID").arg("~").arg(self.last);
        command
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(self.density.entries()).arg("BLOCK").arg(self.reader.block_ms());
        command.arg("STREAMS").arg(&self.stream).arg(self.last);
        command
    }
}

/// The recent number of replies in an entry: as many as leave a replica together.
#[derive(Default)]
struct Density {
    entries: usize,
    replies: usize,
}

impl Density {
    fn note(&mut self, read: &[Entry]) {
        self.entries += read.chunk_by(|one, next| one.id == next.id).count();
        self.replies += read.len();
        if self.entries > RECENT {
            self.entries /= 2;
            self.replies /= 2;
        }
    }

    /// Returns the number of entries that hold as many replies as one read should bring.
    fn entries(&self) -> usize {
        (REPLIES * self.entries.max(1)).div_ceil(self.replies.max(1)).min(REPLIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::connection::{Connector, Options};
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    fn connector() -> Connector {
        Connector::new(Options::for_tests(Duration::from_millis(50)), "test").unwrap()
    }

    fn bundles(entries: usize, replies: usize) -> Vec<Entry> {
        let entry = |n: usize| Entry { id: EntryId::new((n / replies) as u64, 0), frame: Vec::new() };
        (0..entries * replies).map(entry).collect()
    }

    #[test]
    fn a_read_asks_for_fewer_entries_where_each_holds_many_replies() {
        let mut density = Density::default();
        assert_eq!(density.entries(), REPLIES);
        density.note(&bundles(10, 1));
        assert_eq!(density.entries(), REPLIES);
        (0..200).for_each(|_| density.note(&bundles(4, 16)));
        assert_eq!(density.entries(), REPLIES / 16);
        (0..200).for_each(|_| density.note(&bundles(4, 1)));
        assert_eq!(density.entries(), REPLIES);
    }

    async fn inbox_at(stream: &str, last: &str) -> Inbox {
        let mut connection = redis::Client::open(crate::testing::redis().url())
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let mut add = redis::cmd("XADD");
        add.arg(stream).arg("5-0").arg("m").arg("reply").exec_async(&mut connection).await.unwrap();
        let reader = Reader::new(connector(), "inbox", stream.to_owned(), CancellationToken::new());
        Inbox { last: last.parse().unwrap(), ..Inbox::new(stream.to_owned(), reader) }
    }

    #[tokio::test]
    async fn an_inbox_that_ends_before_what_was_read_is_read_from_its_beginning() {
        let mut inbox = inbox_at("inbox-rolled-back", "7-3").await;
        assert_eq!(inbox.next().await, Some(InboxRead::Reconnected));
        assert!(matches!(inbox.next().await, Some(InboxRead::Entries(entries)) if entries.len() == 1));
    }

    #[tokio::test]
    async fn an_inbox_that_is_as_it_was_is_read_on() {
        let mut inbox = inbox_at("inbox-as-it-was", "5-0").await;
        assert_eq!(inbox.next().await, Some(InboxRead::Reconnected));
        assert_eq!(inbox.next().await, Some(InboxRead::Entries(Vec::new())));
        assert_eq!(inbox.last, EntryId::new(5, 0));
    }

    #[tokio::test]
    async fn what_was_read_is_taken_out_of_the_stream() {
        let mut inbox = inbox_at("inbox-trimmed", "0-0").await;
        let mut connection = connector().connect("test", "inbox-trimmed", Duration::ZERO).await.unwrap().connection;
        let mut add = redis::cmd("XADD");
        add.arg("inbox-trimmed").arg("*").arg("m").arg(vec![b'x'; 1024]);
        for _ in 0..100 {
            add.exec_async(&mut connection).await.unwrap();
        }
        assert_eq!(inbox.next().await, Some(InboxRead::Reconnected));
        let mut read = 0;
        while read < 101 {
            let Some(InboxRead::Entries(entries)) = inbox.next().await else { panic!("the reader stopped") };
            read += entries.len();
        }
        add.exec_async(&mut connection).await.unwrap();
        assert!(matches!(inbox.next().await, Some(InboxRead::Entries(entries)) if entries.len() == 1));
        let left: usize = redis::cmd("XLEN").arg("inbox-trimmed").query_async(&mut connection).await.unwrap();
        assert!(left < 10, "{left}");
    }

    #[tokio::test]
    async fn an_inbox_that_is_gone_is_read_from_its_beginning() {
        let reader = Reader::new(connector(), "inbox", "inbox-gone".to_owned(), CancellationToken::new());
        let mut inbox = Inbox { last: EntryId::new(7, 3), ..Inbox::new("inbox-gone".to_owned(), reader) };
        assert_eq!(inbox.next().await, Some(InboxRead::Reconnected));
        assert_eq!(inbox.last, EntryId::FIRST);
    }
}
