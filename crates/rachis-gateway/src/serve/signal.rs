//! Something that is over for many tasks at a time.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A flag that is raised once and seen by all its watchers.
///
/// It is a token with a flag in front: connections ask at every read and write, and the token would take two locks each
/// time.
#[derive(Clone)]
pub(crate) struct Signal {
    raised: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Signal { raised: Arc::default(), token: CancellationToken::new() }
    }

    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Raises it when it is dropped.
    pub(crate) fn at_end(&self) -> AtEnd {
        AtEnd(self.clone())
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(crate) fn watch(&self) -> Watch {
        let waiting = Box::pin(self.token.clone().cancelled_owned());
        Watch { raised: self.raised.clone(), waiting, task: None }
    }
}

/// Raises a signal when it is dropped.
pub(crate) struct AtEnd(Signal);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// What one task knows of a signal.
pub(crate) struct Watch {
    raised: Arc<AtomicBool>,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The task to wake.
    task: Option<Waker>,
}

impl Watch {
    /// Whether it was raised; if not, the task is woken when it is. Any number of times, also after it was.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if self.raised.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if self.task.as_ref().is_some_and(|known| known.will_wake(task.waker())) {
            return Poll::Pending;
        }
        self.task = Some(task.waker().clone());
        self.waiting.as_mut().poll(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn it_wakes_whoever_asked_last_and_stays_raised() {
        let signal = Signal::new();
        let mut watch = signal.watch();
        assert!(watch.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let waiting = tokio::spawn(async move {
            poll_fn(|task| watch.poll(task)).await;
            poll_fn(|task| watch.poll(task)).await;
        });
        tokio::task::yield_now().await;
        drop(signal.at_end());
        waiting.await.unwrap();
        assert!(signal.token().is_cancelled());
    }
}
