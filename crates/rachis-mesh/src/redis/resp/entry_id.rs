//! Ids of stream entries.

use redis::{FromRedisValue, ParsingError, RedisWrite, ToRedisArgs, Value};
use std::{fmt, str::FromStr};

/// The id of an entry. Ids are ordered as in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    /// The time that Redis gave the entry, in ms of its clock.
    pub(crate) ms: u64,
    /// The sequence number within the millisecond.
    pub(crate) count: u64,
}

impl EntryId {
    /// The smallest id.
    pub(crate) const FIRST: Self = EntryId::new(0, 0);
    /// The largest id.
    pub(crate) const LAST: Self = EntryId::new(u64::MAX, u64::MAX);

    pub(crate) const fn new(ms: u64, count: u64) -> Self {
        EntryId { ms, count }
    }

    /// Parses an id. Without a sequence number it is the first of its millisecond.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let (ms, count) = match text.iter().position(|byte| *byte == b'-') {
            Some(dash) => (&text[..dash], digits(&text[dash + 1..])?),
            None => (text, 0),
        };
        Some(EntryId { ms: digits(ms)?, count })
    }

    /// Parses an id; returns the smallest one for anything else.
    pub(crate) fn read_or_first(text: &str) -> Self {
        EntryId::read(text.as_bytes()).unwrap_or(EntryId::FIRST)
    }
}

/// Parses a decimal number; by hand, since nothing is parsed more often.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Writes a decimal number; by hand, for the same reason.
pub(super) fn write_digits(to: &mut Vec<u8>, mut number: u64) {
    // As many as the largest has.
    let mut text = [b'0'; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        // Less than ten, so it fits.
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&text[at..]);
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.count)
    }
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        EntryId::read(text.as_bytes()).ok_or(())
    }
}

impl FromRedisValue for EntryId {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text = super::bytes(value).unwrap_or_default();
        EntryId::read(&text).ok_or_else(|| "not the id of an entry".into())
    }
}

impl ToRedisArgs for EntryId {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_id_is_refused() {
        for odd in ["", "-", "5-", "-1", "5-x", "a-1", "+5-1", "5-1-2", " 5-1", "99999999999999999999-0"] {
            assert_eq!(odd.parse::<EntryId>(), Err(()), "{odd}");
        }
    }

    #[test]
    fn half_an_id_is_the_first_of_its_millisecond() {
        assert_eq!("5".parse(), Ok(EntryId::new(5, 0)));
        assert_eq!(["", "x"].map(EntryId::read_or_first), [EntryId::FIRST; 2]);
    }

    proptest! {
        #[test]
        fn an_id_is_read_as_it_was_written(ms: u64, count: u64) {
            let id = EntryId::new(ms, count);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_redis_args(), [id.to_string().into_bytes()]);
        }

        #[test]
        fn digits_are_those_that_everybody_writes(number: u64) {
            let mut text = Vec::new();
            write_digits(&mut text, number);
            prop_assert_eq!(text.clone(), number.to_string().into_bytes());
            prop_assert_eq!(digits(&text), Some(number));
        }
    }
}
