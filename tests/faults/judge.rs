//! Compares what callers were told with what really ran.

use crate::{
    call::{Outcome, Safety},
    journal::{Journal, Run},
    load::{Record, Trace},
};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// How much later than its caller's deadline a run may start: clocks are compared by way of Redis, in whole beats.
const SLACK_MS: u64 = 500;
/// Examples shown of each kind of mistake.
const EXAMPLES: usize = 3;

/// What is promised of the calls that go to what is not being broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// May calls be refused, with an error that says that they never ran?
    pub(crate) refused: bool,
    /// Which calls may end in doubt?
    pub(crate) unknown: Doubt,
    /// Which calls may wait for their deadline, instead of being told before?
    pub(crate) timeouts: Doubt,
    pub(crate) keys: Keys,
    pub(crate) again: Again,
}

/// How much later than the reply of a run, the next ones of its process may arrive before it.
const REPLY_MS: u64 = 500;
/// How long a process may go on to start what it had been given before it was cut off.
const GIVEN_MS: u64 = 2000;

/// What becomes of calls with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    /// They are answered.
    Kept,
    /// While Redis does not tell whether they have run, they are refused.
    Refused,
    /// The same, and Redis loses what it knew of them: a call that is sent again, or a repeat, runs once more.
    Lost,
}

/// Which calls that may not run twice may do so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Again {
    Never,
    /// Those of which Redis lost that they had been given out, so that it gave them to another replica; never the same.
    Elsewhere,
}

/// Which calls something may happen to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Doubt {
    None,
    /// Those that may not run twice.
    Unsafe,
    Any,
}

/// Every call is answered.
pub(crate) const ALL_ANSWERED: Promise =
    Promise { refused: false, unknown: Doubt::None, timeouts: Doubt::None, keys: Keys::Kept, again: Again::Never };
/// A call that may not run twice may end in doubt, and says so as soon as that is known; all others are answered.
pub(crate) const UNSAFE_IN_DOUBT: Promise = Promise { unknown: Doubt::Unsafe, ..ALL_ANSWERED };
/// The same where connections break: whether a request that was being written has arrived, only its reply or its
/// deadline tells, unless it may be written twice.
pub(crate) const UNSAFE_MAY_WAIT: Promise = Promise { timeouts: Doubt::Unsafe, keys: Keys::Refused, ..UNSAFE_IN_DOUBT };
/// The same where a replica of Redis takes over that lacks the last writes.
pub(crate) const FAILOVER: Promise = Promise { keys: Keys::Lost, again: Again::Elsewhere, ..UNSAFE_MAY_WAIT };
/// Every call that fails says so before its deadline.
pub(crate) const TOLD: Promise = Promise { refused: true, unknown: Doubt::Any, ..ALL_ANSWERED };
/// The same where Redis loses everything.
pub(crate) const TOLD_AND_FORGOTTEN: Promise = Promise { keys: Keys::Lost, ..TOLD };
/// The same where connections break, too.
pub(crate) const TOLD_OR_UNSAFE: Promise = Promise { timeouts: Doubt::Unsafe, ..TOLD_AND_FORGOTTEN };
/// Every call ends by its deadline and tells the truth.
pub(crate) const HONEST: Promise = Promise { timeouts: Doubt::Any, ..TOLD };

/// Processes that were killed, frozen, cut off or asked to leave, and when, in ms since 1970.
pub(crate) type Doomed = HashMap<u32, Vec<u64>>;

/// For each process, when the calls with a key arrived that it answered, and when their runs had ended, in ms since 1970: by
/// that is known up to when its replies had left, however slow the machine is.
struct Replies(HashMap<u32, Vec<(u64, u64)>>);

impl Replies {
    fn of(trace: &Trace, journal: &Journal) -> Replies {
        let mut replies: HashMap<u32, Vec<(u64, u64)>> = HashMap::new();
        for record in trace.records.iter().filter(|record| record.kind.safety == Safety::Keyed) {
            let Outcome::Answered { pid: Some(pid), .. } = record.ended.outcome else { continue };
            let is_its = |run: &&Run| u64::from(run.pid) == pid && record.repeats.is_none();
            for run in journal.runs(record.tag).iter().filter(is_its) {
                if let Some(ended) = run.ended {
                    replies.entry(run.pid).or_default().push((record.ended_at, ended));
                }
            }
        }
        Replies(replies)
    }

    /// Was this run at work, or its reply on the way, when something befell its process at `at`? What was given to the process
    /// before may start a little after.
    fn spans(&self, run: &Run, at: u64) -> bool {
        // It had left if that of a later run had arrived.
        let has_left = |ended: u64| {
            let later = self.0.get(&run.pid).into_iter().flatten();
            later.into_iter().any(|(arrived, later)| *arrived <= at && ended + REPLY_MS < *later)
        };
        run.started <= at + GIVEN_MS && !run.ended.is_some_and(has_left)
    }
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finding {
    pub(crate) made: usize,
    pub(crate) answered: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) twice: usize,
    pub(crate) lost: usize,
    /// The longest time in which no call was answered.
    pub(crate) silence: Duration,
    /// The longest that a call took which was answered.
    pub(crate) slowest: Duration,
    /// What was promised and not kept.
    pub(crate) problems: Vec<String>,
    /// What else is worth knowing.
    pub(crate) notes: Vec<String>,
}

impl Finding {
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds what was found in another mesh of the same row.
    pub(crate) fn add(&mut self, other: Finding) {
        self.made += other.made;
        self.answered += other.answered;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.twice += other.twice;
        self.lost += other.lost;
        self.silence = self.silence.max(other.silence);
        self.slowest = self.slowest.max(other.slowest);
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }

    fn complain(&mut self, what: &str, examples: &[String]) {
        if let Some(shown) = examples.get(..examples.len().min(EXAMPLES)).filter(|shown| !shown.is_empty()) {
            self.problems.push(format!("{} {what}, e.g. {}", examples.len(), shown.join("; ")));
        }
    }
}

/// Compares a load with the journal.
pub(crate) fn judge(trace: &Trace, journal: &Journal, promise: Promise, doomed: &Doomed) -> Finding {
    let mut finding = Finding { made: trace.records.len(), ..Finding::default() };
    let (mut lost, mut twice) = (Vec::new(), Vec::new());
    let (mut expired, mut elsewhere) = (Vec::new(), 0);
    let (deadlines, replies) = (deadlines(trace), Replies::of(trace, journal));
    let (mut refused, mut unknown, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for record in &trace.records {
        let runs = journal.runs(record.tag);
        match record.ended.outcome {
            Outcome::Answered { .. } => finding.answered += 1,
            Outcome::Refused => finding.refused += 1,
            Outcome::Unknown => finding.unknown += 1,
            Outcome::Odd | Outcome::Hung => {}
        }
        if let Some(why) = is_lost(record, journal, promise) {
            lost.push(format!("{why}: {}", shown(record)));
        }
        if record.repeats.is_none() {
            let pids: BTreeSet<u32> = runs.iter().map(|run| run.pid).collect();
            if is_twice(record, runs, promise, doomed, &replies) {
                finding.twice += 1;
                match promise.again {
                    Again::Elsewhere if pids.len() == runs.len() => elsewhere += 1,
                    _ => twice.push(format!("{} times in {pids:?}: {}", runs.len(), shown(record))),
                }
            }
            let deadline = deadlines.get(&record.tag).copied().flatten();
            if deadline.is_some_and(|deadline| runs.iter().any(|run| run.started > deadline + SLACK_MS)) {
                expired.push(shown(record));
            }
        }
        if record.broken {
            continue;
        }
        let keyed = record.kind.safety == Safety::Keyed && promise.keys != Keys::Kept;
        if record.ended.outcome == Outcome::Refused && !promise.refused && !keyed {
            refused.push(shown(record));
        }
        if record.ended.outcome == Outcome::Unknown && !allows(promise.unknown, record) {
            unknown.push(shown(record));
        }
        if record.ended.timed_out && !allows(promise.timeouts, record) {
            late.push(shown(record));
        }
    }
    finding.lost = lost.len();
    finding.notes.extend(keyed(trace, journal));
    finding.complain("lost", &lost);
    finding.complain("run twice", &twice);
    finding.complain("started after their deadline", &expired);
    finding.complain("refused and may not be", &refused);
    finding.complain("in doubt and may not be", &unknown);
    finding.complain("told only at the deadline", &late);
    let waited = trace.records.iter().filter(|record| record.ended.timed_out).count();
    if waited > 0 {
        finding.notes.push(format!("{waited} of the calls that failed waited for their deadline"));
    }
    if elsewhere > 0 {
        finding
            .notes
            .push(format!("{elsewhere} calls were given to another replica, since Redis had forgotten the first"));
    }
    (finding.silence, finding.slowest) = (silence(trace), slowest(trace));
    finding
}

fn allows(doubt: Doubt, record: &Record) -> bool {
    match doubt {
        Doubt::None => false,
        Doubt::Unsafe => record.kind.safety == Safety::Unsafe,
        Doubt::Any => true,
    }
}

/// How often idempotency keys were used.
fn keyed(trace: &Trace, journal: &Journal) -> Option<String> {
    let keyed = || trace.records.iter().filter(|record| record.kind.safety == Safety::Keyed);
    let firsts = || keyed().filter(|record| record.repeats.is_none());
    let again = firsts().filter(|record| journal.runs(record.tag).len() > 1).count();
    let (firsts, all) = (firsts().count(), keyed().count());
    let refused = keyed().filter(|record| record.ended.outcome == Outcome::Refused).count();
    (all > 0).then(|| {
        let repeats = all - firsts;
        format!("{firsts} calls with a key: {repeats} repeated, {again} begun again, {refused} of all these refused")
    })
}

/// Until when each call waited that was made by a node, its repeat included.
fn deadlines(trace: &Trace) -> HashMap<u64, Option<u64>> {
    let mut deadlines = HashMap::new();
    for record in &trace.records {
        let last = deadlines.entry(record.tag).or_insert(record.deadline);
        *last = (*last).max(record.deadline);
    }
    deadlines
}

/// Did a call run twice, though its kind says that it may not?
fn is_twice(record: &Record, runs: &[Run], promise: Promise, doomed: &Doomed, replies: &Replies) -> bool {
    match record.kind.safety {
        Safety::Idempotent => false,
        Safety::Unsafe => runs.len() > 1,
        // Begun again is only what never ended, or ended when its reply could no longer leave.
        Safety::Keyed => {
            let cut_off = |run: &Run| doomed.get(&run.pid).into_iter().flatten().any(|at| replies.spans(run, *at));
            let before_last = &runs[..runs.len().saturating_sub(1)];
            promise.keys != Keys::Lost && !before_last.iter().all(cut_off)
        }
    }
}

/// Why a call counts as lost, if it does.
fn is_lost(record: &Record, journal: &Journal, promise: Promise) -> Option<&'static str> {
    let runs = journal.runs(record.tag);
    match &record.ended.outcome {
        // That what it repeats has run says nothing of the repeat.
        Outcome::Refused if record.repeats.is_some() => None,
        answer @ Outcome::Answered { .. }
            if record.repeats.as_ref().is_some_and(|first| first != answer) && promise.keys != Keys::Lost =>
        {
            Some("a repeat was answered otherwise than the call")
        }
        Outcome::Hung => Some("neither answer nor error"),
        Outcome::Odd => Some("an error that no promise names"),
        Outcome::Refused => (!runs.is_empty()).then_some("it ran, and its caller was told that it never did"),
        Outcome::Unknown => None,
        Outcome::Answered { tag, .. } if *tag != Some(record.tag) => Some("the answer to another call"),
        Outcome::Answered { pid, .. } => {
            let ran = runs
                .iter()
                .any(|run| Some(u64::from(run.pid)) == *pid && run.method == record.kind.method && run.ended.is_some());
            (!ran).then_some("answered, and never ran to its end there")
        }
    }
}

fn shown(record: &Record) -> String {
    let error = record.ended.error.as_deref().unwrap_or("no error");
    format!(
        "{}{} on {} (call {}, at {:.1?}, took {:.1?}): {error}",
        match (record.kind.safety, &record.repeats) {
            (Safety::Keyed, Some(_)) => "repeat of a keyed ",
            (Safety::Keyed, None) => "keyed ",
            _ => "",
        },
        record.kind.method,
        record.kind.path,
        record.tag,
        record.began,
        record.took
    )
}

/// The longest time in which no call to what is not being broken was answered.
fn silence(trace: &Trace) -> Duration {
    let mut answered: Vec<Duration> = trace
        .records
        .iter()
        .filter(|record| record.is_answered() && !record.broken)
        .map(|record| record.began + record.took)
        .filter(|at| *at < trace.lasted)
        .collect();
    answered.push(trace.lasted);
    answered.sort();
    let mut before = Duration::ZERO;
    answered.into_iter().map(|at| at - std::mem::replace(&mut before, at)).max().unwrap_or_default()
}

fn slowest(trace: &Trace) -> Duration {
    trace.records.iter().filter(|record| record.is_answered()).map(|record| record.took).max().unwrap_or_default()
}
