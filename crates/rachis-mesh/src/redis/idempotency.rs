//! Calls with an idempotency key: which node runs one, and what it ended in.

use super::scripts;
use redis::{RedisResult, Script, aio::ConnectionLike};
use std::{sync::LazyLock, time::Duration};

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::ONCE));
static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::KEEP));
static LET_GO: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::LET_GO));

/// Stands for a node whose liveness the registry does not know; no id looks like it.
const NO_NODE: &str = "-";

/// The mark of a run of such a call, stored in the key of the call.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) key: String,
    /// The fingerprint of the call; all have the same length.
    pub(crate) fingerprint: String,
    /// The node that runs it; `None` for a node whose liveness is not known.
    pub(crate) node: Option<String>,
    /// Identifies the run and its delivery, as [`run`] names them.
    pub(crate) run: String,
}

/// The outcome of an attempt to begin.
#[derive(Debug, PartialEq)]
pub(crate) enum Begun {
    /// The call has to be run.
    Now,
    /// The call has been run, with this reply.
    Kept(Vec<u8>),
    /// A node runs it; `None` as in [`Mark`].
    Running(Option<String>),
    /// The key was used for another call.
    Other,
    /// The mark to be renewed is no longer there.
    Lost,
}

impl Mark {
    /// Begins the call, unless a node other than `dead` has begun it. The mark holds for `time` unless it is renewed.
    pub(crate) async fn begin(
        &self,
        on: &mut impl ConnectionLike,
        dead: Option<&str>,
        time: Duration,
    ) -> RedisResult<Begun> {
        self.invoke(on, dead.unwrap_or_default(), time, false).await
    }

    /// Renews the mark for `time`, if it is still there.
    pub(crate) async fn renew(&self, on: &mut impl ConnectionLike, time: Duration) -> RedisResult<Begun> {
        self.invoke(on, "", time, true).await
    }

    async fn invoke(
        &self,
        on: &mut impl ConnectionLike,
        dead: &str,
        time: Duration,
        renew: bool,
    ) -> RedisResult<Begun> {
        let reply: Vec<Vec<u8>> = BEGIN
            .key(&self.key)
            .arg(&self.fingerprint)
            .arg(self.node())
            .arg(&self.run)
            .arg(ms(time))
            .arg(dead)
            .arg(i32::from(renew))
            .invoke_async(on)
            .await?;
        let mut parts = reply.into_iter();
        let what = parts.next().unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        Ok(match what.as_slice() {
            b"begun" => Begun::Now,
            b"kept" => Begun::Kept(rest),
            b"running" => Begun::Running(String::from_utf8(rest).ok().filter(|node| node != NO_NODE)),
            b"other" => Begun::Other,
            _ => Begun::Lost,
        })
    }

    /// Removes the mark, if it is still there.
    pub(crate) async fn release(&self, on: &mut impl ConnectionLike) -> RedisResult<bool> {
        LET_GO.key(&self.key).arg(self.running()).invoke_async(on).await
    }

    /// Returns the value of the key after the run.
    pub(crate) fn finished(&self, reply: &[u8]) -> Vec<u8> {
        [b"F", self.fingerprint.as_bytes(), reply].concat()
    }

    /// Stores that value if the key is empty or holds this mark. Returns `false` if the key holds something else.
    pub(crate) async fn keep(&self, on: &mut impl ConnectionLike, value: &[u8], time: Duration) -> RedisResult<bool> {
        KEEP.key(&self.key).arg(value).arg(ms(time)).arg(self.running()).invoke_async(on).await
    }

    /// Returns the value of the key during the run.
    pub(crate) fn running(&self) -> String {
        format!("R{}{} {}", self.fingerprint, self.node(), self.run)
    }

    fn node(&self) -> &str {
        self.node.as_deref().unwrap_or(NO_NODE)
    }
}

/// Returns the name of a run: the request, and for a repeated delivery its number.
pub(crate) fn run(request: &str, deliveries: u32) -> String {
    if deliveries > 1 { format!("{request}~{deliveries}") } else { request.to_owned() }
}

/// Returns milliseconds as Redis accepts them, at least 1.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const LONG: Duration = Duration::from_secs(60);

    fn mark(key: &str, node: Option<&str>, run: &str) -> Mark {
        let key = format!("{}:{key}", testing::config().namespace);
        Mark { key, fingerprint: "f".repeat(64), node: node.map(str::to_owned), run: run.to_owned() }
    }

    async fn redis() -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(testing::redis().url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    #[tokio::test]
    async fn of_two_runs_one_begins_and_the_other_hears_who_runs_and_then_what_came_of_it() {
        let mut on = redis().await;
        let one = mark("a", Some("one"), "1-0");
        let two = Mark { node: None, run: "2-0".into(), ..one.clone() };
        assert_eq!(one.begin(&mut on, None, LONG).await.unwrap(), Begun::Now);
        assert_eq!(two.begin(&mut on, None, LONG).await.unwrap(), Begun::Running(Some("one".into())));
        let other = Mark { fingerprint: "0".repeat(64), ..two.clone() };
        assert_eq!(other.begin(&mut on, None, LONG).await.unwrap(), Begun::Other);
        one.keep(&mut on, &one.finished(b"\x00reply\xff"), LONG).await.unwrap();
        assert_eq!(two.begin(&mut on, Some("one"), LONG).await.unwrap(), Begun::Kept(b"\x00reply\xff".to_vec()));
        assert_eq!(one.renew(&mut on, LONG).await.unwrap(), Begun::Lost);
        assert!(!one.release(&mut on).await.unwrap(), "what is kept stays");
    }

    #[tokio::test]
    async fn the_mark_of_a_dead_node_and_of_an_earlier_delivery_falls_to_who_comes_next() {
        let mut on = redis().await;
        let dead = mark("a", Some("dead"), "1-0");
        let again = Mark { node: Some("heir".into()), run: run("1-0", 2), ..dead.clone() };
        let other = Mark { node: None, run: "2-0".into(), ..dead.clone() };
        dead.begin(&mut on, None, LONG).await.unwrap();
        assert_eq!(again.begin(&mut on, None, LONG).await.unwrap(), Begun::Now);
        assert_eq!(dead.renew(&mut on, LONG).await.unwrap(), Begun::Lost);
        assert!(!dead.release(&mut on).await.unwrap());
        assert_eq!(other.begin(&mut on, Some("dead"), LONG).await.unwrap(), Begun::Running(Some("heir".into())));
        assert_eq!(other.begin(&mut on, Some("heir"), LONG).await.unwrap(), Begun::Now);
        assert_eq!(again.begin(&mut on, None, LONG).await.unwrap(), Begun::Running(None));
        assert!(other.release(&mut on).await.unwrap());
        assert_eq!(again.begin(&mut on, None, LONG).await.unwrap(), Begun::Now);
    }

    #[tokio::test]
    async fn an_earlier_delivery_that_comes_late_has_no_claim() {
        let mut on = redis().await;
        let first = mark("a", Some("frozen"), &run("1-0", 1));
        let second = Mark { node: Some("heir".into()), run: run("1-0", 2), ..first.clone() };
        assert_eq!(second.begin(&mut on, None, LONG).await.unwrap(), Begun::Now);
        assert_eq!(first.begin(&mut on, None, LONG).await.unwrap(), Begun::Running(Some("heir".into())));
        assert!(!first.keep(&mut on, &first.finished(b"late"), LONG).await.unwrap());
        assert!(second.keep(&mut on, &second.finished(b"reply"), LONG).await.unwrap());
        assert_eq!(first.begin(&mut on, None, LONG).await.unwrap(), Begun::Kept(b"reply".to_vec()));
        assert!(!first.keep(&mut on, &first.finished(b"late"), LONG).await.unwrap());
        assert!(second.keep(&mut on, &second.finished(b"reply"), LONG).await.unwrap(), "a write may be repeated");
    }

    #[tokio::test]
    async fn what_a_run_came_to_is_written_again_over_its_own_mark_alone() {
        let mut on = redis().await;
        let one = mark("a", Some("one"), "1-0");
        let other = Mark { node: Some("two".into()), run: "2-0".into(), ..one.clone() };
        let value = one.finished(b"reply");
        let kept = Begun::Kept(b"reply".to_vec());
        one.begin(&mut on, None, LONG).await.unwrap();
        assert!(one.keep(&mut on, &value, LONG).await.unwrap());
        assert_eq!(other.begin(&mut on, None, LONG).await.unwrap(), kept);
        assert!(!other.keep(&mut on, &other.finished(b"another"), LONG).await.unwrap(), "a reply is there");
        redis::cmd("DEL").arg(&one.key).exec_async(&mut on).await.unwrap();
        assert!(one.keep(&mut on, &value, LONG).await.unwrap());
        assert_eq!(other.begin(&mut on, None, LONG).await.unwrap(), kept);
        redis::cmd("DEL").arg(&one.key).exec_async(&mut on).await.unwrap();
        other.begin(&mut on, None, LONG).await.unwrap();
        assert!(!one.keep(&mut on, &value, LONG).await.unwrap(), "another run goes on");
        assert_eq!(one.begin(&mut on, None, LONG).await.unwrap(), Begun::Running(Some("two".into())));
    }

    #[tokio::test]
    async fn a_mark_holds_for_as_long_as_it_is_renewed() {
        let mut on = redis().await;
        let short = Duration::from_millis(200);
        let one = mark("a", Some("one"), "1-0");
        let lost = mark("b", Some("one"), "1-0");
        for mark in [&one, &lost] {
            mark.begin(&mut on, None, short).await.unwrap();
        }
        assert_eq!(one.renew(&mut on, LONG).await.unwrap(), Begun::Now);
        let next = Mark { run: "2-0".into(), ..lost.clone() };
        let gone = async || next.begin(&mut redis().await, None, LONG).await.unwrap() == Begun::Now;
        testing::eventually("the other is over", gone).await;
        assert_eq!(lost.renew(&mut on, LONG).await.unwrap(), Begun::Lost);
        let next = Mark { run: "2-0".into(), ..one };
        assert_eq!(next.begin(&mut on, None, LONG).await.unwrap(), Begun::Running(Some("one".into())));
    }
}
