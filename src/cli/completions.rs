//! `rachis completions`: what a shell completes.

use super::{Exit, exit::Failure, out::Out};
use clap::CommandFactory;
use clap_complete::{Shell, generate};

const EXAMPLES: &str = "\
Examples:
  rachis completions bash > /etc/bash_completion.d/rachis
  rachis completions zsh > ~/.zfunc/_rachis             (a folder in $fpath)
  rachis completions fish > ~/.config/fish/completions/rachis.fish
";

/// Print what makes a shell complete the commands and options of rachis
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::Args::command(), "rachis", &mut script);
    out.raw(&script)?;
    Ok(Exit::Good)
}
