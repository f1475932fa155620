//! Where a query is answered: at once if that is quick, else beside the threads of the runtime.

use super::{Filter, Found};
use crate::{Error, Result};
use serde_json::{Map, Value};
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
/// Comparisons after which an evaluation looks whether its caller has gone.
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

/// A query while it is answered; see [`Filter::evaluate`].
///
/// All its methods stop early when the caller has gone. What they return then is incomplete, and is dropped with the rest of
/// the work.
#[derive(Debug)]
pub struct Evaluation {
    filter: Filter,
    over: Arc<AtomicBool>,
}

impl Evaluation {
    /// Returns the query.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Returns `true` when the caller has gone, so that what is found is not read any more. Long work checks it now and
    /// then, if it goes through neither [`each`](Evaluation::each) nor [`find`](Evaluation::find).
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Returns the items one by one, until the caller has gone. Each is taken for a record that the query is compared with.
    pub fn each<I: Iterator>(&self, items: I) -> impl Iterator<Item = I::Item> + use<'_, I> {
        let stride = (STRIDE / self.filter.weight()).max(1);
        let is_wanted = move |number: usize| !number.is_multiple_of(stride) || !self.is_over();
        items.enumerate().take_while(move |(number, _)| is_wanted(*number)).map(|(_, item)| item)
    }

    /// Does what [`Filter::find`] does.
    pub fn find<'a>(&self, records: impl Iterator<Item = &'a Map<String, Value>>, limit: Option<u64>) -> Found<'a> {
        self.filter.find_while(self.each(records), limit, &|| !self.is_over())
    }

    /// Does what [`Filter::first`] does.
    pub fn first<'a>(
        &self,
        records: impl Iterator<Item = &'a Map<String, Value>>,
        limit: Option<u64>,
    ) -> Vec<&'a Map<String, Value>> {
        self.filter.first_while(self.each(records), limit, &|| !self.is_over())
    }
}

/// Ends an evaluation when it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Filter {
    /// Runs `work`, which compares this query with so many records, without holding up others.
    ///
    /// Work that takes long, by the number of records and the breadth of the query, runs on a thread beside the runtime's.
    /// At most as many such evaluations run at once in a process as it has cores, one left free; others wait for their turn.
    /// When the returned future is dropped, since the caller has gone, the evaluation ends within about a millisecond.
    /// What is quick runs at once.
    ///
    /// `work` should take the records along as they are at one moment, and hold no lock that others wait for.
    ///
    /// ```
    /// use rachis::{Method, Params, Result, Service, query::Filter};
    /// use serde_json::{Map, Value};
    /// use std::sync::{Arc, PoisonError, RwLock};
    ///
    /// struct People(RwLock<Arc<Vec<Map<String, Value>>>>);
    ///
    /// impl Service for People {
    ///     const METHODS: &'static [Method] = &[Method::Find];
    ///
    ///     async fn find(&self, params: Params) -> Result<Value> {
    ///         let filter = Filter::of(&params)?;
    ///         let people = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
    ///         let found = filter.evaluate(people.len(), move |query| {
    ///             query.first(people.iter(), query.filter().limit()).into_iter().cloned().map(Value::Object).collect()
    ///         });
    ///         found.await
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Fails only if evaluations can no longer be queued, which does not happen while the process runs.
    ///
    /// # Panics
    /// When `work` does.
    pub async fn evaluate<T: Send + 'static>(
        self,
        records: usize,
        work: impl FnOnce(&Evaluation) -> T + Send + 'static,
    ) -> Result<T> {
        let is_quick = records.saturating_mul(self.weight()) <= QUICK;
        let over = Arc::new(AtomicBool::new(false));
        let evaluation = Evaluation { filter: self, over: over.clone() };
        if is_quick {
            return Ok(work(&evaluation));
        }
        let turn = TURNS.clone().acquire_owned().await.map_err(Error::other)?;
        let waiting = Waiting(over);
        let working = blocking::unblock(move || {
            let outcome = work(&evaluation);
            drop(turn);
            outcome
        });
        let outcome = working.await;
        drop(waiting);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Query;
    use futures_util::{FutureExt, poll};
    use serde_json::json;
    use std::{pin::pin, sync::mpsc, time::Duration};

    fn filter(conditions: usize) -> Filter {
        let any: Vec<_> = (0..conditions).map(|n| json!({ "a": n })).collect();
        Filter::parse(&Query::new().with("$or", any)).unwrap()
    }

    fn sorted(by: &str) -> Filter {
        Filter::parse(&Query::new().with("$sort", json!({ by: -1 }))).unwrap()
    }

    fn records(count: u64) -> Vec<Map<String, Value>> {
        (0..count).map(|n| Map::from_iter([("n".to_owned(), json!(n))])).collect()
    }

    #[tokio::test]
    async fn what_is_quick_is_done_at_once() {
        assert_eq!(filter(2).evaluate(QUICK / 4, |_| 1).now_or_never().unwrap(), Ok(1));
    }

    #[test]
    fn no_runtime_is_needed() {
        let (go_on, goes_on) = mpsc::channel();
        let (answers, answer) = mpsc::channel();
        let work = move |_: &Evaluation| goes_on.recv().is_ok() && answers.send(1).is_ok();
        let mut asking = pin!(filter(500).evaluate(1_000_000, work));
        assert!(asking.as_mut().now_or_never().is_none());
        go_on.send(()).unwrap();
        assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(1));
    }

    #[tokio::test]
    async fn what_takes_long_does_not_hold_up_the_thread_that_asked() {
        let (go_on, goes_on) = mpsc::channel();
        let mut answer = pin!(filter(500).evaluate(10_000, move |_| goes_on.recv().is_ok()));
        assert!(poll!(&mut answer).is_pending());
        // This thread is the only one of its runtime.
        go_on.send(()).unwrap();
        assert_eq!(answer.await, Ok(true));
    }

    /// Runs `looks` over and over, which looks at all records or, when the caller has gone, at fewer.
    async fn ends(
        filter: Filter,
        looks: impl Fn(&Evaluation, &[Map<String, Value>]) -> usize + Send + 'static,
    ) -> usize {
        const RECORDS: usize = 10_000;
        let (begins, begun) = tokio::sync::oneshot::channel();
        let (ends, ended) = tokio::sync::oneshot::channel();
        let work = move |query: &Evaluation| {
            let records = records(RECORDS as u64);
            begins.send(()).unwrap();
            // Would go on for ever.
            while looks(query, &records) == RECORDS {
                std::thread::sleep(Duration::from_millis(1));
            }
            ends.send(looks(query, &records)).unwrap();
        };
        let asking = tokio::spawn(filter.evaluate(RECORDS, work));
        begun.await.unwrap();
        asking.abort();
        ended.await.unwrap()
    }

    #[tokio::test]
    async fn what_nobody_waits_for_ends() {
        assert_eq!(ends(filter(500), |query, records| query.each(records.iter()).count()).await, 0);
        assert_eq!(ends(sorted("n"), |query, records| query.find(records.iter(), None).records.len()).await, 0);
        assert_eq!(ends(sorted("n"), |query, records| query.first(records.iter(), None).len()).await, 0);
    }

    #[tokio::test]
    async fn what_panics_gives_its_turn_back() {
        for _ in 0..turns() + 1 {
            let asking = tokio::spawn(filter(500).evaluate(10_000, |_| panic!("a bug")));
            assert!(asking.await.unwrap_err().is_panic());
        }
        assert_eq!(filter(500).evaluate(10_000, |_| 1).await, Ok(1));
    }
}
