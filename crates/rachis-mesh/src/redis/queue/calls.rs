//! The request stream of one app: how a replica pulls requests, takes them over and settles them.

use super::{
    Entry, EntryId,
    reader::{Read, Reader},
};
use crate::redis::{
    keys::{GROUP, Keys, LOST},
    resp::bytes,
    scripts,
};
use redis::{Cmd, RedisError, RedisResult, Script, Value, aio::ConnectionLike};
use std::{sync::LazyLock, time::Duration};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::CLAIM));
static OWN: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::OWN));
static HAND_ON: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::HAND_ON));
static DEAD_LETTER: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::DEAD_LETTER));
static REGROUP: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::REGROUP));
static RETIRE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::RETIRE));
static GIVE_UP: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::GIVE_UP));
static SETTLED: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::SETTLED));
static REQUEUE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::REQUEUE));

/// Entries in one query of what a replica was given: more than it can ever have in flight.
const GIVEN_BATCH: usize = 10_000;
/// Requests taken over in one step; the next step takes the rest.
const CLAIM_BATCH: usize = 128;
/// Entries and bytes that one call of a script looks through, so that none blocks Redis for more than a few milliseconds.
const SETTLED_BATCH: usize = 1000;
const SETTLED_BYTES: usize = 4 * 1024 * 1024;

/// The request stream of one partition of an app.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    stream: String,
    dead_letters: String,
    consumer: String,
}

/// A request and how often it was delivered, to this replica and to dead ones.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) entry: Entry,
    pub(crate) deliveries: u32,
    /// The dead replica that it was taken over from.
    pub(crate) from: Option<String>,
}

/// The number of unsettled requests of one replica.
#[derive(Debug, PartialEq)]
pub(crate) struct PendingOf {
    pub(crate) consumer: String,
    pub(crate) count: usize,
}

/// The outcome of an attempt to settle a request that is not begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum GivenUp {
    /// It was this replica's, and is settled.
    Now,
    /// It is another replica's, which answers it.
    Elsewhere,
    /// It is no replica's: it was settled before.
    Before,
}

/// The outcome of a pull.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// New requests; empty when none came in time.
    New(Vec<Entry>),
    /// The connection is new: requests that were delivered through the old one may not have arrived.
    Reconnected,
    /// The stream or its group is gone: Redis was flushed, or lost its data.
    Refused(RedisError),
}

type Triple = (EntryId, Vec<u8>, u32);

impl From<Triple> for Delivered {
    fn from((id, frame, deliveries): Triple) -> Self {
        Delivered { entry: Entry { id, frame }, deliveries, from: None }
    }
}

impl Calls {
    pub(crate) fn new(keys: &Keys, app: &str, node: &str) -> Self {
        Calls { stream: keys.calls(app), dead_letters: keys.dead_letters(app), consumer: node.to_owned() }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// The stream of its dead letters.
    pub(crate) fn dead_letters(&self) -> &str {
        &self.dead_letters
    }

    /// Removes the stream if it is empty, so that no request can be added any more. Returns `true` if it is gone.
    pub(crate) async fn retire(&self, on: &mut impl ConnectionLike) -> RedisResult<bool> {
        RETIRE.key(&self.stream).invoke_async(on).await
    }

    /// Creates stream and group where they are missing, and keeps the entries `in_hand` with this replica. Returns
    /// `true` if there are requests whose replica is unknown; they are to be inherited from [`LOST`].
    pub(crate) async fn regroup(&self, on: &mut impl ConnectionLike, in_hand: &[EntryId]) -> RedisResult<bool> {
        REGROUP.key(&self.stream).arg(GROUP).arg(LOST).arg(&self.consumer).arg(in_hand).invoke_async(on).await
    }

    /// Waits for at most `count` requests, no longer than `wait_ms` and until `interrupt` completes. Returns `None`
    /// when the reader was stopped.
    pub(crate) async fn pull(
        &self,
        reader: &mut Reader,
        count: usize,
        wait_ms: Option<u64>,
        interrupt: impl Future<Output = ()>,
    ) -> Option<Pulled> {
        let command = self.read_new(wait_ms.unwrap_or(u64::MAX).min(reader.block_ms()), count);
        match reader.read_unless(interrupt, &command).await {
            Read::Response(response) => Some(Pulled::New(response.into_entries())),
            Read::Reconnected => Some(Pulled::Reconnected),
            Read::Refused(error) => Some(Pulled::Refused(error)),
            Read::Stopped => None,
        }
    }

    fn read_new(&self, block_ms: u64, count: usize) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(count).arg("BLOCK").arg(block_ms);
        command.arg("STREAMS").arg(&self.stream).arg(">");
        command
    }

    /// Returns the ids of the unsettled requests of this replica.
    pub(crate) async fn given(&self, on: &mut impl ConnectionLike) -> RedisResult<Vec<EntryId>> {
        let mut command = redis::cmd("XPENDING");
        command.arg(&self.stream).arg(GROUP).arg("-").arg("+").arg(GIVEN_BATCH).arg(&self.consumer);
        self.ids(command.query_async(on).await)
    }

    /// Returns those of them that were delivered at least `age` ago, the oldest first, 10,000 at most.
    pub(crate) async fn given_before(&self, on: &mut impl ConnectionLike, age: Duration) -> RedisResult<Vec<EntryId>> {
        let mut command = redis::cmd("XPENDING");
        command.arg(&self.stream).arg(GROUP).arg("IDLE").arg(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        command.arg("-").arg("+").arg(GIVEN_BATCH).arg(&self.consumer);
        self.ids(command.query_async(on).await)
    }

    fn ids(&self, given: RedisResult<Vec<(EntryId, String, u64, u64)>>) -> RedisResult<Vec<EntryId>> {
        match given {
            Ok(given) => Ok(given.into_iter().map(|(id, ..)| id).collect()),
            Err(error) if error.code() == Some("NOGROUP") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the number of unsettled requests of each replica; empty without a group.
    pub(crate) async fn pending(&self, on: &mut impl ConnectionLike) -> RedisResult<Vec<PendingOf>> {
        type Summary = (u64, Value, Value, Option<Vec<(String, usize)>>);
        let summary: RedisResult<Summary> = redis::cmd("XPENDING").arg(&self.stream).arg(GROUP).query_async(on).await;
        match summary {
            Ok((.., consumers)) => {
                let each = consumers.unwrap_or_default().into_iter();
                Ok(each.map(|(consumer, count)| PendingOf { consumer, count }).collect())
            }
            Err(error) if error.code() == Some("NOGROUP") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns `true` if the group is gone, or was gone and what it knew has not been settled since.
    pub(crate) async fn is_group_lost(&self, on: &mut impl ConnectionLike) -> RedisResult<bool> {
        let mut command = redis::cmd("XPENDING");
        command.arg(&self.stream).arg(GROUP).arg("-").arg("+").arg(1).arg(LOST);
        let lost: RedisResult<Vec<(EntryId, String, u64, u64)>> = command.query_async(on).await;
        match lost {
            Ok(lost) => Ok(!lost.is_empty()),
            Err(error) if error.code() == Some("NOGROUP") => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Returns one of these requests, if it is still there.
    pub(crate) async fn own(&self, on: &mut impl ConnectionLike, id: EntryId) -> RedisResult<Option<Delivered>> {
        let found: Option<(Vec<u8>, u32)> =
            OWN.key(&self.stream).arg(GROUP).arg(&self.consumer).arg(id).invoke_async(on).await?;
        let delivered = |(frame, deliveries)| Delivered::from((id, frame, deliveries));
        Ok(found.map(delivered))
    }

    /// Gives one of these requests to another replica. Returns `false` if it is settled, or is no longer of this
    /// replica.
    pub(crate) async fn hand_off(&self, on: &mut impl ConnectionLike, id: EntryId, to: &str) -> RedisResult<bool> {
        HAND_ON.key(&self.stream).arg(GROUP).arg(id).arg(&self.consumer).arg(to).invoke_async(on).await
    }

    /// Returns the number of requests that wait or are in flight.
    pub(crate) async fn len(&self, on: &mut impl ConnectionLike) -> RedisResult<u64> {
        redis::cmd("XLEN").arg(&self.stream).query_async(on).await
    }

    /// Returns every replica in the group.
    pub(crate) async fn consumers(&self, on: &mut impl ConnectionLike) -> RedisResult<Vec<String>> {
        let reply: Vec<std::collections::HashMap<String, redis::Value>> =
            redis::cmd("XINFO").arg("CONSUMERS").arg(&self.stream).arg(GROUP).query_async(on).await?;
        let names = reply.into_iter().filter_map(|mut consumer| bytes(consumer.remove("name")?));
        Ok(names.filter_map(|name| String::from_utf8(name).ok()).collect())
    }

    /// Takes over the unfinished requests of `dead`; removes it from the group when none is left.
    pub(crate) async fn claim(&self, on: &mut impl ConnectionLike, dead: &str) -> RedisResult<Vec<Delivered>> {
        let taken: Vec<Triple> =
            CLAIM.key(&self.stream).arg(GROUP).arg(dead).arg(&self.consumer).arg(CLAIM_BATCH).invoke_async(on).await?;
        let from = |delivered| Delivered { from: Some(dead.to_owned()), ..delivered };
        Ok(taken.into_iter().map(Delivered::from).map(from).collect())
    }

    /// Puts a request of this replica that was not started back into the queue, as `frame`. Returns `false` if it is
    /// settled, or is no longer of this replica.
    pub(crate) async fn requeue(&self, on: &mut impl ConnectionLike, id: EntryId, frame: &[u8]) -> RedisResult<bool> {
        REQUEUE.key(&self.stream).arg(GROUP).arg(id).arg(frame).arg(&self.consumer).invoke_async(on).await
    }

    /// Settles a request that is not begun, if it is still this replica's.
    pub(crate) async fn give_up(&self, on: &mut impl ConnectionLike, id: EntryId) -> RedisResult<GivenUp> {
        let outcome: u8 = GIVE_UP.key(&self.stream).arg(GROUP).arg(id).arg(&self.consumer).invoke_async(on).await?;
        Ok(match outcome {
            0 => GivenUp::Elsewhere,
            1 => GivenUp::Now,
            _ => GivenUp::Before,
        })
    }

    /// Deletes what was settled and could not be deleted then. Returns the number of requests that were.
    pub(crate) async fn delete_settled(&self, on: &mut impl ConnectionLike) -> RedisResult<usize> {
        let mut from = "-".to_owned();
        let mut sum = 0;
        while !from.is_empty() {
            let mut call = SETTLED.key(&self.stream);
            call.arg(GROUP).arg(&from).arg(SETTLED_BATCH).arg(SETTLED_BYTES);
            let (next, deleted): (String, usize) = call.invoke_async(on).await?;
            sum += deleted;
            from = next;
        }
        Ok(sum)
    }

    /// Moves a request to the dead letters, with `kept` as its frame.
    pub(crate) async fn dead_letter(
        &self,
        on: &mut impl ConnectionLike,
        request: &Delivered,
        kept: &[u8],
        reason: &str,
        letters: usize,
    ) -> RedisResult<bool> {
        DEAD_LETTER
            .key(&self.stream)
            .key(&self.dead_letters)
            .arg(GROUP)
            .arg(request.entry.id)
            .arg(reason)
            .arg(letters)
            .arg(request.deliveries)
            .arg(request.from.as_ref().unwrap_or(&self.consumer))
            .arg(&self.consumer)
            .arg(kept)
            .invoke_async(on)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn what_an_heir_has_taken_over_its_former_replica_neither_gives_up_nor_hands_back() {
        let client = redis::Client::open(testing::redis().url()).unwrap();
        let on = &mut client.get_multiplexed_async_connection().await.unwrap();
        let keys = Keys::new(&testing::config().namespace);
        let [former, heir] = ["former", "heir"].map(|node| Calls::new(&keys, "default/app", node));
        former.regroup(on, &[]).await.unwrap();
        let add = redis::cmd("XADD").arg(former.stream()).arg("*").arg("m").arg("frame").clone();
        let read = former.read_new(1, 1);
        let mut given = async || {
            let id: EntryId = add.query_async(on).await.unwrap();
            read.exec_async(on).await.unwrap();
            id
        };
        let taken = given().await;
        let kept = given().await;
        assert!(former.hand_off(on, taken, "heir").await.unwrap());
        assert_eq!(former.give_up(on, taken).await.unwrap(), GivenUp::Elsewhere);
        assert!(!former.requeue(on, taken, b"frame").await.unwrap());
        assert_eq!(former.len(on).await.unwrap(), 2);
        assert_eq!(former.give_up(on, kept).await.unwrap(), GivenUp::Now);
        assert_eq!(former.give_up(on, kept).await.unwrap(), GivenUp::Before);
        assert_eq!((former.given(on).await.unwrap(), former.len(on).await.unwrap()), (Vec::new(), 1));
        assert!(heir.requeue(on, taken, b"frame").await.unwrap());
        assert_eq!((heir.given(on).await.unwrap(), heir.len(on).await.unwrap()), (Vec::new(), 1));
    }
}
