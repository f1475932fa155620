//! Links: shared connections that reconnect by themselves.

use super::{Connector, Opened, PROBE_AFTER, Sign, is_fatal, socket::Shared, timed_out, topology::Shard};
use futures_util::FutureExt;
use parking_lot::Mutex;
use redis::{RedisResult, aio::ConnectionLike};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// A shared connection to one server that reconnects by itself.
///
/// redis-rs's own `ConnectionManager` repeats an error that is no I/O error (a wrong password, say) for ever, even when
/// the server has been mended; here any reported failure makes a new connection.
#[derive(Clone)]
pub(crate) struct Link {
    connector: Connector,
    live: watch::Receiver<Option<Live>>,
    broken: Arc<watch::Sender<u64>>,
    /// Notified when the connection is asked for; a closed one is not reopened before.
    wanted: Arc<Notify>,
}

/// An open connection of a link.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: Shared,
    pub(crate) generation: u64,
    /// When it last answered, or was handed out for use.
    sound: Arc<Mutex<Instant>>,
    /// Identifies the connection on the server; `None` where the server does not tell.
    pub(crate) session: Option<Arc<Session>>,
}

/// One connection to one server process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    /// The process and the history of its data. Differs after a restart and after a failover.
    pub(crate) server: String,
    /// The id by which `CLIENT KILL` knows the connection.
    pub(crate) client: i64,
    /// How many commands the process had refused with OOM when the connection was opened.
    pub(crate) refusals: u64,
}

impl Live {
    /// Completes when another connection was lost and a probe shows that this one is, too. Without the probe the next
    /// request would find out, and its caller could not tell whether it arrived.
    async fn goes_silent(&self, losses: &mut watch::Receiver<u64>) {
        while losses.changed().await.is_ok() {
            if !self.answers(None).await {
                return;
            }
        }
    }

    /// Returns `true` if the server answers a PING, within `time` if that is shorter than the response timeout.
    async fn answers(&self, time: Option<Duration>) -> bool {
        let mut connection = self.connection.clone();
        let ping = redis::cmd("PING");
        let asked = ping.query_async::<()>(&mut connection);
        let answer = match time {
            Some(time) => tokio::time::timeout(time, asked).await.unwrap_or_else(|_| Err(timed_out("PING"))),
            None => asked.await,
        };
        let answers = !answer.is_err_and(|error| is_fatal(&error));
        if answers {
            self.answered();
        }
        answers
    }

    /// Returns `true` if the connection has not answered for [`PROBE_AFTER`].
    pub(crate) fn has_rested(&self) -> bool {
        self.sound().elapsed() >= PROBE_AFTER
    }

    /// Notes that the server has answered.
    pub(crate) fn answered(&self) {
        *self.sound() = Instant::now();
    }

    /// When it last answered, or was handed out for use.
    fn sound(&self) -> parking_lot::MutexGuard<'_, Instant> {
        self.sound.lock()
    }

    /// Completes when the connection has been idle for `time`.
    async fn rests(&self, time: Duration) {
        loop {
            let next = *self.sound() + time;
            if next <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(next.into()).await;
        }
    }
}

impl Session {
    /// Asks the server for the session; `None` where an ACL forbids it.
    ///
    /// # Errors
    /// The connection broke.
    async fn of(connection: &mut Shared) -> RedisResult<Option<Self>> {
        let mut pipe = redis::pipe();
        pipe.cmd("CLIENT").arg("ID").cmd("INFO").arg("server").cmd("INFO").arg("replication");
        pipe.cmd("INFO").arg("errorstats");
        let answers: RedisResult<(i64, String, String, String)> = pipe.query_async(connection).await;
        match answers {
            Ok((client, server, replication, errors)) => Ok(Session::parse(client, &server, &replication, &errors)),
            Err(error) if is_fatal(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Parses `CLIENT ID` and the sections `server`, `replication` and `errorstats` of `INFO`.
    pub(crate) fn parse(client: i64, server: &str, replication: &str, errors: &str) -> Option<Self> {
        let process = super::server_info::field(server, "run_id")?;
        let history = super::server_info::field(replication, "master_replid")?;
        Some(Session { server: format!("{process} {history}"), client, refusals: refusals(errors) })
    }

    /// Returns `true` if the server has refused nothing with OOM since. A refused reply leaves its request deleted, and
    /// is written again.
    pub(crate) async fn had_memory(&self, on: &mut impl ConnectionLike) -> RedisResult<bool> {
        let errors: String = redis::cmd("INFO").arg("errorstats").query_async(on).await?;
        Ok(refusals(&errors) == self.refusals)
    }

    /// Kills this connection through another one to the same server, so that nothing arrives through it any more.
    /// Returns `false` if an ACL forbids it.
    pub(crate) async fn close(&self, on: &mut impl ConnectionLike) -> RedisResult<bool> {
        let mut kill = redis::cmd("CLIENT");
        let killed: RedisResult<u64> = kill.arg("KILL").arg("ID").arg(self.client).query_async(on).await;
        match killed {
            // Killing none says that the server had closed it before.
            Ok(_) => Ok(true),
            Err(error) if is_fatal(&error) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Returns the number of OOM errors in `errorstats`, 0 where they are not listed.
fn refusals(errors: &str) -> u64 {
    let count = super::server_info::field(errors, "errorstat_OOM");
    count.and_then(|count| count.strip_prefix("count=")?.parse().ok()).unwrap_or(0)
}

/// The links of one node, one to each server that it sends commands to.
#[derive(Clone)]
pub(crate) struct Links {
    connector: Connector,
    stop: CancellationToken,
    // Bounded by the number of servers: the link of a server that is gone is dropped.
    open: Arc<Mutex<HashMap<Shard, (Link, CancellationToken)>>>,
    // Its value counts the connections that were made.
    renewals: Arc<watch::Sender<u64>>,
}

impl Links {
    /// Creates links that live until `stop` is cancelled.
    pub(crate) fn new(connector: Connector, stop: CancellationToken) -> Self {
        Links { connector, stop, open: Arc::default(), renewals: Arc::default() }
    }

    /// Returns a counter that changes with every new connection.
    pub(crate) fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    /// Counts a connection that was opened beside the links.
    pub(crate) fn renewed(&self) {
        self.renewals.send_modify(|times| *times += 1);
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Returns the link to this server, which starts to connect the first time.
    pub(crate) fn to(&self, shard: &Shard) -> Link {
        let mut open = self.open.lock();
        if let Some((link, _)) = open.get(shard) {
            return link.clone();
        }
        let stop = self.stop.child_token();
        let link = Link::open(self, "commands", shard.clone(), stop.clone());
        open.insert(shard.clone(), (link.clone(), stop));
        link
    }

    /// Waits for a working connection to the server that holds `key`. Returns it with its link, `None` when stopped.
    pub(crate) async fn reach(&self, key: &str) -> Option<(Link, Live)> {
        self.reach_by(key, true).await
    }

    /// Does the same without a probe, for commands that may be repeated. The caller bounds its wait where the
    /// connection [has rested](Live::has_rested).
    pub(crate) async fn reach_untried(&self, key: &str) -> Option<(Link, Live)> {
        self.reach_by(key, false).await
    }

    async fn reach_by(&self, key: &str, tried: bool) -> Option<(Link, Live)> {
        let servers = self.connector.servers();
        loop {
            let mut moves = servers.moves();
            let shard = match servers.shard(key) {
                Some(shard) => shard,
                None => self.connector.locate(key, &self.stop).await?,
            };
            let mut link = self.to(&shard);
            tokio::select! {
                live = link.get(tried) => match live {
                    Some(live) => return Some((link, live)),
                    None if self.stop.is_cancelled() => return None,
                    // The server no longer holds any slot.
                    None => self.end(&shard),
                },
                () = moves.next() => {}
            }
        }
    }

    /// Ends the link to a server that no longer holds anything.
    pub(crate) fn end(&self, shard: &Shard) {
        let ended = self.open.lock().remove(shard);
        if let Some((_, stop)) = ended {
            stop.cancel();
        }
    }
}

impl Link {
    /// Starts to connect; the link lives until `stop` is cancelled.
    fn open(links: &Links, purpose: &'static str, shard: Shard, stop: CancellationToken) -> Self {
        let connector = links.connector.clone();
        let renewals = links.renewals.clone();
        let (publish, live) = watch::channel(None);
        let mut losses = connector.losses();
        let broken = Arc::new(watch::Sender::new(0));
        let mut reports = broken.subscribe();
        let wanted = Arc::new(Notify::new());
        let link = Link { connector: connector.clone(), live, broken, wanted: wanted.clone() };
        tokio::spawn(async move {
            let mut backoff = connector.reconnect_backoff();
            let keep_alive = connector.options().keep_alive;
            for generation in 1.. {
                if backoff.before_connecting(&stop).await.is_none() {
                    return;
                }
                let attempt = || async {
                    let mut opened = connector.connect_to(purpose, &shard).await?;
                    let session = Session::of(&mut opened.connection).await?.map(Arc::new);
                    Ok((opened, session))
                };
                let mut moves = connector.servers().moves();
                // A server of a cluster that no longer holds anything is not tried for ever.
                if !connector.servers().has(&shard) {
                    return;
                }
                let opened = tokio::select! {
                    opened = connector.until(purpose, &stop, attempt) => opened,
                    () = moves.next() => continue,
                };
                let Some((opened, session)) = opened else { return };
                let Opened { connection, mut signs } = opened;
                let live = Live { connection, generation, sound: Arc::new(Mutex::new(Instant::now())), session };
                publish.send_replace(Some(live.clone()));
                // Clears a request for the connection, which is fulfilled now.
                let _ = wanted.notified().now_or_never();
                renewals.send_modify(|times| *times += 1);
                let ended = loop {
                    tokio::select! {
                        // An error means that every clone of the link is gone.
                        outcome = async { reports.wait_for(|broken| *broken >= generation).await.is_ok() } => {
                            if !outcome { return }
                            break false;
                        }
                        sign = signs.next() => match sign {
                            Sign::Doubted => break false,
                            Sign::Ended => break true,
                            Sign::LoginChanged => connector.log_in(&mut live.connection.clone()).await,
                        },
                        () = live.goes_silent(&mut losses) => break false,
                        // Keeps middleboxes from cutting an idle connection.
                        () = live.rests(keep_alive) => if !live.answers(None).await { break false },
                        () = stop.cancelled() => return,
                    }
                };
                drop(live);
                publish.send_replace(None);
                if ended {
                    tracing::debug!(purpose, server = %shard, "the connection was closed by the other end");
                    // It may not be needed for a long time.
                    tokio::select! {
                        () = wanted.notified() => {}
                        () = stop.cancelled() => return,
                    }
                }
            }
        });
        link
    }

    /// Waits for a connection, with `tried` for one that answers a probe. Returns `None` when the link was stopped.
    async fn get(&mut self, tried: bool) -> Option<Live> {
        let broken = self.broken.clone();
        // One that was reported is no connection any more, though it may take a moment until it is put away.
        let usable = |live: &Option<Live>| {
            live.as_ref()
                .is_some_and(|live| live.generation > *broken.borrow() && !live.connection.end().is_cancelled())
        };
        loop {
            if !usable(&self.live.borrow()) {
                self.wanted.notify_one();
            }
            let live = self.live.wait_for(&usable).await.ok()?.clone()?;
            if !tried {
                return Some(live);
            }
            if !live.has_rested() || live.answers(Some(self.connector.probe_time())).await {
                live.answered();
                return Some(live);
            }
            self.report(&live);
        }
    }

    /// Reports a failed connection. Reports about a connection that was already replaced do nothing.
    pub(crate) fn report(&self, live: &Live) {
        self.broken.send_if_modified(|broken| {
            let newer = live.generation > *broken;
            *broken = live.generation.max(*broken);
            newer
        });
    }
}
