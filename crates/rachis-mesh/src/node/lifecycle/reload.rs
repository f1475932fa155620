//! A configuration that changes while the node runs: what can be taken is, without dropping a call; the rest is told.

#[cfg(feature = "resilience")]
use crate::node::resilience::Resilience;
use crate::{
    node::{
        client::waiting::Waiting,
        server::partitions::Partitions,
        shared::{live_config::LiveConfig, settings},
    },
    redis::connection::{Connector, login::Login, tls::Certificates},
    wire::Signer,
};
use parking_lot::Mutex;
use rachis_config::host::{Difference, differences};
use rachis_config::{Config, Secret};
use rachis_core::{Error, Result};
use std::{
    collections::hash_map::DefaultHasher,
    fmt, fs,
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};

/// What became of a new configuration: see [`Node::reload`](crate::Node::reload).
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
    "tap",
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

/// The key of the log level, which a program takes or not.
const LOG_LEVEL: &str = "log.level";

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

/// Takes new configurations while a node runs.
pub(crate) struct Reloader {
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) takers: Takers,
    pub(crate) files: Files,
    /// `true` if code has the login for Redis, instead of the configuration.
    pub(crate) has_provider: bool,
    pub(crate) connector: Connector,
    pub(crate) signer: Signer,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) partitions: Arc<Partitions>,
    #[cfg(feature = "resilience")]
    pub(crate) resilience: Arc<Resilience>,
    /// Held meanwhile: one at a time.
    pub(crate) reloading: Mutex<()>,
}

impl Reloader {
    /// Takes what a running node can take of `config`, and tells the rest.
    ///
    /// # Errors
    /// `BadRequest` for a configuration that does not hold together; nothing has changed then.
    pub(crate) fn reload(&self, config: Config) -> Result<Reloaded> {
        let _reloading = self.reloading.lock();
        config.validate()?;
        settings::features(&config)?;
        let old = self.config.load_full();
        let login = settings::login_of(&config)?;
        let sentinel_login = settings::sentinel_login_of(&config);
        let certificates = settings::certificates(&config);
        let may_renew = tls_stays(self.config.at_start(), &config);
        let commits = self.takers.0.iter().map(|(_, prepare)| prepare(&config)).collect::<Result<Vec<_>>>()?;
        if may_renew {
            self.renew(&certificates)?;
        }
        // From here on nothing fails.
        commits.into_iter().for_each(|commit| commit());
        let mut reloaded = Reloaded::default();
        let since_last = differences(&old, &config)?;
        let since_start = differences(self.config.at_start(), &config)?;
        reloaded.taken.extend(since_last.into_iter().map(|found| found.key).filter(|key| self.takes(key, &config)));
        if may_renew {
            let files = self.files.changed(&config).into_iter().map(str::to_owned);
            let unknown: Vec<_> = files.filter(|key| !reloaded.taken.contains(key)).collect();
            reloaded.taken.extend(unknown);
        }
        for Difference { key, was } in since_start {
            if !self.takes(&key, &config) && !OVER.contains(&key.as_str()) {
                tracing::warn!(key, running = was, "changed in the configuration, and needs a restart");
                reloaded.needs_restart.push(key);
            }
        }
        self.take(&old, config, login, sentinel_login);
        tracing::info!(taken = reloaded.taken.join(" "), "the configuration was read again");
        Ok(reloaded)
    }

    /// Lets the program log by another level, as if the configuration had said so; its next change ends that.
    ///
    /// # Errors
    /// `MethodNotAllowed` where the program takes no level while it runs, `BadRequest` for what is no level.
    pub(crate) fn set_log_level(&self, level: &str) -> Result<()> {
        if !self.takers.take(LOG_LEVEL) {
            return Err(Error::method_not_allowed(
                "The program of this node takes no log level while it runs (NodeBuilder::on_reload)",
            ));
        }
        let mut config = Config::clone(&self.config.load());
        level.clone_into(&mut config.log.level);
        self.reload(config).map(drop)
    }

    /// Returns `true` if a running node can take this key as `new` has it.
    fn takes(&self, key: &str, new: &Config) -> bool {
        let old = self.config.at_start();
        let is_url = key == "redis.url";
        match key {
            // With it, frames begin to be signed, or no longer are: all nodes have to agree on that.
            "mesh.secret" => old.mesh.secret.is_some() == new.mesh.secret.is_some(),
            "redis.ca_file" | "redis.cert_file" | "redis.key_file" => tls_stays(old, new),
            _ if is_url || key.starts_with("redis.") && self.has_provider => {
                is_url && without_login(old) == without_login(new) && !self.has_provider
            }
            _ => LIVE.contains(&key) || self.takers.take(key),
        }
    }

    fn renew(&self, certificates: &Certificates) -> Result<()> {
        let renewed = self.connector.servers().renew(certificates);
        renewed.map_err(|error| Error::bad_request(format!("the certificates of redis can not be used: {error}")))
    }

    fn take(&self, old: &Config, new: Config, login: Login, sentinel_login: Login) {
        if !self.has_provider && without_login(self.config.at_start()) == without_login(&new) {
            self.connector.logins().change(login);
        }
        self.connector.servers().relogin_at_sentinels(sentinel_login);
        if let Some(secret) = &new.mesh.secret {
            self.signer.change(secret.expose(), new.mesh.previous_secret.as_ref().map(Secret::expose));
        }
        let limits = settings::limits(&new);
        self.waiting.limit(limits);
        self.partitions.limit(limits, old.limits.max_in_flight, new.limits.max_in_flight);
        #[cfg(feature = "resilience")]
        self.resilience.configure(&new);
        self.config.replace(new);
    }
}

/// Whether both speak TLS, or neither does, and to the same servers: only then certificates mean the same.
fn tls_stays(old: &Config, new: &Config) -> bool {
    let tls = |config: &Config| (config.redis.tls_server_name.clone(), config.redis.tls_insecure);
    without_login(old) == without_login(new) && tls(old) == tls(new)
}

/// Where Redis is, without the login.
fn without_login(config: &Config) -> String {
    let url = config.redis.url.expose();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest))
}
