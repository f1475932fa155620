//! How long a client may take over the head of a request.

use hyper::rt::{Sleep, Timer};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Says that hyper waits for nothing.
const NEVER: u64 = u64::MAX;

/// The timer that hyper is given for one connection.
///
/// Hyper wants a new sleep for each head it waits for, and drops it when the head is there. One of tokio's would be
/// entered into its wheel and taken out again at each request, under a lock that all connections share. So here is only
/// noted until when hyper waits, and the connection has one sleep that is looked after when it ends: [`Alarm`].
#[derive(Clone)]
pub(crate) struct Heads(Arc<Waiting>);

struct Waiting {
    began: Instant,
    /// Until when hyper waits, in ms since then.
    until: AtomicU64,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Heads(Arc::new(Waiting { began: now(), until: AtomicU64::new(NEVER) }))
    }

    /// What wakes the connection in time.
    pub(crate) fn alarm(&self) -> Alarm {
        Alarm { heads: self.clone(), sleep: None }
    }

    /// Says that something came: if hyper waits for a head, that has to end after `longest` from now.
    pub(crate) fn begun(&self, longest: Duration) {
        let waiting = &self.0.until;
        let until = waiting.load(Ordering::Relaxed);
        if until != NEVER {
            let ms = (now() + longest).saturating_duration_since(self.0.began).as_millis();
            let soonest = until.min(u64::try_from(ms).unwrap_or(NEVER));
            // Both sides are the connection's own task.
            waiting.store(soonest, Ordering::Relaxed);
        }
    }

    /// Until when hyper waits, if it does.
    fn until(&self) -> Option<Instant> {
        match self.0.until.load(Ordering::Relaxed) {
            NEVER => None,
            ms => Some(self.0.began + Duration::from_millis(ms)),
        }
    }
}

/// The time by tokio's clock, which tests may turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Timer for Heads {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let ms = deadline.saturating_duration_since(self.0.began).as_millis();
        self.0.until.store(u64::try_from(ms).unwrap_or(NEVER), Ordering::Relaxed);
        Box::pin(Head(self.clone()))
    }

    fn now(&self) -> Instant {
        now()
    }
}

/// Hyper waits for a head.
struct Head(Heads);

impl Sleep for Head {}

impl Future for Head {
    type Output = ();

    /// Registers no waker: the alarm wakes the task.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.0.until() {
            Some(until) if until <= now() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.0.0.until.store(NEVER, Ordering::Relaxed);
    }
}

/// Wakes the task of a connection when hyper has waited for long enough.
pub(crate) struct Alarm {
    heads: Heads,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Alarm {
    /// Sees to it that the task is woken, to be called after hyper was. `Ready` when hyper has to be asked again, since
    /// its time is over.
    ///
    /// A sleep is left as it is when hyper waits for the next head, and set anew when it ends too early, or would too late:
    /// that is once in a while, and heads are many.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(sleep) = &mut self.sleep else {
                let Some(until) = self.heads.until() else { return Poll::Pending };
                if until <= now() {
                    return Poll::Ready(());
                }
                self.sleep = Some(Box::pin(tokio::time::sleep_until(until.into())));
                continue;
            };
            if self.heads.until().is_some_and(|until| until < sleep.deadline().into_std()) {
                self.sleep = None;
                continue;
            }
            std::task::ready!(sleep.as_mut().poll(task));
            self.sleep = None;
        }
    }
}
