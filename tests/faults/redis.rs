//! The Redis of a row, and what is done to it.

use crate::{
    proxy::Proxy,
    servers::{SENTINEL_PASSWORD, Watched, ask, crash, follows, is_master, wait_until},
    shards::Cluster,
};
use rachis_testing::ThrowawayRedis;
use redis::{RedisResult, Value};
use std::time::{Duration, Instant};

/// Arguments for a server that keeps its data over a restart.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];

/// Of users that nodes have of their own.
const USER_PASSWORD: &str = "a-node";

/// Sentinels wait for twice their `failover-timeout` of 3 s before they replace a master once more.
const BETWEEN_FAILOVERS: Duration = Duration::from_secs(7);

/// What kinds of Redis there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Servers {
    One,
    /// A master and a replica that three sentinels watch.
    Sentinel,
    /// Three masters, each with a replica.
    Cluster,
}

enum Kind {
    One(ThrowawayRedis),
    Watched(Watched),
    Shared(Cluster),
}

/// A Redis, with the password that it asks for at present.
pub(crate) struct Server {
    kind: Kind,
    password: Option<String>,
    failed_over: Option<Instant>,
}

impl Server {
    /// `arguments` are for a single server.
    pub(crate) fn start(servers: Servers, arguments: &[&str]) -> Server {
        let kind = tokio::task::block_in_place(|| match servers {
            Servers::One => Kind::One(ThrowawayRedis::start_with(arguments).expect("redis-server is installed")),
            Servers::Sentinel => Kind::Watched(Watched::start().ready()),
            Servers::Cluster => Kind::Shared(Cluster::start()),
        });
        Server { kind, password: None, failed_over: None }
    }

    /// The only one.
    fn one(&self) -> &ThrowawayRedis {
        match &self.kind {
            Kind::One(redis) => redis,
            _ => panic!("the Redis of this row is more than one server"),
        }
    }

    fn one_mut(&mut self) -> &mut ThrowawayRedis {
        match &mut self.kind {
            Kind::One(redis) => redis,
            _ => panic!("the Redis of this row is more than one server"),
        }
    }

    /// The servers one of which is master of `key`; the first one where a single server is all there is.
    fn candidates(&self, key: &str) -> Vec<&ThrowawayRedis> {
        match &self.kind {
            Kind::One(redis) => vec![redis],
            Kind::Watched(watched) => watched.servers.iter().collect(),
            Kind::Shared(cluster) => {
                let owner = cluster.owner(key);
                vec![&cluster.servers[owner], &cluster.servers[owner + 3]]
            }
        }
    }

    /// The master of `key` and its replica.
    fn pair(&mut self, key: &str) -> [&mut ThrowawayRedis; 2] {
        let [first, second] = match &mut self.kind {
            Kind::One(_) => panic!("a single server has no replica"),
            Kind::Watched(watched) => watched.servers.each_mut(),
            Kind::Shared(cluster) => {
                let owner = cluster.owner(key);
                let (masters, replicas) = cluster.servers.split_at_mut(3);
                [&mut masters[owner], &mut replicas[owner]]
            }
        };
        if is_master(first) { [first, second] } else { [second, first] }
    }

    /// Kills the master of `key` as a crash would, and waits until its replica is master.
    pub(crate) fn kill_master(&mut self, key: &str) {
        tokio::task::block_in_place(|| {
            if self.failed_over.is_some() {
                self.heal(key);
            }
            let [master, replica] = self.pair(key);
            crash(master);
            wait_until("the replica is master", || is_master(replica));
        });
        self.failed_over = Some(Instant::now());
    }

    /// Starts the server that was killed as replica of the one that took over.
    fn heal(&mut self, key: &str) {
        let told = matches!(self.kind, Kind::Watched(_));
        let [master, replica] = self.pair(key);
        replica.stop();
        replica.launch().expect("redis-server starts again");
        if told {
            // Sentinels would say so, too, but take their time.
            let port = master.port().to_string();
            ask::<String>(replica.port(), &["REPLICAOF", "127.0.0.1", &port]).expect("it becomes a replica");
        }
        wait_until("the replica follows", || follows(replica));
        self.settle();
    }

    /// Waits until the sentinels would replace the master.
    fn settle(&self) {
        let (Kind::Watched(watched), Some(before)) = (&self.kind, self.failed_over) else { return };
        std::thread::sleep(BETWEEN_FAILOVERS.saturating_sub(before.elapsed()));
        watched.settles();
    }

    /// Has the sentinels make the replica master in good order.
    pub(crate) fn switch_master(&mut self) {
        let Kind::Watched(watched) = &self.kind else { panic!("no sentinel watches this Redis") };
        tokio::task::block_in_place(|| {
            self.settle();
            watched.switch();
        });
        self.failed_over = Some(Instant::now());
    }

    /// Makes a user who may do everything but for some commands.
    pub(crate) async fn make_user(&self, name: &str, without: &[&str]) {
        let password = format!(">{USER_PASSWORD}");
        let denied: Vec<String> = without.iter().map(|command| format!("-{command}")).collect();
        let mut words = vec!["ACL", "SETUSER", name, "reset", "on", &password, "~*", "&*", "+@all"];
        words.extend(denied.iter().map(String::as_str));
        self.command(&words).await;
    }

    /// What nodes are told of it, as a part of `[redis]` of their configuration.
    pub(crate) fn section(&self, cable: Option<&Proxy>, user: Option<&str>) -> String {
        let (url, more) = match &self.kind {
            Kind::One(redis) => (cable.map_or_else(|| redis.url(), Proxy::url), String::new()),
            Kind::Watched(watched) => (watched.url(), format!("sentinel_password = \"{SENTINEL_PASSWORD}\"\n")),
            Kind::Shared(cluster) => (cluster.url(), String::new()),
        };
        let login = user.map(|user| format!("username = \"{user}\"\npassword = \"{USER_PASSWORD}\"\n"));
        format!("url = \"{url}\"\n{more}{}", login.unwrap_or_default())
    }

    pub(crate) fn port(&self) -> u16 {
        self.one().port()
    }

    /// Ends it in good order.
    pub(crate) fn stop(&mut self) {
        tokio::task::block_in_place(|| self.one_mut().stop());
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) {
        crate::worker::signal(self.one().pid(), "KILL").await;
        self.stop();
    }

    pub(crate) fn launch(&mut self) {
        tokio::task::block_in_place(|| self.one_mut().launch()).expect("redis-server starts again");
    }

    pub(crate) fn freeze(&self) {
        self.one().freeze().expect("SIGSTOP");
    }

    pub(crate) fn thaw(&self) {
        self.one().thaw().expect("SIGCONT");
    }

    /// Runs a command, written as in `redis-cli`; its second word is its key where there are several masters.
    pub(crate) async fn command(&self, words: &[&str]) -> Value {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        let servers = self.candidates(words.get(1).copied().unwrap_or_default());
        let master = match servers[..] {
            [only] => only,
            _ => tokio::task::block_in_place(|| servers.iter().find(|one| is_master(one))).unwrap_or(&servers[0]),
        };
        let url = match &self.password {
            Some(password) => master.url().replace("redis://", &format!("redis://:{password}@")),
            None => master.url(),
        };
        let patient = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(5)));
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// A number that a command returns.
    pub(crate) async fn number(&self, words: &[&str]) -> RedisResult<u64> {
        redis::from_redis_value(self.try_command(words).await?).map_err(Into::into)
    }

    /// Asks for another password from now on, also of those that are connected.
    pub(crate) async fn set_password(&mut self, password: &str) {
        self.command(&["CONFIG", "SET", "requirepass", password]).await;
        self.password = Some(password.to_owned());
        self.drop_connections().await;
    }

    /// Closes every connection.
    pub(crate) async fn drop_connections(&self) {
        for kind in ["normal", "pubsub"] {
            self.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
    }

    /// Bytes of memory it says to use.
    pub(crate) async fn memory(&self) -> u64 {
        let info = self.command(&["INFO", "memory"]).await;
        let info: String = redis::from_redis_value(info).expect("INFO is text");
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("used_memory");
        line.trim().parse().expect("a number")
    }
}
