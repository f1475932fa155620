//! The depth of an app's queue, for metrics and scaling.

use super::EntryId;
use crate::redis::{
    Failure,
    keys::{GROUP, Keys},
};
use redis::{Value, aio::ConnectionLike, streams::StreamPendingReply};

/// The depth of the queue of one app, or of one of its partitions.
#[derive(Default)]
pub(crate) struct QueueDepth {
    /// Requests that wait or are in flight; finished ones are deleted.
    pub(crate) length: u64,
    /// When the oldest request was sent, in ms of Redis's clock.
    pub(crate) oldest: Option<u64>,
    /// The number of dead letters.
    pub(crate) dead_letters: u64,
}

impl QueueDepth {
    /// Reads the depth of one partition, by its name, in one round trip.
    pub(crate) async fn look(on: &mut impl ConnectionLike, keys: &Keys, name: &str) -> Result<QueueDepth, Failure> {
        let calls = keys.calls(name);
        let letters = keys.dead_letters(name);
        let (length, first, dead_letters): (u64, Vec<(EntryId, Value)>, u64) = redis::pipe()
            .xlen(&calls)
            .cmd("XRANGE")
            .arg(&calls)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .xlen(&letters)
            .query_async(on)
            .await?;
        Ok(QueueDepth { length, oldest: first.first().map(|(id, _)| id.ms), dead_letters })
    }

    /// Reads how many requests each replica has been given, by its name; nothing where there is no group yet.
    pub(crate) async fn pending(
        on: &mut impl ConnectionLike,
        keys: &Keys,
        name: &str,
    ) -> Result<Vec<(String, u64)>, Failure> {
        let mut ask = redis::cmd("XPENDING");
        match ask.arg(keys.calls(name)).arg(GROUP).query_async(on).await {
            Ok(StreamPendingReply::Data(data)) => {
                let counts = data.consumers.into_iter();
                Ok(counts.map(|replica| (replica.name, u64::try_from(replica.pending).unwrap_or(u64::MAX))).collect())
            }
            // Empty, or in a way that is not known yet.
            Ok(_) => Ok(Vec::new()),
            Err(error) if error.code() == Some("NOGROUP") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the sum of both.
    pub(crate) fn and(self, other: QueueDepth) -> QueueDepth {
        let oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        QueueDepth { length: self.length + other.length, oldest, dead_letters: self.dead_letters + other.dead_letters }
    }
}
