//! What the configuration says to the parts of a node.

use crate::node::shared::limits::CallLimits;
use crate::redis::{
    connection::{
        LONGEST_PAUSE, Options, WaitFor, credentials::Provider, login::Login, tls::Certificates,
        topology::TopologyConfig,
    },
    registry,
};
use ::redis::IntoConnectionInfo;
use rachis_config as config;
use rachis_config::host::RedisServers;
use rachis_config::{Config, Linger, Secret};
use rachis_core::{Error, Result};

/// How to reach Redis.
pub(crate) fn options(config: &Config) -> Result<Options> {
    let redis = &config.redis;
    Ok(Options {
        topology: topology(redis)?,
        login: login_of(config)?,
        // An attempt that hangs must not cost a node its place: the next one may come through.
        connect_timeout: redis.connect_timeout.min(config.ttl() / 3),
        response_timeout: redis.response_timeout,
        block: redis.block,
        keep_alive: redis.keep_alive,
        pool_size: redis.pool_size,
        wait: (redis.wait_replicas > 0).then_some(WaitFor { replicas: redis.wait_replicas, time: redis.wait_timeout }),
        // After an outage, the first that is back gives the others one TTL: they must not sleep through it.
        longest_pause: (config.ttl() / 4).min(LONGEST_PAUSE),
        certificates: certificates(config),
        addresses: redis.address_map.addresses().clone(),
    })
}

/// Checks that what is configured is built in.
///
/// # Errors
/// `BadRequest` for what the program can not do.
pub(crate) fn features(config: &Config) -> Result<()> {
    let protected = config.service.iter().find(|(_, service)| service.is_protected());
    match protected {
        Some((path, _)) if cfg!(not(feature = "resilience")) => Err(Error::bad_request(format!(
            "service.{path} has keys for which this program has to be built with the feature `resilience` of Rachis \
             (rate_limit, concurrency, retry, breaker)"
        ))),
        _ => Ok(()),
    }
}

pub(crate) fn limits(config: &Config) -> CallLimits {
    CallLimits {
        timeout: config.timeout,
        max_pending: config.limits.max_pending,
        max_payload: config.limits.max_payload.as_usize(),
        max_queue: config.limits.max_queue as u64,
        max_deliveries: u32::try_from(config.limits.max_deliveries).unwrap_or(u32::MAX),
        dead_letters: config.limits.dead_letters,
    }
}

pub(crate) fn certificates(config: &Config) -> Certificates {
    let redis = &config.redis;
    Certificates {
        ca: redis.ca_file.clone(),
        client: redis.cert_file.clone().zip(redis.key_file.clone()),
        server_name: redis.tls_server_name.clone(),
        insecure: redis.tls_insecure,
    }
}

/// What the configuration says of credentials that expire.
#[cfg(feature = "aws")]
pub(crate) fn provider(config: &Config) -> Result<Option<Provider>> {
    Ok(crate::aws::ElastiCacheIam::of(&config.redis)?.map(Provider::new))
}

#[cfg(not(feature = "aws"))]
pub(crate) fn provider(config: &Config) -> Result<Option<Provider>> {
    match config.redis.iam_cache {
        None => Ok(None),
        Some(_) => {
            Err(Error::bad_request("redis.iam_cache is set, and this program was built without the feature `aws`"))
        }
    }
}

/// The login for Redis, whether the URL has it or other keys do.
pub(crate) fn login_of(config: &Config) -> Result<Login> {
    let of_url = match topology(&config.redis)? {
        TopologyConfig::Standalone(url) | TopologyConfig::Sentinel { master: url, .. } => Login::of(&url),
        TopologyConfig::Cluster(seeds) => Login::of(seeds.first().map_or("", String::as_str)),
    };
    let of_url = of_url
        .map_err(|error| Error::bad_request(format!("redis.url ({}) can not be used: {error}", config.redis.url)))?;
    let own = login(config.redis.username.as_ref(), config.redis.password.as_ref());
    Ok(Login { username: own.username.or(of_url.username), password: own.password.or(of_url.password) })
}

/// The database that the URL names.
pub(crate) fn database_of(config: &Config) -> Result<i64> {
    let url = match topology(&config.redis)? {
        TopologyConfig::Standalone(url) | TopologyConfig::Sentinel { master: url, .. } => url,
        TopologyConfig::Cluster(_) => return Ok(0),
    };
    let info = url.as_str().into_connection_info();
    let info =
        info.map_err(|error| Error::bad_request(format!("redis.url ({}) can not be used: {error}", config.redis.url)))?;
    Ok(info.redis_settings().db())
}

pub(crate) fn sentinel_login_of(config: &Config) -> Login {
    login(config.redis.sentinel_username.as_ref(), config.redis.sentinel_password.as_ref())
}

fn topology(redis: &config::Redis) -> Result<TopologyConfig> {
    Ok(match redis.url.servers().map_err(|error| Error::bad_request(format!("redis.url {error}")))? {
        RedisServers::Standalone(url) => TopologyConfig::Standalone(url),
        RedisServers::Sentinel { sentinels, master: name } => {
            let master = sentinels.first().cloned().unwrap_or_default();
            let tls = redis.sentinel_tls.unwrap_or(master.starts_with("rediss:"));
            let scheme = if tls { "rediss" } else { "redis" };
            let with_scheme =
                |url: &String| url.split_once(':').map_or(url.clone(), |(_, rest)| format!("{scheme}:{rest}"));
            let login = login(redis.sentinel_username.as_ref(), redis.sentinel_password.as_ref());
            TopologyConfig::Sentinel { sentinels: sentinels.iter().map(with_scheme).collect(), login, name, master }
        }
        RedisServers::Cluster { seeds } => TopologyConfig::Cluster(seeds),
    })
}

fn login(username: Option<&String>, password: Option<&Secret>) -> Login {
    Login { username: username.cloned(), password: password.map(|password| password.expose().to_owned()) }
}

pub(crate) fn linger(config: &Config) -> registry::Linger {
    match config.linger {
        Linger::For(time) => registry::Linger::For(time),
        Linger::Forever => registry::Linger::Forever,
    }
}
