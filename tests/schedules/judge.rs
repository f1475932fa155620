//! Compares what callers were told with what really ran.

use crate::{
    call::{Outcome, Record, Safety},
    mesh::Mesh,
    plan::{Fault, Plan, What},
    service::Run,
};
use std::time::Duration;

/// How much later than its caller's deadline a run may start: clocks are compared by way of Redis, in whole beats.
const SLACK: Duration = Duration::from_millis(500);

/// Everything that was promised of calls and not kept.
pub(crate) fn judge(plan: &Plan, mesh: &Mesh, records: &[Record]) -> Vec<String> {
    let runs = mesh.journal.runs();
    let mut problems = Vec::new();
    for record in records {
        let own: Vec<&Run> = runs.iter().filter(|run| run.tag == record.order.tag).collect();
        let complaints = [
            is_told_wrong(plan, record, &runs),
            ran_twice(plan, mesh, record, &own),
            waited_in_vain(plan, record),
            began_late(plan, record, records, &own),
        ];
        let ran = own.iter().map(|run| format!("on node {} from {:.3?} to {:.3?}", run.node, run.started, run.ended));
        let ran = ran.collect::<Vec<_>>().join(", ");
        problems.extend(complaints.into_iter().flatten().map(|why| format!("{why}: {}; it ran {ran}", shown(record))));
    }
    problems
}

fn is_told_wrong(plan: &Plan, record: &Record, runs: &[Run]) -> Option<&'static str> {
    match &record.outcome {
        Outcome::Hung => Some("neither answer nor error"),
        Outcome::Odd => Some("an error that no promise names"),
        Outcome::Unknown => None,
        // That what it repeats has run says nothing of the repeat.
        Outcome::Refused if record.repeats.is_some() => None,
        // Where the call is repeated, what began later may be the repeat.
        Outcome::Refused => {
            let counted = if record.order.is_repeated() { &runs[..record.begun_by_then] } else { runs };
            let ran = counted.iter().any(|run| run.tag == record.order.tag);
            ran.then_some("it ran, and its caller was told that it never did")
        }
        Outcome::Answered { tag, .. } if *tag != Some(record.order.tag) => Some("the answer to another call"),
        answer @ Outcome::Answered { run, .. } => {
            let ran = run.and_then(|run| runs.get(run as usize)).is_some_and(|run| run.ended.is_some());
            let is_other = matches!(&record.repeats, Some(first @ Outcome::Answered { .. }) if first != answer);
            match (ran, is_other && !forgets(plan)) {
                (false, _) => Some("answered, and never ran to its end"),
                (_, true) => Some("a repeat was answered otherwise than the call"),
                _ => None,
            }
        }
    }
}

/// May Redis lose what it knew of a call by any of the faults?
fn forgets(plan: &Plan) -> bool {
    plan.faults.iter().any(Fault::loses)
}

fn ran_twice(plan: &Plan, mesh: &Mesh, record: &Record, own: &[&Run]) -> Option<&'static str> {
    let (_, before) = own.split_last()?;
    if before.is_empty() || record.repeats.is_some() {
        return None;
    }
    let is_rolled_back = plan.faults.iter().any(|fault| matches!(fault.what, What::Failover { .. }));
    match record.order.kind.safety {
        Safety::Idempotent => None,
        Safety::Unsafe => {
            let again = before.iter().any(|run| own.last().is_some_and(|last| last.node == run.node));
            // What a failover loses includes to whom a request was given.
            (!is_rolled_back || again).then_some("it may not run twice, and did")
        }
        // Begun again is only what never ended, or whose reply could not leave.
        Safety::Keyed => {
            let could_tell = |run: &&Run| {
                let Some(ended) = run.ended else { return false };
                !plan.troubled(run.started, ended + Duration::from_secs(1)) && !mesh.was_killed(run.node)
            };
            (!forgets(plan) && before.iter().any(could_tell)).then_some("it had run to its end, and was run again")
        }
    }
}

fn waited_in_vain(plan: &Plan, record: &Record) -> Option<&'static str> {
    let deadline = record.began + record.order.timeout;
    let calm = plan.calm_before(deadline).max(record.began);
    let is_due = record.order.work + plan.grace() < deadline.saturating_sub(calm);
    (record.timed_out && is_due).then_some("it waited for its deadline, and nothing was broken any more")
}

fn began_late(plan: &Plan, record: &Record, records: &[Record], own: &[&Run]) -> Option<&'static str> {
    // A request's time begins when Redis has it: what is held up on the way there lives longer.
    let holds_up = |fault: &Fault| match fault.what {
        What::Silence { place } => place >= plan.replicas,
        What::Failover { .. } | What::Pause => true,
        _ => false,
    };
    if plan.faults.iter().any(holds_up) {
        return None;
    }
    let same = records.iter().filter(|other| other.order.tag == record.order.tag);
    let deadline = same.map(|other| other.began + other.order.timeout).max()?;
    let slack = SLACK + Duration::from_millis(plan.weather.longest.max(plan.weather.most));
    own.iter().any(|run| run.started > deadline + slack).then_some("it was begun after its deadline")
}

impl Plan {
    /// Was anything broken between these moments?
    fn troubled(&self, from: Duration, to: Duration) -> bool {
        self.faults.iter().any(|fault| fault.at <= to && fault.end() + self.grace() >= from)
    }

    /// Since when nothing had been broken, at this moment.
    fn calm_before(&self, moment: Duration) -> Duration {
        let begun = self.faults.iter().filter(|fault| fault.at <= moment);
        begun
            .map(|fault| if matches!(fault.what, What::Boundary { .. }) { self.length } else { fault.end() })
            .max()
            .unwrap_or_default()
    }

    /// How long the mesh may take to settle.
    pub(crate) fn grace(&self) -> Duration {
        self.times.ttl * 2 + Duration::from_secs(3)
    }
}

fn shown(record: &Record) -> String {
    let Record { order, began, ended, outcome, error, repeats, .. } = record;
    let kind = order.kind;
    let repeat = if repeats.is_some() { "repeat of " } else { "" };
    format!(
        "{repeat}call {} ({} {:?}, work {:?}, timeout {:?}, at {began:.3?}, ended at {ended:.3?}): {outcome:?} {error}",
        order.tag, kind.method, kind.safety, order.work, order.timeout
    )
}
