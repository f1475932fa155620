//! The requests of one app, as one of its replicas pulls them, and as anyone settles them.

use super::{Entry, Reader, entries, reader::Read};
use crate::redis::keys::{GROUP, Keys};
use redis::{Cmd, RedisResult, Script, aio::ConnectionLike};
use std::sync::LazyLock;

static CANCEL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/cancel.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/claim.lua")));
static BURY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/bury.lua")));
static REQUEUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/requeue.lua")));

/// Requests taken over in one step; the next step takes the rest.
const CLAIM_BATCH: usize = 128;

/// The request stream of one app.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    stream: String,
    dead: String,
    consumer: String,
}

/// A request taken over from a dead replica.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) entry: Entry,
    /// How often it had been delivered before.
    pub(crate) deliveries: u32,
}

impl Calls {
    pub(crate) fn new(keys: &Keys, app: &str, node: &str) -> Self {
        Calls { stream: keys.calls(app), dead: keys.dead(app), consumer: node.to_owned() }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// Makes stream and group. The group starts at the beginning, so that nothing queued earlier is passed over.
    pub(crate) async fn ensure_group(&self, on: &mut impl ConnectionLike) -> RedisResult<()> {
        settle_busygroup(self.create_group().query_async::<()>(on).await)
    }

    fn create_group(&self) -> Cmd {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(&self.stream).arg(GROUP).arg("0").arg("MKSTREAM");
        command
    }

    /// Waits for requests, at most `count`. Empty when none came in time; `None` when the reader was stopped.
    pub(crate) async fn pull(&self, reader: &mut Reader, count: usize) -> Option<Vec<Entry>> {
        let command = self.read(reader.block_ms(), count, ">");
        match reader.read(&command).await {
            Read::Reply(reply) => Some(entries(reply)),
            Read::Reconnected => Some(self.own_pending(reader).await),
            Read::Refused(error) => {
                // The stream or its group is gone: someone flushed, or Redis lost its data.
                tracing::info!(stream = %self.stream, %error, "requests can not be read, making their group anew");
                if let Err(error) = settle_busygroup(reader.run(&self.create_group()).await.map(drop)) {
                    tracing::warn!(stream = %self.stream, %error, "the group can not be made");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                Some(Vec::new())
            }
            Read::Stopped => None,
        }
    }

    /// What was delivered to this replica and may have been lost with a connection. Whoever gets it knows what is
    /// running and leaves that out.
    async fn own_pending(&self, reader: &mut Reader) -> Vec<Entry> {
        let mut command = self.read(0, 10_000, "0");
        command.set_no_response(false);
        reader.run(&command).await.map(entries).unwrap_or_default()
    }

    fn read(&self, block_ms: u64, count: usize, from: &str) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(count);
        if block_ms > 0 {
            command.arg("BLOCK").arg(block_ms);
        }
        command.arg("STREAMS").arg(&self.stream).arg(from);
        command
    }

    /// What this replica was given and has not settled.
    pub(crate) async fn pending(&self, on: &mut impl ConnectionLike) -> RedisResult<Vec<Entry>> {
        self.read(0, 10_000, "0").query_async(on).await.map(entries)
    }

    /// Requests that wait or are being worked on.
    pub(crate) async fn len(&self, on: &mut impl ConnectionLike) -> RedisResult<u64> {
        redis::cmd("XLEN").arg(&self.stream).query_async(on).await
    }

    /// Every replica that was ever given a request and not yet forgotten.
    pub(crate) async fn consumers(&self, on: &mut impl ConnectionLike) -> RedisResult<Vec<String>> {
        let reply: Vec<std::collections::HashMap<String, redis::Value>> =
            redis::cmd("XINFO").arg("CONSUMERS").arg(&self.stream).arg(GROUP).query_async(on).await?;
        let names = reply.into_iter().filter_map(|mut consumer| super::bytes(consumer.remove("name")?));
        Ok(names.filter_map(|name| String::from_utf8(name).ok()).collect())
    }

    /// Takes over what `dead` had not finished; when nothing is left, forgets it.
    pub(crate) async fn claim(&self, on: &mut impl ConnectionLike, dead: &str) -> RedisResult<Vec<Claimed>> {
        let taken: Vec<(String, Vec<u8>, u32)> =
            CLAIM.key(&self.stream).arg(GROUP).arg(dead).arg(&self.consumer).arg(CLAIM_BATCH).invoke_async(on).await?;
        let claimed = |(id, frame, deliveries)| Claimed { entry: Entry { id, frame }, deliveries };
        Ok(taken.into_iter().map(claimed).collect())
    }

    /// Gives a request that was not started back to the queue, as `frame`.
    pub(crate) async fn requeue(&self, on: &mut impl ConnectionLike, id: &str, frame: &[u8]) -> RedisResult<bool> {
        REQUEUE.key(&self.stream).arg(GROUP).arg(id).arg(frame).invoke_async(on).await
    }

    /// Moves a request to the dead letters.
    pub(crate) async fn bury(
        &self,
        on: &mut impl ConnectionLike,
        id: &str,
        reason: &str,
        deliveries: u32,
        keep: usize,
    ) -> RedisResult<bool> {
        BURY.key(&self.stream)
            .key(&self.dead)
            .arg(GROUP)
            .arg(id)
            .arg(reason)
            .arg(keep)
            .arg(deliveries)
            .arg(&self.consumer)
            .invoke_async(on)
            .await
    }
}

/// Ends a read that blocks on the connection of that number; its replica is about to stop.
pub(crate) async fn unblock(on: &mut impl ConnectionLike, client: u64) -> RedisResult<()> {
    redis::cmd("CLIENT").arg("UNBLOCK").arg(client).query_async(on).await
}

/// Deletes a request of `stream` that nobody has started; `false` if somebody has.
pub(crate) async fn cancel(on: &mut impl ConnectionLike, stream: &str, id: &str) -> RedisResult<bool> {
    CANCEL.key(stream).arg(GROUP).arg(id).invoke_async(on).await
}

fn settle_busygroup(outcome: RedisResult<()>) -> RedisResult<()> {
    match outcome {
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        other => other,
    }
}
