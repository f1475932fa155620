//! One call under way, from the caller's side.

use super::{Arrived, CallTarget, Rpc, gone};
use crate::node::client::pending::{Rearmed, Stage};
use rachis_core::{Error, Method, Outcome, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long a timed-out caller may take to find out whether its call was started.
const CANCEL_TIME: Duration = Duration::from_millis(500);

/// A call under way. Dropped before it is over, it withdraws its request if no replica has started it.
pub(super) struct Ticket {
    pub(super) rpc: Arc<Rpc>,
    pub(super) id: u64,
    pub(super) stream: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) over: bool,
    /// `true` if an earlier copy of it left this node and it is unknown whether that arrived.
    pub(super) sent_again: bool,
}

impl Ticket {
    pub(super) fn rearm(&self) -> Result<oneshot::Receiver<Arrived>> {
        let (waiter, arrived) = oneshot::channel();
        let mut pending = self.rpc.lock();
        match pending.rearm(self.id, waiter) {
            Rearmed::Waiting => {
                self.rpc.awaited(&mut pending, self.deadline);
                Ok(arrived)
            }
            Rearmed::Replied(reply) => {
                let (waiter, arrived) = oneshot::channel();
                let _ = waiter.send(Arrived::Reply(reply));
                Ok(arrived)
            }
            Rearmed::Over => Err(gone()),
        }
    }

    /// Lets the request, which is in no stream, go to this one from now on.
    pub(super) fn turn_to(&mut self, stream: &Arc<str>) {
        if self.stream != *stream {
            self.stream = stream.clone();
            self.rpc.lock().turns_to(self.id, stream.clone());
        }
    }

    /// Ends the call without another command to Redis.
    pub(super) fn give_up(&mut self) {
        self.over = true;
        self.rpc.lock().abandon(self.id);
    }

    /// What the caller is told of a request that Redis has not taken: an earlier copy of it may have run.
    pub(super) fn told(&self, error: Error) -> Error {
        if self.sent_again { error.with_outcome(Outcome::Unknown) } else { error }
    }

    /// What the caller is told of an error that a replica has answered with: that one copy of a request never ran says
    /// nothing of an earlier one.
    pub(super) fn answered(&self, error: Error) -> Error {
        match error.outcome() {
            Some(Outcome::NeverRan) if self.sent_again => error.with_outcome(Outcome::Unknown),
            _ => error,
        }
    }

    /// Ends the call at its deadline and finds out whether it ever ran.
    pub(super) async fn time_out(&mut self, target: &CallTarget, method: &Method, timeout: Duration) -> Error {
        self.over = true;
        let stage = self.rpc.lock().abandon(self.id);
        let never_ran = match stage {
            Some(Stage::Sent(entry)) => {
                let cancelled = tokio::time::timeout(CANCEL_TIME, self.rpc.cancel(&self.stream, entry)).await;
                matches!(cancelled, Ok(true))
            }
            // The writer asks before it sends and will find no caller waiting.
            Some(Stage::Queued) => true,
            Some(Stage::Sending | Stage::Adrift(_)) | None => false,
        } && !self.sent_again;
        let (outcome, meaning) =
            if never_ran { (Outcome::NeverRan, "no replica took it") } else { (Outcome::Unknown, "it may have run") };
        let message = format!(
            "{method} on '{}' had no answer from app '{}' within {}: {meaning}",
            target.path,
            target.app,
            humantime::format_duration(timeout)
        );
        Error::timeout(message).with_outcome(outcome)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // One that is leaving right now is withdrawn when the writer says where it stands.
        let Some(Stage::Sent(entry)) = self.rpc.lock().abandon(self.id) else { return };
        self.rpc.withdraw(self.stream.clone(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        node::{client::rpc::CallLimits, clock::Clock},
        redis::keys::Keys,
        wire::Signer,
    };

    fn ticket(sent_again: bool) -> Ticket {
        let limits = CallLimits {
            timeout: Duration::from_secs(1),
            max_pending: 1,
            max_payload: 1,
            max_queue: 1,
            max_deliveries: 1,
            dead_letters: 1,
        };
        let rpc = Rpc::new("node", limits, Arc::new(Clock::new()), Signer::default(), Keys::new("test"));
        let deadline = Instant::now() + Duration::from_secs(1);
        Ticket { rpc: Arc::new(rpc), id: 0, stream: "stream".into(), deadline, over: true, sent_again }
    }

    #[test]
    fn that_a_copy_of_a_request_never_ran_says_nothing_of_an_earlier_one() {
        let refused = |outcome| Error::unavailable("refused").with_outcome(outcome);
        let told = |sent_again, outcome| ticket(sent_again).answered(refused(outcome)).outcome();
        assert_eq!(told(false, Outcome::NeverRan), Some(Outcome::NeverRan));
        assert_eq!(told(true, Outcome::NeverRan), Some(Outcome::Unknown));
        assert_eq!(told(true, Outcome::Ran), Some(Outcome::Ran));
        assert_eq!(ticket(true).answered(Error::not_found("none")).outcome(), None);
    }
}
