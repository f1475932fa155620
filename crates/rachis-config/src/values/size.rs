//! Sizes: `"64KiB"`, `"1MB"`, or a number of bytes.

use crate::values::value::deserialize_by_reading;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;

/// Longest first, so that `KiB` is not taken for `B`; within a length, largest first, so that `Display` finds the best.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// A number of bytes. Written as a number, or as text with a unit: `KiB`, `MiB`, `GiB` count in steps of 1024,
/// `KB`, `MB`, `GB` in steps of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; what does not fit is the longest length there is.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64().map(ByteSize),
            Value::String(text) => ByteSize::read_text(text.trim()),
            _ => None,
        }
    }

    fn read_text(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let unit = match unit.trim_start() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        number.checked_mul(unit).map(ByteSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |size: u64| self.0 != 0 && self.0.is_multiple_of(size);
        let (unit, size) = UNITS.into_iter().find(|(_, size)| fits(*size)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

deserialize_by_reading!(ByteSize, "a size such as \"64KiB\" or \"1MB\", or a number of bytes");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_size_is_text_with_a_unit_or_a_number_of_bytes() {
        let cases = [
            (json!(512), Some(512)),
            (json!("512"), Some(512)),
            (json!("512B"), Some(512)),
            (json!("64KiB"), Some(65_536)),
            (json!("64 kib"), Some(65_536)),
            (json!("1MiB"), Some(1_048_576)),
            (json!("100KB"), Some(100_000)),
            (json!("1MB"), Some(1_000_000)),
            (json!("2GiB"), Some(2_147_483_648)),
            (json!("1.5MB"), None),
            (json!("MB"), None),
            (json!("1M"), None),
            (json!(-1), None),
            (json!(true), None),
            (json!("18446744073709551615GiB"), None),
            (json!("1é"), None),
        ];
        for (written, bytes) in cases {
            assert_eq!(ByteSize::read(&written), bytes.map(ByteSize), "{written}");
        }
    }

    #[test]
    fn a_size_is_displayed_in_the_largest_unit_that_is_exact() {
        let cases =
            [(0, "0B"), (1, "1B"), (1024, "1KiB"), (1_048_576, "1MiB"), (100_000, "100KB"), (1_048_577, "1048577B")];
        for (bytes, shown) in cases {
            assert_eq!(ByteSize(bytes).to_string(), shown);
            assert_eq!(ByteSize::read(&json!(shown)), Some(ByteSize(bytes)));
        }
    }
}
