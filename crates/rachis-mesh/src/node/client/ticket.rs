//! One call under way, from the caller's side.

use super::{
    pending::{Rearmed, Stage},
    requests::Requests,
    waiting::{Arrived, Waiting},
};
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
    pub(super) requests: Arc<Requests>,
    pub(super) id: u64,
    pub(super) stream: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) over: bool,
    /// `true` if an earlier copy of it left this node and it is unknown whether that arrived.
    pub(super) sent_again: bool,
}

impl Ticket {
    fn waiting(&self) -> &Waiting {
        self.requests.waiting()
    }

    /// Sends the request to its stream.
    pub(super) fn send(&self, frame: Vec<u8>) -> Result<()> {
        self.requests.send(self.id, self.stream.clone(), frame, self.deadline)
    }

    pub(super) fn rearm(&self) -> Result<oneshot::Receiver<Arrived>> {
        let (waiter, arrived) = oneshot::channel();
        let mut pending = self.waiting().lock();
        match pending.rearm(self.id, waiter) {
            Rearmed::Waiting => {
                self.waiting().awaited(&mut pending, self.deadline);
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
            self.waiting().lock().turns_to(self.id, stream.clone());
        }
    }

    /// Ends the call without another command to Redis.
    pub(super) fn give_up(&mut self) {
        self.over = true;
        self.waiting().lock().abandon(self.id);
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
    pub(super) async fn time_out(&mut self, path: &str, app: &str, method: &Method, timeout: Duration) -> Error {
        self.over = true;
        let stage = self.waiting().lock().abandon(self.id);
        let never_ran = match stage {
            Some(Stage::Sent(entry)) => {
                let cancelled = tokio::time::timeout(CANCEL_TIME, self.requests.cancel(&self.stream, entry)).await;
                matches!(cancelled, Ok(true))
            }
            // The writer asks before it sends and will find no caller waiting.
            Some(Stage::Queued) => true,
            Some(Stage::Sending | Stage::Adrift(_)) | None => false,
        } && !self.sent_again;
        let (outcome, meaning) =
            if never_ran { (Outcome::NeverRan, "no replica took it") } else { (Outcome::Unknown, "it may have run") };
        let message = format!(
            "{method} on '{path}' had no answer from app '{app}' within {}: {meaning}",
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
        let Some(Stage::Sent(entry)) = self.waiting().lock().abandon(self.id) else { return };
        self.requests.withdraw(self.stream.clone(), entry);
    }
}

/// The error for a call whose node has shut down.
pub(super) fn gone() -> Error {
    Error::unavailable("This node has shut down while the call was under way").with_outcome(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        node::shared::settings,
        redis::{
            connection::{Connector, Options, link::Links},
            keys::Keys,
            queue::Writer,
        },
        wire::Signer,
    };
    use rachis_config::Config;
    use tokio_util::sync::CancellationToken;

    fn ticket(sent_again: bool) -> Ticket {
        let limits = settings::limits(&Config::default());
        let waiting = Arc::new(Waiting::new("node", limits, Signer::default(), Keys::new("test")));
        let connector = Connector::new(Options::for_tests(Duration::from_secs(1)), "test").unwrap();
        let stop = CancellationToken::new();
        let writer = Writer::start(Links::new(connector, stop.clone()), waiting.clone(), stop);
        let requests = Arc::new(Requests::new(waiting, writer));
        let deadline = Instant::now() + Duration::from_secs(1);
        Ticket { requests, id: 0, stream: "stream".into(), deadline, over: true, sent_again }
    }

    #[tokio::test]
    async fn that_a_copy_of_a_request_never_ran_says_nothing_of_an_earlier_one() {
        let refused = |outcome| Error::unavailable("refused").with_outcome(outcome);
        let told = |sent_again, outcome| ticket(sent_again).answered(refused(outcome)).outcome();
        assert_eq!(told(false, Outcome::NeverRan), Some(Outcome::NeverRan));
        assert_eq!(told(true, Outcome::NeverRan), Some(Outcome::Unknown));
        assert_eq!(told(true, Outcome::Ran), Some(Outcome::Ran));
        assert_eq!(ticket(true).answered(Error::not_found("none")).outcome(), None);
    }
}
