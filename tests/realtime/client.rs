//! A client of Socket.IO 5 over Engine.IO 4, by hand: small enough to see every packet.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that wait in the system until they are read.
const RECEIVED: u32 = 64 << 10;

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
    events: VecDeque<(String, Value)>,
    answers: HashMap<u64, Result<Value, Value>>,
    pub(crate) id: String,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// The server told the client to go, so that it does not come back.
    Disconnected,
    /// The transport closed, after which clients come back.
    Closed,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        Client::connect_with(address, &[]).await.unwrap()
    }

    /// Connects with headers in the handshake.
    ///
    /// # Errors
    /// What the server said when it refused.
    pub(crate) async fn connect_with(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Client, Value> {
        let mut client = Client::open(address, headers).await;
        client.write("40").await;
        let answer = client.read().await.unwrap();
        match answer.split_at(2) {
            ("40", body) => {
                let body: Value = serde_json::from_str(body).unwrap();
                client.id = body["sid"].as_str().unwrap().to_owned();
                Ok(client)
            }
            ("44", error) => Err(serde_json::from_str(error).unwrap()),
            _ => panic!("{answer}"),
        }
    }

    /// Opens the transport and joins no namespace.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Client {
        let mut request = format!("ws://{address}/socket.io/?EIO=4&transport=websocket").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        // The system keeps little for those who do not read.
        let stream = TcpSocket::new_v4().unwrap();
        stream.set_recv_buffer_size(RECEIVED).unwrap();
        let stream = stream.connect(address).await.unwrap();
        let (socket, _) = client_async(request, stream).await.unwrap();
        let mut client =
            Client { socket, calls: 0, events: VecDeque::new(), answers: HashMap::new(), id: String::new() };
        let open = client.read().await.unwrap();
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["pingInterval"], 25000);
        assert_eq!(open["pingTimeout"], 20000);
        assert!(open["maxPayload"].is_u64());
        client
    }

    pub(crate) async fn write(&mut self, packet: impl Into<String>) {
        self.socket.send(Message::text(packet.into())).await.unwrap();
    }

    async fn write_binary(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    async fn frame(&mut self) -> Option<Message> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server is silent");
            match frame {
                None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return None,
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.write("3").await,
                Some(Ok(frame)) => return Some(frame),
            }
        }
    }

    async fn read(&mut self) -> Option<String> {
        match self.frame().await? {
            Message::Text(text) => Some(text.as_str().to_owned()),
            frame => panic!("{frame:?}"),
        }
    }

    /// Sends a call that wants no answer.
    pub(crate) async fn send(&mut self, arguments: Value) {
        self.write(format!("42{arguments}")).await;
    }

    /// Calls `arguments[0]` with the rest.
    ///
    /// # Errors
    /// What the server answered as an error.
    pub(crate) async fn call(&mut self, arguments: Value) -> Result<Value, Value> {
        let id = self.ask(arguments).await;
        self.answer(id).await
    }

    /// Sends a call and returns the number of its answer.
    pub(crate) async fn ask(&mut self, arguments: Value) -> u64 {
        self.calls += 1;
        let id = self.calls;
        self.write(format!("42{id}{arguments}")).await;
        id
    }

    pub(crate) async fn answer(&mut self, id: u64) -> Result<Value, Value> {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            let packet = self.read().await.expect("the connection ended before the answer");
            self.keep(&packet);
        }
    }

    /// The next packet as it is.
    pub(crate) async fn packet(&mut self) -> String {
        self.read().await.unwrap()
    }

    /// Writes unless the connection has ended.
    pub(crate) async fn try_write(&mut self, packet: &str) {
        let _ = self.socket.send(Message::text(packet.to_owned())).await;
    }

    /// Waits for the answer, or for the end of the connection.
    pub(crate) async fn answer_or_end(&mut self, id: u64) -> Option<String> {
        loop {
            let packet = self.read().await?;
            if packet.starts_with(&format!("43{id}[")) || packet == "1" {
                return Some(packet);
            }
        }
    }

    /// Calls with one attachment and returns the answer with the bytes that came along.
    pub(crate) async fn call_with_bytes(&mut self, arguments: Value, bytes: &[u8]) -> (Result<Value, Value>, Vec<u8>) {
        let id = self.ask_with_bytes(arguments, &[bytes]).await;
        let answer = self.read().await.unwrap();
        let answer = answer.strip_prefix(&format!("461-{id}")).unwrap_or_else(|| panic!("{answer}")).to_owned();
        match self.frame().await {
            Some(Message::Binary(bytes)) => (outcome(&answer), bytes.to_vec()),
            frame => panic!("{frame:?}"),
        }
    }

    /// Sends a call with attachments and returns the number of its answer.
    pub(crate) async fn ask_with_bytes(&mut self, arguments: Value, attachments: &[&[u8]]) -> u64 {
        self.calls += 1;
        let id = self.calls;
        let count = attachments.len();
        self.write(format!("45{count}-{id}{arguments}")).await;
        for bytes in attachments {
            self.write_binary(bytes).await;
        }
        id
    }

    fn keep(&mut self, packet: &str) {
        if let Some((id, answer)) = packet.strip_prefix("43").and_then(|answer| answer.split_once('[')) {
            self.answers.insert(id.parse().unwrap(), outcome(&format!("[{answer}")));
            return;
        }
        let event = packet.strip_prefix("42").unwrap_or_else(|| panic!("{packet}"));
        match serde_json::from_str(event).unwrap() {
            Value::Array(event) if event.len() == 2 => {
                self.events.push_back((event[0].as_str().unwrap().to_owned(), event[1].clone()));
            }
            event => panic!("{event}"),
        }
    }

    /// The next event: its name and its data.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let packet = self.read().await.expect("the connection ended before the event");
            self.keep(&packet);
        }
    }

    /// Waits for the end, whatever comes before it.
    pub(crate) async fn end(&mut self) -> End {
        loop {
            match self.read().await.as_deref() {
                Some("41") => return End::Disconnected,
                Some("1") | None => return End::Closed,
                Some(_) => {}
            }
        }
    }
}

fn outcome(answer: &str) -> Result<Value, Value> {
    match serde_json::from_str(answer).unwrap() {
        Value::Array(mut answer) if answer.len() == 2 && answer[0].is_null() => Ok(answer.remove(1)),
        Value::Array(mut answer) if answer.len() == 1 => Err(answer.remove(0)),
        answer => panic!("{answer}"),
    }
}

/// The place of the first attachment.
pub(crate) fn placeholder() -> Value {
    json!({ "_placeholder": true, "num": 0 })
}
