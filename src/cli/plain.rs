//! What a terminal would obey, or order otherwise, written so that it is only seen.
//!
//! Node ids, paths, records and errors come from elsewhere. Nothing in them may move a cursor, begin a line, hide text or
//! change the order in which it is read.

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};
use std::{
    fmt::{self, Write as _},
    io,
};

/// Control characters (C0, DEL, C1), separators of lines and paragraphs, and what has no width or turns the direction.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Text on one line, with escapes such as `\u{1b}` and `\n` in place of what is unsafe.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // A string takes whatever is written.
    let _ = Plain(&mut plain).write_str(text);
    plain
}

/// The same for whatever is written through it.
pub(crate) struct Plain<W>(pub(crate) W);

impl<W: fmt::Write> fmt::Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unsafe) {
            let (safe, unsafe_on) = rest.split_at(at);
            self.0.write_str(safe)?;
            let mut chars = unsafe_on.chars();
            if let Some(c) = chars.next() {
                write!(self.0, "{}", c.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// JSON on one line in which everything unsafe is `\uXXXX`.
pub(crate) fn json(value: &impl Serialize) -> io::Result<String> {
    write_json(value, PlainJson(CompactFormatter))
}

/// The same, spread out for people.
pub(crate) fn json_spread_out(value: &impl Serialize) -> io::Result<String> {
    write_json(value, PlainJson(PrettyFormatter::new()))
}

fn write_json(value: &impl Serialize, formatter: impl Formatter) -> io::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Text that is JSON already, with `\uXXXX` in place of what is unsafe. There, that stands inside of strings only.
pub(crate) fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| plain.push_str(&format!("\\u{unit:04x}")));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Writes strings without what is unsafe, and the rest as `F` does.
struct PlainJson<F>(F);

impl<F: Formatter> Formatter for PlainJson<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.contains(is_unsafe) {
            writer.write_all(plain_json(fragment).as_bytes())
        } else {
            writer.write_all(fragment.as_bytes())
        }
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json as value};

    /// Every character that may not get through.
    pub(crate) fn everything_unsafe() -> String {
        let ranges = [
            0..=0x1f_u32,
            0x7f..=0x9f,
            0x61c..=0x61c,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0xfeff..=0xfeff,
            0xe0001..=0xe0001,
            0xe0020..=0xe007f,
        ];
        ranges.into_iter().flatten().filter_map(char::from_u32).collect()
    }

    #[test]
    fn nothing_unsafe_gets_through_and_all_else_does() {
        let shown = plain(&everything_unsafe());
        assert!(shown.is_ascii() && !shown.contains(|c: char| c.is_ascii_control()), "{shown}");
        assert_eq!(plain("a\u{1b}[31mb\nc ä\u{9b}\u{202e}"), "a\\u{1b}[31mb\\nc ä\\u{9b}\\u{202e}");
        for harmless in ["Ünïcödé 日本語 עברית العربية 🦀 e\u{301}", "\\n", ""] {
            assert_eq!(plain(harmless), harmless);
        }
    }

    #[test]
    fn json_says_the_same_without_anything_unsafe() {
        let text = everything_unsafe() + "\"\\ä🦀";
        let document = value!({ text.clone(): [text.clone(), { "a": [], "b": {} }] });
        for shown in [json(&document).unwrap(), json_spread_out(&document).unwrap().replace('\n', "")] {
            assert!(!shown.contains(is_unsafe), "{shown}");
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), document);
        }
        let plain = json(&value!({ "a": [1, "b\u{9b}\u{e0001}"], "c": null })).unwrap();
        assert_eq!(plain, r#"{"a":[1,"b\u009b\udb40\udc01"],"c":null}"#);
        let harmless = value!({ "a": [1, { "b": [] }], "c": "ä" });
        assert_eq!(json(&harmless).unwrap(), harmless.to_string());
        assert_eq!(json_spread_out(&harmless).unwrap(), serde_json::to_string_pretty(&harmless).unwrap());
    }
}
