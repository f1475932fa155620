//! What a mesh costs when nothing happens.

use crate::{redis_of, services::Echo, start};
use futures_util::future::join_all;
use rachis::{App, Config};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use std::{collections::BTreeMap, time::Duration};

/// Calls of each command, and bytes in and out, since the server started.
async fn spent(config: &Config) -> (BTreeMap<String, u64>, u64) {
    let mut connection = redis_of(config).await;
    let info: String = redis::cmd("INFO").arg("commandstats").arg("stats").query_async(&mut connection).await.unwrap();
    let mut commands = BTreeMap::new();
    let mut bytes = 0;
    for line in info.lines() {
        if let Some((name, figures)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls=")) {
            commands.insert(name.to_owned(), figures.split(',').next().unwrap().parse().unwrap());
        }
        for field in ["total_net_input_bytes:", "total_net_output_bytes:"] {
            bytes += line.strip_prefix(field).map_or(0, |bytes| bytes.trim().parse::<u64>().unwrap());
        }
    }
    (commands, bytes)
}

/// What happened within `window`, without the test's own two looks.
async fn within(config: &Config, window: Duration) -> (BTreeMap<String, u64>, u64) {
    let (before, bytes_before) = spent(config).await;
    tokio::time::sleep(window).await;
    let (after, bytes_after) = spent(config).await;
    let own = ["info", "client|setinfo", "hello", "client|setname"];
    let commands = after
        .into_iter()
        .map(|(name, calls)| (name.clone(), calls - before.get(&name).unwrap_or(&0)))
        .filter(|(name, calls)| *calls > 0 && !own.contains(&name.as_str()));
    (commands.collect(), bytes_after - bytes_before)
}

#[tokio::test]
async fn an_idle_node_costs_one_beat_a_heartbeat_and_its_blocking_reads() {
    let redis = ThrowawayRedis::start().unwrap();
    let mut config = Config { app: "idle".into(), ..Config::default() };
    config.redis.url = redis.url().as_str().into();
    let node = start(&config, "idle", App::new().register("todos", Echo)).await;
    // The second look of the takeover is two beats after the start.
    tokio::time::sleep(Duration::from_millis(4700)).await;
    let window = Duration::from_secs(20);
    let (commands, bytes) = within(&config, window).await;
    println!("figure: one idle node with the defaults, {window:?}: {commands:?}, {bytes} bytes");
    let scripts = commands.get("evalsha").copied().unwrap_or(0);
    assert!((8..=11).contains(&scripts), "one beat every two seconds: {scripts}");
    let often = [("xread", 1..=3), ("xreadgroup", 5..=8), ("xpending", 2..=4)];
    for (name, often) in &often {
        let times = commands.get(*name).copied().unwrap_or(0);
        assert!(often.contains(&times), "an {name} every ten, every three and every six seconds: {times}");
    }
    // One for the connection for events, twice a minute. Questions that may be asked twice need none.
    let pings = commands.get("ping").copied().unwrap_or(0);
    assert!(pings <= 2, "{pings}");
    // What a beat does inside the server.
    let of_a_beat = ["time", "pexpire", "zadd", "zrangebyscore", "get"];
    for (name, calls) in &commands {
        let known = ["evalsha", "ping"].contains(&name.as_str()) || often.iter().any(|(often, _)| often == name);
        assert!(known || (of_a_beat.contains(&name.as_str()) && *calls <= 3 * scripts), "{name}: {calls}");
    }
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_idle_mesh_costs_grows_with_its_nodes_and_not_with_their_square() {
    let redis = ThrowawayRedis::start_with(&["--maxclients", "4000"]).unwrap();
    let mut config = Config { app: "idle".into(), ..Config::default() };
    config.redis.url = redis.url().as_str().into();
    config.heartbeat_interval = Duration::from_secs(1);
    config.redis.block = Duration::from_millis(2500);
    config.ttl = Some(Duration::from_secs(30));
    let mut nodes = Vec::new();
    let mut figures = Vec::new();
    for count in [50, 100, 200] {
        let more = (nodes.len()..count).map(async |number| {
            // A service on every tenth is enough: what a beat costs does not depend on them.
            let app = match number % 10 {
                0 => App::new().register(&format!("todos-{number}"), Echo),
                _ => App::new(),
            };
            start(&config, &format!("app-{number}"), app).await
        });
        nodes.extend(join_all(more).await);
        let all = async || nodes.iter().all(|node| node.nodes().len() == count);
        testing::eventually("all know all", all).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let window = Duration::from_secs(5);
        let (commands, bytes) = within(&config, window).await;
        let calls = ["evalsha", "xread", "xreadgroup", "xpending"]
            .iter()
            .map(|name| commands.get(*name).copied().unwrap_or(0))
            .sum::<u64>();
        let minute = 60.0 / window.as_secs_f64();
        let calls = calls as f64 * minute;
        let bytes = bytes as f64 * minute;
        println!(
            "figure: {count} idle nodes (beat 1 s, reads 2.5 s): {calls:.0} commands and {bytes:.0} bytes a minute; {:.1} and {:.0} a node",
            calls / count as f64,
            bytes / count as f64
        );
        println!("figure:   {commands:?}");
        figures.push((calls / count as f64, bytes / count as f64));
    }
    let few = figures[0];
    let many = figures[2];
    assert!(many.0 < few.0 * 1.4 && many.1 < few.1 * 1.4, "{figures:?}");
}
