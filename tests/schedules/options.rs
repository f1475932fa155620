//! What is asked for on the command line.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The seed of the first schedule.
    pub(crate) first: u64,
    /// How many schedules.
    pub(crate) count: u64,
    /// When to stop, however many were run by then.
    pub(crate) time: Option<Duration>,
    /// How many run side by side.
    pub(crate) side_by_side: usize,
    /// Print the whole trace of each.
    pub(crate) tell: bool,
    /// Faults to leave out, by their numbers.
    pub(crate) without: String,
}

/// Reads the arguments, the first of which is the size of the run. `None` when it is not, as where `cargo test` or nextest
/// take this for a program with tests of the usual kind.
pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let side_by_side = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let all = Options { first: 1, count: 0, time: None, side_by_side, tell: false, without: String::new() };
    let mut options = match arguments.next().as_deref() {
        Some("--full") => Options { count: 2000, ..all },
        Some("--short") => Options { count: 100_000, time: Some(Duration::from_secs(40)), ..all },
        _ => return Ok(None),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--first" => options.first = number(&value()?)?,
            "--count" => options.count = number(&value()?)?,
            "--seed" => (options.first, options.count) = (number(&value()?)?, 1),
            "--time" => {
                let time = value()?;
                let time = humantime::parse_duration(&time).map_err(|error| format!("--time {time}: {error}"))?;
                options.time = Some(time);
            }
            "--side-by-side" => options.side_by_side = number(&value()?)?,
            "--without" => options.without = value()?,
            "--tell" => options.tell = true,
            _ => return Err(format!("{argument} is no option: see scripts/faults.sh --help")),
        }
    }
    Ok(Some(options))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number that fits"))
}
