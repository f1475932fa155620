//! HTTP and websockets by hand: a proper client would not send most of this.

use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back over HTTP. The status is 0 where nothing did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
        let status = bytes.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        Answer { status: status.unwrap_or(0), body: bytes[end..].to_vec() }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// The status, name and message of an error.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, String, String) {
        let error = self.json();
        assert_eq!(error["code"], self.status);
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        (self.status, text("name"), text("message"))
    }
}

/// Writes these bytes, as many as are taken.
pub(crate) async fn write(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    stream
}

/// What comes until the server closes, however it does.
pub(crate) async fn rest_of(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server is silent");
    Answer::of(&bytes)
}

/// Sends a request that says that it is the last of its connection.
pub(crate) async fn ask(address: SocketAddr, line: &str, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    rest_of(&mut write(address, &[head.as_bytes(), body].concat()).await).await
}

pub(crate) async fn get(address: SocketAddr, url: &str) -> Answer {
    ask(address, &format!("GET {url}"), "", b"").await
}

/// Posts to the echo service.
pub(crate) async fn post(address: SocketAddr, content_type: &str, body: &[u8]) -> Answer {
    ask(address, "POST /echo", &format!("content-type: {content_type}\r\n"), body).await
}

/// A websocket with a session of Engine.IO.
pub(crate) struct Socket {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Socket {
    /// Opens the transport and joins no namespace.
    pub(crate) async fn open(address: SocketAddr) -> Socket {
        let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
            upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut socket = Socket { stream: write(address, head.as_bytes()).await, unread: Vec::new() };
        let end = loop {
            if let Some(end) = socket.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(socket.more().await, "no handshake");
        };
        let head: Vec<u8> = socket.unread.drain(..end).collect();
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        assert!(socket.read().await.unwrap().starts_with("0{"));
        socket
    }

    /// A socket that can call.
    pub(crate) async fn connect(address: SocketAddr) -> Socket {
        let mut socket = Socket::open(address).await;
        socket.write("40").await;
        assert!(socket.read().await.unwrap().starts_with("40{"));
        socket
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await.expect("the server is silent");
        read.is_ok_and(|count| count > 0)
    }

    /// Writes one frame, masked with zeros; the first byte says of which kind.
    pub(crate) async fn frame(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![kind];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | short as u8),
            middle @ ..65536 => {
                frame.push(0x80 | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.raw(&frame).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes()).await;
    }

    pub(crate) async fn write_binary(&mut self, bytes: &[u8]) {
        self.frame(0x82, bytes).await;
    }

    /// The next text, or `None` when the server has closed. Its pings are answered and not shown.
    pub(crate) async fn read(&mut self) -> Option<String> {
        loop {
            let (kind, payload) = self.next_frame().await?;
            match (kind, payload.as_slice()) {
                (0x88, _) => return None,
                (0x81, b"2") => self.write("3").await,
                (0x81, text) => return Some(String::from_utf8(text.to_vec()).unwrap()),
                _ => {}
            }
        }
    }

    async fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((start, length)) = frame_at(&self.unread)
                && self.unread.len() >= start + length
            {
                let frame: Vec<u8> = self.unread.drain(..start + length).collect();
                return Some((frame[0], frame[start..].to_vec()));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Calls and reads the answer, which is a result or an error.
    pub(crate) async fn call(&mut self, arguments: &Value) -> Option<Value> {
        self.write(&format!("421{arguments}")).await;
        self.answer("431").await
    }

    /// The next message with this prefix.
    pub(crate) async fn answer(&mut self, prefix: &str) -> Option<Value> {
        loop {
            if let Some(answer) = self.read().await?.strip_prefix(prefix) {
                return Some(serde_json::from_str(answer).unwrap());
            }
        }
    }

    /// Does it work?
    pub(crate) async fn is_well(&mut self) -> bool {
        self.write("42999[\"get\",\"echo\",\"1\"]").await;
        self.answer("43999").await == Some(json!([null, { "id": "1" }]))
    }
}

/// Where the payload of the first frame starts, and how long it is.
fn frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? {
        short @ ..126 => Some((2, short.into())),
        126 => Some((4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into())),
        _ => Some((10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?).try_into().ok()?)),
    }
}
