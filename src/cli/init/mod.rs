//! `rachis init`: files to begin with.

mod project;

use super::{
    Exit,
    exit::Failure,
    out::{self, Out},
};
use rachis::config::DEFAULTS;
use serde_json::json;
use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  rachis init                        distribution.toml here, with every key as a comment
  rachis init --service notes        a program in ./notes that serves `notes`
  cd notes && cargo run
";

/// What the file begins with.
const HEAD: &str = "\
# The configuration of this program: every key is a comment with its default, to be changed where another value is wanted.
# `rachis config check` says whether it holds.

";

/// Write a commented distribution.toml, or a small project
///
/// Nothing is overwritten. With --json: an object with files, the list of what was written.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Make a folder of this name with a program that serves a service of this name
    #[arg(long, value_name = "NAME", value_parser = project::name)]
    service: Option<String>,

    /// Let the program depend on the crates in this folder, instead of on those that are published
    #[arg(long, value_name = "DIR", requires = "service")]
    crates: Option<PathBuf>,

    /// Where to write
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let configuration = ("distribution.toml", commented());
    let (folder, files) = match &args.service {
        Some(name) => {
            let mut files = project::files(name, args.crates.as_deref())?;
            files.push(configuration);
            (args.folder.join(name), files)
        }
        None => (args.folder.clone(), vec![configuration]),
    };
    let taken: Vec<String> = files
        .iter()
        .map(|(name, _)| folder.join(name))
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if !taken.is_empty() {
        return Err(Failure::failed(format!("{} is there already, and nothing was written", taken.join(", "))));
    }
    let mut written = Vec::new();
    for (name, text) in &files {
        let path = folder.join(name);
        write(&path, text).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        written.push(path.display().to_string());
    }
    if out.json {
        out.document(&json!({ "files": written }))?;
    } else {
        written.iter().for_each(|path| out::say(&format!("wrote {path}")));
    }
    Ok(Exit::Good)
}

/// Never over a file that came in the meantime.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => std::io::Error::new(ErrorKind::AlreadyExists, "is there already"),
            _ => error,
        })?;
    file.write_all(text.as_bytes())
}

/// The defaults as comments. What explains them stays as it is, without what only the file of the defaults says of itself.
fn commented() -> String {
    let body = DEFAULTS.split_once("\n# ---- ").map_or(DEFAULTS, |(_, body)| body);
    let mut text = format!("{HEAD}# ---- ");
    for line in body.lines() {
        if !(line.is_empty() || line.starts_with('#')) {
            text.push_str("# ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis::Config;

    #[test]
    fn what_is_written_changes_nothing_until_a_comment_is_taken_away() {
        let text = commented();
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')));
        assert_eq!(Config::from_toml(&text).unwrap(), Config::default());
        let changed = text.replace("# namespace = \"rachis\"", "namespace = \"mine\"");
        assert_eq!(Config::from_toml(&changed).unwrap().namespace, "mine");
    }
}
