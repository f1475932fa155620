//! The layers together.

mod env;
mod mistakes;

use crate::*;
use serde::Serialize;
use serde_json::json;
use std::fs;
use tempfile::TempDir;

const NOTHING: [(&str, &str); 0] = [];

fn from_env<const N: usize>(variables: [(&str, &str); N]) -> Result<Config, ConfigError> {
    let folder = TempDir::new().unwrap();
    Config::loader().file_if_there(folder.path().join("distribution.toml")).env(variables).load()
}

fn error_of<const N: usize>(variables: [(&str, &str); N]) -> String {
    from_env(variables).unwrap_err().to_string()
}

/// A file `distribution.toml` of that text, and the folder that keeps it.
pub(super) fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("distribution.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn the_defaults_are_those_of_the_file_and_valid() {
    let config = Config::default();
    assert_eq!(config, Config::from_toml(include_str!("../default.toml")).unwrap());
    assert_eq!(config, Config::from_toml("").unwrap());
    assert_eq!(config, from_env(NOTHING).unwrap());
    config.validate().unwrap();
    assert_eq!((config.key.as_str(), config.timeout.as_secs(), config.limits.max_in_flight), ("default", 20, 256));
    assert_eq!(config.start_delay, StartDelay::After(Duration::ZERO));
    assert_eq!(config.linger, Linger::For(Duration::from_secs(60)));
    assert_eq!(config.limits.max_payload, ByteSize(1 << 20));
}

#[test]
fn the_file_of_defaults_names_every_key_the_optional_ones_too() {
    let text = include_str!("../default.toml");
    for key in error::known_keys() {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
        let section = match section {
            "" if key == "service" => continue,
            "" => text.split("\n[").next(),
            section => text.split("\n[").find(|part| part.starts_with(&format!("{section}]"))),
        };
        let lines = section.unwrap().lines();
        let named = lines.filter(|line| line.trim_start_matches("# ").starts_with(&format!("{name} =")));
        assert_eq!(named.count(), 1, "{key}");
    }
}

/// The file of defaults with the values that its comments show.
pub(super) fn shown_with_optional_keys() -> String {
    let shown = include_str!("../default.toml").lines().map(|line| match line.strip_prefix("# ") {
        Some(comment) if comment.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => comment,
        _ => line,
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_optional_keys_shown_in_the_file_of_defaults_are_valid_as_shown() {
    let config = Config::from_toml(&shown_with_optional_keys()).unwrap();
    assert_eq!(config.ttl, Some(Config::default().ttl()));
    assert!(config.redis.password.is_some() && config.redis.key_file.is_some());
}

#[test]
fn the_example_file_is_valid() {
    let config = Config::from_toml(include_str!("../distribution.example.toml")).unwrap();
    assert_eq!(config.app_name(), "todos");
    assert!(!config.services.allows("api/internal/keys"));
    assert!(!config.methods_of("api/prices").allows("create"));
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let (_folder, path) = file("app = 'file'\nkey = 'file'\nversion = 'file'\n[limits]\nmax_queue = 1\nevent_log = 1");
    let config = Config::loader()
        .file(path)
        .env([("DISTRIBUTION_KEY", "env"), ("DISTRIBUTION_VERSION", "env"), ("DISTRIBUTION__LIMITS__EVENT_LOG", "2")])
        .overrides(json!({ "version": "flag" }))
        .load()
        .unwrap();
    assert_eq!((config.namespace.as_str(), config.app.as_str()), ("rachis", "file"));
    assert_eq!((config.key.as_str(), config.version.as_str()), ("env", "flag"));
    assert_eq!((config.limits.max_queue, config.limits.event_log, config.limits.dead_letters), (1, 2, 1000));
}

#[test]
fn an_override_that_is_none_leaves_the_layers_below_alone() {
    #[derive(Serialize)]
    struct Flags {
        app: Option<String>,
        timeout: Option<&'static str>,
        gateway: Listen,
    }
    #[derive(Serialize)]
    struct Listen {
        listen: Option<&'static str>,
    }
    let flags = Flags { app: None, timeout: Some("1s"), gateway: Listen { listen: None } };
    let config = Config::loader().env([("DISTRIBUTION_APP", "env")]).overrides(flags).overrides(()).load().unwrap();
    assert_eq!((config.app.as_str(), config.timeout.as_secs()), ("env", 1));
    assert_eq!(config.gateway, Config::default().gateway);
}

#[test]
fn a_variable_names_the_file_unless_code_does() {
    let (_folder, path) = file("app = 'by-variable'");
    let variable = || [("DISTRIBUTION_CONFIG", path.as_os_str())];
    assert_eq!(Config::loader().env(variable()).load().unwrap().app, "by-variable");
    let (_other, own) = file("app = 'by-code'");
    assert_eq!(Config::loader().file(&own).env(variable()).load().unwrap().app, "by-code");
    let error = Config::loader().env([("DISTRIBUTION_CONFIG", "/nowhere.toml")]).load().unwrap_err().to_string();
    assert!(error.contains("/nowhere.toml") && error.contains("cannot be read"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("none.toml");
    assert_eq!(Config::loader().file_if_there(&path).env(NOTHING).load().unwrap(), Config::default());
    let error = Config::loader().file(&path).env(NOTHING).load().unwrap_err();
    assert_eq!(error.origin(), path.to_str());
    assert!(error.to_string().contains("cannot be read (No such file or directory"), "{error}");
}

#[test]
fn a_service_has_its_own_filters_or_those_of_the_node() {
    let config = Config::from_toml(
        "distributed_events = ['created']\n[service.'/api/todos/']\nmethods = ['find']\n[service.logs]\nevents = true",
    )
    .unwrap();
    assert!(config.methods_of("api/todos").allows("find") && !config.methods_of("/api/todos").allows("get"));
    assert!(config.methods_of("logs").allows("get"));
    assert!(!config.events_of("api/todos").allows("removed"));
    assert!(config.events_of("logs").allows("rotated"));
    assert!(!Config { publish_events: false, ..config }.events_of("logs").allows("rotated"));
}

#[test]
fn three_beats_are_the_time_to_live_unless_it_is_set() {
    assert_eq!(Config::from_toml("heartbeat_interval = '4s'").unwrap().ttl(), Duration::from_secs(12));
    assert_eq!(Config::from_toml("ttl = '5s'").unwrap().ttl(), Duration::from_secs(5));
}

#[test]
fn an_app_without_a_name_is_called_as_its_executable() {
    assert!(Config::default().app_name().starts_with("rachis_config-"));
    assert_eq!(Config::from_toml("app = 'shop'").unwrap().app_name(), "shop");
    let files =
        [("todo", "todo"), ("todo.exe", "todo"), ("todo (deleted)", "todo"), ("my {todo}", "my--todo-"), ("", "app")];
    for (file, name) in files {
        assert_eq!(name_of_executable(file), name);
    }
}
