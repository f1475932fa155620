//! Entries of streams.

use super::EntryId;
use redis::Value;

/// One entry of a stream, or one of the frames in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) frame: Vec<u8>,
}

/// Returns the entries in a reply to XREAD or XREADGROUP. It is parsed by hand, since redis-rs's own type makes a hash map of
/// every entry. An entry without the field has an empty frame, which is refused like any other garbage.
pub(super) fn entries(reply: Value) -> Vec<Entry> {
    let mut found = Vec::new();
    for stream in array(reply) {
        let Some(list) = array(stream).into_iter().nth(1) else { continue };
        for one in array(list) {
            let _ = entry(one, &mut found);
        }
    }
    found
}

/// Reads one `[id, [field, value, …]]`. An entry that was deleted after it was delivered has no fields.
fn entry(value: Value, found: &mut Vec<Entry>) -> Option<()> {
    let mut parts = array(value).into_iter();
    let id = EntryId::read(&bytes(parts.next()?)?)?;
    let mut fields = match parts.next()? {
        Value::Array(fields) => fields.into_iter(),
        _ => return None,
    };
    let known = found.len();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if bytes(name).as_deref() == Some(b"m") {
            found.push(Entry { id, frame: bytes(value).unwrap_or_default() });
        }
    }
    if found.len() == known {
        found.push(Entry { id, frame: Vec::new() });
    }
    Some(())
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Returns the bytes of a string, `None` for any other value.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn entries_are_read_in_order_and_deleted_ones_are_passed_over() {
        let one = Value::Array(vec![bulk("5-1"), Value::Array(vec![bulk("m"), bulk("hello")])]);
        let deleted = Value::Array(vec![bulk("6-0"), Value::Nil]);
        let two = Value::Array(vec![bulk("6-1"), Value::Array(["m", "a", "m", "b"].map(bulk).to_vec())]);
        let odd = Value::Array(vec![bulk("7-0"), Value::Array(vec![bulk("x"), bulk("y")])]);
        let reply = Value::Array(vec![Value::Array(vec![bulk("key"), Value::Array(vec![one, deleted, two, odd])])]);
        let read = entries(reply);
        assert_eq!(
            read,
            [
                Entry { id: EntryId::new(5, 1), frame: b"hello".to_vec() },
                Entry { id: EntryId::new(6, 1), frame: b"a".to_vec() },
                Entry { id: EntryId::new(6, 1), frame: b"b".to_vec() },
                Entry { id: EntryId::new(7, 0), frame: Vec::new() },
            ]
        );
    }

    #[test]
    fn nothing_to_read_is_no_entries() {
        assert_eq!(entries(Value::Nil), []);
    }
}
