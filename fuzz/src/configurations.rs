//! Configurations: each is read, or refused by a message that quotes no secret.

use rachis_config::Config;

/// A secret that no message may quote.
const SECRET: &str = "correct-horse-battery";

/// A configuration file: read, or refused with a message that quotes no secret.
pub fn config_toml(text: &str) {
    // A text with a table of that name may not have its keys in front as well.
    let secret = if text.contains("redis") { String::new() } else { format!("redis.password = \"{SECRET}\"\n") };
    check_config(Config::from_toml(&(secret + text)));
}

/// An environment, one `NAME=value` a line. Names that end in `_FILE` are left out: their values are paths, and no
/// fuzzer shall open those.
pub fn config_env(text: &str) {
    let secret = ("REDIS_PASSWORD", SECRET);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let variables = lines.filter(|(name, _)| !name.ends_with("_FILE") && *name != secret.0);
    check_config(Config::loader().env(variables.chain([secret])).load());
}

fn check_config(outcome: Result<Config, rachis_config::ConfigError>) {
    let said = match outcome {
        Ok(config) => {
            let _ = (config.app_name(), config.ttl(), config.events_of("a/b"), config.methods_of("a/b"));
            format!("{config:?} {}", serde_json::to_string(&config).expect("a configuration can be written"))
        }
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!said.contains(SECRET), "{said}");
}
