//! The one way to connect.

use super::{
    Backoff, ReconnectBackoff, Signs, Trouble, backoff, is_fatal,
    login::{Login, Logins},
    socket::{Endpoint, Shared},
    tls::Certificates,
    topology::{Servers, Shard, TopologyConfig},
};
use rachis_config::host::Addresses;
use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, RedisError, RedisResult, Value,
    aio::{AsyncPushSender, ConnectionLike},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where Redis is and how long to wait for it.
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
    /// After how long without a word a connection that does not read asks whether its server is there.
    pub(crate) keep_alive: Duration,
    /// The longest pause between two attempts to connect, within [`LONGEST_PAUSE`].
    pub(crate) longest_pause: Duration,
    /// For TLS.
    pub(crate) certificates: Certificates,
    /// What leads to servers that announce other addresses.
    pub(crate) addresses: Addresses,
    /// Whether replicas are waited for after a write, and how long.
    pub(crate) wait: Option<WaitFor>,
    /// Connections of the pool for rare commands, to each server.
    pub(crate) pool_size: usize,
}

#[cfg(test)]
impl Options {
    /// Those of tests, whose reads block for `block`.
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
    /// How long at most.
    pub(crate) time: Duration,
}

/// See [`Connector::probe_time`].
const PROBE_TIME: Duration = Duration::from_millis(500);
/// After how long without an answer a connection is asked whether its server is there before anything is sent through it
/// of which it must be known whether it arrived. Costs one command and one round trip, and only where a second has passed
/// without either.
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(1);

/// How long the question where a server is may take.
const ASKING: Duration = Duration::from_secs(1);

/// The first pause between two attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest one there may be.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    servers: Arc<Servers>,
    options: Arc<Options>,
    logins: Arc<Logins>,
    name: Arc<str>,
    // Each value counts the times that someone found a server silent.
    suspicions: Arc<Mutex<HashMap<Shard, watch::Sender<u64>>>>,
    // Its value counts the connections that were lost.
    losses: Arc<watch::Sender<u64>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

/// A connection, and what tells that it is of no further use although nothing fails.
pub(crate) struct Opened<C = Shared> {
    pub(crate) connection: C,
    pub(crate) signs: Signs,
}

impl Connector {
    /// `name` is what `CLIENT LIST` shows of the connections, followed by what each is for.
    pub(crate) fn new(options: Options, name: &str) -> RedisResult<Self> {
        let logins = Arc::new(Logins::new(options.login.clone()));
        let asking = options.connect_timeout.min(ASKING);
        let servers =
            Arc::new(Servers::new(&options.topology, &logins, &options.certificates, &options.addresses, asking)?);
        let (suspicions, losses, trouble) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Connector { servers, options: Arc::new(options), logins, name: name.into(), suspicions, losses, trouble })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the pauses between connections of one purpose that do not last.
    pub(crate) fn reconnect_backoff(&self) -> ReconnectBackoff {
        let longest = self.options.longest_pause;
        ReconnectBackoff::new(Backoff::new(FIRST_PAUSE.min(longest), longest))
    }

    pub(crate) fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }

    pub(crate) fn logins(&self) -> &Arc<Logins> {
        &self.logins
    }

    /// Says on an open connection who one is now. A server that refuses it goes on to take the connection for who it was.
    pub(crate) async fn log_in(&self, connection: &mut impl ConnectionLike) {
        if let Some(login) = self.login() {
            self.note_login(login.query_async::<()>(connection).await);
        }
    }

    /// The command that says who one is now.
    pub(crate) fn login(&self) -> Option<Cmd> {
        self.servers.auth()
    }

    pub(crate) fn note_login(&self, outcome: RedisResult<()>) {
        match outcome {
            Ok(()) => tracing::debug!("logged in to Redis anew"),
            Err(error) => tracing::warn!(%error, "Redis did not take the new login on an open connection"),
        }
    }

    /// Notes a login that was refused, so that the next attempt tries another, if there is one.
    pub(crate) fn note_refusal(&self, error: &RedisError) {
        if error.kind() == redis::ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS") {
            self.logins.refused();
        }
    }

    /// Tells every connection to the server of `key` that it, or the way to it, has gone silent: nothing else would
    /// ever wake those that wait for something to come.
    pub(crate) fn suspect(&self, key: &str) {
        if let Some(suspicion) = self.servers.shard(key).and_then(|shard| self.suspicions().get(&shard).cloned()) {
            suspicion.send_modify(|times| *times += 1);
        }
    }

    fn suspicions(&self) -> MutexGuard<'_, HashMap<Shard, watch::Sender<u64>>> {
        self.suspicions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What will tell that a connection to this server, made from now on, is of no further use.
    pub(crate) fn signs(&self, shard: Shard, key: Option<&str>) -> Signs {
        let moves = self.servers.moves();
        let mut suspicions = self.suspicions();
        // Of servers that are gone, which in a cluster of changing addresses would be ever more.
        suspicions.retain(|known, suspicion| suspicion.receiver_count() > 0 || *known == shard);
        let suspicion = suspicions.entry(shard.clone()).or_default().subscribe();
        let logins = self.logins.changes();
        Signs { servers: self.servers.clone(), shard, key: key.map(str::to_owned), moves, suspicion, logins, end: None }
    }

    /// Changes with every [`Connector::lost`].
    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// Says that a connection was lost: those that nobody reads from find out whether they were, too.
    pub(crate) fn lost(&self) {
        self.losses.send_modify(|times| *times += 1);
    }

    /// The server's address, without user and password.
    pub(crate) fn address(&self) -> String {
        self.servers.address()
    }

    /// What the last attempt failed with.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what an attempt failed with; `false` if the last one failed with the same, which need not be told again.
    pub(crate) fn note_trouble(&self, trouble: Trouble) -> bool {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        known.replace(trouble.clone()) != Some(trouble)
    }

    pub(crate) fn forget_trouble(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Notes that a channel could not be subscribed to.
    pub(crate) fn note_deaf(&self, channel: &str, error: &RedisError) {
        match self.note_trouble(Trouble::of(error)) {
            true => tracing::warn!(channel, %error, "Redis does not let this node listen, trying on"),
            false => tracing::debug!(channel, %error, "Redis still does not let this node listen"),
        }
    }

    /// Finds the server that holds `key`, for as long as it takes; `None` when stopped first.
    pub(crate) async fn locate(&self, key: &str, stop: &CancellationToken) -> Option<Shard> {
        self.until("locate", stop, || self.servers.locate(key)).await
    }

    /// How long a server may take to answer whether it is there, before another connection is tried. A server that does a
    /// long piece of work is asked again over the new one, which does no harm.
    pub(crate) fn probe_time(&self) -> Duration {
        self.options.response_timeout.min(PROBE_TIME)
    }

    /// How long one attempt may take. Where another server may take over, it shall not wait long for a silent one.
    pub(crate) fn patience(&self) -> Duration {
        match &*self.servers {
            Servers::Standalone(_) => self.options.connect_timeout,
            _ => self.options.connect_timeout.min(self.options.response_timeout),
        }
    }

    /// One attempt to reach the server that holds `key`. `block` is how much longer than usual an answer may take, for
    /// reads that block.
    pub(crate) async fn connect(&self, purpose: &str, key: &str, block: Duration) -> RedisResult<Opened> {
        let shard = self.servers.locate(key).await?;
        self.open(purpose, &shard, Some(key), block).await
    }

    /// One attempt to reach this server, for all the keys that it holds.
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

    /// How to reach the server that holds `key`, and which that is.
    pub(crate) async fn endpoint(&self, key: &str) -> RedisResult<(Endpoint, Shard)> {
        let shard = self.servers.locate(key).await?;
        Ok((self.servers.reach(&shard).await?, shard))
    }

    pub(crate) fn settings(&self, block: Duration) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.options.response_timeout + block))
            .set_pipeline_buffer_size(1024)
    }

    /// The first words on a new connection, which show whether it leads to a server that is of use.
    pub(crate) async fn greet(&self, connection: &mut impl ConnectionLike, purpose: &str) -> RedisResult<()> {
        self.servers.verify(connection).await?;
        let mut hello = redis::pipe();
        // Only helps whoever reads CLIENT LIST; an ACL may forbid it.
        hello.cmd("CLIENT").arg("SETNAME").arg(format!("{}:{purpose}", self.name)).cmd("PING");
        let answers = connection.req_packed_commands(&hello, 0, 2).await?;
        // A server that is still loading, or may not be written to, lets one connect all the same.
        match answers.into_iter().last().map(Value::extract_error) {
            Some(Err(error)) if is_fatal(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// One attempt to reach this server, for subscriptions whose messages go to `push`.
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

    /// Attempts until one succeeds or `stop` is cancelled (`None`). The first failure is logged as a warning, later
    /// ones at debug, so an outage costs two lines and not thousands.
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
