//! Settings that are allowed and together break a promise: what follows from them, and what to change.

use crate::{Config, Linger, values::servers::RedisServers};
use std::time::Duration;

/// The shortest time after which balancers and proxies in wide use cut what is silent: a minute, about.
const CUT_BY_PROXIES: Duration = Duration::from_secs(60);
/// The same of the most patient ones: 350 s, for an AWS network load balancer.
const CUT_BY_BALANCERS: Duration = Duration::from_secs(350);
/// How long balancers in front of a gateway keep connections to it that nothing comes through, by default, at least.
const KEPT_BY_BALANCERS: Duration = Duration::from_secs(60);
/// After which time platforms kill a program that was told to stop: 30 s in Kubernetes and ECS; Docker waits 10 s.
const KILLED_AFTER: Duration = Duration::from_secs(30);
/// What a frame takes beside the body of its request, about.
const FRAME: u64 = 4096;

impl Config {
    /// What is allowed and breaks a promise all the same, each with what follows and what to change. Empty for the defaults.
    ///
    /// `rachis config check` prints these beside [`Config::warnings`], and a node logs them when it starts.
    ///
    /// ```
    /// # use rachis::Config;
    /// let config = Config::from_toml("timeout = '5s'")?;
    /// assert!(config.hazards()[0].starts_with("timeout (5s) is not longer than ttl (6s) and heartbeat_interval (2s)"));
    /// # Ok::<_, rachis::config::ConfigError>(())
    /// ```
    pub fn hazards(&self) -> Vec<String> {
        let all = [
            self.of_takeover(),
            self.of_silent_reads(),
            self.of_silent_beats(),
            self.of_lost_beats(),
            self.of_linger(),
            self.of_idle_connections(),
            self.of_idle_reads(),
            self.of_leaving(),
            self.of_bodies(),
            self.of_kept_connections(),
            self.of_partitions(),
            self.of_repeats(),
            self.of_trust(),
            self.of_tls(),
        ];
        all.into_iter().flatten().collect()
    }

    /// A dead replica is noticed after its TTL, by the next beat of another one.
    fn of_takeover(&self) -> Option<String> {
        let ttl = self.ttl();
        let beat = self.heartbeat_interval;
        (self.timeout <= ttl + beat).then(|| {
            format!(
                "timeout ({}) is not longer than ttl ({}) and heartbeat_interval ({}) together: when a replica is killed, its \
                 calls fail with Timeout (408) before another replica can take them over; raise timeout above {}, or lower \
                 heartbeat_interval and ttl",
                text(self.timeout),
                text(ttl),
                text(beat),
                text(ttl + beat)
            )
        })
    }

    fn of_silent_reads(&self) -> Option<String> {
        let block = self.redis.block;
        let response = self.redis.response_timeout;
        (self.timeout <= block + response).then(|| {
            format!(
                "timeout ({}) is not longer than redis.block ({}) and redis.response_timeout ({}) together: when the way of a \
                 connection is cut without notice, calls fail before that is noticed; raise timeout, or lower redis.block",
                text(self.timeout),
                text(block),
                text(response)
            )
        })
    }

    fn of_silent_beats(&self) -> Option<String> {
        let response = self.redis.response_timeout;
        let beat = self.heartbeat_interval;
        let ttl = self.ttl();
        (response + beat > ttl).then(|| {
            format!(
                "redis.response_timeout ({}) and heartbeat_interval ({}) together are longer than ttl ({}): one heartbeat that \
                 waits in vain costs a living node its place; raise ttl, or lower redis.response_timeout",
                text(response),
                text(beat),
                text(ttl)
            )
        })
    }

    fn of_lost_beats(&self) -> Option<String> {
        let beat = self.heartbeat_interval;
        let ttl = self.ttl();
        (ttl < beat * 2).then(|| {
            format!(
                "ttl ({}) is shorter than two heartbeats (heartbeat_interval is {}): one that comes late costs a living node \
                 its place; raise ttl to {} or more",
                text(ttl),
                text(beat),
                text(beat * 3)
            )
        })
    }

    fn of_linger(&self) -> Option<String> {
        let Linger::For(linger) = self.linger else { return None };
        (!linger.is_zero() && linger < self.ttl()).then(|| {
            format!(
                "linger ({}) is shorter than ttl ({}): an app whose only replica restarts is NotFound (404) meanwhile; raise \
                 linger to what a restart takes, or set it to 0 if that is meant",
                text(linger),
                text(self.ttl())
            )
        })
    }

    fn of_idle_connections(&self) -> Option<String> {
        let keep_alive = self.redis.keep_alive;
        (keep_alive >= CUT_BY_BALANCERS).then(|| {
            format!(
                "redis.keep_alive ({}) is longer than balancers leave a silent connection alone (an AWS network load balancer: \
                 350 s): connections are cut at rest, and the next call pays for another; lower it",
                text(keep_alive)
            )
        })
    }

    fn of_idle_reads(&self) -> Option<String> {
        let block = self.redis.block;
        (block >= CUT_BY_PROXIES).then(|| {
            format!(
                "redis.block ({}) is longer than many proxies leave a silent connection alone (about a minute): reads are cut, \
                 and replies and requests wait until that is noticed; lower it where there is one on the way to Redis",
                text(block)
            )
        })
    }

    fn of_leaving(&self) -> Option<String> {
        let grace = self.shutdown.grace;
        let delay = self.shutdown.delay;
        (grace + delay >= KILLED_AFTER).then(|| {
            format!(
                "shutdown.grace ({}) and shutdown.delay ({}) together reach the 30 s after which Kubernetes and ECS kill a \
                 program (Docker: 10 s): calls that run then are cut off, and what may not run twice ends as unknown; give the \
                 program more time there (terminationGracePeriodSeconds, stopTimeout, stop_grace_period), or lower them",
                text(grace),
                text(delay)
            )
        })
    }

    fn of_bodies(&self) -> Option<String> {
        let body = self.gateway.body_limit;
        let payload = self.limits.max_payload;
        (body.0 + FRAME > payload.0 && body.0 > FRAME).then(|| {
            format!(
                "gateway.body_limit ({body}) leaves no room for a request in limits.max_payload ({payload}): a body that the \
                 gateway takes is refused by the mesh (413); keep it 4 KiB below"
            )
        })
    }

    fn of_kept_connections(&self) -> Option<String> {
        let keep_alive = self.gateway.keep_alive;
        (keep_alive <= KEPT_BY_BALANCERS).then(|| {
            format!(
                "gateway.keep_alive ({}) is not longer than load balancers keep an idle connection (an AWS application load \
                 balancer: 60 s): a request that crosses the close of its connection is a 502; raise it",
                text(keep_alive)
            )
        })
    }

    fn of_partitions(&self) -> Option<String> {
        let partitions = self.partitions;
        let in_flight = self.limits.max_in_flight;
        (partitions > 1 && in_flight < partitions * 2).then(|| {
            format!(
                "limits.max_in_flight ({in_flight}) is less than twice partitions ({partitions}): a replica reads them in turn, \
                 every 20 ms, though it is idle; raise it to {} or more",
                partitions * 2
            )
        })
    }

    fn of_repeats(&self) -> Option<String> {
        let kept = self.limits.idempotency_ttl;
        (kept < self.timeout).then(|| {
            format!(
                "limits.idempotency_ttl ({}) is shorter than timeout ({}): a repeat of a call that timed out may run it again; \
                 raise it",
                text(kept),
                text(self.timeout)
            )
        })
    }

    fn of_trust(&self) -> Option<String> {
        self.redis.tls_insecure.then(|| {
            "redis.tls_insecure is on: the certificate of Redis is not verified, so anyone on the way to it can read and \
             change everything, the password included; set redis.ca_file to the server's certificate instead"
                .to_owned()
        })
    }

    fn of_tls(&self) -> Option<String> {
        let redis = &self.redis;
        let first = match redis.url.servers().ok()? {
            RedisServers::Standalone(url) => url,
            RedisServers::Sentinel { sentinels, .. } => sentinels.into_iter().next()?,
            RedisServers::Cluster { seeds } => seeds.into_iter().next()?,
        };
        let speaks = first.starts_with("rediss:") || first.starts_with("valkeys:") || redis.sentinel_tls == Some(true);
        let set = redis.tls_insecure || redis.tls_server_name.is_some() || redis.ca_file.is_some();
        (set && !speaks).then(|| {
            "redis.ca_file, redis.tls_server_name or redis.tls_insecure is set, and redis.url does not speak TLS: everything goes \
             in the open; write rediss:// where TLS is meant"
                .to_owned()
        })
    }
}

fn text(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hazards(toml: &str) -> Vec<String> {
        Config::from_toml(toml).unwrap().hazards()
    }

    #[test]
    fn each_combination_that_breaks_a_promise_is_told_and_its_mend_is_silent() {
        for (broken, mended, words) in [
            ("timeout = '5s'\nredis.block = '1s'", "timeout = '9s'\nredis.block = '1s'", "Timeout (408)"),
            ("timeout = '12s'", "timeout = '13s'", "redis.block (10s)"),
            ("redis.response_timeout = '5s'", "redis.response_timeout = '4s'", "costs a living node its place"),
            (
                "ttl = '3s'\nredis.response_timeout = '100ms'",
                "ttl = '4s'\nredis.response_timeout = '100ms'",
                "shorter than two heartbeats",
            ),
            ("linger = '5s'", "linger = '6s'", "linger (5s)"),
            ("linger = '5s'", "linger = 0", "linger (5s)"),
            ("linger = '5s'", "linger = 'forever'", "linger (5s)"),
            ("redis.keep_alive = '10m'", "redis.keep_alive = '5m'", "redis.keep_alive (10m)"),
            ("redis.block = '60s'\ntimeout = '5m'", "redis.block = '55s'\ntimeout = '5m'", "redis.block (1m)"),
            ("shutdown.grace = '30s'", "shutdown.grace = '29s'", "shutdown.grace (30s)"),
            (
                "shutdown.grace = '20s'\nshutdown.delay = '15s'",
                "shutdown.grace = '20s'\nshutdown.delay = '5s'",
                "terminationGracePeriodSeconds",
            ),
            ("gateway.keep_alive = '60s'", "gateway.keep_alive = '61s'", "gateway.keep_alive (1m)"),
            ("gateway.body_limit = '1MiB'", "gateway.body_limit = '1000KiB'", "gateway.body_limit (1MiB)"),
            (
                "partitions = 4\nlimits.max_in_flight = 7",
                "partitions = 4\nlimits.max_in_flight = 8",
                "limits.max_in_flight (7)",
            ),
            ("limits.idempotency_ttl = '10s'", "limits.idempotency_ttl = '1m'", "limits.idempotency_ttl (10s)"),
            (
                "redis.url = 'rediss://h'\nredis.tls_insecure = true",
                "redis.url = 'rediss://h'\nredis.ca_file = 'ca.pem'",
                "redis.tls_insecure is on",
            ),
            ("redis.ca_file = 'ca.pem'", "redis.url = 'rediss://h'\nredis.ca_file = 'ca.pem'", "does not speak TLS"),
            (
                "redis.tls_server_name = 'x'",
                "redis.url = 'rediss+cluster://h'\nredis.tls_server_name = 'x'",
                "does not speak TLS",
            ),
        ] {
            let told = hazards(broken);
            assert!(told.len() == 1 && told[0].contains(words), "{broken}: {told:?}");
            assert_eq!(hazards(mended), Vec::<String>::new(), "{mended}");
        }
    }

    #[test]
    fn the_defaults_and_the_example_break_no_promise() {
        assert_eq!(Config::default().hazards(), Vec::<String>::new());
        let example = include_str!("../../distribution.example.toml");
        assert_eq!(hazards(example), Vec::<String>::new());
    }

    #[test]
    fn what_the_documentation_shows_breaks_no_promise() {
        let page = include_str!("../../../../docs/configuration.md");
        let shown = page.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
        let mut seen = 0;
        for block in shown.filter(|block| block.contains("timeout")) {
            assert_eq!(hazards(block), Vec::<String>::new(), "{block}");
            seen += 1;
        }
        assert!(seen > 0);
    }
}
