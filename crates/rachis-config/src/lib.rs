//! The configuration: defaults, then `distribution.toml`, then environment variables, then the command line.
//!
//! The defaults are the file `config/default.toml`, compiled in: it says of every key what it means, its unit and what
//! it costs. [`ENV`] lists the environment variables.
//!
//! ```
//! use rachis::Config;
//! use std::time::Duration;
//!
//! let config = Config::loader()
//!     .env([("REDIS_URL", "redis://:hunter2@redis"), ("HEARTBEAT_INTERVAL", "500ms")])
//!     .load()?;
//! assert_eq!(config.heartbeat_interval, Duration::from_millis(500));
//! assert_eq!(config.redis.url.to_string(), "redis://:***@redis");
//! # Ok::<_, rachis::config::ConfigError>(())
//! ```

mod error;
mod load;
mod model;
#[cfg(test)]
mod tests;
mod values;

pub use error::ConfigError;
pub use load::env::{ENV, EnvName, EnvUse};
pub use load::layers::DEFAULTS;
pub use load::loader::Loader;
pub use load::watch::Watch;
pub use model::auth::{Algorithm, GatewayAuth, JwtOptions, KeyAlgorithm, LocalOptions, Parties};
pub use model::gateway::{Channels, Dashboard, ForwardedHeader, Gateway, Publish};
pub use model::log::{Log, LogFormat};
pub use model::mesh::Mesh;
pub use model::metrics::Metrics;
pub use model::query::GatewayQuery;
pub use model::service::{CircuitBreaker, Retry, ServiceConfig};
pub use values::address_map::AddressMap;
pub use values::calls::CallFilter;
pub use values::filter::{NameFilter, PathFilter};
pub use values::origin::{Origin, Origins};
pub use values::secret::{RedisUrl, Secret};
pub use values::size::ByteSize;
pub use values::template::PathTemplate;
pub use values::time::{Linger, StartDelay};

/// What the other crates of Rachis read of a configuration. Not a part of the stable interface.
#[doc(hidden)]
pub mod host {
    pub use crate::{
        load::{
            difference::{Difference, differences},
            validate::MAX_PARTITIONS,
        },
        model::auth::SECRET_BYTES,
        values::{
            addresses::Addresses, allowed_origin::AllowedOrigin, network::Network, servers::RedisServers,
            time::duration,
        },
    };
}

use crate::values::time::duration;
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What an editor or a checker needs to know of `distribution.toml`: its JSON Schema, with what each key means. Made of
/// the types here and of the words in `config/default.toml`.
pub const SCHEMA: &str = include_str!("../distribution.schema.json");

/// Everything that can be set. Serialized, it shows no secret.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Partition key: apps of different keys share no requests. Default `default`.
    pub key: String,
    /// The set of interchangeable nodes this one belongs to. Default empty: see [`Config::app_name`].
    pub app: String,
    /// Over how many streams the requests of this node's app are spread, 1 to 64. Default 1.
    pub partitions: usize,
    /// Prefix of everything kept in Redis; it separates meshes. Default `rachis`.
    pub namespace: String,
    /// The application's own version, announced to the others and, of a gateway, that of its OpenAPI document. Default empty:
    /// not said; the document then is of version 0.0.0.
    pub version: String,
    /// Which local services others may call. Default all.
    pub services: PathFilter,
    /// Which remote services this node believes in. Default all.
    pub remote_services: PathFilter,
    /// The path a remote service gets here. Default `{path}`.
    pub remote_service_path: PathTemplate,
    /// Which options of this node's services are announced, by name. Default none.
    pub remote_service_options: Vec<String>,
    /// How long a caller waits for a reply. Default 20 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub timeout: Duration,
    /// How long after the start local services are announced. Default 0.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub publication_delay: Duration,
    /// When the node joins the mesh. Default at once.
    pub start_delay: StartDelay,
    /// How often a node says that it is alive. Default 2 s, at least 10 ms.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub heartbeat_interval: Duration,
    /// How long a node counts as alive after its last beat. Default `None`: see [`Config::ttl`].
    #[serde(default, with = "duration::option")]
    #[cfg_attr(test, schemars(with = "Option<load::schema::Time>"))]
    pub ttl: Option<Duration>,
    /// How long a path stays callable after its last replica went. Default 60 s.
    pub linger: Linger,
    /// Whether events of published services reach other nodes. Default yes.
    pub publish_events: bool,
    /// Which events leave this node. Default all that a service declares, and the four standard ones.
    pub distributed_events: NameFilter,
    /// Which methods others may call. Default all that a service declares.
    pub distributed_methods: NameFilter,
    /// Whether other nodes may watch the calls of this node as they happen. Default no.
    pub tap: bool,
    /// What is said of single services, by path without slashes at its ends. Default nothing.
    #[serde(deserialize_with = "by_stripped_path")]
    pub service: BTreeMap<String, ServiceConfig>,
    /// Whether this node verifies the tokens of incoming calls itself (`true`, the default), or takes the calling
    /// node's word that it has done so. The user that a calling node names is passed on in both cases.
    pub authentication: bool,
    /// The path below which the health of remote services is served. Default `/distribution/healthcheck/`;
    /// empty: none.
    pub healthcheck_path: String,
    /// How much of everything.
    pub limits: Limits,
    /// How to leave.
    pub shutdown: Shutdown,
    /// How to reach Redis.
    pub redis: Redis,
    /// How nodes know each other.
    pub mesh: Mesh,
    /// The HTTP face.
    pub gateway: Gateway,
    /// Where the counters are told.
    pub metrics: Metrics,
    /// What is said while running.
    pub log: Log,
    /// What is not wrong but should be known, e.g. variables that no longer do anything. The loader prints nothing:
    /// print these.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Limits, each at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls from other nodes that this node runs at once. Default 256.
    pub max_in_flight: usize,
    /// Requests waiting in Redis for one app, in each of its partitions. Default 10,000.
    pub max_queue: usize,
    /// Largest request, reply or event. Default 1 MiB, at most 512 MiB.
    pub max_payload: ByteSize,
    /// Calls of this node that wait for replies. Default 10,000.
    pub max_pending: usize,
    /// How often a request that never finished is given out. Default 3.
    pub max_deliveries: usize,
    /// Memory for events that wait for one subscriber. Default 32 MiB, at least 64 KiB.
    pub event_buffer: ByteSize,
    /// Events kept in Redis for each service. Default 1000.
    pub event_log: usize,
    /// Dead letters kept for each app, in each of its partitions. Default 1000.
    pub dead_letters: usize,
    /// How long the reply to a call with an idempotency key is kept for repeats. Default 24 h.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub idempotency_ttl: Duration,
    /// Conditions in one query. Default 1000.
    pub query_conditions: usize,
    /// Items of all lists and objects in one query. Default 10,000.
    pub query_items: usize,
    /// Keys of one `$sort`. Default 32.
    pub query_sort_keys: usize,
}

impl Limits {
    /// How broad the queries of this node's services may be.
    #[doc(hidden)]
    pub fn query(&self) -> rachis_core::query::Limits {
        rachis_core::query::Limits {
            conditions: self.query_conditions,
            items: self.query_items,
            sort_keys: self.query_sort_keys,
        }
    }
}

/// How to leave.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long running calls may take to finish. Default 10 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub grace: Duration,
    /// How long a gateway goes on as before after it was told to stop, while `/readyz` says that it drains: so long load
    /// balancers may take to hear of it. Default none.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub delay: Duration,
}

/// How to reach Redis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is: one server (`redis://`), one that sentinels name (`redis+sentinel://`), or a cluster
    /// (`redis+cluster://`); each with `rediss` for TLS. Default `redis://127.0.0.1:6379`.
    pub url: RedisUrl,
    /// ACL user, instead of the one in the URL.
    pub username: Option<String>,
    /// Password, instead of the one in the URL.
    pub password: Option<Secret>,
    /// ElastiCache by IAM: the cache to sign tokens for, instead of a password; `username` is its user. Needs the feature
    /// `aws`. Default none.
    pub iam_cache: Option<String>,
    /// The region of that cache. Default `AWS_REGION`.
    pub iam_region: Option<String>,
    /// Whether that cache is serverless. Default no.
    pub iam_serverless: Option<bool>,
    /// ACL user of the sentinels, which have logins of their own; without sentinels it means nothing. Default none.
    pub sentinel_username: Option<String>,
    /// Password of the sentinels. Default none.
    pub sentinel_password: Option<Secret>,
    /// Whether sentinels speak TLS. Default as Redis does.
    pub sentinel_tls: Option<bool>,
    /// How long one attempt to connect may take, never more than a third of the TTL. Default 5 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub connect_timeout: Duration,
    /// How long a command may take before its connection is made anew. Default 2 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub response_timeout: Duration,
    /// Connections for the application's own commands and admin commands. Default 4.
    pub pool_size: usize,
    /// How long one blocking read waits. Default 10 s: with `response_timeout` less than `timeout`, so that calls outlive
    /// it when the way of one connection is cut without a word to either end.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub block: Duration,
    /// After how long without a word a connection that does not read asks whether Redis is there, so that no party on the
    /// way cuts it for being idle. Default 30 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub keep_alive: Duration,
    /// How many replicas shall have each request and each reply before the next are written. Default 0: none is waited
    /// for.
    pub wait_replicas: usize,
    /// How long to wait for them; a write that too few have by then counts all the same. Default 100 ms, less than
    /// `response_timeout`.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "load::schema::Time"))]
    pub wait_timeout: Duration,
    /// PEM file of the authority that signed the server's certificate. Default: those the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The name that the certificates of the servers, and of sentinels, are for. Default: the host that is connected to.
    pub tls_server_name: Option<String>,
    /// Whether any certificate is taken, of any server. Each start warns of it. Default no.
    pub tls_insecure: bool,
    /// What leads to servers that a cluster or sentinels announce under addresses that can not be reached from here.
    /// Default none.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub address_map: AddressMap,
    /// PEM file of this client's certificate; together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of this client's private key; together with `cert_file`.
    pub key_file: Option<PathBuf>,
}

impl Config {
    /// Reads all standard layers: defaults, `distribution.toml` in the current directory if there is one, and the
    /// environment.
    pub fn load() -> Result<Self, ConfigError> {
        Config::loader().load()
    }

    /// The same step by step: another file, another environment, values from the command line.
    pub fn loader() -> Loader {
        Loader::new()
    }

    /// The defaults with `toml` over them, and nothing from this machine: no file, no environment.
    ///
    /// ```
    /// # use rachis::Config;
    /// let config = Config::from_toml("[limits]\nmax_in_flight = 8")?;
    /// assert_eq!(config.limits.max_in_flight, 8);
    /// # Ok::<_, rachis::config::ConfigError>(())
    /// ```
    pub fn from_toml(toml: &str) -> Result<Self, ConfigError> {
        load::loader::from_toml(toml)
    }

    /// The name of this node's app: `app`, or else the name of the executable, with `-` for what no name may contain.
    pub fn app_name(&self) -> String {
        if !self.app.is_empty() {
            return self.app.clone();
        }
        let executable = std::env::current_exe().ok();
        let file = executable.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        name_of_executable(file.as_deref().unwrap_or_default())
    }

    /// How long a node counts as alive after its last beat: `ttl`, or else three beats.
    pub fn ttl(&self) -> Duration {
        self.ttl.unwrap_or_else(|| self.heartbeat_interval.saturating_mul(3))
    }

    /// Which events of the service `path` leave this node; none at all if `publish_events` is off.
    pub fn events_of(&self, path: &str) -> NameFilter {
        let own = self.service.get(path.trim_matches('/')).and_then(|service| service.events.as_ref());
        if self.publish_events { own.unwrap_or(&self.distributed_events).clone() } else { NameFilter::Only(Vec::new()) }
    }

    /// Which methods of the service `path` others may call.
    pub fn methods_of(&self, path: &str) -> &NameFilter {
        let own = self.service.get(path.trim_matches('/')).and_then(|service| service.methods.as_ref());
        own.unwrap_or(&self.distributed_methods)
    }
}

impl Default for Config {
    /// The defaults of `config/default.toml`, and nothing else.
    fn default() -> Self {
        load::loader::defaults()
    }
}

fn name_of_executable(file: &str) -> String {
    // Linux says so of a program that was replaced by a newer one while it runs.
    let name = file.trim_end_matches(" (deleted)").trim_end_matches(".exe");
    let name: String = name.chars().map(|c| if load::validate::may_be_in_a_name(c) { c } else { '-' }).collect();
    if name.is_empty() { "app".into() } else { name }
}

fn by_stripped_path<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, ServiceConfig>, D::Error> {
    let written = BTreeMap::<String, ServiceConfig>::deserialize(from)?;
    Ok(written.into_iter().map(|(path, service)| (path.trim_matches('/').to_owned(), service)).collect())
}
