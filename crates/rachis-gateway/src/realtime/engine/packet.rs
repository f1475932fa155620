//! Packets of Engine.IO 4: a digit for their kind, and what belongs to it.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

/// Between the packets of a payload.
const SEPARATOR: char = '\u{1e}';

/// Clients may leave padding out, as Node.js lets them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A packet that a client sent.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::realtime) enum Received {
    Close,
    Ping(String),
    Pong,
    Message(String),
    Binary(Bytes),
    Upgrade,
    /// One that means nothing here.
    Nothing,
}

impl Received {
    /// `None` for what is no packet.
    pub(super) fn read(mut text: String) -> Option<Self> {
        let kind = *text.as_bytes().first()?;
        match kind {
            b'0' | b'6' => Some(Received::Nothing),
            b'1' => Some(Received::Close),
            b'2' => Some(Received::Ping(text.split_off(1))),
            b'3' => Some(Received::Pong),
            b'4' => {
                text.remove(0);
                Some(Received::Message(text))
            }
            b'5' => Some(Received::Upgrade),
            b'b' => BASE64.decode(&text[1..]).ok().map(|bytes| Received::Binary(bytes.into())),
            _ => None,
        }
    }
}

/// The packets of a payload, up to the first thing that is none.
///
/// # Errors
/// The packets before that.
pub(super) fn read_payload(payload: &[u8]) -> Result<Vec<Received>, Vec<Received>> {
    let mut packets = Vec::new();
    for text in String::from_utf8_lossy(payload).split(SEPARATOR) {
        match Received::read(text.to_owned()) {
            Some(packet) => packets.push(packet),
            None => return Err(packets),
        }
    }
    Ok(packets)
}

/// A packet for a client.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::realtime) enum Packet {
    /// With the digit of its kind.
    Text(String),
    /// An attachment.
    Binary(Bytes),
}

impl Packet {
    pub(super) fn text(text: &str) -> Self {
        Packet::Text(text.to_owned())
    }

    /// What it takes of a client's outbox: its bytes, and what it costs to keep them.
    pub(super) fn size(&self) -> usize {
        size_of::<Packet>()
            + match self {
                Packet::Text(text) => text.len(),
                Packet::Binary(bytes) => bytes.len(),
            }
    }
}

/// Packets as one payload; attachments as text, since a client that polls gets nothing else.
pub(super) fn payload(packets: Vec<Packet>) -> String {
    let size = packets.iter().map(Packet::size).sum();
    let mut payload = String::with_capacity(size);
    for packet in packets {
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        match packet {
            Packet::Text(text) => payload.push_str(&text),
            Packet::Binary(bytes) => {
                payload.push('b');
                BASE64.encode_string(bytes, &mut payload);
            }
        }
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_up_to_what_is_no_packet() {
        let message = Received::Message("2[\"é\"]".to_owned());
        let binary = Received::Binary(Bytes::from_static(&[1, 255]));
        let read = read_payload("42[\"é\"]\u{1e}bAf8=\u{1e}bAf8\u{1e}3\u{1e}2probe\u{1e}6".as_bytes()).unwrap();
        let probe = Received::Ping("probe".to_owned());
        assert_eq!(read, [message.clone(), binary.clone(), binary, Received::Pong, probe, Received::Nothing]);
        for broken in ["", "42[\"é\"]\u{1e}", "42[\"é\"]\u{1e}x\u{1e}3", "42[\"é\"]\u{1e}b!!"] {
            let before = read_payload(broken.as_bytes()).unwrap_err();
            assert!(before.iter().all(|packet| *packet == message), "{broken}");
        }
    }

    #[test]
    fn attachments_are_text_in_a_payload() {
        let packets =
            vec![Packet::text("451-[\"x\"]"), Packet::Binary(Bytes::from_static(&[1, 255])), Packet::text("2")];
        assert_eq!(payload(packets), "451-[\"x\"]\u{1e}bAf8=\u{1e}2");
    }
}
