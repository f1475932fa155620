//! Messages of Socket.IO 5: `<kind>[<attachments>-][<namespace>,][<number>]<JSON>`, followed by their attachments.

use super::{
    binary::{self, Binary},
    engine::Packet,
};
use crate::http::json;
use bytes::Bytes;
use rachis_core::{Error, Result};
use serde::Serialize;
use serde_json::Value;

/// The namespace of all sockets.
pub(super) const NAMESPACE: &str = "/";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    /// An answer to an event, of which the gateway sends none that wants one.
    Ack,
}

/// What stands in front of a message's JSON.
#[derive(Debug, PartialEq)]
pub(super) struct Head<'a> {
    pub(super) kind: Kind,
    pub(super) attachments: usize,
    pub(super) namespace: &'a str,
    /// The number by which the client wants an answer.
    pub(super) ack: Option<u64>,
    pub(super) json: &'a str,
}

impl<'a> Head<'a> {
    /// `None` for what is no message that a client may send.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(1)?;
        let (kind, binary) = match kind {
            "0" => (Kind::Connect, false),
            "1" => (Kind::Disconnect, false),
            "2" => (Kind::Event, false),
            "3" => (Kind::Ack, false),
            "5" => (Kind::Event, true),
            "6" => (Kind::Ack, true),
            _ => return None,
        };
        let (attachments, rest) = if binary { number(rest.split_once('-')?)? } else { (0, rest) };
        let (namespace, rest) =
            if rest.starts_with(NAMESPACE) { rest.split_once(',').unwrap_or((rest, "")) } else { (NAMESPACE, rest) };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (ack, json) = rest.split_at(digits);
        let ack = if ack.is_empty() { None } else { Some(ack.parse().ok()?) };
        Some(Head { kind, attachments: attachments as usize, namespace, ack, json })
    }
}

fn number<'a>((digits, rest): (&str, &'a str)) -> Option<(u32, &'a str)> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok().map(|number| (number, rest)))?
}

/// The method of a call and its arguments.
///
/// # Errors
/// `BadRequest` for what is no call.
pub(super) fn read(text: &str, attachments: Vec<Bytes>) -> Result<(String, Vec<Value>)> {
    let mut arguments: Vec<Value> = json::read(text).map_err(unreadable)?;
    let mut attachments: Vec<_> = attachments.into_iter().map(Some).collect();
    if !attachments.is_empty() {
        arguments.iter_mut().try_for_each(|argument| binary::put_in(argument, &mut attachments))?;
    }
    if arguments.is_empty() {
        return Err(unreadable("it is empty"));
    }
    match arguments.remove(0) {
        Value::String(method) => Ok((method, arguments)),
        _ => Err(unreadable("it names no method")),
    }
}

fn unreadable(why: impl std::fmt::Display) -> Error {
    Error::bad_request(format!("The message can not be read: {why}"))
}

/// The packets of an event.
pub(super) fn event(name: &str, data: &Value) -> Vec<Packet> {
    write('2', '5', None, |attachments| serde_json::to_string(&(name, Binary::new(data, attachments))))
}

/// The packets of an answer: the result, or the error alone.
pub(super) fn ack(number: u64, result: &Result<Value>) -> Vec<Packet> {
    write('3', '6', Some(number), |attachments| match result {
        Ok(result) => serde_json::to_string(&(Value::Null, Binary::new(result, attachments))),
        Err(error) => serde_json::to_string(&(error.to_json(),)),
    })
}

/// The packet that refuses a namespace.
pub(super) fn refusal(namespace: &str, message: &str) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        message: &'a str,
    }
    let namespace = if namespace == NAMESPACE { String::new() } else { format!("{namespace},") };
    let message = serde_json::to_string(&Refusal { message }).unwrap_or_default();
    format!("44{namespace}{message}")
}

/// Messages with attachments are of another kind than those without.
fn write(
    plain: char,
    binary: char,
    number: Option<u64>,
    json: impl FnOnce(&binary::Attachments) -> serde_json::Result<String>,
) -> Vec<Packet> {
    let attachments = binary::Attachments::default();
    let json = match json(&attachments) {
        Ok(json) => json,
        Err(error) => {
            tracing::error!(%error, "a message could not be written");
            return Vec::new();
        }
    };
    let attachments = attachments.into_inner();
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let text = match attachments.len() {
        0 => format!("4{plain}{number}{json}"),
        count => format!("4{binary}{count}-{number}{json}"),
    };
    let attachments = attachments.into_iter().map(Packet::Binary);
    std::iter::once(Packet::Text(text)).chain(attachments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_in_front_of_the_json_is_read() {
        let head = |kind, attachments, namespace, ack, json| Some(Head { kind, attachments, namespace, ack, json });
        for (text, expected) in [
            ("0", head(Kind::Connect, 0, "/", None, "")),
            ("0{\"a\":1}", head(Kind::Connect, 0, "/", None, "{\"a\":1}")),
            ("0/admin,", head(Kind::Connect, 0, "/admin", None, "")),
            ("1/admin", head(Kind::Disconnect, 0, "/admin", None, "")),
            ("2[\"é\"]", head(Kind::Event, 0, "/", None, "[\"é\"]")),
            ("212[1]", head(Kind::Event, 0, "/", Some(12), "[1]")),
            ("52-/a,0[1]", head(Kind::Event, 2, "/a", Some(0), "[1]")),
            ("60-1[]", head(Kind::Ack, 0, "/", Some(1), "[]")),
        ] {
            assert_eq!(Head::read(text), expected, "{text}");
        }
        for none in ["", "4{}", "7", "x", "é", "5[1]", "5-[1]", "5a-[1]", "5+1-[1]", "599999999999-[1]"] {
            let read = Head::read(none);
            assert!(read.is_none() || none == "5-[1]", "{none}: {read:?}");
        }
        assert_eq!(Head::read("5-[1]"), None);
        assert_eq!(Head::read("299999999999999999999[1]"), None);
    }

    #[test]
    fn bytes_travel_as_attachments() {
        let buffer = |bytes: &[u8]| json!({ "type": "Buffer", "data": bytes });
        let packets = event("todos created", &json!({ "a": buffer(&[1]), "b": [buffer(&[])] }));
        let text = r#"452-["todos created",{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}]"#;
        let attachment = |bytes: &'static [u8]| Packet::Binary(Bytes::from_static(bytes));
        assert_eq!(packets, [Packet::Text(text.to_owned()), attachment(&[1]), attachment(&[])]);
        assert_eq!(ack(7, &Ok(json!(1))), [Packet::Text("437[null,1]".to_owned())]);
        let number = ack(7, &Ok(buffer(&[2])));
        assert_eq!(number[0], Packet::Text(r#"461-7[null,{"_placeholder":true,"num":0}]"#.to_owned()));
        assert_eq!(ack(7, &Err(Error::not_found("x"))).len(), 1);
    }

    #[test]
    fn half_a_surrogate_pair_is_read_as_a_replacement_character() {
        let (method, arguments) = read(r#"["create","notes",{"text":"cut \ud83d"}]"#, Vec::new()).unwrap();
        let expected = [json!("notes"), json!({ "text": "cut \u{fffd}" })];
        assert_eq!((method.as_str(), &arguments[..]), ("create", &expected[..]));
    }
}
