//! What is said of mistakes, and what is never said.

use super::*;
use proptest::prelude::*;

fn toml_error(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

#[cfg(unix)]
#[test]
fn a_wrong_type_is_told_with_source_key_value_and_what_was_expected() {
    let (_folder, path) = file("[limits]\nmax_queue = 'many'");
    let error = Config::loader().file(&path).env(NOTHING).load().unwrap_err();
    assert_eq!((error.origin(), error.key()), (path.to_str(), Some("limits.max_queue")));
    let expected = "`limits.max_queue` is \"many\", expected a whole number, 0 or more";
    assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));

    let durations = "a duration such as \"500ms\" or \"10s\", or a number of milliseconds, at most 100 years";
    let cases = [
        ("timeout = 'soon'", format!("`timeout` is \"soon\", expected {durations}")),
        ("ttl = -5", format!("`ttl` is -5, expected {durations}")),
        ("app = 5", "`app` is 5, expected a string".into()),
        ("publish_events = 'yes'", "`publish_events` is \"yes\", expected true or false".into()),
        ("remote_service_options = 'a'", "`remote_service_options` is \"a\", expected a list".into()),
        ("limits = 5", "`limits` is 5, expected a section, that is keys with values".into()),
        ("[limits]\nmax_queue = -1", "`limits.max_queue` is -1, expected a whole number, 0 or more".into()),
        (
            "[limits]\nmax_payload = '1M'",
            "`limits.max_payload` is \"1M\", expected a size such as \"64KiB\" or \"1MB\", or a number of bytes".into(),
        ),
        (
            "[gateway.channels]\npublish = 'all'",
            "`gateway.channels.publish` is \"all\", expected \"none\", \"everyone\" or \"authenticated\"".into(),
        ),
        (
            "[gateway.auth]\npublic = true",
            "`gateway.auth.public` is true, expected a list of globs such as [\"news\", \"users:create\"]".into(),
        ),
        (
            "[gateway.auth.jwt]\nalgorithm = 'none'",
            "`gateway.auth.jwt.algorithm` is \"none\", expected \"HS256\", \"HS384\" or \"HS512\"".into(),
        ),
        ("[log]\nformat = 0", "`log.format` is 0, expected \"auto\", \"human\" or \"json\"".into()),
        ("services = ['']", "`services` contains an empty glob: remove it, or use \"*\" for every path".into()),
        (
            "remote_service_path = '{name}/{path}'",
            "`remote_service_path` has the unknown placeholder {name}: use {path}, {key} and {app}".into(),
        ),
        (
            "[service.'a/b']\nevents = 5",
            "`service.a/b.events` is 5, expected a list of names such as [\"created\", \"removed\"], or true or false"
                .into(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(toml_error(text), format!("TOML text: {expected}"));
    }
}

#[test]
fn an_unknown_key_is_told_with_its_source_and_the_nearest_known_one() {
    let cases = [
        ("heartbeatInterval = 5", "TOML text: unknown key `heartbeatInterval`; did you mean `heartbeat_interval`?"),
        ("[limits]\nmax_quue = 5", "TOML text: unknown key `limits.max_quue`; did you mean `limits.max_queue`?"),
        ("redis_url = 'x'", "TOML text: unknown key `redis_url`; did you mean `redis.url`?"),
        ("[shutdown]\nbanana = 5", "TOML text: unknown key `shutdown.banana`; known here: grace, delay"),
        (
            "[service.x]\nevts = true",
            "TOML text: unknown key `service.x.evts`; known here: events, methods, rate_limit, concurrency, retry, breaker",
        ),
        ("warnings = []", "TOML text: unknown key `warnings`; known here: key, app, partitions"),
    ];
    for (text, expected) in cases {
        let error = toml_error(text);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(
        error_of([("DISTRIBUTION__LIMITS__MAX_QUUE", "5")]),
        "environment variable DISTRIBUTION__LIMITS__MAX_QUUE: unknown key `limits.max_quue`; did you mean `limits.max_queue`?"
    );
    let error = Config::loader().env(NOTHING).overrides(json!({ "timeuot": 5 })).load().unwrap_err().to_string();
    assert_eq!(error, "command line: unknown key `timeuot`; did you mean `timeout`?");
}

#[test]
fn a_variable_of_the_wrong_type_is_named_with_its_key() {
    let cases = [
        ("HEARTBEAT_INTERVAL", "often", "`heartbeat_interval` is \"often\", expected a duration such as"),
        ("DISTRIBUTION__PUBLISH_EVENTS", "yes", "`publish_events` is \"yes\", expected true or false"),
        ("DISTRIBUTION__LIMITS__MAX_QUEUE", "-1", "`limits.max_queue` is \"-1\", expected a whole number, 0 or more"),
        ("DISTRIBUTION__SERVICES", "api/[a", "`services` contains \"api/[a\", not a glob: "),
        (
            "DISTRIBUTION__LIMITS",
            "{ max_queue = 'x' }",
            "`limits.max_queue` is \"x\", expected a whole number, 0 or more",
        ),
        ("DISTRIBUTION__A__B__C__D__E", "1", "names no key: write DISTRIBUTION__KEY or DISTRIBUTION__SECTION__KEY"),
        ("DISTRIBUTION__", "1", "names no key: write DISTRIBUTION__KEY or DISTRIBUTION__SECTION__KEY"),
    ];
    for (name, text, expected) in cases {
        let error = error_of([(name, text)]);
        assert!(error.starts_with(&format!("environment variable {name}: {expected}")), "{error}");
    }
}

#[test]
fn what_is_out_of_range_is_told_with_what_to_change() {
    let cases = [
        ("heartbeat_interval = 9", "`heartbeat_interval` is 9ms: set it to 10ms or more"),
        ("ttl = '2s'", "`ttl` is 2s, no longer than heartbeat_interval (2s): raise ttl, or lower heartbeat_interval"),
        ("timeout = 0", "`timeout` is 0s: set it to 1ms or more"),
        ("redis.block = 0", "`redis.block` is 0s: set it to 1ms or more"),
        ("partitions = 0", "`partitions` is 0: set it to 1 or more, at most 64"),
        ("partitions = 65", "`partitions` is 65: set it to 1 or more, at most 64"),
        ("service.x.rate_limit = 0", "`service.x.rate_limit` is 0: set it to 1 or more, at most 1000000000"),
        ("service.x.concurrency = 0", "`service.x.concurrency` is 0: set it to 1 or more, at most 1000000000"),
        ("service.x.retry.attempts = 21", "`service.x.retry.attempts` is 21: set it to 1 or more, at most 20"),
        ("service.x.retry.backoff = 0", "`service.x.retry.backoff` is 0s: set it to 1ms or more"),
        (
            "service.x.retry.budget = -1.0",
            "`service.x.retry.budget` is -1: set it to a share of calls, 0 to 10; 0.2 is a fifth",
        ),
        (
            "service.x.breaker.failure_rate = 1.5",
            "`service.x.breaker.failure_rate` is 1.5: set it to a share of calls above 0, at most 1; 0.5 is a half",
        ),
        ("service.x.breaker.probes = 0", "`service.x.breaker.probes` is 0: set it to 1 or more, at most 1000000000"),
        ("service.x.breaker.window = '2h'", "`service.x.breaker.window` is 2h: set it to 1h or less"),
        ("service.x.breaker.pause = 0", "`service.x.breaker.pause` is 0s: set it to 1ms or more"),
        ("limits.max_queue = 0", "`limits.max_queue` is 0: set it to 1 or more, at most 1000000000"),
        (
            "redis.pool_size = 9223372036854775807",
            "`redis.pool_size` is 9223372036854775807: set it to 1 or more, at most 1000000000",
        ),
        ("limits.max_payload = '1GiB'", "`limits.max_payload` is 1GiB: set it to 1 byte or more, at most 512MiB"),
        ("namespace = ''", "`namespace` is empty: give it a name"),
        ("key = 'a b'", "`key` is \"a b\": leave out spaces, slashes and the characters { } * ? [ ] \\"),
        ("app = '{a}'", "`app` is \"{a}\": leave out spaces, slashes and the characters { } * ? [ ] \\"),
        ("namespace = 'a*'", "`namespace` is \"a*\": leave out spaces, slashes and the characters { } * ? [ ] \\"),
        ("healthcheck_path = 'health'", "`healthcheck_path` is \"health\": begin it with a slash"),
        ("gateway.max_sockets = 0", "`gateway.max_sockets` is 0: set it to 1 or more, at most 1000000000"),
        ("gateway.prefix = ''", "`gateway.prefix` is \"\": begin it with a slash"),
        ("gateway.socket_path = 'live'", "`gateway.socket_path` is \"live\": begin it with a slash"),
        (
            "gateway.socket_path = '/{any}'",
            "`gateway.socket_path` is \"/{any}\": write it as a path of letters, digits and - . _ ~, e.g. \"/api/socket.io/\"",
        ),
        (
            "gateway = { prefix = '/api/', socket_path = '/api' }",
            "`gateway.socket_path` is \"api\", as gateway.prefix is: choose another",
        ),
        (
            "gateway.cors_origins = ['https://app.example/path']",
            "`gateway.cors_origins` has \"https://app.example/path\", which has a path: an origin is a scheme, a host and perhaps a port",
        ),
        (
            "gateway.cors_origins = ['app.example']",
            "`gateway.cors_origins` has \"app.example\", which has no scheme: write it as \"https://app.example\"",
        ),
        (
            "gateway.cors_credentials = true",
            "`gateway.cors_credentials` is set while gateway.cors_origins has \"*\", so any page could call in the name of its visitor: name the origins",
        ),
        (
            "gateway.trusted_proxies = ['10.0.0.0/33']",
            "`gateway.trusted_proxies` has \"10.0.0.0/33\": write an address such as \"10.0.0.1\", or a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
        ),
        (
            "gateway.trusted_hops = 33",
            "`gateway.trusted_hops` is 33: set it to the number of proxies between clients and this gateway, at most 32",
        ),
        (
            "limits.event_buffer = 1024",
            "`limits.event_buffer` is 1KiB: it is the memory for events that wait for one subscriber; set it to 64KiB or more, at most 512MiB",
        ),
        ("gateway.cors_headers = ['a b']", "`gateway.cors_headers` has \"a b\": list the names of headers"),
        (
            "gateway.keep_alive = '10ms'",
            "`gateway.keep_alive` is 10ms: set it to 1s or more, or to 0 for one request a connection",
        ),
        ("metrics.listen = '9090'", "`metrics.listen` is \"9090\": write it as host:port, e.g. \"127.0.0.1:3030\""),
        ("gateway.listen = '3030'", "`gateway.listen` is \"3030\": write it as host:port, e.g. \"127.0.0.1:3030\""),
        ("redis.wait_replicas = 1001", "`redis.wait_replicas` is 1001: set it to 1000 or less"),
        ("redis.wait_timeout = 0", "`redis.wait_timeout` is 0s: set it to 1ms or more"),
        (
            "redis = { wait_replicas = 1, wait_timeout = '2s' }",
            "`redis.wait_timeout` is 2s: keep it below redis.response_timeout (2s)",
        ),
        (
            "redis.url = 'redis+sentinel://:hunter2@a:1'",
            "`redis.url` does not name the master that the sentinels watch: write it as redis+sentinel://host:26379,host2:26379/name-of-the-master",
        ),
        ("redis.key_file = 'a'", "`redis.key_file` is set without redis.cert_file: set both or neither"),
        ("redis.cert_file = 'a'", "`redis.cert_file` is set without redis.key_file: set both or neither"),
        ("log.level = ''", "`log.level` is empty: set a level such as \"info\""),
    ];
    for (text, expected) in cases {
        assert_eq!(toml_error(text), format!("TOML text: {expected}"));
    }
    let error = error_of([("HEARTBEAT_INTERVAL", "1")]);
    assert_eq!(error, "environment variable HEARTBEAT_INTERVAL: `heartbeat_interval` is 1ms: set it to 10ms or more");
}

#[test]
fn a_mistake_in_the_syntax_is_told_with_its_line_and_never_quotes_it() {
    let mistakes = [
        "password = \"hunter2",
        "password = hunter2",
        "password = 'hun'ter2'",
        "password hunter2",
        "password = [hunter2",
    ];
    for mistake in mistakes {
        let error = toml_error(&format!("[redis]\n\n{mistake}\n"));
        assert!(error.starts_with("TOML text: is not valid TOML at line 3: "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_secret_is_in_no_error_and_no_debug_output() {
    let mistakes = [
        "redis = 'redis://:hunter2@redis'",
        "redis.url = 'hunter2'",
        "redis.url = ['hunter2']",
        "redis.url.x = 'hunter2'",
        "redis.password = ['hunter2']",
        "redis.password = { hunter = 'hunter2' }",
        "redis.pasword = 'hunter2'",
        "redis_password = 'hunter2'",
        "timeout = 'redis://:hunter2@redis'",
        "gateway.auth = 'hunter2'",
        "gateway.auth.jwt = 'hunter2'",
        "gateway.auth.secret = ['hunter2']",
        "gateway.auth.secrett = 'hunter2'",
        "gateway.auth.jwt.secret = 'hunter2'",
        "mesh.secret = 'hunter2'",
        "mesh.secret = ['hunter2']",
        "mesh = 'hunter2'",
        "mesh.previous_secret = 'hunter2hunter2hunter2'",
    ];
    for mistake in mistakes {
        let error = Config::from_toml(mistake).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    assert_eq!(
        toml_error("redis.password = 12345"),
        "TOML text: `redis.password` is something else, expected a string"
    );
    assert!(!error_of([("REDIS_URL", "hunter2")]).contains("hunter2"));
    assert!(!error_of([("DISTRIBUTION__GATEWAY__AUTH", "hunter2")]).contains("hunter2"));
    assert!(!error_of([("DISTRIBUTION__REDIS", "redis://:hunter2@redis")]).contains("hunter2"));

    let set = [("REDIS_URL", "redis://:hunter2@redis"), ("REDIS_PASSWORD", "hunter2"), ("JWT_SECRET", "hunter2")];
    let config = from_env(set).unwrap();
    let shown = format!("{config:?} {:?} {}", Config::loader().env(set), serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn very_deep_toml_is_refused_and_does_not_end_the_stack() {
    let deep = 100_000;
    assert!(Config::from_toml(&format!("{}a = 1", "a.".repeat(deep))).is_err());
    assert!(Config::from_toml(&format!("a = {}", "[".repeat(deep))).is_err());
    assert!(Config::from_toml(&format!("[{}a]", "a.".repeat(deep))).is_err());
    let name = format!("DISTRIBUTION__{}A", "A__".repeat(deep));
    assert!(Config::loader().env([(name, "1")]).load().is_err());
    assert!(Config::loader().env([("DISTRIBUTION__SERVICES", "[".repeat(deep))]).load().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC*", lines in "([a-z_.]{1,9} ?= ?[\"'\\[{}\\]a-z0-9,:-]{0,9}\n){0,4}") {
        let _ = Config::from_toml(&text);
        let _ = Config::from_toml(&lines);
    }

    #[test]
    fn no_value_of_a_known_key_makes_the_loader_panic(at in any::<prop::sample::Index>(), text in "\\PC*|[0-9*{}\\[\\],!./a-z\"'=-]*") {
        let keys = error::known_keys();
        let name = format!("DISTRIBUTION__{}", keys[at.index(keys.len())].replace('.', "__").to_uppercase());
        let row = ENV[at.index(ENV.len())].name;
        let _ = Config::loader().env([(name.as_str(), text.as_str()), (row, &text), ("REDIS_URL_FILE", &text)]).load();
    }
}
