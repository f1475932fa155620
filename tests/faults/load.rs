//! Calls at a steady rate, whatever becomes of them: a mesh that stands still is not spared.

use crate::{
    call::{Asked, Ended, Entrance, Kind, Mix, Outcome, Safety, Way},
    journal::unix_ms,
    random::Random,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long after its deadline a call may tell that it is over. It includes the half second in which a caller asks Redis
/// whether its call was started.
const MARGIN: Duration = Duration::from_secs(2);
/// How often the load looks what is due.
const TICK: Duration = Duration::from_millis(2);

/// A call that is over.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) tag: u64,
    pub(crate) kind: Kind,
    /// The outcome of the call that this one repeats, with the same idempotency key.
    pub(crate) repeats: Option<Outcome>,
    /// Did it go to the part that is being broken?
    pub(crate) broken: bool,
    /// When it was made, since the start of the load.
    pub(crate) began: Duration,
    pub(crate) took: Duration,
    /// When that was, in ms since 1970.
    pub(crate) ended_at: u64,
    /// When its time was over, in ms since 1970. By HTTP only the gateway knows: its time begins when it has read the
    /// request.
    pub(crate) deadline: Option<u64>,
    pub(crate) ended: Ended,
}

impl Record {
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.ended.outcome, Outcome::Answered { .. })
    }
}

/// What is to be called.
#[derive(Clone)]
pub(crate) struct Order {
    /// Calls a second.
    pub(crate) rate: u64,
    pub(crate) mix: Mix,
    /// Used in turn.
    pub(crate) ways: Vec<Way>,
    /// The deadline of each call.
    pub(crate) timeout: Duration,
    /// How long one in a hundred of the calls runs that may not run twice.
    pub(crate) longest_work: Duration,
    pub(crate) seed: u64,
}

/// Calls under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    stop: CancellationToken,
    driver: JoinHandle<()>,
}

struct Shared {
    started: Instant,
    records: Mutex<Vec<Record>>,
    /// When each call that is not over was made, by its tag.
    under_way: Mutex<HashMap<u64, Instant>>,
    calls: TaskTracker,
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All calls of a load, and for how long it made calls.
pub(crate) struct Trace {
    pub(crate) records: Vec<Record>,
    pub(crate) lasted: Duration,
}

impl Trace {
    pub(crate) fn empty() -> Trace {
        Trace { records: Vec::new(), lasted: Duration::ZERO }
    }

    /// Adds a later one, as if there had been no rest between: how long nobody called is no silence.
    pub(crate) fn append(&mut self, later: Trace) {
        let before = self.lasted;
        self.records.extend(later.records.into_iter().map(|mut record| {
            record.began += before;
            record
        }));
        self.lasted += later.lasted;
    }
}

impl Load {
    pub(crate) fn start(order: Order) -> Load {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            records: Mutex::default(),
            under_way: Mutex::default(),
            calls: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let driver = tokio::spawn(drive(shared.clone(), order, stop.clone()));
        Load { shared, stop, driver }
    }

    /// How many calls that were made after `since` have been answered.
    pub(crate) fn answered_since(&self, since: Instant) -> usize {
        let since = since.saturating_duration_since(self.shared.started);
        self.shared.records().iter().rev().filter(|record| record.began >= since && record.is_answered()).count()
    }

    /// Are all calls over that were made before `time`?
    pub(crate) fn has_ended(&self, time: Instant) -> bool {
        self.shared.under_way().values().all(|made| *made >= time)
    }

    /// Makes no more calls and waits for those under way.
    pub(crate) async fn end(self) -> Trace {
        self.stop.cancel();
        let lasted = self.shared.started.elapsed();
        self.driver.await.expect("the load does not panic");
        self.shared.calls.close();
        self.shared.calls.wait().await;
        let records = std::mem::take(&mut *self.shared.records());
        Trace { records, lasted }
    }
}

async fn drive(shared: Arc<Shared>, order: Order, stop: CancellationToken) {
    // Unique in this process, so that no journal mixes up two loads.
    static TAGS: AtomicU64 = AtomicU64::new(1);
    let mut random = Random::new(order.seed);
    let mut made = 0;
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let due = u64::try_from(shared.started.elapsed().as_micros()).unwrap_or(u64::MAX) * order.rate / 1_000_000;
        while made < due {
            let way = order.ways[usize::try_from(made).unwrap_or(0) % order.ways.len()].clone();
            let kind = choose(order.mix, &mut random);
            let work = work(&mut random, kind, order.longest_work);
            let tag = TAGS.fetch_add(1, Ordering::Relaxed);
            let asked = Asked { kind, tag, work, timeout: order.timeout };
            let twice = kind.safety == Safety::Keyed && random.below(2) == 0;
            shared.calls.spawn(make(shared.clone(), asked, way, twice));
            made += 1;
        }
    }
}

fn choose(mix: Mix, random: &mut Random) -> Kind {
    let mut left = random.below(mix.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in mix {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => return *kind,
        }
    }
    unreachable!("the weights add up")
}

/// Most calls are quick, some are not, and a few take longer than a dead node counts as alive: these are such that are
/// never run again, since a call that has to start anew late in its time could not end in it.
fn work(random: &mut Random, kind: Kind, longest: Duration) -> Duration {
    match random.below(100) {
        0 if !kind.is_repeatable() => longest,
        0 => Duration::from_millis(300),
        1..10 => Duration::from_millis(300),
        10..25 => Duration::from_millis(50),
        _ => Duration::from_millis(random.below(5)),
    }
}

/// Makes a call, and once more when it was answered and shall be made twice.
async fn make(shared: Arc<Shared>, asked: Asked, way: Way, twice: bool) {
    let first = make_one(&shared, asked, &way, None).await;
    if twice && matches!(first, Outcome::Answered { .. }) {
        make_one(&shared, asked, &way, Some(first)).await;
    }
}

async fn make_one(shared: &Shared, asked: Asked, way: &Way, repeats: Option<Outcome>) -> Outcome {
    let started = Instant::now();
    let deadline = match way.entrance {
        Entrance::Node(_) => Some(unix_ms() + u64::try_from(asked.timeout.as_millis()).unwrap_or(0)),
        Entrance::Http { .. } => None,
    };
    shared.under_way().insert(asked.tag, started);
    let ended = tokio::time::timeout(asked.timeout + MARGIN, asked.ask(&way.entrance)).await;
    let ended = ended.unwrap_or(Ended { outcome: Outcome::Hung, error: None, timed_out: true });
    shared.under_way().remove(&asked.tag);
    let outcome = ended.outcome.clone();
    let record = Record {
        tag: asked.tag,
        kind: asked.kind,
        repeats,
        broken: way.broken,
        began: started.saturating_duration_since(shared.started),
        took: started.elapsed(),
        ended_at: unix_ms(),
        deadline,
        ended,
    };
    shared.records().push(record);
    outcome
}
