//! The same two streams through redis-rs: what a program that leaves the protocol to a library can reach.

use crate::{
    Caller, Outcome, give_up, ready,
    streams::{COUNT, FIELD, GROUP, KEPT, REPLIES, REQUESTS, Waiters},
};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, Value, aio::MultiplexedConnection, cmd};
use std::sync::Arc;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

/// Commands that go out in one write, at most.
const BATCH: usize = 2048;
/// Commands that wait for the connection.
const BUFFER: usize = 1024;

async fn connect(address: &str) -> Outcome<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    // Reads block for as long as nothing comes.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(BUFFER);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// Answers every request with itself.
pub async fn serve(address: &str, replicas: usize) -> Outcome<()> {
    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg(REQUESTS).arg(GROUP).arg("0").arg("MKSTREAM");
    create.exec_async(&mut connect(address).await?).await?;
    let mut consumers = JoinSet::new();
    for number in 0..replicas {
        let (sender, receiver) = unbounded_channel();
        consumers.spawn(send(connect(address).await?, receiver));
        consumers.spawn(consume(connect(address).await?, sender, number));
    }
    ready();
    match consumers.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

async fn consume(
    mut requests: MultiplexedConnection,
    replies: UnboundedSender<Pipeline>,
    number: usize,
) -> Outcome<()> {
    let mut read = cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg(format!("replica-{number}")).arg("COUNT").arg(COUNT).arg("BLOCK").arg(0);
    read.arg("STREAMS").arg(REQUESTS).arg(">");
    loop {
        let found = requests.send_packed_command(&read).await?;
        let mut pipeline = Pipeline::new();
        let mut ids = Vec::new();
        for (id, frame) in entries(&found) {
            let mut reply = cmd("XADD");
            reply.arg(REPLIES).arg("MAXLEN").arg("~").arg(KEPT).arg("*").arg(FIELD).arg(frame);
            pipeline.add_command(reply);
            ids.push(id);
        }
        if !ids.is_empty() {
            pipeline.cmd("XACK").arg(REQUESTS).arg(GROUP).arg(&ids);
            pipeline.cmd("XDEL").arg(REQUESTS).arg(&ids);
            replies.send(pipeline)?;
        }
    }
}

/// Sends what came while the last batch was under way.
async fn send(mut connection: MultiplexedConnection, mut replies: UnboundedReceiver<Pipeline>) -> Outcome<()> {
    while let Some(mut batch) = replies.recv().await {
        while batch.len() < BATCH
            && let Ok(more) = replies.try_recv()
        {
            for command in more.cmd_iter() {
                batch.add_command(command.clone());
            }
        }
        connection.send_packed_commands(&batch, 0, batch.len()).await?;
    }
    Ok(())
}

/// Ids and frames of what a read returned.
fn entries(found: &Value) -> impl Iterator<Item = (&[u8], &[u8])> {
    let streams = list(found).iter();
    let entries = streams.flat_map(|stream| list(stream).get(1).map(list).unwrap_or_default());
    entries.filter_map(|entry| match list(entry) {
        [id, fields] => Some((text(id), text(list(fields).get(1)?))),
        _ => None,
    })
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        _ => &[],
    }
}

fn text(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(text) => text,
        _ => &[],
    }
}

#[derive(Clone)]
pub struct Client {
    waiters: Arc<Waiters>,
    requests: MultiplexedConnection,
}

impl Client {
    pub async fn connect(address: &str, callers: usize) -> Outcome<Self> {
        let waiters = Arc::new(Waiters::new(callers));
        let reading = read(connect(address).await?, waiters.clone());
        tokio::spawn(async move {
            if let Err(error) = reading.await {
                give_up(error);
            }
        });
        Ok(Client { waiters, requests: connect(address).await? })
    }
}

async fn read(mut replies: MultiplexedConnection, waiters: Arc<Waiters>) -> Outcome<()> {
    let mut last = b"0-0".to_vec();
    loop {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(COUNT).arg("BLOCK").arg(0).arg("STREAMS").arg(REPLIES).arg(&last);
        let found = replies.send_packed_command(&read).await?;
        for (id, frame) in entries(&found) {
            waiters.answer(frame);
            last.clear();
            last.extend_from_slice(id);
        }
    }
}

impl Caller for Client {
    async fn call(&self, caller: usize) -> bool {
        let (frame, answer) = self.waiters.ask(caller);
        let mut request: Cmd = cmd("XADD");
        // Its id is of no use; not to wait for it is what makes the answer one round trip.
        request.arg(REQUESTS).arg("*").arg(FIELD).arg(&frame).set_no_response(true);
        self.requests.clone().send_packed_command(&request).await.is_ok() && answer.await.is_ok()
    }
}
