//! A small program, from which an application grows.

use crate::cli::exit::Failure;
use std::path::Path;

const MAIN: &str = include_str!("project/main.rs");
const IGNORED: &str = "/target\n";
/// What stands for the name of the service.
const NAME: &str = "SERVICE";

/// A name that is a path of a service, and a package of Cargo as well.
pub(super) fn name(text: &str) -> Result<String, String> {
    let good = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    // Crates of these names hide those that the program needs.
    let taken = ["core", "rachis", "serde", "serde_json", "std", "test", "tokio"];
    if !good {
        return Err("a name begins with a small letter and has small letters, digits, - and _".into());
    }
    if taken.contains(&text) {
        return Err("a program of that name could not use the crate of that name: take another".into());
    }
    Ok(text.to_owned())
}

/// The files of a program that serves `name`, by their places.
pub(super) fn files(name: &str, crates: Option<&Path>) -> Result<Vec<(&'static str, String)>, Failure> {
    Ok(vec![
        ("Cargo.toml", manifest(name, crates)?),
        ("src/main.rs", MAIN.replace(NAME, name)),
        (".gitignore", IGNORED.to_owned()),
    ])
}

fn manifest(name: &str, crates: Option<&Path>) -> Result<String, Failure> {
    let rachis = match crates {
        Some(folder) => {
            let failed = |error: std::io::Error| Failure::usage(format!("--crates {}: {error}", folder.display()));
            let folder = folder.canonicalize().map_err(failed)?;
            format!("{{ path = {} }}", toml::Value::from(folder.display().to_string()))
        }
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    };
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nrachis = {rachis}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         # A project of its own, though it may lie inside of another one.\n[workspace]\n"
    ))
}
