//! Request and reply through nats-server, the record of 130 bytes in JSON as the other peers have it.

use crate::{Caller, Outcome, ready};
use async_nats::Message;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const SUBJECT: &str = "echo.get";
const GROUP: &str = "replicas";

pub async fn serve(address: &str, replicas: usize) -> Outcome<()> {
    let mut consumers = JoinSet::new();
    for _ in 0..replicas {
        let client = async_nats::connect(address).await?;
        let requests = client.queue_subscribe(SUBJECT, GROUP.into()).await?;
        client.flush().await?;
        consumers.spawn(requests.for_each(move |request| {
            // As a service would: one request does not wait for the one before.
            tokio::spawn(answer(client.clone(), request));
            std::future::ready(())
        }));
    }
    ready();
    consumers.join_next().await;
    Err("the connection to nats-server is gone".into())
}

async fn answer(client: async_nats::Client, request: Message) {
    let (Ok(asked), Some(inbox)) = (serde_json::from_slice::<Value>(&request.payload), request.reply) else { return };
    let record = json!({ "id": asked["id"], "title": "hello", "text": "x".repeat(100) });
    if let Err(error) = client.publish(inbox, record.to_string().into()).await {
        eprintln!("error: {error}");
    }
}

#[derive(Clone)]
pub struct Client {
    client: async_nats::Client,
}

impl Client {
    pub async fn connect(address: &str) -> Outcome<Self> {
        Ok(Client { client: async_nats::connect(address).await? })
    }
}

impl Caller for Client {
    async fn call(&self, caller: usize) -> bool {
        let asked = json!({ "id": caller.to_string() }).to_string();
        let answer = self.client.request(SUBJECT, asked.into()).await;
        answer.is_ok_and(|answer| serde_json::from_slice::<Value>(&answer.payload).is_ok())
    }
}
