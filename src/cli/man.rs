//! `rachis man`: manual pages.

use super::{Exit, exit::Failure, out::Out};
use clap::CommandFactory;
use clap_mangen::Man;
use std::{fs, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  rachis man | man -l -                                 read it
  rachis man --out /usr/local/share/man/man1            install a page of each command
";

/// Print the manual page, or write one of each command
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write the pages of all commands into this folder, which is made if need be
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let command = super::Args::command();
    match &args.out {
        Some(folder) => {
            let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
            fs::create_dir_all(folder).map_err(failed)?;
            clap_mangen::generate_to(command, folder).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            out.raw(&page)?;
        }
    }
    Ok(Exit::Good)
}
