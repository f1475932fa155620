//! Calls and events under way while something fails, and the books kept of them.

use futures_util::StreamExt;
use rachis::{App, Change, Config, Error, Id, Method, Node, Params, Readiness, Result, Service};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Callers that call all the time.
const CALLERS: u64 = 16;
/// How long each call may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Writes down each creation as it runs.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<u64>>>);

impl Service for Journal {
    const METHODS: &[Method] = &[Method::Get, Method::Create];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        let number = data["number"].as_u64().ok_or_else(|| Error::bad_request("no number"))?;
        self.0.lock().unwrap().push(number);
        Ok(data)
    }
}

/// Two replicas that keep one journal, and a node that calls them and hears their events.
pub(crate) struct Mesh {
    journal: Journal,
    replicas: Vec<Node>,
    pub(crate) caller: Node,
    heard: Arc<Mutex<Heard>>,
    downs: Arc<AtomicU64>,
}

#[derive(Default)]
struct Heard {
    numbers: Vec<u64>,
    resyncs: usize,
}

impl Mesh {
    pub(crate) async fn start(config: Config) -> Mesh {
        let journal = Journal::default();
        let app = || App::new().register("journal", journal.clone());
        let named = |name: &str| Config { app: name.to_owned(), ..config.clone() };
        let replicas = vec![testing::start(named("keeper"), app()).await, testing::start(named("keeper"), app()).await];
        let caller = testing::start(named("caller"), App::new()).await;
        testing::eventually("all know all", async || caller.nodes().len() == 3 && caller.resolve("journal").is_some())
            .await;
        let downs = Arc::new(AtomicU64::new(0));
        let mut changes = caller.changes();
        let count = downs.clone();
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                if matches!(change, Change::NodeDown(_)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut events = caller.service("journal").on("*").await.unwrap();
        let books = heard.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let mut books = books.lock().unwrap();
                match event.data["number"].as_u64() {
                    Some(number) => books.numbers.push(number),
                    None => books.resyncs += 1,
                }
            }
        });
        Mesh { journal, replicas, caller, heard, downs }
    }

    /// Calls all the time while `fault` happens and until calls work again, then counts.
    pub(crate) async fn suffer<Fut: Future<Output = Instant>>(&self, what: &str, fault: impl FnOnce() -> Fut) -> Books {
        let going = Arc::new(AtomicBool::new(true));
        let next = Arc::new(AtomicU64::new(0));
        let books = Arc::new(Mutex::new(Books::default()));
        let first_number = self.journal.0.lock().unwrap().iter().max().map_or(0, |last| last + 1);
        next.store(first_number, Ordering::Relaxed);
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let caller = self.caller.clone();
                let going = going.clone();
                let next = next.clone();
                let books = books.clone();
                tokio::spawn(async move {
                    while going.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let asked = Instant::now();
                        let journal = caller.service("journal");
                        let outcome = journal.create(json!({ "number": number })).timeout(TIMEOUT).await;
                        books.lock().unwrap().note(number, asked, outcome);
                    }
                })
            })
            .collect();
        let answered = || books.lock().unwrap().answered.len();
        testing::eventually("calls are answered", async || answered() > 200).await;
        let failed = fault().await;
        // Each caller is through whatever the fault held up, and has been answered since.
        let recovered = async || {
            let books = books.lock().unwrap();
            books.last_failure.is_none_or(|last| last < books.last_answer) && books.since(failed) > 300
        };
        testing::eventually("calls work again", recovered).await;
        going.store(false, Ordering::Relaxed);
        let over = tokio::time::timeout(TIMEOUT + Duration::from_secs(2), async {
            for caller in callers {
                caller.await.unwrap();
            }
        });
        over.await.expect("every call ends by its deadline");
        let books = std::mem::take(&mut *books.lock().unwrap());
        books.print(what, failed);
        books
    }

    /// Compares what was answered, what ran and what was heard.
    pub(crate) async fn agrees_with(&self, books: &Books) {
        let mut ran: HashMap<u64, usize> = HashMap::new();
        self.journal.0.lock().unwrap().iter().for_each(|number| *ran.entry(*number).or_default() += 1);
        let twice: Vec<_> = ran.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "ran more than once: {twice:?}");
        let never: Vec<_> = books.answered.iter().filter(|number| !ran.contains_key(number)).collect();
        assert!(never.is_empty(), "answered and never run: {never:?}");
        let lied: Vec<_> = books.never_ran.iter().filter(|number| ran.contains_key(number)).collect();
        assert!(lied.is_empty(), "ran, though the error says it did not: {lied:?}");
        testing::eventually("every event was heard, or a resync", async || {
            let heard = self.heard.lock().unwrap();
            let numbers: HashSet<u64> = heard.numbers.iter().copied().collect();
            heard.resyncs > 0 || ran.keys().all(|number| numbers.contains(number))
        })
        .await;
        let heard = self.heard.lock().unwrap();
        let numbers: HashSet<u64> = heard.numbers.iter().copied().collect();
        println!("  events: {} sent, {} heard, {} resyncs", ran.len(), numbers.len(), heard.resyncs);
        assert_eq!(numbers.len(), heard.numbers.len(), "an event was heard twice");
    }
}

impl Mesh {
    /// Waits until every node has beaten well, and sees that all are there still.
    pub(crate) async fn stays_whole(&self) {
        let nodes: Vec<&Node> = self.replicas.iter().chain([&self.caller]).collect();
        testing::eventually("all are ready and know all", async || {
            nodes.iter().all(|node| node.readiness() == Readiness::Ready && node.nodes().len() == nodes.len())
        })
        .await;
        let downs = self.downs.load(Ordering::Relaxed);
        assert_eq!(downs, 0, "nodes that lived were taken for dead");
    }
}

/// What became of the calls.
pub(crate) struct Books {
    answered: HashSet<u64>,
    never_ran: HashSet<u64>,
    pub(crate) failed: Vec<Error>,
    answers: Vec<(Instant, Instant)>,
    last_answer: Instant,
    last_failure: Option<Instant>,
}

impl Default for Books {
    fn default() -> Self {
        let (answered, never_ran, answers) = Default::default();
        Books { answered, never_ran, failed: Vec::new(), answers, last_answer: Instant::now(), last_failure: None }
    }
}

impl Books {
    fn note(&mut self, number: u64, asked: Instant, outcome: Result<Value>) {
        let now = Instant::now();
        match outcome {
            Ok(_) => {
                self.answered.insert(number);
                self.answers.push((asked, now));
                self.last_answer = now;
            }
            Err(error) => {
                if error.outcome() == Some(rachis::Outcome::NeverRan) {
                    self.never_ran.insert(number);
                }
                self.failed.push(error);
                self.last_failure = Some(now);
            }
        }
    }

    /// Answers to calls made after `time`.
    fn since(&self, time: Instant) -> usize {
        self.answers.iter().filter(|(asked, _)| *asked > time).count()
    }

    /// The longest time after `failed` in which nothing was answered.
    pub(crate) fn silence(&self, failed: Instant) -> Duration {
        let mut times: Vec<Instant> = self.answers.iter().map(|(_, answered)| *answered).collect();
        times.sort();
        let after = times.partition_point(|time| *time < failed);
        let late = std::iter::once(failed).chain(times[after..].iter().copied());
        late.zip(times[after..].iter()).map(|(from, to)| *to - from).max().unwrap_or_default()
    }

    fn print(&self, what: &str, failed: Instant) {
        let longest = self.answers.iter().map(|(asked, answered)| *answered - *asked).max().unwrap_or_default();
        println!(
            "{what}: {} calls answered, {} failed ({} of them never ran); no answer for {:.2?}, longest call {longest:.2?}",
            self.answered.len(),
            self.failed.len(),
            self.never_ran.len(),
            self.silence(failed),
        );
        for error in self.failed.iter().take(3) {
            println!("  {error}");
        }
    }
}
