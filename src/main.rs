//! The `rachis` binary: a gateway without code, and the mesh as seen from a terminal.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = match cli::Args::try_parse() {
        Ok(args) => cli::run(&args),
        Err(message) => {
            // Nobody to tell means nobody to tell that either.
            let _ = message.print();
            if message.use_stderr() { cli::Exit::Usage } else { cli::Exit::Good }
        }
    };
    exit.into()
}
