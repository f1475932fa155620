//! `rachis config`, and where a configuration is wrong.

use crate::Rachis;
use serde_json::json;

#[tokio::test]
async fn a_good_configuration_is_good() {
    let rachis = Rachis::new().file("heartbeat_interval = '1s'").env("BASE_PORT", "10000");
    let ended = rachis.run(&["config", "check"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "The configuration is good.\n"));
    assert!(ended.err.contains("warning: ") && ended.err.contains("BASE_PORT"), "{ended:?}");
    let checked = rachis.run(&["config", "check", "--json"]).await.json();
    assert_eq!((&checked["ok"], checked["warnings"].as_array().unwrap().len()), (&json!(true), 1));
}

#[tokio::test]
async fn one_file_for_all_programs_is_good_for_a_service_without_the_secret_of_the_gateway() {
    let rachis = Rachis::new().file("[gateway.auth]\npublic = ['news']");
    let gateway = rachis.run(&["config", "check"]).await;
    assert_eq!(gateway.code, 2, "{gateway:?}");
    assert!(gateway.err.contains("`gateway.auth.secret` is not set"), "{gateway:?}");
    let service = rachis.run(&["config", "check", "--service"]).await;
    assert_eq!((service.code, service.out.as_str()), (0, "The configuration is good.\n"), "{service:?}");
}

#[tokio::test]
async fn what_breaks_a_promise_is_warned_of_and_refused_where_that_is_asked_for() {
    let rachis = Rachis::new().file("timeout = '5s'\nredis.block = '1s'");
    let ended = rachis.run(&["config", "check"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "The configuration is good.\n"));
    assert!(ended.err.contains("warning: timeout (5s) is not longer than ttl (6s)"), "{ended:?}");
    let strict = rachis.run(&["config", "check", "--strict"]).await;
    assert_eq!((strict.code, strict.out.as_str()), (2, "The configuration has warnings.\n"));
    let strict = rachis.run(&["config", "check", "--strict", "--json"]).await;
    assert_eq!((strict.code, &strict.json()["ok"]), (2, &json!(false)));
    assert!(strict.json()["warnings"][0].as_str().unwrap().contains("408"));
    let good = Rachis::new().run(&["config", "check", "--strict"]).await;
    assert_eq!((good.code, good.err.as_str()), (0, ""));
}

#[tokio::test]
async fn a_mistake_is_told_with_its_place_its_key_and_what_was_expected() {
    let cases: &[(Rachis, &[&str], &[&str])] = &[
        (Rachis::new().file("timeot = 1"), &[], &["distribution.toml", "`timeot`", "did you mean `timeout`"]),
        (Rachis::new().file("timeout = true"), &[], &["distribution.toml", "`timeout`", "expected a duration"]),
        (Rachis::new().file("a = ["), &[], &["distribution.toml", "not valid TOML at line 1"]),
        (Rachis::new().env("PORT", "http"), &[], &["environment variable PORT", "expected a port"]),
        (Rachis::new(), &["--timeout", "soon"], &["command line", "`timeout`", "expected a duration"]),
        (Rachis::new(), &["--config", "none.toml"], &["none.toml", "cannot be read"]),
        (Rachis::new(), &["--redis", "ftp://:hunter2@host"], &["`redis.url`", "redis://host:6379"]),
        (Rachis::new().env("RUST_LOG", "a=b=c"), &[], &["`log.level` is \"a=b=c\""]),
    ];
    for (rachis, args, words) in cases {
        let ended = rachis.run(&[&["config", "check"], *args].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
        for word in *words {
            assert!(ended.err.contains(word), "{word}: {ended:?}");
        }
        let ended = rachis.run(&[&["config", "check", "--json"], *args].concat()).await;
        assert_eq!((ended.code, &ended.json()["ok"]), (2, &json!(false)));
        assert!(ended.json()["error"].as_str().unwrap().contains(words[0]), "{ended:?}");
        // Every command reads the same configuration.
        let ended = rachis.run(&[&["nodes", "--connect-timeout", "5s"], *args].concat()).await;
        assert_eq!(ended.code, 2, "{ended:?}");
    }
}

#[tokio::test]
async fn options_win_over_variables_and_those_over_the_file() {
    let rachis = Rachis::new().file("namespace = 'a'\nkey = 'a'\napp = 'a'").env("DISTRIBUTION_NAMESPACE", "b");
    let rachis = rachis.env("DISTRIBUTION_KEY", "b");
    let shown = rachis.run(&["--namespace", "c", "config", "show", "--json"]).await.json();
    assert_eq!((&shown["namespace"], &shown["key"], &shown["app"]), (&json!("c"), &json!("b"), &json!("a")));
}

#[tokio::test]
async fn what_is_shown_can_be_used_as_a_file() {
    let shown = Rachis::new().file("[service.\"api/todos\"]\nevents = ['created']").run(&["config", "show"]).await;
    let again = Rachis::new().file(&shown.out).run(&["config", "show"]).await;
    let values = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!((again.code, values(&again.out)), (0, values(&shown.out)));
    assert!(again.out.contains("key = \"default\"  # distribution.toml:1\n"), "{}", again.out);
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let rachis = Rachis::new().file("[redis]\npassword = 'hunter2'\n[mesh]\nprevious_secret = 'hunter2-hunter2-'");
    let rachis = rachis.env("REDIS_URL", "redis://ann:hunter2@127.0.0.1:1").env("RUST_LOG", "trace");
    let rachis = rachis.env("MESH_SECRET", "hunter2-hunter2-hunter2");
    let failing: &[&[&str]] = &[&["nodes"], &["call", "a", "find"], &["gateway", "--listen", "127.0.0.1:0"]];
    let commands = [&["config", "show"][..], &["config", "show", "--json"], &["config", "check", "--json"]];
    for command in commands.iter().chain(failing) {
        let ended = rachis.run(&[command, &["-vv", "--connect-timeout", "300ms"][..]].concat()).await;
        assert!(!ended.out.contains("hunter2") && !ended.err.contains("hunter2"), "{command:?}: {ended:?}");
    }
    let ended = Rachis::new().run(&["nodes", "redis://ann:hunter2@127.0.0.1:1"]).await;
    assert_eq!((ended.code, ended.err.contains("unexpected argument 'redis://ann:***@127.0.0.1:1'")), (2, true));
    let shown = rachis.run(&["config", "show"]).await.out;
    assert!(shown.contains("\nsecret = \"***\"  # MESH_SECRET\n"), "{shown}");
    assert!(shown.contains("\nprevious_secret = \"***\"  # distribution.toml:4\n"), "{shown}");
    assert!(shown.contains("redis://ann:***@127.0.0.1:1") && shown.contains("password = \"***\""), "{shown}");
    let shown = rachis.run(&["config", "show", "--redis", "redis://:hunter3@other"]).await.out;
    assert!(shown.contains("redis://:***@other"), "{shown}");
}

#[tokio::test]
async fn each_value_is_shown_with_where_it_comes_from() {
    let rachis = Rachis::new().file("app = 'a'\n[service.\"api/todos\"]\nevents = ['created']").env("PORT", "8080");
    let rachis = rachis.env("DISTRIBUTION__LIMITS__MAX_QUEUE", "7").env("DISTRIBUTION_KEY", "");
    let args = ["--namespace", "mine", "-v", "config", "show"];
    let shown = rachis.run(&args).await.out;
    for line in [
        "app = \"a\"  # distribution.toml:1",
        "key = \"default\"  # default",
        "namespace = \"mine\"  # --namespace",
        "events = [\"created\"]  # distribution.toml:3",
        "max_queue = 7  # DISTRIBUTION__LIMITS__MAX_QUEUE",
        "listen = \"127.0.0.1:8080\"  # PORT",
        "level = \"info,rachis=debug\"  # --verbose",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    let shown = rachis.run(&[&args[..], &["--json"]].concat()).await.json();
    assert_eq!(shown["origins"]["service.\"api/todos\".events"], "distribution.toml:3");
    assert_eq!(shown["origins"]["limits.max_queue"], "DISTRIBUTION__LIMITS__MAX_QUEUE");
    assert_eq!(shown["origins"].get("key"), None);
}
