//! Where a query is answered: at once if that is quick, else on a thread of its own.

use super::{records::Records, store::Record};
use crate::{Error, Result, query::Filter};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
};
use tokio::sync::Semaphore;

/// Comparisons that take no longer, about a millisecond, than others can wait.
const QUICK: usize = 4_000;
/// Comparisons after which is asked whether somebody still waits.
const STRIDE: usize = 4_000;

/// How many long queries run at once in this process; the rest wait for their turn. One core is left to everything else.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(turns())));

fn turns() -> usize {
    available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1)
}

/// Takes all turns, so that no long query begins until they are dropped.
#[cfg(test)]
pub(crate) async fn all_turns() -> tokio::sync::OwnedSemaphorePermit {
    TURNS.clone().acquire_many_owned(turns().try_into().unwrap()).await.unwrap()
}

/// Whether somebody still waits for an answer.
#[derive(Clone, Default)]
pub(super) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// All of `records`, each with its number, or as many as come until nobody waits any more.
    pub(super) fn all<'a>(
        &self,
        records: &'a Records,
        filter: &Filter,
    ) -> impl Iterator<Item = (u64, &'a Arc<Record>)> + use<'a, '_> {
        let stride = (STRIDE / filter.weight()).max(1);
        let is_wanted = move |number: usize| !number.is_multiple_of(stride) || !self.is_over();
        records.iter().enumerate().take_while(move |(number, _)| is_wanted(*number)).map(|(_, record)| record)
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says when dropped that nobody waits any more.
struct Waiting(Wanted);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work`, which looks at as many records with this filter. What takes long leaves the threads of the runtime, waits
/// for its turn, and ends early if this future is dropped.
pub(super) async fn run<T: Send + 'static>(
    records: usize,
    filter: Arc<Filter>,
    work: impl FnOnce(&Filter, &Wanted) -> T + Send + 'static,
) -> Result<T> {
    let is_quick = records.saturating_mul(filter.weight()) <= QUICK;
    if is_quick {
        return Ok(work(&filter, &Wanted::default()));
    }
    let turn = TURNS.clone().acquire_owned().await.map_err(Error::other)?;
    let waiting = Waiting(Wanted::default());
    let wanted = waiting.0.clone();
    let working = blocking::unblock(move || {
        let outcome = work(&filter, &wanted);
        drop(turn);
        outcome
    });
    Ok(working.await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Query;
    use futures_util::{FutureExt, poll};
    use serde_json::json;
    use std::{pin::pin, sync::mpsc, time::Duration};

    fn filter(conditions: usize) -> Arc<Filter> {
        let any: Vec<_> = (0..conditions).map(|n| json!({ "a": n })).collect();
        Arc::new(Filter::parse(&Query::new().with("$or", any)).unwrap())
    }

    fn records(count: u64) -> Records {
        let mut records = Records::default();
        (0..count).for_each(|at| records.insert(at, Record::new()));
        records
    }

    #[tokio::test]
    async fn what_is_quick_is_done_at_once() {
        assert_eq!(run(QUICK / 4, filter(2), |_, _| 1).now_or_never().unwrap(), Ok(1));
    }

    #[test]
    fn no_runtime_is_needed() {
        let (answers, answer) = mpsc::channel();
        let mut asking = pin!(run(1_000_000, filter(500), move |_, _| answers.send(1).is_ok()));
        assert!(asking.as_mut().now_or_never().is_none());
        assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(1));
    }

    #[tokio::test]
    async fn what_takes_long_does_not_hold_up_the_thread_that_asked() {
        let (go_on, goes_on) = mpsc::channel();
        let mut answer = pin!(run(10_000, filter(500), move |_, _| goes_on.recv().is_ok()));
        assert!(poll!(&mut answer).is_pending());
        // This thread is the only one of its runtime.
        go_on.send(()).unwrap();
        assert_eq!(answer.await, Ok(true));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_ends() {
        let (begins, begun) = tokio::sync::oneshot::channel();
        let (ends, ended) = tokio::sync::oneshot::channel();
        let records = records(10_000);
        let work = move |filter: &Filter, wanted: &Wanted| {
            begins.send(()).unwrap();
            // Would go on for ever.
            while wanted.all(&records, filter).count() == records.len() {
                std::thread::sleep(Duration::from_millis(1));
            }
            ends.send(wanted.all(&records, filter).count()).unwrap();
        };
        let asking = tokio::spawn(run(10_000, filter(500), work));
        begun.await.unwrap();
        asking.abort();
        assert_eq!(ended.await, Ok(0));
    }

    #[tokio::test]
    async fn what_panics_gives_its_turn_back() {
        for _ in 0..turns() + 1 {
            let asking = tokio::spawn(run(10_000, filter(500), |_, _| panic!("a bug")));
            assert!(asking.await.unwrap_err().is_panic());
        }
        assert_eq!(run(10_000, filter(500), |_, _| 1).await, Ok(1));
    }
}
