//! How this crate reaches Redis: one way to connect, and links that are kept up for ever.

use super::tls::{self, Certificates};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    io::tcp::TcpSettings,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// Bounds one attempt to connect.
    pub(crate) connect_timeout: Duration,
    /// Bounds one command that does not block.
    pub(crate) response_timeout: Duration,
    /// How long one read of a stream may block on the server.
    pub(crate) block: Duration,
    /// The longest pause between two attempts to connect, within [`LONGEST_PAUSE`].
    pub(crate) longest_pause: Duration,
    /// For `rediss://` URLs.
    pub(crate) certificates: Certificates,
    /// Connections of the pool for rare commands.
    pub(crate) pool_size: usize,
}

/// The first pause between two attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest one there may be.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    client: Client,
    options: Arc<Options>,
    name: Arc<str>,
    // Its value counts the times that someone found Redis silent.
    suspicion: Arc<watch::Sender<u64>>,
    // Its value counts the connections that were lost.
    losses: Arc<watch::Sender<u64>>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Connector {
    /// `name` is what `CLIENT LIST` shows of the connections, followed by what each is for.
    pub(crate) fn new(options: Options, name: &str) -> RedisResult<Self> {
        let info = options.url.as_str().into_connection_info()?;
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(redis::io::tcp::socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)));
        let mut login = info.redis_settings().clone();
        if let Some(username) = &options.username {
            login = login.set_username(username);
        }
        if let Some(password) = &options.password {
            login = login.set_password(password);
        }
        let client = tls::client(info.set_tcp_settings(tcp).set_redis_settings(login), &options.certificates)?;
        let (suspicion, losses, trouble) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Connector { client, options: Arc::new(options), name: name.into(), suspicion, losses, trouble })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Tells every connection that waits for something to come that the server, or the way to it, has gone silent:
    /// nothing else would ever wake them.
    pub(crate) fn suspect(&self) {
        self.suspicion.send_modify(|times| *times += 1);
    }

    /// Changes with every [`Connector::suspect`].
    pub(crate) fn suspicion(&self) -> watch::Receiver<u64> {
        self.suspicion.subscribe()
    }

    /// Says that a connection was lost: those that nobody reads from find out whether they were, too.
    pub(crate) fn lost(&self) {
        self.losses.send_modify(|times| *times += 1);
    }

    /// The server's address, without user and password.
    pub(crate) fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// What the last attempt failed with.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_trouble(&self, error: &RedisError) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// One attempt. `block` is how much longer than usual an answer may take, for reads that block.
    pub(crate) async fn connect(&self, purpose: &str, block: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(Some(self.options.response_timeout + block))
            .set_pipeline_buffer_size(1024);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut hello = redis::pipe();
        // Only helps whoever reads CLIENT LIST; an ACL may forbid it.
        hello.cmd("CLIENT").arg("SETNAME").arg(format!("{}:{purpose}", self.name)).cmd("PING");
        let answers = connection.req_packed_commands(&hello, 0, 2).await?;
        // A server that is still loading, or may not be written to, lets one connect all the same.
        match answers.into_iter().last().map(Value::extract_error) {
            Some(Err(error)) if is_fatal(&error) => Err(error),
            _ => Ok(connection),
        }
    }

    /// One attempt at a connection for subscriptions.
    pub(crate) async fn connect_pubsub(&self) -> RedisResult<PubSub> {
        let attempt = self.client.get_async_pubsub();
        tokio::time::timeout(self.options.connect_timeout, attempt).await.map_err(|_| timed_out("connecting"))?
    }

    /// Attempts until one succeeds or `stop` is cancelled (`None`). The first failure is logged as a warning, later
    /// ones at debug, so an outage costs two lines and not thousands.
    pub(crate) async fn until<T, F, Fut>(&self, purpose: &str, stop: &CancellationToken, attempt: F) -> Option<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let mut pause = FIRST_PAUSE;
        let mut failures = 0u32;
        loop {
            let outcome = tokio::select! {
                outcome = attempt() => outcome,
                () = stop.cancelled() => return None,
            };
            if let Err(error) = &outcome {
                self.note_trouble(error);
            }
            match outcome {
                Ok(connection) => {
                    if failures > 0 {
                        tracing::info!(purpose, failures, "Redis is back");
                    }
                    return Some(connection);
                }
                Err(error) if failures == 0 => {
                    tracing::warn!(purpose, address = %self.address(), %error, "no connection to Redis, trying on");
                }
                Err(error) => tracing::debug!(purpose, failures, %error, "still no connection to Redis"),
            }
            failures = failures.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = stop.cancelled() => return None,
            }
            pause = (pause * 2).min(self.options.longest_pause);
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.address())
    }
}

/// Between half and the whole of `pause`, so that nodes cut off together do not come back together.
fn jittered(pause: Duration) -> Duration {
    static SALT: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| u64::from(now.subsec_nanos()));
    let mixed = SALT.fetch_add(nanos | 1, Ordering::Relaxed).wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
    pause / 2 + (pause / 2).mul_f64(mixed as f64 / (1u64 << 24) as f64)
}

pub(crate) fn timed_out(what: &'static str) -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{what} took too long")))
}

/// A shared connection that comes back by itself.
///
/// redis-rs's own `ConnectionManager` repeats an error that is no I/O error (a wrong password, say) for ever, even when
/// the server has been mended; here any reported failure makes a new connection.
#[derive(Clone)]
pub(crate) struct Link {
    live: watch::Receiver<Option<Live>>,
    broken: Arc<watch::Sender<u64>>,
    // The last one that `renewed` told of.
    told: u64,
}

/// A connection and which one in the row it is.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) generation: u64,
    /// What the server calls it; `None` where it does not tell.
    pub(crate) session: Option<Arc<Session>>,
}

/// One connection to one server process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    /// The process and the history of its data: another after a restart and after a failover.
    pub(crate) server: String,
    /// The id by which `CLIENT KILL` knows the connection.
    pub(crate) client: i64,
}

impl Live {
    /// Ends when another connection was lost and this one turns out to be, too. Found out then, and not by the next
    /// request, of which nobody would know whether it arrived.
    async fn goes_silent(&self, losses: &mut watch::Receiver<u64>) {
        while losses.changed().await.is_ok() {
            let answer: RedisResult<()> = redis::cmd("PING").query_async(&mut self.connection.clone()).await;
            if answer.is_err_and(|error| is_fatal(&error)) {
                return;
            }
        }
    }
}

impl Session {
    async fn of(connection: &mut MultiplexedConnection) -> Option<Self> {
        let mut pipe = redis::pipe();
        pipe.cmd("CLIENT").arg("ID").cmd("INFO").arg("server").cmd("INFO").arg("replication");
        let (client, server, replication): (i64, String, String) = pipe.query_async(connection).await.ok()?;
        let process = super::server::field(&server, "run_id")?;
        let history = super::server::field(&replication, "master_replid")?;
        Some(Session { server: format!("{process} {history}"), client })
    }

    /// Makes sure, through another connection to the same server, that nothing comes through this one any more. `false`:
    /// an ACL forbids it.
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

impl Link {
    /// Starts to connect; the link lives until `stop` is cancelled.
    pub(crate) fn open(connector: Connector, purpose: &'static str, stop: CancellationToken) -> Self {
        let (publish, live) = watch::channel(None);
        let (mut suspicion, mut losses) = (connector.suspicion(), connector.losses.subscribe());
        let broken = Arc::new(watch::Sender::new(0));
        let mut reports = broken.subscribe();
        tokio::spawn(async move {
            let mut pace = Pace::new();
            for generation in 1.. {
                let attempt = || connector.connect(purpose, Duration::ZERO);
                let Some(mut connection) = connector.until(purpose, &stop, attempt).await else { return };
                let session = Session::of(&mut connection).await.map(Arc::new);
                pace.begin();
                let live = Live { connection, generation, session };
                publish.send_replace(Some(live.clone()));
                tokio::select! {
                    // An error means that every clone of the link is gone.
                    outcome = async { reports.wait_for(|broken| *broken >= generation).await.is_ok() } => {
                        if !outcome { return }
                    }
                    _ = suspicion.changed() => {}
                    () = live.goes_silent(&mut losses) => {}
                    () = stop.cancelled() => return,
                }
                drop(live);
                publish.send_replace(None);
                tokio::select! {
                    () = pace.rest(connector.options.longest_pause) => {}
                    () = stop.cancelled() => return,
                }
            }
        });
        Link { live, broken, told: 0 }
    }

    /// The connection, as soon as there is one. `None` when the link was stopped.
    pub(crate) async fn get(&mut self) -> Option<Live> {
        let broken = self.broken.clone();
        // One that was reported is no connection any more, though it may take a moment until it is put away.
        let usable = |live: &Option<Live>| live.as_ref().is_some_and(|live| live.generation > *broken.borrow());
        self.live.wait_for(usable).await.ok()?.clone()
    }

    /// Waits for a connection that this has not told of yet. `None` when the link was stopped.
    pub(crate) async fn renewed(&mut self) -> Option<()> {
        let told = self.told;
        let newer = |live: &Option<Live>| live.as_ref().is_some_and(|live| live.generation > told);
        self.told = self.live.wait_for(newer).await.ok()?.as_ref()?.generation;
        Some(())
    }

    /// Says that a connection failed; reports about one that has been replaced already do nothing.
    pub(crate) fn report(&self, live: &Live) {
        self.broken.send_if_modified(|broken| {
            let newer = live.generation > *broken;
            *broken = live.generation.max(*broken);
            newer
        });
    }
}

/// Does this error say that the connection, or the server behind it, is of no further use? Errors about the command
/// itself (a missing group, a refused argument, a full memory) do not.
pub(crate) fn is_fatal(error: &RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind as Kind};
    match error.kind() {
        ErrorKind::Server(Kind::ReadOnly | Kind::MasterDown | Kind::BusyLoading) => true,
        // Redis before 7 wraps what a script fails with.
        ErrorKind::Server(Kind::ResponseError) => {
            let detail = error.detail().unwrap_or_default();
            FATAL.iter().any(|code| detail.contains(&format!("-{code} ")))
        }
        ErrorKind::Server(_) => false,
        ErrorKind::Extension => error.code().is_some_and(|code| FATAL.contains(&code)),
        _ => true,
    }
}

/// The codes of errors that say so.
const FATAL: [&str; 7] = ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "WRONGPASS", "MISCONF", "NOREPLICAS"];

/// The pause before a connection is made anew. A server that lets one connect and then refuses everything (as a replica
/// does, or one that can not save) must not be asked in a tight circle.
pub(crate) struct Pace {
    pause: Duration,
    since: Option<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace { pause: FIRST_PAUSE, since: None }
    }

    /// A connection was made.
    pub(crate) fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    /// Waits, longer each time after connections that lasted only a moment, not at all after one that lasted.
    pub(crate) async fn rest(&mut self, longest: Duration) {
        let Some(since) = self.since.take() else { return };
        if since.elapsed() > LONGEST_PAUSE {
            self.pause = FIRST_PAUSE;
            return;
        }
        tokio::time::sleep(jittered(self.pause)).await;
        self.pause = (self.pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(line: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        answer.extract_error().unwrap_err()
    }

    #[test]
    fn errors_about_the_server_cost_the_connection_and_errors_about_a_command_do_not() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica. script: 1f2, on @user_script:1.",
            "ERR Error running script (call to f_1f2): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "LOADING Redis is loading the dataset in memory",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert!(is_fatal(&server_error(line)), "{line}");
        }
        for line in [
            "ERR unknown command 'FOO'",
            "NOGROUP No such key 'calls' or consumer group 'replicas'",
            "UNBLOCKED the stream key no longer exists",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "NOSCRIPT No matching script. Please use EVAL.",
            "BUSYGROUP Consumer Group name already exists",
            "NOPERM this user has no permissions to run the 'xadd' command",
        ] {
            assert!(!is_fatal(&server_error(line)), "{line}");
        }
        assert!(is_fatal(&timed_out("a test")));
    }
}
