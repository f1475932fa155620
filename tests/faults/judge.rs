//! Compares what callers were told with what really ran.

use crate::{
    call::Outcome,
    journal::Journal,
    load::{Record, Trace},
};
use std::{collections::BTreeSet, time::Duration};

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
pub(crate) const ALL_ANSWERED: Promise = Promise { refused: false, unknown: Doubt::None, timeouts: Doubt::None };
/// A call that may not run twice may end in doubt, and says so as soon as that is known; all others are answered.
pub(crate) const UNSAFE_IN_DOUBT: Promise = Promise { refused: false, unknown: Doubt::Unsafe, timeouts: Doubt::None };
/// The same where connections break: whether a request that was being written has arrived, only its reply or its
/// deadline tells, unless it may be written twice.
pub(crate) const UNSAFE_MAY_WAIT: Promise = Promise { refused: false, unknown: Doubt::Unsafe, timeouts: Doubt::Unsafe };
/// Every call that fails says so before its deadline.
pub(crate) const TOLD: Promise = Promise { refused: true, unknown: Doubt::Any, timeouts: Doubt::None };
/// The same where connections break.
pub(crate) const TOLD_OR_UNSAFE: Promise = Promise { refused: true, unknown: Doubt::Any, timeouts: Doubt::Unsafe };
/// Every call ends by its deadline and tells the truth.
pub(crate) const HONEST: Promise = Promise { refused: true, unknown: Doubt::Any, timeouts: Doubt::Any };

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

    fn complain(&mut self, what: &str, examples: &[String]) {
        if let Some(shown) = examples.get(..examples.len().min(EXAMPLES)).filter(|shown| !shown.is_empty()) {
            self.problems.push(format!("{} {what}, e.g. {}", examples.len(), shown.join("; ")));
        }
    }
}

/// Compares a load with the journal.
pub(crate) fn judge(trace: &Trace, journal: &Journal, promise: Promise) -> Finding {
    let mut finding = Finding { made: trace.records.len(), ..Finding::default() };
    let (mut lost, mut twice) = (Vec::new(), Vec::new());
    let mut expired = Vec::new();
    let (mut refused, mut unknown, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for record in &trace.records {
        let runs = journal.runs(record.tag);
        match record.ended.outcome {
            Outcome::Answered { .. } => finding.answered += 1,
            Outcome::Refused => finding.refused += 1,
            Outcome::Unknown => finding.unknown += 1,
            Outcome::Odd | Outcome::Hung => {}
        }
        if let Some(why) = is_lost(record, journal) {
            lost.push(format!("{why}: {}", shown(record)));
        }
        if !record.kind.idempotent && runs.len() > 1 {
            let pids: BTreeSet<u32> = runs.iter().map(|run| run.pid).collect();
            twice.push(format!("{} times in {pids:?}: {}", runs.len(), shown(record)));
        }
        if record.deadline.is_some_and(|deadline| runs.iter().any(|run| run.started > deadline + SLACK_MS)) {
            expired.push(shown(record));
        }
        if record.broken {
            continue;
        }
        if record.ended.outcome == Outcome::Refused && !promise.refused {
            refused.push(shown(record));
        }
        if record.ended.outcome == Outcome::Unknown && !allows(promise.unknown, record) {
            unknown.push(shown(record));
        }
        if record.ended.timed_out && !allows(promise.timeouts, record) {
            late.push(shown(record));
        }
    }
    (finding.lost, finding.twice) = (lost.len(), twice.len());
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
    (finding.silence, finding.slowest) = (silence(trace), slowest(trace));
    finding
}

fn allows(doubt: Doubt, record: &Record) -> bool {
    match doubt {
        Doubt::None => false,
        Doubt::Unsafe => !record.kind.idempotent,
        Doubt::Any => true,
    }
}

/// Why a call counts as lost, if it does.
fn is_lost(record: &Record, journal: &Journal) -> Option<&'static str> {
    let runs = journal.runs(record.tag);
    match record.ended.outcome {
        Outcome::Hung => Some("neither answer nor error"),
        Outcome::Odd => Some("an error that no promise names"),
        Outcome::Refused => (!runs.is_empty()).then_some("it ran, and its caller was told that it never did"),
        Outcome::Unknown => None,
        Outcome::Answered { tag, .. } if tag != Some(record.tag) => Some("the answer to another call"),
        Outcome::Answered { pid, .. } => {
            let ran =
                runs.iter().any(|run| Some(u64::from(run.pid)) == pid && run.method == record.kind.method && run.ended);
            (!ran).then_some("answered, and never ran to its end there")
        }
    }
}

fn shown(record: &Record) -> String {
    let error = record.ended.error.as_deref().unwrap_or("no error");
    format!(
        "{} on {} (call {}, at {:.1?}, took {:.1?}): {error}",
        record.kind.method, record.kind.path, record.tag, record.began, record.took
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
