//! `rachis doctor`: what is wrong, and what to do.

use crate::{Rachis, mesh};
use rachis_testing::{self as testing, ThrowawayRedis};
use serde_json::Value;

/// What was found of one thing.
fn about<'a>(told: &'a Value, about: &str) -> Vec<&'a Value> {
    told["findings"].as_array().unwrap().iter().filter(|finding| finding["about"] == about).collect()
}

#[tokio::test]
async fn a_mesh_in_good_order_has_nothing_to_be_done() {
    let (_node, rachis) = mesh().await;
    let ended = rachis.run(&["doctor"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let lines: Vec<Vec<&str>> = ended.out.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    let looked_at = ["redis", "memory", "persistence", "latency", "clock", "nodes", "queues"];
    for about in looked_at {
        assert!(lines.iter().any(|line| line[1] == format!("{about}:")), "{about}: {ended:?}");
    }
    let told = rachis.run(&["doctor", "--json"]).await.json();
    assert_eq!(told["ok"], true, "{told}");
    for about_it in looked_at {
        let found = about(&told, about_it);
        assert!(!found.is_empty() && found.iter().all(|finding| finding["level"] != "bad"), "{about_it}: {told}");
    }
    assert_eq!(about(&told, "nodes")[0]["found"], "1 of 1 answer");
}

#[tokio::test]
async fn a_server_that_evicts_is_bad_and_a_setting_that_breaks_a_promise_is_warned_of() {
    let redis = ThrowawayRedis::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"]).unwrap();
    let rachis = Rachis::new().env("REDIS_URL", &redis.url()).file("timeout = '5s'\n");
    let ended = rachis.run(&["doctor", "--json"]).await;
    let told = ended.json();
    assert_eq!((ended.code, &told["ok"]), (1, &Value::Bool(false)), "{told}");
    let server = about(&told, "redis")[0];
    assert!(server["level"] == "bad" && server["found"].as_str().unwrap().contains("set noeviction"), "{told}");
    let settings = about(&told, "configuration")[0];
    assert!(
        settings["level"] == "warning" && settings["found"].as_str().unwrap().starts_with("timeout (5s)"),
        "{told}"
    );
    assert_eq!(about(&told, "nodes")[0]["level"], "warning", "{told}");
    for finding in told["findings"].as_array().unwrap() {
        assert_eq!(finding["level"] == "good", finding["advice"].is_null(), "{finding}");
    }
}

#[tokio::test]
async fn warnings_alone_are_no_failure_unless_it_is_strict() {
    let config = testing::config();
    let rachis = Rachis::on(&config);
    let ended = rachis.run(&["doctor"]).await;
    assert!(ended.code == 0 && ended.out.contains("warning  nodes: there are none in the mesh"), "{ended:?}");
    assert!(ended.out.contains("start one, or name its mesh by --namespace"), "{ended:?}");
    assert_eq!(rachis.run(&["doctor", "--strict"]).await.code, 1);
}

#[tokio::test]
async fn what_keeps_it_from_looking_is_a_finding_as_well() {
    let rachis = Rachis::new().env("REDIS_URL", "redis://:hunter2@127.0.0.1:1");
    let ended = rachis.run(&["doctor", "--json", "--connect-timeout", "200ms"]).await;
    let told = ended.json();
    let found = about(&told, "redis")[0]["found"].as_str().unwrap();
    assert!(ended.code == 3 && found.starts_with("No connection to Redis at 127.0.0.1:1"), "{ended:?}");
    assert!(!ended.out.contains("hunter2") && !ended.err.contains("hunter2"), "{ended:?}");

    let ended = Rachis::new().file("tiemout = '5s'\n").run(&["doctor"]).await;
    assert!(ended.code == 2 && ended.out.contains("configuration: ") && ended.out.contains("tiemout"), "{ended:?}");
}
