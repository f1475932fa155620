//! Replicas in JavaScript beside one in Rust, which are killed.

use crate::{
    deaths,
    judge::Finding,
    plan::Plan,
    row::{Row, Setting},
    service::Version,
    worker::{SPEC, Spec},
};
use std::path::Path;
use tokio::process::Command;

/// Where the programs in JavaScript are, and what they need.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        name: "kill-node-js",
        fault: "SIGKILL of one of 3 replicas, of which 2 are in Node.js",
        repeats: (3, 100),
        rate: Some(1000),
        run: |setting| Box::pin(kill(setting)),
    }]
}

async fn kill(setting: Setting) -> Finding {
    prepare().await;
    deaths::kill(setting, Plan::of_versions(&[Version::New, Version::JavaScript, Version::JavaScript])).await
}

/// Builds the native module, unless that was done, as this program is built.
async fn prepare() {
    let mut command = Command::new(format!("{FOLDER}/prepare.sh"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let prepared = command.output().await.expect("a shell");
    let said = String::from_utf8_lossy(&prepared.stderr);
    assert!(prepared.status.success(), "the package for Node.js can not be made: {said}");
}

/// The program of a replica in JavaScript; `config` is where its configuration goes.
pub(crate) fn replica(spec: &Spec, config: &Path) -> Command {
    std::fs::write(config, &spec.toml).expect("the configuration can be written");
    let mut command = Command::new("node");
    command.arg(format!("{FOLDER}/programs/replica.mjs"));
    command.env("DISTRIBUTION_CONFIG", config).env(SPEC, serde_json::to_string(spec).expect("a spec is JSON"));
    command
}
