//! A Socket.IO client that only listens: Engine.IO 4 over a websocket, by hand.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Connects and joins the namespace `/`.
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let request = url.into_client_request().expect("a URL");
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        let (socket, _) = client_async(request, stream).await.expect("the gateway takes sockets");
        let mut client = Client { socket };
        let open = client.packet().await.expect("the gateway opens the socket");
        assert!(open.starts_with('0'), "{open}");
        client.socket.send(Message::text("40")).await.expect("the socket is open");
        let joined = client.packet().await.expect("the gateway answers");
        assert!(joined.starts_with("40"), "{joined}");
        client
    }

    /// The next packet that is no heartbeat; `None` when the connection has ended.
    async fn packet(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) if text.as_str() == "2" => self.socket.send(Message::text("3")).await.ok()?,
                Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next event: its name and its data; `None` when the connection has ended.
    pub(crate) async fn event(&mut self) -> Option<(String, Value)> {
        let packet = self.packet().await?;
        let event = packet.strip_prefix("42").unwrap_or_else(|| panic!("no event: {packet}"));
        let (name, data) = serde_json::from_str(event).unwrap_or_else(|_| panic!("no event with data: {packet}"));
        Some((name, data))
    }
}
