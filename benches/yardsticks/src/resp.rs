//! As much of Redis's protocol as two streams need: commands out of strings, and the strings of a reply.

use crate::Outcome;
use bytes::{Buf, BytesMut};
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::yield_now,
};

pub async fn connect(address: &str) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Appends one command.
pub fn put(out: &mut Vec<u8>, words: &[&[u8]]) {
    put_list(out, words, &[]);
}

/// Appends one command that ends in a list.
pub fn put_list(out: &mut Vec<u8>, words: &[&[u8]], list: &[&[u8]]) {
    put_number(out, b'*', words.len() + list.len());
    for word in words.iter().chain(list) {
        put_number(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_number(out: &mut Vec<u8>, kind: u8, number: usize) {
    // Formatting by the standard library takes longer than the rest of the command.
    let mut digits = [0; 20];
    let mut at = 20;
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(kind);
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Finds the strings of the reply that `bytes` begin with; returns its length, or `None` while some of it is missing.
fn strings(bytes: &[u8], found: &mut Vec<Range<usize>>) -> Outcome<Option<usize>> {
    found.clear();
    let mut at = 0;
    let mut open = 1i64;
    while open > 0 {
        let Some((kind, text, next)) = line(bytes, at) else { return Ok(None) };
        (at, open) = (next, open - 1);
        match kind {
            b'-' => return Err(String::from_utf8_lossy(text).into()),
            b'*' => open += number(text).max(0),
            b'$' if text != b"-1" => {
                let end = at + usize::try_from(number(text))?;
                if bytes.len() < end + 2 {
                    return Ok(None);
                }
                found.push(at..end);
                at = end + 2;
            }
            _ => {}
        }
    }
    Ok(Some(at))
}

/// A line without its first byte, which says what it is, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let (kind, rest) = bytes.get(at..)?.split_first()?;
    let length = rest.iter().position(|byte| *byte == b'\r')?;
    (rest.len() > length + 1).then(|| (*kind, &rest[..length], at + length + 3))
}

/// A number as Redis writes it; `-1`, the only negative one, stands for nothing.
fn number(text: &[u8]) -> i64 {
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))).unwrap_or(-1)
}

/// Asks one command after the other, and waits for each reply.
pub struct Reader {
    incoming: OwnedReadHalf,
    outgoing: OwnedWriteHalf,
    bytes: BytesMut,
    command: Vec<u8>,
    strings: Vec<Range<usize>>,
}

impl Reader {
    pub async fn connect(address: &str) -> Outcome<Self> {
        let (incoming, outgoing) = connect(address).await?.into_split();
        let bytes = BytesMut::with_capacity(1 << 18);
        Ok(Reader { incoming, outgoing, bytes, command: Vec::new(), strings: Vec::new() })
    }

    /// Sends a command and gives `take` the reply's bytes and where its strings are.
    pub async fn ask(&mut self, words: &[&[u8]], take: impl FnOnce(&[u8], &[Range<usize>])) -> Outcome<()> {
        self.command.clear();
        put(&mut self.command, words);
        self.outgoing.write_all(&self.command).await?;
        loop {
            if let Some(length) = strings(&self.bytes, &mut self.strings)? {
                take(&self.bytes[..length], &self.strings);
                self.bytes.advance(length);
                return Ok(());
            }
            self.bytes.reserve(1 << 16);
            if self.incoming.read_buf(&mut self.bytes).await? == 0 {
                return Err("Redis closed the connection".into());
            }
        }
    }
}

/// Sends commands whose replies nobody needs; those of one moment go out in one write.
#[derive(Clone)]
pub struct Writer {
    waiting: Arc<Mutex<Vec<u8>>>,
    wake: Arc<Notify>,
}

impl Writer {
    pub async fn connect(address: &str) -> Outcome<Self> {
        let (mut incoming, mut outgoing) = connect(address).await?.into_split();
        tokio::spawn(async move {
            let mut replies = vec![0; 1 << 16];
            while let Ok(length @ 1..) = incoming.read(&mut replies).await {
                if replies[0] == b'-' {
                    crate::give_up(String::from_utf8_lossy(&replies[..length.min(200)]));
                }
            }
        });
        let writer = Writer { waiting: Arc::default(), wake: Arc::default() };
        let Writer { waiting, wake } = writer.clone();
        tokio::spawn(async move {
            let mut out = Vec::with_capacity(1 << 16);
            loop {
                wake.notified().await;
                // Whoever can run now has something to add.
                yield_now().await;
                std::mem::swap(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner), &mut out);
                if let Err(error) = outgoing.write_all(&out).await {
                    crate::give_up(error);
                }
                out.clear();
            }
        });
        Ok(writer)
    }

    /// Appends commands to what goes out next.
    pub fn push(&self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.is_empty();
        put(&mut waiting);
        drop(waiting);
        if first {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_once_all_of_it_is_there() {
        let reply = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n$2\r\nxy\r\n";
        let mut found = Vec::new();
        for end in 0..reply.len() {
            assert_eq!(strings(&reply[..end], &mut found).unwrap(), None);
        }
        assert_eq!(strings(reply, &mut found).unwrap(), Some(reply.len()));
        let found: Vec<_> = found.into_iter().map(|place| &reply[place]).collect();
        assert_eq!(found, [&b"s"[..], b"1-0", b"d", b"xy"]);
    }

    #[test]
    fn nothing_is_a_reply_and_an_error_is_one() {
        assert_eq!(strings(b"*-1\r\n", &mut Vec::new()).unwrap(), Some(5));
        assert_eq!(strings(b"$-1\r\n", &mut Vec::new()).unwrap(), Some(5));
        assert_eq!(strings(b"-ERR no\r\n", &mut Vec::new()).unwrap_err().to_string(), "ERR no");
    }

    #[test]
    fn a_command_says_how_long_its_words_are() {
        let mut out = Vec::new();
        put_list(&mut out, &[b"XACK"], &[b"1234567890-0"]);
        assert_eq!(out, b"*2\r\n$4\r\nXACK\r\n$12\r\n1234567890-0\r\n");
    }
}
