//! The events that a call fires: its reply is handed out when Redis has them, so that a caller that reads the reply knows that
//! they are in the log, whatever becomes of this process.
//!
//! What is fired while a call's future is polled belongs to that call, be it by the service, by hooks, by `emit` or by
//! calls of other services of this process. What a task does that the call has spawned is its own affair. A call that
//! fires nothing pays two moves of a few words for each poll.

use crate::redis::event_log::{Intake, Receipt};
use std::{cell::Cell, future::poll_fn, mem::take, sync::Arc, time::Duration};
use tokio::sync::{oneshot, watch};

/// The longest that a reply to another node is held back. Half of the time that its caller has left is the other bound.
const LONGEST: Duration = Duration::from_secs(10);
/// The same for a call of this process, which shall go on while Redis is away.
const LONGEST_HERE: Duration = Duration::from_secs(1);

thread_local! {
    static FIRING: Cell<Firing> = const { Cell::new(Firing::Unwatched) };
}

/// On whose behalf events are fired.
#[derive(Default)]
enum Firing {
    /// No call's.
    #[default]
    Unwatched,
    /// A call's that has fired none.
    Silent,
    /// A call's that has: what each of its events holds, and what tells when all have let go of that.
    Loud(Receipt, oneshot::Receiver<()>),
}

/// The events of one call.
#[must_use]
pub(crate) struct Fired(Option<oneshot::Receiver<()>>);

/// What waits for Redis to take events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReplyTo {
    /// Another node, which can not be answered without Redis either, and waits for this long.
    Elsewhere(Duration),
    /// A caller in this process, or one that reached it by another way than the mesh.
    Here,
}

/// Runs a call and notes what it fires. One that runs as a part of another fires on behalf of that.
pub(crate) async fn noting<T>(run: impl Future<Output = T> + Unpin) -> (T, Fired) {
    let mut run = run;
    let mut own = Firing::Silent;
    let outcome = poll_fn(|cx| {
        let _turn = Turn::begin(&mut own);
        std::pin::Pin::new(&mut run).poll(cx)
    })
    .await;
    let fired = match own {
        Firing::Loud(_, all) => Some(all),
        Firing::Unwatched | Firing::Silent => None,
    };
    (outcome, Fired(fired))
}

/// The time in which one call is polled.
struct Turn<'a> {
    own: &'a mut Firing,
    outer: Firing,
}

impl<'a> Turn<'a> {
    fn begin(own: &'a mut Firing) -> Option<Self> {
        match FIRING.take() {
            Firing::Unwatched => {
                FIRING.set(take(own));
                Some(Turn { own, outer: Firing::Unwatched })
            }
            outer => {
                FIRING.set(outer);
                None
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.own = FIRING.replace(take(&mut self.outer));
    }
}

/// What an event that is fired now has to hold until Redis has it; `None` when no call waits for that.
pub(crate) fn receipt() -> Option<Receipt> {
    let firing = match FIRING.take() {
        Firing::Silent => {
            let (receipt, all) = oneshot::channel();
            Firing::Loud(Arc::new(receipt), all)
        }
        other => other,
    };
    let receipt = match &firing {
        Firing::Loud(receipt, _) => Some(receipt.clone()),
        Firing::Unwatched | Firing::Silent => None,
    };
    FIRING.set(firing);
    receipt
}

impl Fired {
    /// Waits until Redis has the events, or has refused them, at most for as long as `caller` can wait.
    pub(crate) async fn taken(self, intake: &watch::Sender<Intake>, caller: ReplyTo) {
        // In a box, which calls that fire nothing do not need.
        if let Some(all) = self.0 {
            Box::pin(taken(all, intake.subscribe(), caller)).await;
        }
    }
}

async fn taken(all: oneshot::Receiver<()>, mut intake: watch::Receiver<Intake>, caller: ReplyTo) {
    let (longest, is_over): (_, fn(&Intake) -> bool) = match caller {
        ReplyTo::Elsewhere(left) => (LONGEST.min(left / 2), |intake| *intake == Intake::Refuses),
        ReplyTo::Here => (LONGEST_HERE, |intake| *intake != Intake::Open),
    };
    tokio::select! {
        biased;
        _ = all => {}
        Ok(_) = intake.wait_for(is_over) => {}
        () = tokio::time::sleep(longest) => tracing::debug!("events of a call are still on their way to Redis"),
    }
}
