//! What is said while running: always on stderr.

use super::{
    exit::Failure,
    plain::{Plain, plain_json},
};
use rachis::config::{Log, LogFormat};
use std::{
    fmt,
    io::{self, IsTerminal, Write, stderr},
    sync::Arc,
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{
        FormatFields,
        format::{DefaultFields, Writer},
    },
};

/// Lets other lines be wanted from now on.
pub(crate) type Relevel = Arc<dyn Fn(EnvFilter) + Send + Sync>;

/// Begins to log as the configuration says.
pub(crate) fn start(log: &Log) -> Result<Relevel, Failure> {
    let filter = filter(log)?;
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    // Both fail only where something logs already, or no longer does, which is as well.
    let relevel: Relevel = if json {
        let lines = lines.with_writer(|| PlainJsonLines(stderr())).json().flatten_event(true).with_filter_reloading();
        let handle = lines.reload_handle();
        let _ = lines.try_init();
        Arc::new(move |filter| drop(handle.reload(filter)))
    } else {
        let lines =
            lines.fmt_fields(PlainFields).with_ansi(terminal && super::out::colours_wanted()).with_target(false);
        let lines = lines.with_filter_reloading();
        let handle = lines.reload_handle();
        let _ = lines.try_init();
        Arc::new(move |filter| drop(handle.reload(filter)))
    };
    Ok(relevel)
}

/// Fields without anything that a terminal obeys; what stands around them is ours.
struct PlainFields;

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        DefaultFields::new().format_fields(Writer::new(&mut Plain(writer)), fields)
    }
}

/// Lines of JSON, each written as a whole, without anything that a terminal obeys.
struct PlainJsonLines<W>(W);

impl<W: Write> Write for PlainJsonLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(format!("{}\n", plain_json(line)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Reads which lines are wanted.
pub(crate) fn filter(log: &Log) -> Result<EnvFilter, Failure> {
    read(log).map_err(Failure::usage)
}

/// The same, with the bare reason why it is not readable.
pub(crate) fn read(log: &Log) -> Result<EnvFilter, String> {
    EnvFilter::try_new(&log.level)
        .map_err(|error| format!("`log.level` is {:?} ({error}): write a level, or info,rachis=debug", log.level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plain::{is_unsafe, tests::everything_unsafe};
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say() {
        let wicked = everything_unsafe();
        let error = rachis::Error::conflict(wicked.clone());
        let _span = tracing::error_span!("span", inside = %wicked).entered();
        tracing::error!(node = %wicked, path = wicked, ?error, list = ?[&wicked], "it says {wicked}");
    }

    fn one_harmless_line(buffer: &Buffer) -> String {
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(is_unsafe), "{line:?}");
        line.to_owned()
    }

    #[test]
    fn no_field_begins_a_line_or_moves_a_cursor_in_logs_for_people() {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || to.clone()).fmt_fields(PlainFields).with_ansi(false);
        tracing::subscriber::with_default(lines.finish(), say);
        assert!(one_harmless_line(&buffer).contains("node=\\u{0}"));
    }

    #[test]
    fn no_field_begins_a_line_or_moves_a_cursor_in_logs_for_programs() {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let lines =
            tracing_subscriber::fmt().with_writer(move || PlainJsonLines(to.clone())).json().flatten_event(true);
        tracing::subscriber::with_default(lines.finish(), say);
        let line: serde_json::Value = serde_json::from_str(&one_harmless_line(&buffer)).unwrap();
        assert_eq!(line["path"], everything_unsafe());
    }
}
