//! `rachis init`, `completions`, `man`: what is needed once.

use crate::Rachis;
use rachis_testing::{self as testing, eventually};
use serde_json::json;
use std::{fs, path::Path, process::Stdio};
use tokio::process::Command;

#[tokio::test]
async fn a_configuration_is_written_that_changes_nothing_and_never_over_another() {
    let rachis = Rachis::new();
    let ended = rachis.run(&["init"]).await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", "wrote ./distribution.toml\n"));
    let text = fs::read_to_string(rachis.path().join("distribution.toml")).unwrap();
    let head = "# The configuration of this program: every key is a comment with its default";
    assert!(text.starts_with(head) && text.contains("\n# namespace = \"rachis\"\n"), "{text}");
    let checked = rachis.run(&["config", "check", "--service", "--strict"]).await;
    assert_eq!((checked.code, checked.out.as_str()), (0, "The configuration is good.\n"), "{checked:?}");

    let again = rachis.run(&["init"]).await;
    assert_eq!(again.code, 1);
    assert_eq!(again.err, "error: ./distribution.toml is there already, and nothing was written\n");
    let told = rachis.run(&["init", "elsewhere", "--json"]).await.json();
    assert_eq!(told, json!({ "files": ["elsewhere/distribution.toml"] }));
}

#[tokio::test]
async fn a_name_that_is_no_package_is_refused_before_anything_is_written() {
    let rachis = Rachis::new();
    for name in ["", "Notes", "1st", "a/b", "../up", "a b", "rachis", "tokio", "core", &"a".repeat(65)] {
        let ended = rachis.run(&["init", "--service", name]).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{name}: {ended:?}");
    }
    assert_eq!(fs::read_dir(rachis.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_project_that_is_written_builds_and_serves_its_service() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = testing::config();
    let rachis = Rachis::on(&config);
    let ended = rachis.run(&["init", "--service", "notes", "--crates", root.to_str().unwrap()]).await;
    let wrote =
        ["Cargo.toml", "src/main.rs", ".gitignore", "distribution.toml"].map(|name| format!("wrote ./notes/{name}\n"));
    assert_eq!((ended.code, ended.err), (0, wrote.concat()));
    let folder = rachis.path().join("notes");
    // The versions that this tree was tested with; and what is built once is built.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("init");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--offline"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .await
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let mut program = Command::new(target.join("debug/notes"));
    program.current_dir(&folder).kill_on_drop(true).stdout(Stdio::null());
    program.env("REDIS_URL", config.redis.url.expose()).env("DISTRIBUTION_NAMESPACE", &config.namespace);
    let program = program.spawn().unwrap();
    eventually("notes are served", async || rachis.run(&["services"]).await.out.contains("notes")).await;
    let made = rachis.run(&["call", "notes", "create", "{\"text\":\"hello\"}"]).await.json();
    assert_eq!(made, json!({ "id": 0, "text": "hello" }));
    assert_eq!(rachis.run(&["call", "notes", "get", "0"]).await.json(), made);
    assert_eq!(rachis.run(&["call", "notes", "get", "1"]).await.code, 1);
    drop(program);
}

#[tokio::test]
async fn shells_complete_commands_and_options() {
    let rachis = Rachis::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = rachis.run(&["completions", shell]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{shell}");
        assert!(["doctor", "completions", "connect-timeout"].iter().all(|word| ended.out.contains(word)), "{shell}");
    }
    // What bash offers behind `rachis do`.
    let script = "source <(\"$0\" completions bash); COMP_WORDS=(rachis do); COMP_CWORD=1; _rachis rachis do rachis; echo \"${COMPREPLY[*]}\"";
    let offered = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_rachis")]).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&offered.stdout), "doctor\n", "{offered:?}");
    assert_eq!(rachis.run(&["completions", "tcsh"]).await.code, 2);
}

#[tokio::test]
async fn each_command_has_a_page_in_the_manual() {
    let rachis = Rachis::new();
    let page = rachis.run(&["man"]).await;
    assert_eq!((page.code, page.err.as_str()), (0, ""));
    assert!(page.out.contains(".TH rachis 1") && page.out.contains(".SH SUBCOMMANDS"), "{}", page.out);
    let ended = rachis.run(&["man", "--out", "pages/man1"]).await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    for name in ["rachis.1", "rachis-doctor.1", "rachis-config-check.1"] {
        assert!(rachis.path().join("pages/man1").join(name).is_file(), "{name}");
    }
    fs::write(rachis.path().join("taken"), "").unwrap();
    let ended = rachis.run(&["man", "--out", "taken"]).await;
    assert!(ended.code == 1 && ended.err.starts_with("error: taken: "), "{ended:?}");
}
