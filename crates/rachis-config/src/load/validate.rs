//! What types cannot say: ranges, and keys that depend on each other.

use crate::{
    ByteSize, Config, ConfigError,
    values::{allowed_origin::AllowedOrigin, network::Network},
};
use std::time::Duration;

/// Below it, beats would cost more than the calls.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);
/// The longest value that Redis takes.
const LARGEST_PAYLOAD: ByteSize = ByteSize(512 << 20);
const MOST_HOPS: usize = 32;
const SMALLEST_EVENT_BUFFER: ByteSize = ByteSize(64 << 10);
/// Below it, clients would be cut off while they write.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// More replicas than any master has.
const MOST_REPLICAS: usize = 1000;
/// Partitions that an app may have.
pub const MAX_PARTITIONS: usize = 64;
/// Far beyond any use, and below what channels and semaphores can count to, which panic above it.
pub(crate) const LARGEST_LIMIT: usize = 1_000_000_000;

/// The first rule that is broken, as the key to change and what to change.
type Checked = Result<(), ConfigError>;

impl Config {
    /// Checks what was loaded or put together by hand; loading does it, too.
    ///
    /// ```
    /// # use rachis::Config;
    /// let config = Config { timeout: std::time::Duration::ZERO, ..Config::default() };
    /// assert_eq!(config.validate().unwrap_err().to_string(), "`timeout` is 0s: set it to 1ms or more");
    /// ```
    pub fn validate(&self) -> Result<(), ConfigError> {
        name("key", &self.key)?;
        name("namespace", &self.namespace)?;
        if !self.app.is_empty() {
            name("app", &self.app)?;
        }
        self.validate_times()?;
        self.validate_limits()?;
        self.validate_redis()?;
        self.validate_paths()?;
        self.validate_clients()?;
        self.mesh.validate()?;
        self.gateway.query.validate()?;
        self.service.iter().try_for_each(|(path, service)| service.validate(path))?;
        check(!self.log.level.trim().is_empty(), "log.level", || "is empty: set a level such as \"info\"".into())
    }

    fn validate_times(&self) -> Checked {
        let beat = self.heartbeat_interval;
        check(beat >= SHORTEST_BEAT, "heartbeat_interval", || format!("is {}: set it to 10ms or more", text(beat)))?;
        let ttl = self.ttl();
        check(ttl > beat, "ttl", || {
            let ttl = text(ttl);
            let beat = text(beat);
            format!("is {ttl}, no longer than heartbeat_interval ({beat}): raise ttl, or lower heartbeat_interval")
        })?;
        positive("timeout", self.timeout)?;
        positive("limits.idempotency_ttl", self.limits.idempotency_ttl)?;
        positive("gateway.socket_patience", self.gateway.socket_patience)?;
        positive("redis.connect_timeout", self.redis.connect_timeout)?;
        positive("redis.response_timeout", self.redis.response_timeout)?;
        // Redis takes 0 for "for ever".
        positive("redis.block", self.redis.block)?;
        positive("redis.keep_alive", self.redis.keep_alive)
    }

    fn validate_limits(&self) -> Checked {
        check((1..=MAX_PARTITIONS).contains(&self.partitions), "partitions", || {
            format!("is {}: set it to 1 or more, at most {MAX_PARTITIONS}", self.partitions)
        })?;
        let limits = &self.limits;
        let counts = [
            ("limits.max_in_flight", limits.max_in_flight),
            ("limits.max_queue", limits.max_queue),
            ("limits.max_pending", limits.max_pending),
            ("limits.max_deliveries", limits.max_deliveries),
            ("limits.event_log", limits.event_log),
            ("limits.dead_letters", limits.dead_letters),
            ("limits.query_conditions", limits.query_conditions),
            ("limits.query_items", limits.query_items),
            ("limits.query_sort_keys", limits.query_sort_keys),
            ("redis.pool_size", self.redis.pool_size),
            ("gateway.max_sockets", self.gateway.max_sockets),
            ("gateway.socket_calls", self.gateway.socket_calls),
        ];
        for (key, count) in counts {
            check((1..=LARGEST_LIMIT).contains(&count), key, || {
                format!("is {count}: set it to 1 or more, at most {LARGEST_LIMIT}")
            })?;
        }
        // A number of events, as this once was, would be no room at all.
        check((SMALLEST_EVENT_BUFFER..=LARGEST_PAYLOAD).contains(&limits.event_buffer), "limits.event_buffer", || {
            format!(
                "is {}: it is the memory for events that wait for one subscriber; set it to {SMALLEST_EVENT_BUFFER} or more, at most \
                 {LARGEST_PAYLOAD}",
                limits.event_buffer
            )
        })?;
        let sizes = [
            ("limits.max_payload", limits.max_payload),
            ("gateway.body_limit", self.gateway.body_limit),
            ("gateway.max_message", self.gateway.max_message),
            ("gateway.socket_inbox", self.gateway.socket_inbox),
            ("gateway.socket_outbox", self.gateway.socket_outbox),
        ];
        for (key, size) in sizes {
            check((ByteSize(1)..=LARGEST_PAYLOAD).contains(&size), key, || {
                format!("is {size}: set it to 1 byte or more, at most {LARGEST_PAYLOAD}")
            })?;
        }
        Ok(())
    }

    fn validate_redis(&self) -> Checked {
        let redis = &self.redis;
        redis.url.servers().map_err(|error| ConfigError::new(error).at("redis.url"))?;
        check(redis.wait_replicas <= MOST_REPLICAS, "redis.wait_replicas", || {
            format!("is {}: set it to {MOST_REPLICAS} or less", redis.wait_replicas)
        })?;
        positive("redis.wait_timeout", redis.wait_timeout)?;
        check(redis.wait_replicas == 0 || redis.wait_timeout < redis.response_timeout, "redis.wait_timeout", || {
            let bound = text(redis.response_timeout);
            format!("is {}: keep it below redis.response_timeout ({bound})", text(redis.wait_timeout))
        })?;
        check(redis.key_file.is_none() || redis.cert_file.is_some(), "redis.key_file", || {
            "is set without redis.cert_file: set both or neither".into()
        })?;
        check(redis.cert_file.is_none() || redis.key_file.is_some(), "redis.cert_file", || {
            "is set without redis.key_file: set both or neither".into()
        })
    }

    fn validate_paths(&self) -> Checked {
        let gateway = &self.gateway;
        for (key, path) in [("gateway.prefix", &gateway.prefix), ("gateway.socket_path", &gateway.socket_path)] {
            check(path.starts_with('/'), key, || format!("is {path:?}: begin it with a slash"))?;
        }
        let health = &self.healthcheck_path;
        check(health.is_empty() || health.starts_with('/'), "healthcheck_path", || {
            format!("is {health:?}: begin it with a slash")
        })?;
        let dashboard = &gateway.dashboard;
        let pages = [("gateway.openapi", &gateway.openapi), ("gateway.docs", &gateway.docs)];
        for (key, path) in pages.into_iter().chain([("gateway.dashboard.path", &dashboard.path)]) {
            check(path.is_empty() || path.starts_with('/'), key, || format!("is {path:?}: begin it with a slash"))?;
        }
        let name = dashboard.path.trim_matches('/');
        let is_name =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        check(name.split('/').all(is_name), "gateway.dashboard.path", || {
            format!("is {:?}: write it as a path of letters, digits, - and _, e.g. \"/distribution/\"", dashboard.path)
        })?;
        check(!dashboard.role_field.is_empty() || dashboard.role.is_empty(), "gateway.dashboard.role_field", || {
            "is empty: name the field of users that has their roles, or set gateway.dashboard.role to \"\"".into()
        })?;
        let sockets = gateway.socket_path.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        check(
            !sockets.is_empty() && sockets.chars().all(plain) && !sockets.contains("//"),
            "gateway.socket_path",
            || {
                let path = &gateway.socket_path;
                format!("is {path:?}: write it as a path of letters, digits and - . _ ~, e.g. \"/api/socket.io/\"")
            },
        )?;
        let taken = [
            ("gateway.prefix", gateway.prefix.trim_matches('/')),
            ("healthcheck_path", health.trim_matches('/')),
            ("metrics.path", self.metrics.path.trim_matches('/')),
            ("gateway.openapi", gateway.openapi.trim_matches('/')),
            ("gateway.docs", gateway.docs.trim_matches('/')),
            ("gateway.dashboard.path", name),
        ];
        for (key, path) in taken {
            check(path != sockets, "gateway.socket_path", || format!("is {path:?}, as {key} is: choose another"))?;
        }
        for (key, listen) in [("gateway.listen", &gateway.listen), ("metrics.listen", &self.metrics.listen)] {
            let port =
                listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
            let is_none = key == "metrics.listen" && listen.is_empty();
            check(is_none || matches!(port, Some(Ok(_))), key, || {
                format!("is {listen:?}: write it as host:port, e.g. \"127.0.0.1:3030\"")
            })?;
        }
        Ok(())
    }

    fn validate_clients(&self) -> Checked {
        let gateway = &self.gateway;
        for origin in &gateway.cors_origins {
            AllowedOrigin::parse(origin)
                .map_err(|why| ConfigError::new(format!("has {origin:?}, {why}")).at("gateway.cors_origins"))?;
        }
        let any = gateway.cors_origins.iter().any(|origin| origin.trim() == "*");
        check(!(any && gateway.cors_credentials), "gateway.cors_credentials", || {
            "is set while gateway.cors_origins has \"*\", so any page could call in the name of its visitor: name \
             the origins"
                .into()
        })?;
        let lists = [
            ("gateway.cors_methods", &gateway.cors_methods, "methods"),
            ("gateway.cors_headers", &gateway.cors_headers, "headers"),
            ("gateway.cors_exposed_headers", &gateway.cors_exposed_headers, "headers"),
        ];
        for (key, names, what) in lists {
            let bad = names.iter().find(|name| !is_token(name));
            check(bad.is_none(), key, || {
                format!("has {:?}: list the names of {what}", bad.cloned().unwrap_or_default())
            })?;
        }
        check(gateway.keep_alive.is_zero() || gateway.keep_alive >= SHORTEST_KEEP_ALIVE, "gateway.keep_alive", || {
            format!("is {}: set it to 1s or more, or to 0 for one request a connection", text(gateway.keep_alive))
        })?;
        check(gateway.trusted_hops <= MOST_HOPS, "gateway.trusted_hops", || {
            format!(
                "is {}: set it to the number of proxies between clients and this gateway, at most {MOST_HOPS}",
                gateway.trusted_hops
            )
        })?;
        for proxy in &gateway.trusted_proxies {
            check(Network::parse(proxy).is_some(), "gateway.trusted_proxies", || {
                format!(
                    "has {proxy:?}: write an address such as \"10.0.0.1\", or a network such as \"10.0.0.0/8\" or \"fd00::/8\""
                )
            })?;
        }
        Ok(())
    }
}

/// Whether `text` is a name as methods and headers have them.
fn is_token(text: &str) -> bool {
    let names = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(names)
}

/// Whether names that become part of Redis keys, patterns and paths may contain `c`. Braces choose a cluster's slot, and
/// a slash separates key and app.
pub(crate) fn may_be_in_a_name(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || "{}*?[]\\/".contains(c))
}

fn name(key: &str, value: &str) -> Checked {
    check(!value.is_empty(), key, || "is empty: give it a name".into())?;
    check(value.chars().all(may_be_in_a_name), key, || {
        format!("is {value:?}: leave out spaces, slashes and the characters {{ }} * ? [ ] \\")
    })
}

pub(crate) fn positive(key: &str, time: Duration) -> Checked {
    check(time >= Duration::from_millis(1), key, || format!("is {}: set it to 1ms or more", text(time)))
}

pub(crate) fn check(holds: bool, key: &str, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(ConfigError::new(message()).at(key)) }
}

fn text(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
