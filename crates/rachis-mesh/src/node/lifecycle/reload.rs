//! A configuration that changes while the node runs: what can be taken is, without dropping a call; the rest is told.

use crate::node::{Inner, Node, settings};
use crate::redis::connection::tls::Certificates;
use parking_lot::Mutex;
use rachis_config::host::{Difference, differences};
use rachis_config::{Config, Secret, Watch};
use rachis_core::{Error, Result};
use std::{
    collections::hash_map::DefaultHasher,
    fmt, fs,
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};

/// What became of a new configuration: see [`Node::reload`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The keys that differ from before and count from now on. For a file with certificates it is the file that differs.
    pub taken: Vec<String>,
    /// The keys that differ from how the node was started, and go on as they were.
    pub needs_restart: Vec<String>,
}

/// The keys that a running node can take.
const LIVE: &[&str] = &[
    "services",
    "remote_services",
    "remote_service_options",
    "publish_events",
    "distributed_events",
    "distributed_methods",
    "service",
    "timeout",
    "limits.max_in_flight",
    "limits.max_queue",
    "limits.max_payload",
    "limits.max_pending",
    "limits.max_deliveries",
    "limits.dead_letters",
    "limits.idempotency_ttl",
    "limits.query_conditions",
    "limits.query_items",
    "limits.query_sort_keys",
    "shutdown.grace",
    "shutdown.delay",
    "gateway.body_limit",
    "gateway.max_sockets",
    "gateway.query.parameters",
    "gateway.query.depth",
    "gateway.query.sparse_index",
    "gateway.max_message",
    "gateway.socket_calls",
    "gateway.socket_inbox",
    "gateway.socket_outbox",
    "gateway.socket_patience",
    "redis.username",
    "redis.password",
    "redis.sentinel_username",
    "redis.sentinel_password",
    "mesh.secret",
    "mesh.previous_secret",
];

/// What is over once a node has started.
const OVER: &[&str] = &["start_delay"];

/// Does what was prepared.
pub(crate) type Commit = Box<dyn FnOnce() + Send>;
/// Looks at a new configuration and prepares to take it.
type Prepare = Arc<dyn Fn(&Config) -> Result<Commit> + Send + Sync>;

/// What the program around the node takes of a new configuration.
#[derive(Clone, Default)]
pub(crate) struct Takers(Vec<(Vec<&'static str>, Prepare)>);

impl Takers {
    pub(crate) fn add(
        &mut self,
        keys: impl IntoIterator<Item = &'static str>,
        prepare: impl Fn(&Config) -> Result<Commit> + Send + Sync + 'static,
    ) {
        self.0.push((keys.into_iter().collect(), Arc::new(prepare)));
    }

    fn take(&self, key: &str) -> bool {
        self.0.iter().any(|(keys, _)| keys.contains(&key))
    }
}

impl fmt::Debug for Takers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().flat_map(|(keys, _)| keys)).finish()
    }
}

/// What the files with certificates held when they were read.
#[derive(Default)]
pub(crate) struct Files(Mutex<Vec<(&'static str, PathBuf, u64)>>);

impl Files {
    pub(crate) fn of(config: &Config) -> Self {
        Files(Mutex::new(read(config)))
    }

    /// The keys whose files differ from those that were read before.
    fn changed(&self, config: &Config) -> Vec<&'static str> {
        let now = read(config);
        let mut known = self.0.lock();
        let changed = now.iter().filter(|file| !known.contains(file)).map(|(key, ..)| *key).collect();
        *known = now;
        changed
    }
}

fn read(config: &Config) -> Vec<(&'static str, PathBuf, u64)> {
    let redis = &config.redis;
    let files =
        [("redis.ca_file", &redis.ca_file), ("redis.cert_file", &redis.cert_file), ("redis.key_file", &redis.key_file)];
    let hash = |path: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        fs::read(path).ok().hash(&mut hasher);
        hasher.finish()
    };
    files.into_iter().filter_map(|(key, path)| path.as_ref().map(|path| (key, path.clone(), hash(path)))).collect()
}

impl Node {
    /// Takes a new configuration while the node runs, and drops no call: what is published and believed, limits,
    /// timeouts, logins of Redis, secrets of the mesh, and certificates, for connections that are made from now on; also
    /// what [`NodeBuilder::on_reload`](crate::NodeBuilder::on_reload) takes. What can not be taken goes on as it was, is
    /// told in the outcome, and logged in one line for each key.
    ///
    /// A configuration that does not hold together changes nothing at all. Call it where Tokio runs, as all of a node.
    ///
    /// # Errors
    /// `BadRequest` for such a one, with what is wrong with it.
    pub fn reload(&self, config: Config) -> Result<Reloaded> {
        let node = &self.inner;
        // One at a time.
        let _reloading = node.reloading.lock();
        config.validate()?;
        let old = node.live.load_full();
        let login = settings::login_of(&config)?;
        let sentinel_login = settings::sentinel_login_of(&config);
        let (certificates, may_renew) = (settings::certificates(&config), tls_stays(&node.config, &config));
        let commits = node.takers.0.iter().map(|(_, prepare)| prepare(&config)).collect::<Result<Vec<_>>>()?;
        if may_renew {
            node.renew(&certificates)?;
        }
        // From here on nothing fails.
        commits.into_iter().for_each(|commit| commit());
        let mut reloaded = Reloaded::default();
        let (since_last, since_start) = (differences(&old, &config)?, differences(&node.config, &config)?);
        reloaded.taken.extend(since_last.into_iter().map(|found| found.key).filter(|key| node.takes(key, &config)));
        if may_renew {
            let files = node.files.changed(&config).into_iter().map(str::to_owned);
            let unknown: Vec<_> = files.filter(|key| !reloaded.taken.contains(key)).collect();
            reloaded.taken.extend(unknown);
        }
        for Difference { key, was } in since_start {
            if !node.takes(&key, &config) && !OVER.contains(&key.as_str()) {
                tracing::warn!(key, running = was, "changed in the configuration, and needs a restart");
                reloaded.needs_restart.push(key);
            }
        }
        node.take(&old, config, login, sentinel_login);
        tracing::info!(taken = reloaded.taken.join(" "), "the configuration was read again");
        Ok(reloaded)
    }

    /// Reloads whenever the files of the configuration change, or at SIGHUP; ends when the node closes. A configuration
    /// that is wrong is logged, and the one before stays.
    ///
    /// ```no_run
    /// use rachis::{App, Config, Node};
    ///
    /// # async fn run() -> rachis::Result<()> {
    /// let loader = Config::loader();
    /// let watch = loader.clone().watch();
    /// let node = Node::builder(loader.load()?).app(App::new()).start().await?;
    /// tokio::spawn(node.follow(watch));
    /// node.run_until_signal().await
    /// # }
    /// ```
    pub fn follow(&self, mut watch: Watch) -> impl Future<Output = ()> + Send + use<> {
        // Not the node: dropping the last handle ends it all the same.
        let (node, closing) = (Arc::downgrade(&self.inner), self.closing());
        let guard = Arc::downgrade(&self._guard);
        async move {
            tokio::pin!(closing);
            loop {
                let read = tokio::select! {
                    read = watch.next() => read,
                    () = &mut closing => return,
                };
                let (Some(inner), Some(_guard)) = (node.upgrade(), guard.upgrade()) else { return };
                let node = Node { inner, _guard };
                let outcome = read.map_err(Error::from).and_then(|config| node.reload(config));
                if let Err(error) = outcome {
                    tracing::error!(%error, "the new configuration is not taken, the one before stays");
                }
            }
        }
    }
}

impl Inner {
    /// Returns `true` if a running node can take this key as `new` has it.
    fn takes(&self, key: &str, new: &Config) -> bool {
        let (old, url) = (&self.config, key == "redis.url");
        match key {
            // With it, frames begin to be signed, or no longer are: all nodes have to agree on that.
            "mesh.secret" => old.mesh.secret.is_some() == new.mesh.secret.is_some(),
            "redis.ca_file" | "redis.cert_file" | "redis.key_file" => tls_stays(old, new),
            _ if url || key.starts_with("redis.") && self.credentials.is_some() => {
                url && without_login(old) == without_login(new) && self.credentials.is_none()
            }
            _ => LIVE.contains(&key) || self.takers.take(key),
        }
    }

    fn renew(&self, certificates: &Certificates) -> Result<()> {
        let renewed = self.connector.servers().renew(certificates);
        renewed.map_err(|error| Error::bad_request(format!("the certificates of redis can not be used: {error}")))
    }

    fn take(
        &self,
        old: &Config,
        new: Config,
        login: crate::redis::connection::login::Login,
        sentinel_login: crate::redis::connection::login::Login,
    ) {
        if self.credentials.is_none() && without_login(&self.config) == without_login(&new) {
            self.connector.logins().change(login);
        }
        self.connector.servers().relogin_at_sentinels(sentinel_login);
        if let Some(secret) = &new.mesh.secret {
            self.signer.change(secret.expose(), new.mesh.previous_secret.as_ref().map(Secret::expose));
        }
        let limits = settings::limits(&new);
        self.rpc.limit(limits);
        self.partitions.limit(limits, old.limits.max_in_flight, new.limits.max_in_flight);
        self.live.store(Arc::new(new));
        self.reloads.send_modify(|times| *times += 1);
    }
}

/// Whether both speak TLS, or neither does, and to the same servers: only then certificates mean the same.
fn tls_stays(old: &Config, new: &Config) -> bool {
    let tls = |config: &Config| (config.redis.tls_server_name.clone(), config.redis.tls_insecure);
    without_login(old) == without_login(new) && tls(old) == tls(new)
}

/// Where Redis is, and not as whom.
fn without_login(config: &Config) -> String {
    let url = config.redis.url.expose();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest))
}
