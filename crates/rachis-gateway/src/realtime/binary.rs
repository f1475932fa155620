//! Bytes in JSON.
//!
//! On the mesh, bytes are what Node's `Buffer` becomes in JSON: `{"type": "Buffer", "data": [1, 2, 3]}`. That is what
//! REST clients see and what services in Rust read. From and to sockets they travel as attachments, so a client that
//! sends a Buffer gets one back; an object of exactly this shape that was never a Buffer arrives as one, too.

use bytes::Bytes;
use rachis_core::{Error, Result};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::cell::RefCell;

/// Puts attachments in the places that wait for them, each in one: many places for one attachment would make a small
/// message a huge value.
///
/// # Errors
/// `BadRequest` for a place without attachment.
pub(super) fn put_in(value: &mut Value, attachments: &mut [Option<Bytes>]) -> Result<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| put_in(item, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
            let bytes = number.and_then(|number| attachments.get_mut(number)?.take());
            let bytes = bytes.ok_or_else(|| Error::bad_request("The message names an attachment that is missing"))?;
            *value = json!({ "type": "Buffer", "data": bytes.as_ref() });
            Ok(())
        }
        Value::Object(fields) => fields.values_mut().try_for_each(|field| put_in(field, attachments)),
        _ => Ok(()),
    }
}

/// The bytes that `value` stands for, if it does.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let data = fields.get("data").filter(|_| fields.get("type").is_some_and(|kind| kind == "Buffer"))?;
    data.as_array()?.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
}

/// The attachments of a message that is being written.
pub(super) type Attachments = RefCell<Vec<Bytes>>;

/// Serializes with places for bytes, which become attachments.
pub(super) struct Binary<'a> {
    value: &'a Value,
    attachments: &'a Attachments,
}

impl<'a> Binary<'a> {
    pub(super) fn new(value: &'a Value, attachments: &'a Attachments) -> Self {
        Binary { value, attachments }
    }
}

impl Serialize for Binary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let within = |value| Binary { value, attachments: self.attachments };
        match self.value {
            Value::Array(items) => serializer.collect_seq(items.iter().map(within)),
            Value::Object(fields) => {
                if let Some(bytes) = bytes(self.value) {
                    let mut attachments = self.attachments.borrow_mut();
                    let number = attachments.len();
                    attachments.push(bytes.into());
                    return json!({ "_placeholder": true, "num": number }).serialize(serializer);
                }
                serializer.collect_map(fields.iter().map(|(name, field)| (name, within(field))))
            }
            plain => plain.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_found_by_their_number() {
        let mut attachments = [Some(Bytes::from_static(&[1, 255])), Some(Bytes::new())];
        let place = |number: usize| json!({ "_placeholder": true, "num": number });
        let mut value = json!([{ "a\"b": place(1), "b": [place(0)] }, 1]);
        put_in(&mut value, &mut attachments).unwrap();
        let full = json!({"type": "Buffer", "data": [1, 255]});
        let empty = json!({"type": "Buffer", "data": []});
        assert_eq!(value, json!([{ "a\"b": empty, "b": [full] }, 1]));
    }

    #[test]
    fn a_place_without_attachment_of_its_own_is_refused() {
        let place = |number: i64| json!({ "_placeholder": true, "num": number });
        for value in [place(1), place(-1), json!({ "_placeholder": true }), json!([place(0), place(0)])] {
            let refused = put_in(&mut value.clone(), &mut [Some(Bytes::new())]);
            assert_eq!(refused.unwrap_err().code(), 400, "{value}");
        }
    }

    #[test]
    fn only_the_exact_shape_of_a_buffer_is_bytes() {
        assert_eq!(bytes(&json!({ "type": "Buffer", "data": [0, 255] })), Some(vec![0, 255]));
        for other in [
            json!({ "type": "Buffer", "data": [256] }),
            json!({ "type": "Buffer", "data": [-1] }),
            json!({ "type": "Buffer", "data": [1.5] }),
            json!({ "type": "Buffer", "data": "AQ==" }),
            json!({ "type": "Buffer", "data": [], "more": 1 }),
            json!({ "type": "buffer", "data": [] }),
            json!([0, 1]),
        ] {
            assert_eq!(bytes(&other), None, "{other}");
        }
    }
}
