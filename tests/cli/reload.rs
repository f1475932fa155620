//! `rachis gateway`, whose configuration changes while it serves.

use crate::{Rachis, Running};
use rachis::{
    ALL, App, Config, MemoryService, ServiceExt,
    auth::{hash_password, protect},
};
use rachis_testing as testing;
use rachis_testing::eventually;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

const ANY: [&str; 3] = ["gateway", "--listen", "127.0.0.1:0"];

async fn gateway(rachis: Rachis) -> (Running, String, PathBuf) {
    let file = rachis.path().join("distribution.toml");
    let mut gateway = rachis.start(&ANY);
    let url = gateway.line().await;
    (gateway, url, file)
}

#[tokio::test]
async fn a_level_of_the_log_counts_from_the_moment_its_file_changes_and_a_bad_file_changes_nothing() {
    let config = testing::config();
    let (mut gateway, url, file) = gateway(Rachis::on(&config).file("log.level = 'info'")).await;
    fs::write(&file, "log.level = 'info,rachis=debug'\n[gateway]\nprefix = '/api'").unwrap();
    let line = gateway.said("needs a restart").await;
    assert!(line.contains("gateway.prefix") && line.contains(r#"\"/\""#), "{line}");
    assert!(gateway.said("was read again").await.contains("log.level"));
    fs::write(&file, "log.level = 'a=b=c'").unwrap();
    let line = gateway.said("is not taken").await;
    assert!(line.contains("`log.level`") && line.contains("ERROR"), "{line}");
    fs::write(&file, "timeout = ").unwrap();
    assert!(gateway.said("is not taken").await.contains("not valid TOML at line 1"));
    assert_eq!(reqwest::get(format!("{url}/livez")).await.unwrap().status(), 200);
    // Still at debug.
    testing::start(Config { app: "other".into(), ..config }, App::new()).await.shutdown().await.unwrap();
    fs::write(&file, "log.level = 'info'").unwrap();
    gateway.said("was read again").await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again() {
    let config = testing::config();
    let (mut gateway, _, file) = gateway(Rachis::on(&config).file("timeout = '5s'")).await;
    fs::write(&file, "timeout = '6s'").unwrap();
    gateway.signal("HUP");
    assert!(gateway.said("was read again").await.contains("timeout"));
    // Nothing has changed, and it says so.
    gateway.signal("HUP");
    gateway.said("was read again").await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn the_secret_of_tokens_is_changed_and_nobody_has_to_log_in_again() {
    let config = Config { app: "home".into(), authentication: false, ..testing::config() };
    let users = MemoryService::new().before(ALL, hash_password("password")).after(ALL, protect(["password"]));
    let app = App::new().register("users", users).register("notes", MemoryService::new());
    let _home = testing::start(config.clone(), app).await;
    let rachis = Rachis::on(&config).file("[gateway.auth]\npublic = ['users:create']");
    let at = |name: &str| rachis.path().join(name);
    let secret = at("secret");
    let previous = at("previous");
    let one = "one-".repeat(10);
    let two = "two-".repeat(10);
    fs::write(&secret, &one).unwrap();
    fs::write(&previous, &one).unwrap();
    let rachis = rachis.env("JWT_SECRET_FILE", secret.to_str().unwrap());
    let rachis = rachis.env("JWT_PREVIOUS_SECRET_FILE", previous.to_str().unwrap());
    let (mut gateway, url, _) = gateway(rachis).await;
    let client = reqwest::Client::new();
    let ada = json!({ "email": "ada@example.org", "password": "hunter2" });
    assert_eq!(client.post(format!("{url}/users")).json(&ada).send().await.unwrap().status(), 201);
    let log_in = async || {
        let login = json!({ "strategy": "local", "email": "ada@example.org", "password": "hunter2" });
        let answer: Value =
            client.post(format!("{url}/authentication")).json(&login).send().await.unwrap().json().await.unwrap();
        answer["accessToken"].as_str().unwrap().to_owned()
    };
    let status = async |token: &str| {
        client.get(format!("{url}/notes")).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    let old = log_in().await;
    assert_eq!(status(&old).await, 200);
    fs::write(&secret, &two).unwrap();
    let line = gateway.said("was read again").await;
    assert!(line.contains("gateway.auth.secret") && !line.contains("two-"), "{line}");
    let new = log_in().await;
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    fs::write(&previous, &two).unwrap();
    gateway.said("was read again").await;
    eventually("the old token is over", async || status(&old).await == 401).await;
    assert_eq!(status(&new).await, 200);
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn what_is_public_and_how_large_a_body_may_be_count_from_the_moment_the_file_changes() {
    let config = Config { app: "home".into(), authentication: false, ..testing::config() };
    let app = App::new().register("notes", MemoryService::new()).register("news", MemoryService::new());
    let _home = testing::start(config.clone(), app).await;
    let rachis = Rachis::on(&config).env("JWT_SECRET", &"one-".repeat(10)).file("[gateway.auth]\npublic = ['news']");
    let (mut gateway, url, file) = gateway(rachis).await;
    let find = async |path: &str| reqwest::get(format!("{url}/{path}")).await.unwrap().status().as_u16();
    let create = async |text: &str| {
        let request = reqwest::Client::new().post(format!("{url}/notes")).json(&json!({ "text": text }));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((find("news").await, find("notes").await), (200, 401));
    fs::write(&file, "[gateway]\nbody_limit = 40\n[gateway.auth]\npublic = ['notes']").unwrap();
    let line = gateway.said("was read again").await;
    assert!(line.contains("gateway.auth.public") && line.contains("gateway.body_limit"), "{line}");
    assert_eq!((find("news").await, find("notes").await), (401, 200));
    assert_eq!((create("short").await, create(&"long ".repeat(10)).await), (201, 413));
    // There is no such way to log in, so nothing of it counts.
    fs::write(&file, "[gateway.auth]\npublic = ['news']\nstrategies = ['none']").unwrap();
    gateway.said("is not taken").await;
    assert_eq!((find("news").await, find("notes").await), (401, 200));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}
