//! Redis, as it describes itself.

use super::finding::Findings;
use crate::cli::out::latency;
use rachis::{Node, RedisConnection, redis, server_warnings};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the way to Redis is measured.
const PINGS: usize = 20;
/// A median above this makes every call slow.
const SLOW: Duration = Duration::from_millis(5);
/// Clocks that differ by more spoil what is read by both: ages, and times in tokens.
const ASKEW: Duration = Duration::from_secs(1);

pub(super) async fn examine(node: &Node, findings: &mut Findings) {
    let mut on = match node.redis().get().await {
        Ok(on) => on,
        Err(error) => {
            return findings.bad(
                "redis",
                format!("no connection could be had: {error}"),
                "see that it runs and has connections left",
            );
        }
    };
    match redis::cmd("INFO").query_async::<String>(&mut on).await {
        Ok(info) => of_info(&info, node.config().redis.url.expose(), findings),
        Err(error) => findings.warning(
            "redis",
            format!("it does not describe itself: {error}"),
            "allow its user INFO to have its settings looked at; the mesh needs it for nothing else",
        ),
    }
    of_latency(&mut on, findings).await;
    of_clock(&mut on, findings).await;
}

/// What INFO tells.
fn of_info(info: &str, url: &str, findings: &mut Findings) {
    let text = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.trim().to_owned()).unwrap_or_default()
    };
    let number = |name: &str| text(name).parse::<u64>().ok();
    let warnings = server_warnings(info, url);
    if warnings.is_empty() {
        let policy = match number("maxmemory") {
            Some(0) => "no limit of memory".to_owned(),
            _ => format!("maxmemory-policy {}", text("maxmemory_policy")),
        };
        findings.good("redis", format!("version {}, {}, {policy}", text("redis_version"), text("role")));
    }
    for warning in warnings {
        findings.bad("redis", warning, "docs/redis.md says which server and which settings a mesh needs");
    }
    match (number("used_memory"), number("maxmemory").filter(|most| *most > 0)) {
        (Some(used), Some(most)) if used.saturating_mul(5) >= most.saturating_mul(4) => findings.bad(
            "memory",
            format!("{used} of the {most} bytes that maxmemory allows are in use"),
            "raise maxmemory: a full Redis refuses requests; `rachis queues` tells what waits",
        ),
        (Some(used), _) => findings.good("memory", format!("{used} bytes in use")),
        _ => {}
    }
    if text("loading") == "1" {
        findings.bad("persistence", "Redis is reading its data and answers nothing else".into(), "wait until it has");
    }
    let failing = [("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "write to its log")];
    let failing: Vec<&str> = failing.iter().filter(|(name, _)| text(name) == "err").map(|(_, what)| *what).collect();
    if failing.is_empty() {
        let kept = if text("aof_enabled") == "1" { "an append-only file" } else { "snapshots, or nothing" };
        findings.good("persistence", format!("{kept}; a mesh needs none"));
    } else {
        findings.bad(
            "persistence",
            format!("the last {} failed", failing.join(" and the last ")),
            "see its log and disk, or turn persistence off: Redis may refuse writes until one succeeds",
        );
    }
    match number("evicted_keys") {
        Some(evicted) if evicted > 0 => findings.bad(
            "eviction",
            format!("{evicted} keys were evicted since it was started"),
            "set maxmemory-policy noeviction: nodes, requests and events are lost by it",
        ),
        _ => {}
    }
}

async fn of_latency(on: &mut RedisConnection, findings: &mut Findings) {
    let mut took = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        if let Err(error) = redis::cmd("PING").query_async::<()>(on).await {
            return findings.bad(
                "latency",
                format!("Redis did not answer a PING: {error}"),
                "see that it is not overloaded",
            );
        }
        took.push(asked.elapsed());
    }
    took.sort();
    let (median, most) = (took[PINGS / 2], took[PINGS - 1]);
    let found = format!("{} to Redis and back, {} at most", latency(median), latency(most));
    if median > SLOW {
        let advice = "run Redis nearer to its nodes, or see with `redis-cli --latency` and SLOWLOG what keeps it busy";
        findings.warning("latency", found, advice);
    } else {
        findings.good("latency", found);
    }
}

async fn of_clock(on: &mut RedisConnection, findings: &mut Findings) {
    let before = now();
    let Ok((seconds, micros)) = redis::cmd("TIME").query_async::<(u64, u64)>(on).await else {
        return findings.bad("clock", "Redis does not tell its time".into(), "allow its user TIME: nodes need it");
    };
    // Redis read its clock between these two.
    let (here, there) = ((before + now()) / 2, Duration::from_secs(seconds) + Duration::from_micros(micros));
    let apart = here.abs_diff(there);
    let found = format!("this machine and Redis are {} apart", latency(apart));
    if apart > ASKEW {
        findings.warning("clock", found, "let both follow a time server: ages, and times in tokens, are wrong by that");
    } else {
        findings.good("clock", found);
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Level, *};

    fn found(info: &str) -> Vec<(Level, &'static str, String)> {
        let mut findings = Findings::default();
        of_info(info, "redis://127.0.0.1", &mut findings);
        findings.all().iter().map(|finding| (finding.level, finding.about, finding.found.clone())).collect()
    }

    #[test]
    fn what_redis_tells_of_itself_is_judged() {
        let good =
            "redis_version:7.0.15\r\nrole:master\r\nmaxmemory:0\r\nused_memory:100\r\nrdb_last_bgsave_status:ok\r\n";
        assert!(found(good).iter().all(|(level, ..)| *level == Level::Good), "{:?}", found(good));
        for (line, about, words) in [
            ("maxmemory:120\r\nmaxmemory_policy:noeviction", "memory", "100 of the 120 bytes"),
            ("maxmemory:1000\r\nmaxmemory_policy:allkeys-lru", "redis", "maxmemory-policy is allkeys-lru"),
            ("rdb_last_bgsave_status:err", "persistence", "the last snapshot failed"),
            ("aof_last_write_status:err", "persistence", "the last write to its log failed"),
            ("loading:1", "persistence", "is reading its data"),
            ("evicted_keys:7", "eviction", "7 keys were evicted"),
        ] {
            // The first line of a name counts.
            let info = format!("{line}\r\n{good}");
            let bad: Vec<_> = found(&info).into_iter().filter(|(level, ..)| *level == Level::Bad).collect();
            assert!(bad.len() == 1 && bad[0].1 == about && bad[0].2.contains(words), "{line}: {bad:?}");
        }
    }
}
