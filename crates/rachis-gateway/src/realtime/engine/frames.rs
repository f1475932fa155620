//! Reads the messages of a websocket.
//!
//! By hand rather than by tungstenite's streams, which end with the first message that is too large: here its beginning
//! is still read, so that the call in it can be refused by name, and the rest is skipped. Headers are tungstenite's.

use bytes::{Buf, Bytes, BytesMut};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// What is read ahead. Most messages are smaller, and an idle socket costs this much.
const AHEAD: usize = 2048;
/// How much of a message that is too large is kept: enough for what stands in front of its arguments.
const BEGINNING: usize = 64;
/// How much of one is skipped before its connection is closed.
const SKIPPED: u64 = 64 << 20;
/// What a control frame may carry at most.
const CONTROL: u64 = 125;
/// How long a message may take to arrive, from its first byte on.
const ARRIVING: Duration = Duration::from_secs(30);

/// What came.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(String),
    Binary(Bytes),
    /// A message above the limit, which was skipped: how it begins, whether it is text, and how long it is.
    TooLarge {
        beginning: Vec<u8>,
        text: bool,
        length: u64,
    },
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    /// With the code that the close frame shall have.
    Protocol(CloseCode, &'static str),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

pub(super) struct Frames<R> {
    io: R,
    ahead: BytesMut,
    limit: usize,
}

/// A message whose end has not come yet.
struct Partial {
    bytes: Vec<u8>,
    text: bool,
    length: u64,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Reads from `io`, messages of at most `limit` bytes.
    pub(super) fn new(io: R, limit: usize) -> Self {
        Frames { io, ahead: BytesMut::with_capacity(AHEAD), limit }
    }

    /// The next message or control frame. One of those that comes within a message is answered by nothing: no client of
    /// Engine.IO sends any.
    ///
    /// # Errors
    /// When the connection or the protocol is broken, and for a message that takes too long.
    pub(super) async fn next(&mut self) -> Result<Frame, Broken> {
        if self.ahead.is_empty() {
            self.more().await?;
        }
        let late = Broken::Protocol(CloseCode::Policy, "a message did not arrive in time");
        tokio::time::timeout(ARRIVING, self.message()).await.unwrap_or(Err(late))
    }

    async fn message(&mut self) -> Result<Frame, Broken> {
        let mut partial: Option<Partial> = None;
        loop {
            let (header, length, mask) = self.header().await?;
            match header.opcode {
                OpCode::Control(kind) => {
                    let payload = self.control(&header, length, mask).await?;
                    match (kind, &partial) {
                        (Control::Close, _) => return Ok(Frame::Close),
                        (Control::Ping, None) => return Ok(Frame::Ping(payload)),
                        (_, None) => return Ok(Frame::Pong),
                        _ => {}
                    }
                }
                OpCode::Data(kind) => {
                    let mut message = match (kind, partial.take()) {
                        (Data::Continue, Some(message)) => message,
                        (Data::Text | Data::Binary, None) => {
                            Partial { bytes: Vec::new(), text: kind == Data::Text, length: 0 }
                        }
                        _ => return Err(Broken::Protocol(CloseCode::Protocol, "a frame out of order")),
                    };
                    self.payload(&mut message, length, mask).await?;
                    if header.is_final {
                        return self.whole(message);
                    }
                    partial = Some(message);
                }
            }
        }
    }

    fn whole(&self, message: Partial) -> Result<Frame, Broken> {
        if message.length > self.limit as u64 {
            return Ok(Frame::TooLarge { beginning: message.bytes, text: message.text, length: message.length });
        }
        if !message.text {
            return Ok(Frame::Binary(message.bytes.into()));
        }
        let text = String::from_utf8(message.bytes);
        text.map(Frame::Text).map_err(|_| Broken::Protocol(CloseCode::Invalid, "text that is no UTF-8"))
    }

    async fn header(&mut self) -> Result<(FrameHeader, u64, [u8; 4]), Broken> {
        loop {
            let mut cursor = io::Cursor::new(&self.ahead[..]);
            let parsed = FrameHeader::parse(&mut cursor);
            let read = cursor.position();
            let wrong = Broken::Protocol(CloseCode::Protocol, "a frame that is none");
            match parsed {
                Ok(Some((header, length))) => {
                    self.ahead.advance(usize::try_from(read).unwrap_or(0));
                    let extended = header.rsv1 || header.rsv2 || header.rsv3;
                    return match header.mask {
                        Some(mask) if !extended => Ok((header, length, mask)),
                        _ => Err(wrong),
                    };
                }
                Ok(None) => self.more().await?,
                Err(_) => return Err(wrong),
            }
        }
    }

    async fn control(&mut self, header: &FrameHeader, length: u64, mask: [u8; 4]) -> Result<Vec<u8>, Broken> {
        if !header.is_final || length > CONTROL {
            return Err(Broken::Protocol(CloseCode::Protocol, "a control frame that is none"));
        }
        let mut payload = Partial { bytes: Vec::new(), text: false, length: 0 };
        self.take(&mut payload.bytes, length, mask).await?;
        Ok(payload.bytes)
    }

    /// Adds the payload of a frame to its message, or of a message that is too large only the beginning.
    async fn payload(&mut self, message: &mut Partial, length: u64, mask: [u8; 4]) -> Result<(), Broken> {
        message.length = message.length.saturating_add(length);
        if message.length <= self.limit as u64 {
            return self.take(&mut message.bytes, length, mask).await;
        }
        if message.length > SKIPPED.max(self.limit as u64) {
            return Err(Broken::Protocol(CloseCode::Size, "a message far above the limit"));
        }
        let missing = BEGINNING.saturating_sub(message.bytes.len()) as u64;
        let kept = missing.min(length);
        self.take(&mut message.bytes, kept, mask).await?;
        // Frees what came of it before it was known to be too large.
        message.bytes.truncate(BEGINNING);
        message.bytes.shrink_to_fit();
        self.skip(length - kept).await
    }

    /// Reads the first `length` bytes of a payload to the end of `bytes`.
    async fn take(&mut self, bytes: &mut Vec<u8>, length: u64, mask: [u8; 4]) -> Result<(), Broken> {
        let start = bytes.len();
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        while left > 0 {
            if self.ahead.is_empty() {
                // Past what is read ahead, straight to its place. The room for it grows with what has come, so a length
                // alone takes no memory.
                let read = (&mut self.io).take(left as u64).read_buf(bytes).await?;
                if read == 0 {
                    return Err(ended());
                }
                left -= read;
                continue;
            }
            let there = left.min(self.ahead.len());
            bytes.extend_from_slice(&self.ahead[..there]);
            self.ahead.advance(there);
            left -= there;
        }
        if mask != [0; 4] {
            bytes[start..].iter_mut().enumerate().for_each(|(index, byte)| *byte ^= mask[index % 4]);
        }
        Ok(())
    }

    async fn skip(&mut self, length: u64) -> Result<(), Broken> {
        let mut left = length;
        while left > 0 {
            if self.ahead.is_empty() {
                self.more().await?;
            }
            let there = left.min(self.ahead.len() as u64);
            self.ahead.advance(usize::try_from(there).unwrap_or(self.ahead.len()));
            left -= there;
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<(), Broken> {
        self.ahead.reserve(1);
        match self.io.read_buf(&mut self.ahead).await? {
            0 => Err(ended()),
            _ => Ok(()),
        }
    }

    /// Reads and forgets until the other side is done, so that what was written last is not lost to a broken connection.
    pub(super) async fn drain(&mut self) {
        self.ahead.clear();
        while self.more().await.is_ok() {
            self.ahead.clear();
        }
    }
}

fn ended() -> Broken {
    Broken::Io(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const LIMIT: usize = 300;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ ..126 => bytes.push(0x80 | short as u8),
            long => {
                bytes.push(0x80 | 126);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        bytes.extend(mask);
        bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
        bytes
    }

    fn read(bytes: &[u8]) -> Frames<&[u8]> {
        Frames::new(bytes, LIMIT)
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut() {
        let long = "x".repeat(LIMIT);
        let (head, tail) = long.split_at(130);
        let bytes = [
            frame(0x81, "é".as_bytes()),
            frame(0x01, head.as_bytes()),
            frame(0x89, b"within"),
            frame(0x00, b""),
            frame(0x80, tail.as_bytes()),
            frame(0x82, &[0, 255]),
            frame(0x89, b"ping"),
            frame(0x8a, b""),
            frame(0x88, b""),
        ]
        .concat();
        let mut frames = read(&bytes);
        assert_eq!(frames.next().await.unwrap(), Frame::Text("é".to_owned()));
        assert_eq!(frames.next().await.unwrap(), Frame::Text(long.clone()));
        assert_eq!(frames.next().await.unwrap(), Frame::Binary(Bytes::from_static(&[0, 255])));
        assert_eq!(frames.next().await.unwrap(), Frame::Ping(b"ping".to_vec()));
        assert_eq!(frames.next().await.unwrap(), Frame::Pong);
        assert_eq!(frames.next().await.unwrap(), Frame::Close);
        assert!(matches!(frames.next().await, Err(Broken::Io(_))));
    }

    #[tokio::test]
    async fn of_a_message_that_is_too_large_only_the_beginning_is_kept() {
        let long: String = ('a'..='z').cycle().take(LIMIT + 1).collect();
        for cut in [0, 1, 50, BEGINNING, 100, LIMIT, LIMIT + 1] {
            let (head, tail) = long.split_at(cut);
            let bytes = [frame(0x01, head.as_bytes()), frame(0x80, tail.as_bytes()), frame(0x81, b"next")].concat();
            let mut frames = read(&bytes);
            let beginning = long.as_bytes()[..BEGINNING].to_vec();
            let length = long.len() as u64;
            assert_eq!(frames.next().await.unwrap(), Frame::TooLarge { beginning, text: true, length }, "{cut}");
            assert_eq!(frames.next().await.unwrap(), Frame::Text("next".to_owned()), "{cut}");
        }
    }

    #[tokio::test]
    async fn what_is_no_websocket_is_broken() {
        for bytes in [
            frame(0x83, b""),
            frame(0xc1, b""),
            frame(0x80, b"continues nothing"),
            frame(0x09, b"a part of a ping"),
            frame(0x89, &[0; 126]),
            frame(0x81, b"\xff\xfe"),
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            b"\x81\x02ab".to_vec(),
            b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(),
        ] {
            assert!(matches!(read(&bytes).next().await, Err(Broken::Protocol(..))), "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_without_an_end_has_one() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut frames = Frames::new(server, LIMIT);
        let trickle = async {
            let mut next = frame(0x01, b"x");
            while client.write_all(&next).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                next = frame(0x00, b"");
            }
        };
        tokio::select! {
            outcome = frames.next() => assert!(matches!(outcome, Err(Broken::Protocol(CloseCode::Policy, _)))),
            () = trickle => unreachable!("the reader is still there"),
        }
    }
}
