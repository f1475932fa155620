//! Two streams by hand-written commands: the most that they can give.

use crate::{
    Caller, Outcome, give_up, ready,
    resp::{Reader, Writer, put, put_list},
    streams::{COUNT, FIELD, GROUP, KEPT, REPLIES, REQUESTS, Waiters},
};
use std::{ops::Range, sync::Arc};
use tokio::task::JoinSet;

/// Answers every request with itself.
pub async fn serve(address: &str, replicas: usize) -> Outcome<()> {
    let create = [b"XGROUP", &b"CREATE"[..], REQUESTS.as_bytes(), GROUP.as_bytes(), b"0", b"MKSTREAM"];
    Reader::connect(address).await?.ask(&create, |_, _| {}).await?;
    let mut consumers = JoinSet::new();
    for number in 0..replicas {
        consumers.spawn(consume(Reader::connect(address).await?, Writer::connect(address).await?, number));
    }
    ready();
    match consumers.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

async fn consume(mut requests: Reader, replies: Writer, number: usize) -> Outcome<()> {
    let name = format!("replica-{number}");
    let count = COUNT.to_string();
    let kept = KEPT.to_string();
    let read = [
        &b"XREADGROUP"[..],
        b"GROUP",
        GROUP.as_bytes(),
        name.as_bytes(),
        b"COUNT",
        count.as_bytes(),
        b"BLOCK",
        b"0",
        b"STREAMS",
        REQUESTS.as_bytes(),
        b">",
    ];
    let reply = [b"XADD", REPLIES.as_bytes(), b"MAXLEN", b"~", kept.as_bytes(), b"*", FIELD.as_bytes()];
    loop {
        let answer = |bytes: &[u8], strings: &[Range<usize>]| {
            replies.push(|out| {
                let mut ids = Vec::with_capacity(strings.len() / 3);
                for (id, frame) in entries(bytes, strings) {
                    put_list(out, &reply, &[frame]);
                    ids.push(id);
                }
                put_list(out, &[b"XACK", REQUESTS.as_bytes(), GROUP.as_bytes()], &ids);
                put_list(out, &[b"XDEL", REQUESTS.as_bytes()], &ids);
            });
        };
        requests.ask(&read, answer).await?;
    }
}

/// Ids and frames of what a read returned: the name of the stream, then an id, a field and a value each.
fn entries<'a>(bytes: &'a [u8], strings: &'a [Range<usize>]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let entries = strings.get(1..).unwrap_or_default().chunks_exact(3);
    entries.map(|entry| (&bytes[entry[0].clone()], &bytes[entry[2].clone()]))
}

#[derive(Clone)]
pub struct Client {
    waiters: Arc<Waiters>,
    requests: Writer,
}

impl Client {
    pub async fn connect(address: &str, callers: usize) -> Outcome<Self> {
        let waiters = Arc::new(Waiters::new(callers));
        let replies = Reader::connect(address).await?;
        let reading = read(replies, waiters.clone());
        tokio::spawn(async move {
            if let Err(error) = reading.await {
                give_up(error);
            }
        });
        Ok(Client { waiters, requests: Writer::connect(address).await? })
    }
}

async fn read(mut replies: Reader, waiters: Arc<Waiters>) -> Outcome<()> {
    let count = COUNT.to_string();
    let mut last = b"0-0".to_vec();
    loop {
        let after = last.clone();
        let read = [b"XREAD", &b"COUNT"[..], count.as_bytes(), b"BLOCK", b"0", b"STREAMS", REPLIES.as_bytes(), &after];
        let take = |bytes: &[u8], strings: &[Range<usize>]| {
            for (id, frame) in entries(bytes, strings) {
                waiters.answer(frame);
                last.clear();
                last.extend_from_slice(id);
            }
        };
        replies.ask(&read, take).await?;
    }
}

impl Caller for Client {
    async fn call(&self, caller: usize) -> bool {
        let (frame, answer) = self.waiters.ask(caller);
        self.requests.push(|out| put(out, &[b"XADD", REQUESTS.as_bytes(), b"*", FIELD.as_bytes(), &frame]));
        answer.await.is_ok()
    }
}
