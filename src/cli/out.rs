//! What goes to stdout: tables and text for people, JSON for programs.

use super::plain::{self, plain};
use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;
use std::{
    env,
    io::{self, IsTerminal, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();

/// In a narrow terminal, lines that are too long read better than words of one letter a line.
const LEAST_WIDTH: u16 = 24;
const PADDING: (u16, u16) = (0, 2);

/// Stdout, and the form that suits its reader.
pub(crate) struct Out {
    to: Box<dyn Write>,
    /// One JSON document, or one per line.
    pub(crate) json: bool,
    terminal: bool,
    colour: bool,
}

impl Out {
    pub(crate) fn stdout(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Out { to: Box::new(io::stdout()), json, terminal, colour: terminal && colours_wanted() }
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: impl Into<Text>) -> io::Result<()> {
        self.write(&text.into().0)
    }

    /// Writes text of several lines.
    pub(crate) fn lines(&mut self, text: &str) -> io::Result<()> {
        self.write(&plain_lines(text))
    }

    /// Writes what programs read, byte by byte.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.flush()
    }

    /// Writes one JSON document on one line.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.write(&plain::json(value)?)
    }

    /// Writes JSON that is what was asked for: spread out where a person reads it.
    pub(crate) fn value(&mut self, value: &Value) -> io::Result<()> {
        if self.json || !self.terminal {
            return self.document(value);
        }
        self.write(&plain::json_spread_out(value)?)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "{text}")?;
        self.to.flush()
    }

    /// Writes rows under a header. The last column is the one that may wrap.
    pub(crate) fn table<const N: usize>(&mut self, header: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        let title =
            |name: &&str| if self.colour { Cell::new(name).add_attribute(Attribute::Bold) } else { Cell::new(name) };
        table.set_header(header.iter().map(title));
        table.add_rows(rows.iter().map(|row| row.iter().map(|cell| Cell::new(plain(cell)))));
        let widest = table.column_max_content_widths().last().copied().unwrap_or(0);
        for (number, column) in table.column_iter_mut().enumerate() {
            column.set_padding(PADDING);
            column.set_constraint(if number + 1 < N {
                ColumnConstraint::ContentWidth
            } else {
                ColumnConstraint::LowerBoundary(Width::Fixed(widest.min(LEAST_WIDTH) + PADDING.1))
            });
        }
        self.write(&table.trim_fmt())
    }

    /// `text` in `style`, where colours are wanted.
    pub(crate) fn paint(&self, style: Style, text: &str) -> Text {
        let text = plain(text);
        Text(if self.colour { format!("{style}{text}{style:#}") } else { text })
    }
}

/// One line without anything that a terminal obeys, but for styles of our own.
pub(crate) struct Text(String);

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        Text(plain(text.as_ref()))
    }
}

impl Text {
    /// The two with a gap between them.
    pub(crate) fn then(self, next: impl Into<Text>) -> Text {
        Text(format!("{}  {}", self.0, next.into().0))
    }
}

fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// Writes a message to stderr, as one line. A closed stderr is no failure.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// The same for text of several lines, all of which are ours or the user's.
pub(crate) fn say_lines(text: &str) {
    let _ = writeln!(io::stderr(), "{}", plain_lines(text));
}

/// Shows a bar on stderr that fills in `time`, if it is a terminal; its position is in ms.
pub(crate) fn progress(time: Duration) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    // A template that is a constant and right.
    let style = ProgressStyle::with_template("{wide_bar} {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

/// By the convention of no-color.org, and not on a terminal that has none.
pub(crate) fn colours_wanted() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// A list, or a dash for none.
pub(crate) fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(", ") }
}

/// A latency, in the unit that suits it: `3.2 ms`.
pub(crate) fn latency(time: Duration) -> String {
    let micros = time.as_micros();
    let seconds = time.as_secs_f64();
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..100_000 => format!("{:.1} ms", seconds * 1e3),
        100_000..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

/// How long ago `since` was, in ms since 1970, by its largest unit: `3 m`.
pub(crate) fn age(since: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    // Clocks differ: what was born in the future is new.
    let ago = now.saturating_sub(since.into());
    span(Duration::from_millis(u64::try_from(ago).unwrap_or(u64::MAX)))
}

/// A time by its largest unit: `3 m`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(seconds: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        age(u64::try_from(now.as_millis()).unwrap() - seconds * 1000)
    }

    #[test]
    fn an_age_is_told_by_its_largest_unit() {
        assert_eq!([3, 190, 7300, 200_000].map(ago), ["3 s", "3 m", "2 h", "2 d"]);
        assert_eq!(age(u64::MAX), "0 s");
    }

    #[test]
    fn a_latency_is_told_in_the_unit_that_suits_it() {
        let told = [7, 2_345, 123_456, 20_000_000].map(|micros| latency(Duration::from_micros(micros)));
        assert_eq!(told, ["7 µs", "2.3 ms", "123 ms", "20.0 s"]);
    }

    #[test]
    fn no_list_is_a_dash() {
        assert_eq!((list(&["a", "b"]), list::<String>(&[])), ("a, b".into(), "-".into()));
    }
}
