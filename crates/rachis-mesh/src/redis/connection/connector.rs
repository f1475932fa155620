//! The connector: every connection to Redis is opened, logged in and greeted here.

use super::{
    Backoff, ReconnectBackoff, Signs, Trouble, backoff, is_fatal,
    login::{Login, Logins},
    socket::{Endpoint, Shared},
    tls::Certificates,
    topology::{Servers, Shard, TopologyConfig},
};
use parking_lot::{Mutex, MutexGuard};
use rachis_config::host::Addresses;
use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, RedisError, RedisResult, Value,
    aio::{AsyncPushSender, ConnectionLike},
};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where Redis is, and the time limits of connections to it.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) topology: TopologyConfig,
    pub(crate) login: Login,
    /// Bounds one attempt to connect.
    pub(crate) connect_timeout: Duration,
    /// Bounds one command that does not block.
    pub(crate) response_timeout: Duration,
    /// How long one read of a stream may block on the server.
    pub(crate) block: Duration,
    /// Idle time after which a connection that does not read sends a PING.
    pub(crate) keep_alive: Duration,
    /// The longest pause between two attempts to connect, within [`LONGEST_PAUSE`].
    pub(crate) longest_pause: Duration,
    /// The certificates for `rediss://`.
    pub(crate) certificates: Certificates,
    /// Maps announced addresses to reachable ones.
    pub(crate) addresses: Addresses,
    /// Whether replicas are waited for after a write, and how long.
    pub(crate) wait: Option<WaitFor>,
    /// The size of the pool for rare commands, for each server.
    pub(crate) pool_size: usize,
}

#[cfg(test)]
impl Options {
    /// Returns options for tests, with reads that block for `block`.
    pub(crate) fn for_tests(block: Duration) -> Self {
        Options {
            topology: TopologyConfig::Standalone(crate::testing::redis().url()),
            login: Login::default(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(2),
            block,
            keep_alive: Duration::from_secs(30),
            longest_pause: Duration::from_secs(1),
            certificates: Certificates::default(),
            addresses: Addresses::default(),
            wait: None,
            pool_size: 2,
        }
    }
}

/// What to wait for after a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitFor {
    /// Replicas, at least 1.
    pub(crate) replicas: usize,
    /// The longest time to wait.
    pub(crate) time: Duration,
}

/// See [`Connector::probe_time`].
const PROBE_TIME: Duration = Duration::from_millis(500);
/// Idle time after which a connection is probed before a request is sent through it, since the caller must learn
/// whether the request arrived. A probe costs one command and one round trip, at most once a second.
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(1);

/// The time limit of asking one server of a topology where another one is.
const ASKING: Duration = Duration::from_secs(1);

/// The first pause between two attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two attempts to connect.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    servers: Arc<Servers>,
    options: Arc<Options>,
    logins: Arc<Logins>,
    name: Arc<str>,
    // Each value counts the times that a server was found silent.
    suspicions: Arc<Mutex<HashMap<Shard, watch::Sender<u64>>>>,
    // Its value counts the connections that were lost.
    losses: Arc<watch::Sender<u64>>,
    // Its value counts how often Redis was found to take writes again.
    resumptions: Arc<watch::Sender<u64>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

/// A connection, and the signs by which it is found unusable although no command fails.
pub(crate) struct Opened<C = Shared> {
    pub(crate) connection: C,
    pub(crate) signs: Signs,
}

impl Connector {
    /// Creates a connector. `CLIENT LIST` shows `name` and the purpose of each connection.
    pub(crate) fn new(options: Options, name: &str) -> RedisResult<Self> {
        let logins = Arc::new(Logins::new(options.login.clone()));
        let asking = options.connect_timeout.min(ASKING);
        let servers =
            Arc::new(Servers::new(&options.topology, &logins, &options.certificates, &options.addresses, asking)?);
        let suspicions = Arc::default();
        let losses = Arc::default();
        let resumptions = Arc::default();
        let trouble = Arc::default();
        Ok(Connector {
            servers,
            options: Arc::new(options),
            logins,
            name: name.into(),
            suspicions,
            losses,
            resumptions,
            trouble,
        })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the pauses between connections of one purpose that do not last.
    pub(crate) fn reconnect_backoff(&self) -> ReconnectBackoff {
        let longest = self.options.longest_pause;
        ReconnectBackoff::new(Backoff::new(FIRST_PAUSE.min(longest), longest), self.resumptions())
    }

    pub(crate) fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }

    pub(crate) fn logins(&self) -> &Arc<Logins> {
        &self.logins
    }

    /// Sends the current login on an open connection. If the server refuses it, the connection keeps its previous
    /// login.
    pub(crate) async fn log_in(&self, connection: &mut impl ConnectionLike) {
        if let Some(login) = self.login() {
            self.note_login(login.query_async::<()>(connection).await);
        }
    }

    /// Returns the AUTH command of the current login, `None` without a password.
    pub(crate) fn login(&self) -> Option<Cmd> {
        self.servers.auth()
    }

    pub(crate) fn note_login(&self, outcome: RedisResult<()>) {
        match outcome {
            Ok(()) => tracing::debug!("logged in to Redis anew"),
            Err(error) => tracing::warn!(%error, "Redis did not take the new login on an open connection"),
        }
    }

    /// Notes a refused login, so that the next attempt tries the other one, if there is one.
    pub(crate) fn note_refusal(&self, error: &RedisError) {
        if error.kind() == redis::ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS") {
            self.logins.refused();
        }
    }

    /// Marks the server of `key` as silent, for all connections to it. Nothing else wakes a connection that only waits
    /// for messages.
    pub(crate) fn suspect(&self, key: &str) {
        if let Some(suspicion) = self.servers.shard(key).and_then(|shard| self.suspicions().get(&shard).cloned()) {
            suspicion.send_modify(|times| *times += 1);
        }
    }

    fn suspicions(&self) -> MutexGuard<'_, HashMap<Shard, watch::Sender<u64>>> {
        self.suspicions.lock()
    }

    /// Returns the signs of a connection to this server that is opened from now on.
    pub(crate) fn signs(&self, shard: Shard, key: Option<&str>) -> Signs {
        let moves = self.servers.moves();
        let mut suspicions = self.suspicions();
        // Of servers that are gone, which in a cluster of changing addresses would be ever more.
        suspicions.retain(|known, suspicion| suspicion.receiver_count() > 0 || *known == shard);
        let suspicion = suspicions.entry(shard.clone()).or_default().subscribe();
        let logins = self.logins.changes();
        Signs { servers: self.servers.clone(), shard, key: key.map(str::to_owned), moves, suspicion, logins, end: None }
    }

    /// Returns a counter that changes with every [`Connector::lost`].
    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// Returns a counter that changes with every [`Connector::resumed`].
    pub(crate) fn resumptions(&self) -> watch::Receiver<u64> {
        self.resumptions.subscribe()
    }

    /// Reports that Redis takes writes which it refused before, or could not be reached for. Whatever pauses between two
    /// attempts of its own tries again at once: each would else find out by itself, up to its longest pause later.
    pub(crate) fn resumed(&self) {
        self.resumptions.send_modify(|times| *times += 1);
    }

    /// Reports a lost connection. Connections that do not read are probed then.
    pub(crate) fn lost(&self) {
        self.losses.send_modify(|times| *times += 1);
    }

    /// Returns the server's address, without user and password.
    pub(crate) fn address(&self) -> String {
        self.servers.address()
    }

    /// Returns the failure of the last attempt.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }

    /// Notes the failure of an attempt. Returns `false` if the previous attempt failed the same way, which is not
    /// logged again.
    pub(crate) fn note_trouble(&self, trouble: Trouble) -> bool {
        let mut known = self.trouble.lock();
        known.replace(trouble.clone()) != Some(trouble)
    }

    pub(crate) fn forget_trouble(&self) {
        *self.trouble.lock() = None;
    }

    /// Logs a refused subscription, as a warning the first time.
    pub(crate) fn note_refused_subscription(&self, channel: &str, error: &RedisError) {
        if self.note_trouble(Trouble::of(error)) {
            tracing::warn!(channel, %error, "Redis does not let this node listen, trying on");
        } else {
            tracing::debug!(channel, %error, "Redis still does not let this node listen");
        }
    }

    /// Finds the server that holds `key`, for as long as it takes. Returns `None` when stopped.
    pub(crate) async fn locate(&self, key: &str, stop: &CancellationToken) -> Option<Shard> {
        self.until("locate", stop, || self.servers.locate(key)).await
    }

    /// Returns the time limit of a probe, after which a new connection is tried. A server that is only busy is probed
    /// again over the new connection, which is harmless.
    pub(crate) fn probe_time(&self) -> Duration {
        self.options.response_timeout.min(PROBE_TIME)
    }

    /// Returns the time limit of one attempt. It is shorter with Sentinel and Cluster, where another server may take
    /// over.
    pub(crate) fn patience(&self) -> Duration {
        match &*self.servers {
            Servers::Standalone(_) => self.options.connect_timeout,
            _ => self.options.connect_timeout.min(self.options.response_timeout),
        }
    }

    /// Makes one attempt to connect to the server that holds `key`. `block` extends the response timeout, for blocking
    /// reads.
    pub(crate) async fn connect(&self, purpose: &str, key: &str, block: Duration) -> RedisResult<Opened> {
        let shard = self.servers.locate(key).await?;
        self.open(purpose, &shard, Some(key), block).await
    }

    /// Makes one attempt to connect to this server, for all keys that it holds.
    pub(crate) async fn connect_to(&self, purpose: &str, shard: &Shard) -> RedisResult<Opened> {
        self.open(purpose, shard, None, Duration::ZERO).await
    }

    async fn open(&self, purpose: &str, shard: &Shard, key: Option<&str>, block: Duration) -> RedisResult<Opened> {
        // From here on a suspicion is about this connection.
        let signs = self.signs(shard.clone(), key);
        let endpoint = self.servers.reach(shard).await?;
        let connected = endpoint.share(endpoint.settings(), self.settings(block), self.patience()).await;
        let mut connection = connected.inspect_err(|error| self.note_refusal(error))?;
        self.greet(&mut connection, purpose).await?;
        Ok(Opened { signs: signs.of(&connection), connection })
    }

    /// Returns the endpoint of the server that holds `key`, and the server itself.
    pub(crate) async fn endpoint(&self, key: &str) -> RedisResult<(Endpoint, Shard)> {
        let shard = self.servers.locate(key).await?;
        Ok((self.servers.reach(&shard).await?, shard))
    }

    pub(crate) fn settings(&self, block: Duration) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.options.response_timeout + block))
            .set_pipeline_buffer_size(1024)
    }

    /// Sends the first commands on a new connection, which show whether the server is usable.
    pub(crate) async fn greet(&self, connection: &mut impl ConnectionLike, purpose: &str) -> RedisResult<()> {
        self.servers.verify(connection).await?;
        let mut hello = redis::pipe();
        // Only shown by CLIENT LIST; an ACL may forbid it.
        hello.cmd("CLIENT").arg("SETNAME").arg(format!("{}:{purpose}", self.name)).cmd("PING");
        let answers = connection.req_packed_commands(&hello, 0, 2).await?;
        // A server that is still loading, or may not be written to, lets one connect all the same.
        match answers.into_iter().last().map(Value::extract_error) {
            Some(Err(error)) if is_fatal(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes one attempt to connect to this server for subscriptions, whose messages go to `push`.
    pub(crate) async fn connect_pushed(
        &self,
        purpose: &str,
        shard: &Shard,
        push: impl AsyncPushSender,
    ) -> RedisResult<Opened> {
        let signs = self.signs(shard.clone(), None);
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.options.response_timeout))
            .set_push_sender(push);
        let endpoint = self.servers.reach(shard).await?;
        let settings = endpoint.settings().clone().set_protocol(ProtocolVersion::RESP3);
        let connected = endpoint.share(&settings, config, self.patience()).await;
        let mut connection = connected.inspect_err(|error| self.note_refusal(error))?;
        self.greet(&mut connection, purpose).await?;
        Ok(Opened { signs: signs.of(&connection), connection })
    }

    /// Repeats `attempt` until it succeeds; returns `None` when `stop` is cancelled. The first failure is logged as a
    /// warning, later ones at debug level, so an outage costs two lines and not thousands.
    pub(crate) async fn until<T, F, Fut>(&self, purpose: &str, stop: &CancellationToken, attempt: F) -> Option<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let mut backoff = Backoff::new(FIRST_PAUSE, self.options.longest_pause);
        let mut failures = 0u32;
        loop {
            let outcome = tokio::select! {
                outcome = attempt() => outcome,
                () = stop.cancelled() => return None,
            };
            if let Err(error) = &outcome {
                self.note_trouble(Trouble::of(error));
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
                () = tokio::time::sleep(backoff::jittered(backoff.pause())) => {}
                () = stop.cancelled() => return None,
            }
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.address())
    }
}
