//! The `rachis` binary: a gateway without code, and the mesh as seen from a terminal.

mod cli;

use std::process::ExitCode;

// Chosen here and not in the library: an application has its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match cli::read() {
        Ok(args) => cli::run(&args),
        Err(message) => cli::tell(&message),
    };
    exit.into()
}
