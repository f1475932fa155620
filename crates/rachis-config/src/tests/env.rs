//! What environment variables set.

use super::*;
use serde_json::Value;

fn at(config: &Config, key: &str) -> Value {
    let config = serde_json::to_value(config).unwrap();
    config.pointer(&format!("/{}", key.replace('.', "/"))).unwrap().clone()
}

#[test]
fn every_variable_of_the_table_sets_its_key() {
    let samples = [
        ("COTE_DELAY", "-1", json!("manual")),
        ("COTE_LOG", "anything", json!("info,rachis=debug")),
        ("DISTRIBUTION_KEY", "blue", json!("blue")),
        ("DISTRIBUTION_APP", "shop", json!("shop")),
        ("DISTRIBUTION_NAMESPACE", "team:mesh", json!("team:mesh")),
        ("METRICS_LISTEN", "0.0.0.0:9464", json!("0.0.0.0:9464")),
        ("METRICS_TOKEN", "hunter2", json!("***")),
        ("DISTRIBUTION_VERSION", "1.0", json!("1.0")),
        ("DISTRIBUTION_TIMEOUT", "5000", json!("5s")),
        ("PUBLICATION_DELAY", "10s", json!("10s")),
        ("START_DELAY", "1500", json!("1s 500ms")),
        ("HEARTBEAT_INTERVAL", "500", json!("500ms")),
        ("REDIS_URL", "redis://redis:1", json!("redis://redis:1")),
        ("REDIS_USERNAME", "ann", json!("ann")),
        ("REDIS_PASSWORD", "hunter2", json!("***")),
        ("REDIS_SENTINEL_USERNAME", "bob", json!("bob")),
        ("REDIS_SENTINEL_PASSWORD", "hunter2", json!("***")),
        ("MESH_SECRET", "hunter2hunter2hunter2", json!("***")),
        ("MESH_PREVIOUS_SECRET", "hunter2hunter2hunter2", json!("***")),
        ("JWT_SECRET", "hunter2", json!("***")),
        ("JWT_PREVIOUS_SECRET", "hunter2", json!("***")),
        ("PORT", "8080", json!("127.0.0.1:8080")),
        ("RUST_LOG", "warn,rachis=trace", json!("warn,rachis=trace")),
    ];
    for row in ENV.iter().filter(|row| row.usage != EnvUse::Unneeded) {
        let (_, text, expected) = samples.iter().find(|(name, ..)| *name == row.name).expect(row.name);
        assert_ne!(at(&Config::default(), row.key), *expected, "{}", row.name);
        // Of the mesh's secrets, the previous one is not set alone.
        let config = from_env([("MESH_SECRET", "sixteen bytes or more"), (row.name, text)]).unwrap();
        assert_eq!(at(&config, row.key), *expected, "{}", row.name);
    }
}

#[test]
fn every_key_can_be_set_by_a_variable_with_double_underscores() {
    let cases = [
        ("DISTRIBUTION__PUBLISH_EVENTS", "false", "publish_events", json!(false)),
        ("DISTRIBUTION__SERVICES", "api/*, !api/secret", "services", json!(["api/*", "!api/secret"])),
        ("DISTRIBUTION__SERVICES", "[\"{a,b}/*\"]", "services", json!(["{a,b}/*"])),
        ("DISTRIBUTION__SERVICES", "false", "services", json!([])),
        ("DISTRIBUTION__SERVICES", "1", "services", json!(["1"])),
        ("DISTRIBUTION__DISTRIBUTED_EVENTS", "created,removed", "distributed_events", json!(["created", "removed"])),
        ("DISTRIBUTION__DISTRIBUTED_METHODS", "true", "distributed_methods", json!(true)),
        ("DISTRIBUTION__PARTITIONS", "4", "partitions", json!(4)),
        ("DISTRIBUTION__LIMITS__MAX_IN_FLIGHT", "7", "limits.max_in_flight", json!(7)),
        ("DISTRIBUTION__LIMITS__MAX_PAYLOAD", "2048", "limits.max_payload", json!("2KiB")),
        (
            "DISTRIBUTION__GATEWAY__CORS_ORIGINS",
            "https://a.example",
            "gateway.cors_origins",
            json!(["https://a.example"]),
        ),
        (
            "DISTRIBUTION__GATEWAY__AUTH__PUBLIC",
            "news, users:create",
            "gateway.auth.public",
            json!(["news", "users:create"]),
        ),
        ("DISTRIBUTION__GATEWAY__AUTH__JWT__ALGORITHM", "HS512", "gateway.auth.jwt.algorithm", json!("HS512")),
        ("DISTRIBUTION__GATEWAY__AUTH__SECRET", "hunter2", "gateway.auth.secret", json!("***")),
        ("DISTRIBUTION__LINGER", "forever", "linger", json!("forever")),
        ("DISTRIBUTION__LOG__FORMAT", "json", "log.format", json!("json")),
        (
            "DISTRIBUTION__SERVICE",
            "{ \"/a/b\" = { methods = false } }",
            "service",
            json!({ "a/b": {
                "events": null, "methods": [], "rate_limit": null, "concurrency": null, "retry": null, "breaker": null,
            } }),
        ),
    ];
    for (name, text, key, expected) in cases {
        assert_eq!(at(&from_env([(name, text)]).unwrap(), key), expected, "{name}={text}");
    }
    assert_eq!(from_env([("DISTRIBUTION__TTL", "9s")]).unwrap().ttl(), Duration::from_secs(9));
}

#[test]
fn text_that_looks_like_a_number_or_a_bool_stays_text_where_the_key_takes_text() {
    for text in ["12345", "true", "0x10", "[1]", "1e3", "a,b"] {
        let config = from_env([("REDIS_PASSWORD", text), ("DISTRIBUTION__VERSION", text)]).unwrap();
        assert_eq!((config.redis.password, config.version), (Some(Secret::from(text)), text.to_owned()));
    }
}

#[test]
fn a_variable_without_a_value_does_not_override() {
    let (_folder, path) = file("app = 'file'");
    let empty = ENV.iter().map(|row| (row.name, "")).chain([("DISTRIBUTION__APP", ""), ("REDIS_URL_FILE", "")]);
    let config = Config::loader().file(path).env(empty).load().unwrap();
    assert_eq!(config, Config::from_toml("app = 'file'").unwrap());
}

#[test]
fn what_kubernetes_sets_for_a_service_called_distribution_is_not_ours() {
    let set = [
        ("DISTRIBUTION_PORT", "tcp://10.0.0.1:80"),
        ("DISTRIBUTION_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("DISTRIBUTION_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("DISTRIBUTION_PORT_6379_TCP_PORT", "6379"),
        ("DISTRIBUTION_PORT_6379_TCP_PROTO", "tcp"),
        ("DISTRIBUTION_SERVICE_HOST", "10.0.0.1"),
        ("DISTRIBUTION_SERVICE_PORT", "80"),
        ("DISTRIBUTION_SERVICE_PORT_KEY", "80"),
        ("REDIS_PORT", "tcp://10.0.0.2:6379"),
        ("REDIS_SERVICE_HOST", "10.0.0.2"),
        ("distribution__app", "x"),
    ];
    let (config, origins) = Config::loader().file_if_there("/nowhere").env(set).explain().unwrap();
    assert_eq!((config, origins), (Config::default(), Origins::default()));
}

/// Every key that is masked where the configuration is shown.
fn secrets() -> Vec<String> {
    let mut config = Config::from_toml(&shown_with_optional_keys()).unwrap();
    (config.gateway.auth.secret, config.gateway.auth.previous_secret) = (Some("hush".into()), Some("hush".into()));
    let shown = serde_json::to_value(&config).unwrap();
    error::known_keys()
        .into_iter()
        .filter(|key| shown.pointer(&format!("/{}", key.replace('.', "/"))) == Some(&json!("***")))
        .collect()
}

#[test]
fn every_secret_can_come_from_a_file_that_a_variable_names() {
    let secrets = secrets();
    assert!(secrets.len() >= 5, "{secrets:?}");
    let folder = TempDir::new().unwrap();
    for key in secrets.iter().map(String::as_str).chain(["redis.url"]) {
        let row = ENV.iter().find(|row| row.key == key && row.usage == EnvUse::Secret).expect(key);
        let path = folder.path().join(row.name);
        fs::write(&path, "redis://true:123456789012345678901234567890@h\n").unwrap();
        let named = [("MESH_SECRET", "sixteen bytes or more"), ("JWT_SECRET", "x")]
            .into_iter()
            .filter(|(name, _)| *name != row.name);
        let name = format!("{}_FILE", row.name);
        let variables = named.chain([(name.as_str(), path.to_str().unwrap())]);
        let (config, origins) = Config::loader().file_if_there("/nowhere").env(variables).explain().unwrap();
        assert_eq!(origins.of(key), &Origin::Variable(name), "{key}");
        assert_ne!(at(&config, key), at(&Config::default(), key), "{key}");
    }
}

#[test]
fn a_secret_that_looks_like_something_else_stays_text_and_is_in_no_error() {
    for key in secrets() {
        let name = ENV.iter().find(|row| row.key == key).unwrap().name;
        let nested = format!("DISTRIBUTION__{}", key.replace('.', "__").to_uppercase());
        for text in ["1234567890123456", "0x10ffffffffffff", "true", "[1,2,3,4,5,6,7,8]", "1e3000000000000000", "null"]
        {
            for name in [name, &nested] {
                match from_env([("MESH_SECRET", "sixteen bytes or more"), ("JWT_SECRET", "x"), (name, text)]) {
                    Ok(config) => {
                        let exposed = [
                            &config.redis.password,
                            &config.redis.sentinel_password,
                            &config.metrics.token,
                            &config.mesh.secret,
                            &config.mesh.previous_secret,
                            &config.gateway.auth.secret,
                            &config.gateway.auth.previous_secret,
                        ];
                        assert!(exposed.into_iter().flatten().any(|secret| secret.expose() == text), "{name}={text}");
                    }
                    // Too short.
                    Err(error) => assert!(key.starts_with("mesh.") && !error.to_string().contains(text), "{error}"),
                }
            }
            let Err(error) = Config::from_toml(&format!("{key} = 123456789")) else { panic!("{key} took a number") };
            assert!(!format!("{error} {error:?}").contains("123456789"), "{error}");
        }
    }
}

#[test]
fn the_later_name_of_the_table_wins_and_the_one_with_double_underscores_over_both() {
    let config = from_env([("START_DELAY", "1s"), ("COTE_DELAY", "2s")]).unwrap();
    assert_eq!(config.start_delay, StartDelay::After(Duration::from_secs(1)));
    let config = from_env([("START_DELAY", "1s"), ("DISTRIBUTION__START_DELAY", "3s")]).unwrap();
    assert_eq!(config.start_delay, StartDelay::After(Duration::from_secs(3)));
    assert_eq!(from_env([("COTE_LOG", "1"), ("RUST_LOG", "error")]).unwrap().log.level, "error");
}

#[test]
fn port_replaces_only_the_port_whatever_set_the_host() {
    let (_folder, path) = file("[gateway]\nlisten = '[::]:80'");
    let config = Config::loader().file(path).env([("PORT", "8080")]).load().unwrap();
    assert_eq!(config.gateway.listen, "[::]:8080");
    let set = [("PORT", "8080"), ("DISTRIBUTION__GATEWAY__LISTEN", "0.0.0.0:80")];
    assert_eq!(from_env(set).unwrap().gateway.listen, "0.0.0.0:8080");
    assert_eq!(
        error_of([("PORT", "http")]),
        "environment variable PORT: is \"http\", expected a port: a number from 0 to 65535"
    );
}

#[test]
fn a_secret_can_come_from_a_file_without_its_last_newline() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret");
    let name = path.to_str().unwrap();
    for (written, secret) in
        [("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), ("hunter2", "hunter2"), ("a\n\n", "a\n")]
    {
        fs::write(&path, written).unwrap();
        let config = from_env([("REDIS_PASSWORD_FILE", name)]).unwrap();
        assert_eq!(config.redis.password.unwrap().expose(), secret);
    }
    fs::write(&path, "redis://:hunter2@redis\n").unwrap();
    assert_eq!(from_env([("REDIS_URL_FILE", name)]).unwrap().redis.url.expose(), "redis://:hunter2@redis");
    let error = error_of([("REDIS_URL_FILE", name), ("REDIS_URL", "redis://redis")]);
    assert_eq!(error, "environment variable REDIS_URL_FILE: is set as well as REDIS_URL: set only one");
    fs::write(&path, "\n").unwrap();
    assert!(error_of([("REDIS_PASSWORD_FILE", name)]).ends_with("which is empty: write the secret into it"));
    let error = error_of([("REDIS_PASSWORD_FILE", "/nowhere/secret")]);
    assert!(
        error.starts_with("environment variable REDIS_PASSWORD_FILE: names \"/nowhere/secret\", which cannot be"),
        "{error}"
    );
}

#[test]
fn names_that_are_no_longer_needed_are_told_in_one_warning() {
    let config = from_env([("HIGHEST_PORT", "20000"), ("BASE_PORT", "10000"), ("COMPONENT_DELAY", "1000")]).unwrap();
    let [warning] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    assert!(warning.contains("COMPONENT_DELAY, BASE_PORT, HIGHEST_PORT"), "{warning}");
    assert!(from_env([("COTE_DELAY", "5"), ("COTE_LOG", "1")]).unwrap().warnings.is_empty());
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error_only_if_it_is_ours() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    let broken = OsString::from_vec(vec![0xff, 0xfe]);
    let foreign = [(OsString::from("HOME"), broken.clone()), (broken.clone(), "x".into())];
    assert_eq!(Config::loader().env(foreign).load().unwrap(), Config::default());
    let error = Config::loader().env([("DISTRIBUTION_APP", broken)]).load().unwrap_err();
    assert_eq!(error.to_string(), "environment variable DISTRIBUTION_APP: is not UTF-8: set it to plain text");
}
