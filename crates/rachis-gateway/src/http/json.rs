//! JSON as clients write it.

use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// The length of `\ud83d`.
const ESCAPE: usize = 6;
/// What takes the place of half a character.
const REPLACEMENT: &str = "\\ufffd";

/// Reads one JSON value.
///
/// Half of a surrogate pair, which JavaScript writes as `\ud83d` when it has cut an emoji in two, is read as U+FFFD: text
/// here is Unicode and has no room for it.
///
/// # Errors
/// When `text` is anything but one JSON value, is nested deeper than 128, or holds a number that no `f64` can.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(&whole(text))
}

/// `text` with a replacement for each half of a surrogate pair.
fn whole(text: &str) -> Cow<'_, str> {
    let mut whole = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(backslash) = text[at..].find('\\') {
        at += backslash;
        match surrogate(&text[at..]) {
            None => at += escaped(&text[at..]),
            Some(0xd800..=0xdbff) if matches!(surrogate(&text[at + ESCAPE..]), Some(0xdc00..)) => at += 2 * ESCAPE,
            Some(_) => {
                whole.push_str(&text[kept..at]);
                whole.push_str(REPLACEMENT);
                at += ESCAPE;
                kept = at;
            }
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    whole.push_str(&text[kept..]);
    Cow::Owned(whole)
}

/// The length of a backslash and the character it stands before, so that the second of `\\` begins nothing.
fn escaped(text: &str) -> usize {
    1 + text[1..].chars().next().map_or(0, char::len_utf8)
}

/// The half of a pair that `text` begins with.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit =
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())??;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn half_a_surrogate_pair_is_read_as_a_replacement_character() {
        for (written, text) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""a\uDE00b""#, "a\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83dé""#, "\u{fffd}é"),
        ] {
            assert_eq!(read::<Value>(written).unwrap(), json!(text), "{written}");
        }
        assert_eq!(read::<Value>(r#"{"\ud83d":1}"#).unwrap(), json!({ "\u{fffd}": 1 }));
    }

    #[test]
    fn other_escapes_stay_what_they_are() {
        for (written, text) in [
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\\\\\ud83d\"""#, "\\\\\u{fffd}\""),
            (r#""\u0041\ud7ff\ue000""#, "A\u{d7ff}\u{e000}"),
        ] {
            assert_eq!(read::<Value>(written).unwrap(), json!(text), "{written}");
        }
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in [
            "\\",
            "\"\\",
            "\"\\u",
            "\"\\ud8",
            "\"\\ud83",
            "\"\\ud83g\"",
            "\"\\+d83\"",
            "\\é",
            "\"\\ud83dé",
            "[\\ud83d]",
            "NaN",
            "1e999",
        ] {
            assert!(read::<Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        for number in [
            "0.1234567890123456789",
            "1.7976931348623157e308",
            "5e-324",
            "89255.0e-22",
            "123456789012345678901234567890",
        ] {
            let exact: f64 = number.parse().unwrap();
            assert_eq!(read::<Value>(number).unwrap().as_f64().unwrap().to_bits(), exact.to_bits(), "{number}");
        }
    }
}
