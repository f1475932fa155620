//! What is asked for on the command line.

use std::{path::PathBuf, time::Duration};

/// What to run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Many repeats and high rates, instead of few and low ones.
    pub(crate) full: bool,
    /// Only rows whose name contains one of these.
    pub(crate) rows: Vec<String>,
    /// Calls a second, instead of what the run is made for.
    pub(crate) rate: Option<u64>,
    /// Repeats, instead of what the run is made for.
    pub(crate) repeats: Option<u32>,
    pub(crate) seed: Option<u64>,
    /// Where the table goes, besides stdout.
    pub(crate) out: Option<PathBuf>,
    /// Mixed load for this long, instead of rows.
    pub(crate) soak: Option<Duration>,
    /// Only say which rows there are.
    pub(crate) names: bool,
}

/// Reads the arguments, the first of which is the size of the run. `None` when it is not, as where `cargo test` or nextest
/// take this for a program with tests of the usual kind.
pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let full = match arguments.next().as_deref() {
        Some("--full") => true,
        Some("--short") => false,
        _ => return Ok(None),
    };
    let mut options = Options { full, ..Options::default() };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--names" => options.names = true,
            "--row" => options.rows.push(value()?),
            "--rate" => options.rate = Some(number(&value()?)?),
            "--repeats" => options.repeats = Some(number(&value()?)?),
            "--seed" => options.seed = Some(number(&value()?)?),
            "--out" => options.out = Some(value()?.into()),
            "--soak" => {
                let time = value()?;
                let time = humantime::parse_duration(&time).map_err(|error| format!("--soak {time}: {error}"))?;
                options.soak = Some(time);
            }
            _ => return Err(format!("{argument} is no option: see scripts/faults.sh --help")),
        }
    }
    Ok(Some(options))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number that fits"))
}
