//! The command line itself: help, exit codes, Redis that is not there.

use crate::Rachis;
use rachis_testing::ThrowawayRedis;

#[tokio::test]
async fn help_and_version_go_to_stdout() {
    let rachis = Rachis::new();
    let short = rachis.run(&["-h"]).await;
    let long = rachis.run(&["--help"]).await;
    assert_eq!((short.code, long.code, short.err.as_str()), (0, 0, ""));
    for word in ["gateway", "nodes", "services", "call", "watch", "dead", "health", "config", "--connect-timeout"] {
        assert!(short.out.contains(word) && long.out.contains(word), "{word}");
    }
    assert!(long.out.contains("Exit codes:\n  0  ") && long.out.contains("\n  4  ") && long.out.contains("Examples:"));
    let version = rachis.run(&["--version"]).await;
    assert_eq!(version.out, format!("rachis {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_mistyped_command_line_ends_with_2() {
    let rachis = Rachis::new();
    for args in [
        &[][..],
        &["nods"],
        &["nodes", "--jsn"],
        &["nodes", "--connect-timeout", "soon"],
        &["nodes", "-q", "-v"],
        &["watch", "a", "--events"],
        &["dead"],
        &["dead", "show", "a"],
        &["dead", "replay", "a"],
        &["dead", "drop", "a"],
        &["dead", "drop", "a", "1-0", "--all"],
        &["dead", "list", "--limit", "0"],
        &["gateway", "--dev", "--redis", "redis://127.0.0.1:1"],
    ] {
        let ended = rachis.run(args).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}: {ended:?}");
        assert!(!ended.err.is_empty());
    }
}

#[tokio::test]
async fn without_redis_it_says_where_it_looked_and_ends_with_3() {
    let rachis = Rachis::new().env("REDIS_URL", "redis://:hunter2@127.0.0.1:1");
    for args in [
        &["nodes"][..],
        &["services"],
        &["dead", "list"],
        &["call", "a", "find"],
        &["watch"],
        &["gateway", "--listen", "127.0.0.1:0"],
    ] {
        let ended = rachis.run(&[args, &["--connect-timeout", "200ms"]].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{args:?}: {ended:?}");
        let last = ended.err.lines().last().unwrap();
        assert!(
            last.starts_with("error: No connection to Redis at 127.0.0.1:1 within 200ms (Connection refused"),
            "{last}"
        );
        assert!(last.contains("REDIS_URL"), "{last}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_given_as_the_reason() {
    let redis = ThrowawayRedis::start_with(&["--requirepass", "right"]).unwrap();
    let url = redis.url().replace("redis://", "redis://:hunter2@");
    let ended = Rachis::new().env("REDIS_URL", &url).run(&["nodes", "--connect-timeout", "300ms"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("Password authentication failed") && !ended.err.contains("hunter2"), "{ended:?}");
}

#[tokio::test]
async fn it_tries_until_redis_is_there() {
    let mut redis = ThrowawayRedis::start().unwrap();
    redis.stop();
    let mut nodes = Rachis::new().env("REDIS_URL", &redis.url()).start(&["nodes", "--json"]);
    nodes.said("no connection to Redis").await;
    redis.launch().unwrap();
    assert_eq!(nodes.line().await, "[]");
    assert_eq!(nodes.ended().await.0, 0);
}

#[tokio::test]
async fn log_lines_are_json_unless_people_are_asked_for() {
    let rachis = Rachis::new().env("REDIS_URL", "redis://127.0.0.1:1");
    let args = ["nodes", "--connect-timeout", "100ms"];
    let first = rachis.run(&args).await.err.lines().next().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&first).unwrap()["level"], "WARN");
    let rachis = rachis.file("log.format = 'human'");
    let first = rachis.run(&args).await.err.lines().next().unwrap().to_owned();
    assert!(first.contains(" WARN no connection to Redis"), "{first}");
    let quiet = rachis.run(&[&args[..], &["-q"]].concat()).await.err;
    assert!(quiet.starts_with("error: No connection to Redis"), "{quiet}");
}
