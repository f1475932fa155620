//! The depth of an app's queue, for metrics and scaling.

use super::EntryId;
use crate::redis::{Failure, keys::Keys};
use redis::{Value, aio::ConnectionLike};

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

    /// Returns the sum of both.
    pub(crate) fn and(self, other: QueueDepth) -> QueueDepth {
        let oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        QueueDepth { length: self.length + other.length, oldest, dead_letters: self.dead_letters + other.dead_letters }
    }
}
