//! The parser of responses, on the bytes as they came.
//!
//! redis-rs makes a value of every part of an entry, and allocates for each; of a read that brings hundreds of entries
//! that is most of what reading costs.

use super::{
    EntryId,
    entry::{self, Entry},
    entry_id::digits,
};
use redis::{ErrorKind, RedisError, RedisResult, Value};

/// The deepest nesting of arrays. A read of streams has four levels.
const DEPTH: usize = 8;

/// The response to a query.
#[derive(Debug, PartialEq)]
pub(crate) enum Response {
    /// The entries of a read of streams.
    Entries(Vec<Entry>),
    /// Any other response.
    Value(Value),
}

impl Response {
    /// Returns the entries in a response to XREAD or XREADGROUP.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        match self {
            Response::Entries(entries) => entries,
            Response::Value(value) => entry::entries(value),
        }
    }
}

/// The response to a command of a pipeline.
#[derive(Debug)]
pub(crate) enum RespValue {
    /// The id of a new entry.
    Id(EntryId),
    Int(i64),
    /// Any other text.
    Text(Box<[u8]>),
    Nil,
    /// Any other reply, whose content does not matter.
    Other,
    Error(RedisError),
}

impl RespValue {
    fn text(text: &[u8]) -> Self {
        EntryId::read(text).map_or_else(|| RespValue::Text(text.into()), RespValue::Id)
    }

    pub(crate) fn error(&self) -> Option<&RedisError> {
        match self {
            RespValue::Error(error) => Some(error),
            RespValue::Id(_) | RespValue::Int(_) | RespValue::Text(_) | RespValue::Nil | RespValue::Other => None,
        }
    }
}

impl From<Value> for RespValue {
    fn from(value: Value) -> Self {
        match value.extract_error() {
            Ok(Value::Int(number)) => RespValue::Int(number),
            Ok(Value::Nil) => RespValue::Nil,
            Ok(value) => entry::bytes(value).map_or(RespValue::Other, |text| RespValue::text(&text)),
            Err(error) => RespValue::Error(error),
        }
    }
}

/// Finds the end of a response in bytes that arrive in pieces, and looks at each byte once.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The position up to which it has looked.
    at: usize,
    /// The parts still to come, for each level.
    missing: Vec<u64>,
    begun: bool,
}

impl Scan {
    /// Returns the length of the response that `bytes` begin with; `None` until it is complete.
    pub(super) fn end(&mut self, bytes: &[u8]) -> RedisResult<Option<usize>> {
        if !std::mem::replace(&mut self.begun, true) {
            self.missing.push(1);
        }
        while let Some(level) = self.missing.last_mut() {
            if *level == 0 {
                self.missing.pop();
                continue;
            }
            let Some((kind, line, next)) = line(bytes, self.at) else { return Ok(None) };
            match kind {
                b'$' => {
                    let body = usize::try_from(number(line)?).map_or(0, |length| length.saturating_add(2));
                    let end = next.saturating_add(body);
                    if bytes.len() < end {
                        return Ok(None);
                    }
                    *level -= 1;
                    self.at = end;
                }
                b'*' => {
                    *level -= 1;
                    self.at = next;
                    let parts = u64::try_from(number(line)?).unwrap_or(0);
                    if self.missing.len() > DEPTH {
                        return Err(garbage());
                    }
                    self.missing.push(parts);
                }
                b'+' | b'-' | b':' => {
                    *level -= 1;
                    self.at = next;
                }
                _ => return Err(garbage()),
            }
        }
        Ok(Some(self.at))
    }
}

/// Parses the response that `bytes` begin with, and returns it with its length; `None` until it is complete.
pub(super) fn parse_value(bytes: &[u8]) -> RedisResult<Option<(RespValue, usize)>> {
    let Some((kind, line, next)) = line(bytes, 0) else { return Ok(None) };
    let value = match kind {
        b':' => RespValue::Int(number(line)?),
        b'$' => match usize::try_from(number(line)?) {
            Err(_) => RespValue::Nil,
            Ok(length) => {
                let end = next.saturating_add(length);
                let Some(body) = bytes.get(next..end).filter(|_| bytes.len() >= end.saturating_add(2)) else {
                    return Ok(None);
                };
                return Ok(Some((RespValue::text(body), end + 2)));
            }
        },
        b'+' => RespValue::Other,
        _ => {
            let Some(end) = Scan::default().end(bytes)? else { return Ok(None) };
            return Ok(Some((redis::parse_redis_value(&bytes[..end])?.into(), end)));
        }
    };
    Ok(Some((value, next)))
}

/// Parses a complete response.
pub(super) fn parse_response(bytes: &[u8]) -> RedisResult<Response> {
    match (Parts { bytes, at: 0 }).streams() {
        Some(entries) => Ok(Response::Entries(entries)),
        None => redis::parse_redis_value(bytes).map(Response::Value),
    }
}

/// A complete response, parsed from the front.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    /// `[[stream, [entry, …]], …]`; `None` for any other reply, such as none in time or an error.
    fn streams(&mut self) -> Option<Vec<Entry>> {
        let mut found = Vec::new();
        for _ in 0..self.array()?? {
            if self.array()?? != 2 {
                return None;
            }
            self.bulk()?;
            let entries = self.array()??;
            found.reserve(entries.min(self.bytes.len() / 16));
            for _ in 0..entries {
                self.entry(&mut found)?;
            }
        }
        Some(found)
    }

    /// `[id, [field, value, …]]`; nothing of an entry that was deleted after it was delivered, which has no fields.
    fn entry(&mut self, found: &mut Vec<Entry>) -> Option<()> {
        if self.array()?? != 2 {
            return None;
        }
        let id = EntryId::read(self.bulk()??)?;
        let Some(parts) = self.array()? else { return Some(()) };
        let known = found.len();
        for _ in 0..parts / 2 {
            let name = self.bulk()?;
            let value = self.bulk()?;
            if name == Some(b"m") {
                found.push(Entry { id, frame: value.unwrap_or_default().to_vec() });
            }
        }
        if found.len() == known {
            found.push(Entry { id, frame: Vec::new() });
        }
        Some(())
    }

    fn part(&mut self, wanted: u8) -> Option<i64> {
        let (kind, line, next) = line(self.bytes, self.at)?;
        let value = number(line).ok().filter(|_| kind == wanted)?;
        self.at = next;
        Some(value)
    }

    /// How many parts follow; the inner `None` is Redis's.
    fn array(&mut self) -> Option<Option<usize>> {
        // A bulk string may stand for a missing array, too.
        let kind = if self.bytes.get(self.at) == Some(&b'$') { b'$' } else { b'*' };
        let length = self.part(kind)?;
        if kind == b'$' && length >= 0 {
            return None;
        }
        Some(usize::try_from(length).ok())
    }

    /// A string; the inner `None` is Redis's.
    fn bulk(&mut self) -> Option<Option<&'a [u8]>> {
        let Ok(length) = usize::try_from(self.part(b'$')?) else { return Some(None) };
        let end = self.at.checked_add(length)?;
        let body = self.bytes.get(self.at..end)?;
        self.at = end.checked_add(2)?;
        Some(Some(body))
    }
}

/// Returns the kind and the rest of the line at `at`, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let (kind, rest) = bytes.get(at..)?.split_first()?;
    // No line of a reply has one anywhere else.
    let end = rest.iter().position(|byte| *byte == b'\r').filter(|end| end + 1 < rest.len())?;
    Some((*kind, &rest[..end], at + 1 + end + 2))
}

fn number(line: &[u8]) -> RedisResult<i64> {
    let (sign, line) = line.strip_prefix(b"-").map_or((1, line), |line| (-1, line));
    let number = digits(line).and_then(|number| i64::try_from(number).ok()).ok_or_else(garbage)?;
    Ok(sign * number)
}

fn garbage() -> RedisError {
    RedisError::from((ErrorKind::Parse, "the server's reply is no RESP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOME: &[u8] = b"*1\r\n*2\r\n$5\r\ncalls\r\n*4\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nm\r\n$7\r\nhe\r\nllo\r\n\
        *2\r\n$3\r\n6-0\r\n*-1\r\n*2\r\n$3\r\n6-1\r\n*4\r\n$1\r\nm\r\n$1\r\na\r\n$1\r\nm\r\n$1\r\nb\r\n*2\r\n$3\r\n7-0\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n";

    fn entry(id: &str, frame: &[u8]) -> Entry {
        Entry { id: id.parse().unwrap(), frame: frame.to_vec() }
    }

    #[test]
    fn entries_are_read_in_order_and_deleted_ones_are_passed_over() {
        assert_eq!(Scan::default().end(SOME).unwrap(), Some(SOME.len()));
        let read = vec![entry("5-1", b"he\r\nllo"), entry("6-1", b"a"), entry("6-1", b"b"), entry("7-0", b"")];
        assert_eq!(parse_response(SOME).unwrap(), Response::Entries(read));
    }

    #[test]
    fn an_end_is_found_however_the_bytes_come() {
        let mut scan = Scan::default();
        for cut in 0..SOME.len() {
            assert_eq!(scan.end(&SOME[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(scan.end(SOME).unwrap(), Some(SOME.len()));
        let more = [SOME, b"+OK\r\n"].concat();
        assert_eq!(Scan::default().end(&more).unwrap(), Some(SOME.len()));
    }

    #[test]
    fn what_is_no_read_of_streams_is_a_value() {
        for nil in [&b"*-1\r\n"[..], b"$-1\r\n"] {
            assert_eq!(Scan::default().end(nil).unwrap(), Some(nil.len()));
            assert_eq!(parse_response(nil).unwrap(), Response::Value(Value::Nil));
        }
        assert_eq!(parse_response(b":7\r\n").unwrap(), Response::Value(Value::Int(7)));
        let Response::Value(error) = parse_response(b"-NOGROUP No such key\r\n").unwrap() else {
            panic!("an error is no entries")
        };
        assert_eq!(error.extract_error().unwrap_err().code(), Some("NOGROUP"));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for odd in
            [&b"HTTP/1.1 400\r\n"[..], b"$x\r\n", b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"]
        {
            assert!(Scan::default().end(odd).is_err());
        }
    }

    #[test]
    fn what_a_write_brought_is_read_one_by_one() {
        let all = b"$3\r\n5-1\r\n$-1\r\n:7\r\n+OK\r\n-OOM no memory\r\n*1\r\n:1\r\n$4\r\n01JX\r\n";
        let mut at = 0;
        let mut read = Vec::new();
        while at < all.len() {
            let (one, length) = parse_value(&all[at..]).unwrap().unwrap();
            for cut in 0..length {
                assert!(parse_value(&all[at..at + cut]).unwrap().is_none(), "{cut} of {one:?}");
            }
            at += length;
            read.push(one);
        }
        let [
            RespValue::Id(id),
            RespValue::Nil,
            RespValue::Int(7),
            RespValue::Other,
            RespValue::Error(error),
            RespValue::Other,
            RespValue::Text(text),
        ] = &read[..]
        else {
            panic!("{read:?}")
        };
        assert_eq!((*id, error.code(), &**text), (EntryId::new(5, 1), Some("OOM"), &b"01JX"[..]));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_value(&bytes);
            let _ = Scan::default().end(&bytes);
            let _ = parse_response(&bytes);
            let headed = [b"*1\r\n*2\r\n$1\r\n", &bytes[..]].concat();
            let _ = Scan::default().end(&headed);
            let _ = parse_response(&headed);
        }
    }
}
