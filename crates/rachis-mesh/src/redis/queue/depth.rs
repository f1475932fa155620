//! How much waits in an app's stream, for whoever watches or scales it.

use super::EntryId;
use crate::redis::{Failure, keys::Keys};
use redis::{Value, aio::ConnectionLike};

/// The requests of one app, or of one of its partitions.
#[derive(Default)]
pub(crate) struct QueueDepth {
    /// How many wait or are being worked on: finished ones are deleted.
    pub(crate) length: u64,
    /// When the oldest of them was sent, in ms of Redis's clock.
    pub(crate) oldest: Option<u64>,
    /// How many of its requests were set aside.
    pub(crate) dead_letters: u64,
}

impl QueueDepth {
    /// Asks Redis of one stream, in one round trip; `name` is that of the partition.
    pub(crate) async fn look(on: &mut impl ConnectionLike, keys: &Keys, name: &str) -> Result<QueueDepth, Failure> {
        let (calls, letters) = (keys.calls(name), keys.dead_letters(name));
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

    /// Both as one.
    pub(crate) fn and(self, other: QueueDepth) -> QueueDepth {
        let oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        QueueDepth { length: self.length + other.length, oldest, dead_letters: self.dead_letters + other.dead_letters }
    }
}
