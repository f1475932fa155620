//! The one test here that `cargo test` and nextest find: a seed makes the same run again.

use crate::supervisor;
use std::process::ExitCode;

const NAME: &str = "a_seed_repeats_its_run";
/// A mesh at rest, one that hurries, and one that has a node stand still.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Lists the test, or runs it, as these arguments ask a program of tests for.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    let is_meant = names.peek().is_none() || names.any(|name| NAME.contains(name.as_str()));
    // They need a clock that is put in front of the C library's.
    if !is_meant || has("--ignored") || cfg!(not(target_os = "linux")) {
        return ExitCode::SUCCESS;
    }
    if has("--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let runs = supervisor::twice(&SEEDS).expect("schedules need a C compiler and redis-server");
    for [first, second] in &runs {
        assert_eq!(first, second);
        assert!(!first.1.is_empty(), "{first:?} did not come to its end");
    }
    assert!(runs[0][0].1 != runs[1][0].1 && runs[1][0].1 != runs[2][0].1, "all seeds make the same run: {runs:?}");
    println!("test {NAME} ... ok");
    ExitCode::SUCCESS
}
