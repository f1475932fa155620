//! What comes in behind a large reply, and what becomes of one that can not be read or that no call waits for.

use super::{AT_ONCE, LARGE, LargeReplies};
use crate::{
    node::{
        client::{
            pending::Safety,
            waiting::{Arrived, Waiting},
        },
        shared::settings,
    },
    redis::{keys::Keys, queue::EntryId},
    wire::{Frame, Reply, Signer},
};
use rachis_config::Config;
use rachis_core::{Answer, Error, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The waiting calls of a node that is connected to nothing, and what reads its inbox.
struct Ends {
    waiting: Arc<Waiting>,
    large: LargeReplies,
}

type Call = (u64, oneshot::Receiver<Arrived>);

impl Ends {
    fn new() -> Self {
        let limits = settings::limits(&Config::default());
        let waiting = Waiting::new("node", limits, Signer::default(), Keys::new("test"));
        Ends { waiting: Arc::new(waiting), large: LargeReplies::new() }
    }

    fn call(&self) -> Call {
        let (waiter, arrived) = oneshot::channel();
        (
            self.waiting.lock().insert(waiter, "stream".into(), Safety::Unsafe, std::time::Instant::now()).unwrap(),
            arrived,
        )
    }

    fn frame(&self, id: u64, outcome: Result<Value>) -> Vec<u8> {
        let reply = Reply::new(id, outcome.map(Answer::from));
        reply.encode(self.waiting.signer.at(&self.waiting.inbox)).unwrap()
    }

    /// A reply comes in.
    fn comes(&mut self, id: u64, outcome: Result<Value>) {
        let frame = self.frame(id, outcome);
        self.large.reply(&self.waiting, frame);
    }

    fn read_to(&mut self, position: u64) {
        self.large.read_to(&self.waiting, EntryId::new(position, 0));
    }

    fn position(&self) -> u64 {
        self.waiting.inbox_read.borrow().ms
    }

    /// As if others were being read that take long.
    async fn busy(&self) -> OwnedSemaphorePermit {
        self.large.slots.clone().acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap()
    }
}

fn page() -> Value {
    json!("x".repeat(LARGE))
}

fn answer(arrived: Arrived) -> Result<Value> {
    match arrived {
        Arrived::Reply(outcome) => outcome.map(|answer| answer.result),
        _ => panic!("it was woken by something else"),
    }
}

#[tokio::test]
async fn small_replies_behind_a_large_one_arrive_before_it() {
    let mut ends = Ends::new();
    let ((first, large), (second, mut small)) = (ends.call(), ends.call());
    let busy = ends.busy().await;
    ends.comes(first, Ok(page()));
    ends.comes(second, Ok(json!("small")));
    ends.read_to(2);
    assert_eq!(answer(small.try_recv().unwrap()).unwrap(), "small");
    assert!(large.is_empty());
    drop(busy);
    assert_eq!(answer(large.await.unwrap()).unwrap(), page());
}

#[tokio::test]
async fn the_inbox_counts_as_read_when_the_large_replies_until_there_have_arrived() {
    let mut ends = Ends::new();
    let ((first, large), (second, _small)) = (ends.call(), ends.call());
    let busy = ends.busy().await;
    ends.comes(first, Ok(page()));
    ends.read_to(1);
    // Whatever comes in meanwhile, the position waits for the one before.
    ends.comes(second, Ok(json!("small")));
    ends.read_to(2);
    tokio::task::yield_now().await;
    assert_eq!(ends.position(), 0);
    drop(busy);
    ends.waiting.inbox_read_to(EntryId::new(2, 0)).await;
    assert!(!large.is_empty());
    ends.read_to(3);
    assert_eq!(ends.position(), 3, "nothing is left to wait for");
}

#[tokio::test]
async fn a_large_error_reaches_its_caller() {
    let mut ends = Ends::new();
    let (id, arrived) = ends.call();
    ends.comes(id, Err(Error::bad_request("x".repeat(LARGE))));
    let error = answer(arrived.await.unwrap()).unwrap_err();
    assert_eq!((error.code(), error.message().len()), (400, LARGE));
}

#[tokio::test]
async fn a_large_reply_that_can_not_be_read_leaves_its_caller_waiting_and_holds_up_nobody() {
    let mut ends = Ends::new();
    let ((first, broken), (second, whole)) = (ends.call(), ends.call());
    let mut frame = ends.frame(first, Ok(page()));
    frame.truncate(frame.len() - 1);
    ends.large.reply(&ends.waiting, frame);
    ends.comes(second, Ok(page()));
    ends.read_to(2);
    ends.waiting.inbox_read_to(EntryId::new(2, 0)).await;
    assert!(!whole.is_empty());
    assert!(broken.is_empty() && ends.waiting.len() == 1, "its caller waits until its deadline");
}

#[tokio::test]
async fn a_large_reply_whose_caller_has_gone_while_it_waited_is_dropped() {
    let mut ends = Ends::new();
    let ((first, gone), (second, mut cancelled)) = (ends.call(), ends.call());
    let busy = ends.busy().await;
    ends.comes(first, Ok(page()));
    ends.comes(second, Ok(page()));
    ends.read_to(2);
    // One future was dropped; the other call has timed out.
    drop(gone);
    ends.waiting.lock().abandon(second);
    drop(busy);
    ends.waiting.inbox_read_to(EntryId::new(2, 0)).await;
    assert!(cancelled.try_recv().is_err());
    assert_eq!(ends.waiting.len(), 0);
}

#[tokio::test]
async fn who_stops_reading_waits_for_the_large_replies_under_way() {
    let mut ends = Ends::new();
    let calls: Vec<Call> = (0..AT_ONCE + 3).map(|_| ends.call()).collect();
    for (id, _) in &calls {
        ends.comes(*id, Ok(page()));
    }
    ends.read_to(1);
    let (late, arrived) = ends.call();
    ends.comes(late, Ok(page()));
    ends.large.end().await;
    assert!(calls.iter().all(|(_, arrived)| !arrived.is_empty()) && !arrived.is_empty());
}
