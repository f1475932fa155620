//! What a client sent: the name of a method, its arguments, and how to answer.

use super::{
    binary::{self, Binary},
    outbox,
};
use crate::{Error, Result, gateway::json};
use serde_json::Value;
use socketioxide::{
    SendError, SocketError, adapter::LocalAdapter, extract::AckSender, handler::FromMessageParts, socket::Socket,
};
use socketioxide_core::Value as Packed;
use std::{convert::Infallible, sync::Arc};

/// One message, read by our own hand: socketioxide's types know no list of arguments of any length, and refuse objects
/// whose first key has an escaped character.
pub(super) struct Message {
    pub(super) socket: Arc<Socket<LocalAdapter>>,
    /// The method and its arguments.
    pub(super) content: Result<(String, Vec<Value>)>,
    ack: Option<i64>,
}

impl FromMessageParts<LocalAdapter> for Message {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket<LocalAdapter>>,
        packed: &mut Packed,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        Ok(Message { socket: socket.clone(), content: read(packed), ack: *ack })
    }
}

fn read(packed: &mut Packed) -> Result<(String, Vec<Value>)> {
    let Packed::Str(text, attachments) = packed else { return Err(unreadable("it is binary")) };
    let mut arguments: Vec<Value> = json::read(text.as_str()).map_err(unreadable)?;
    if let Some(attachments) = attachments {
        let mut attachments: Vec<_> = attachments.drain(..).map(Some).collect();
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

/// The way back to whoever asked. Without an acknowledgement nobody waits, and nothing is sent.
pub(super) struct Answering {
    socket: Arc<Socket<LocalAdapter>>,
    ack: Option<i64>,
}

impl Message {
    pub(super) fn answering(&self) -> Answering {
        Answering { socket: self.socket.clone(), ack: self.ack }
    }
}

impl Answering {
    /// Sends the result, or the error; while the client takes nothing, waits.
    pub(super) async fn send(self, result: Result<Value>) {
        if self.ack.is_none() {
            return;
        }
        let error = result.as_ref().err().map(Error::to_json);
        let mut patience = outbox::Patience::default();
        while let Err(SendError::Socket(SocketError::InternalChannelFull)) = self.try_send(&result, error.as_ref()) {
            if !patience.wait().await {
                return;
            }
        }
    }

    fn try_send(&self, result: &Result<Value>, error: Option<&Value>) -> Result<(), SendError> {
        let Ok(sender) = AckSender::from_message_parts(&self.socket, &mut Packed::Bytes(Default::default()), &self.ack);
        match (result, error) {
            (Ok(result), _) => sender.send(&(Value::Null, Binary(result))),
            (Err(_), error) => sender.send(&(error.unwrap_or(&Value::Null),)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_read_as_a_replacement_character() {
        let mut packed = Packed::Str(r#"["create","notes",{"text":"cut \ud83d"}]"#.into(), None);
        let (method, arguments) = read(&mut packed).unwrap();
        let expected = [Value::from("notes"), serde_json::json!({ "text": "cut \u{fffd}" })];
        assert_eq!((method.as_str(), &arguments[..]), ("create", &expected[..]));
    }
}
