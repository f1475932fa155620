//! The `rachis` binary: a gateway without code, and the mesh as seen from a terminal.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = match cli::Args::try_parse() {
        Ok(args) => cli::run(&args),
        Err(message) => cli::tell(&message),
    };
    exit.into()
}
