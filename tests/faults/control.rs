//! The judge itself: a trace with every lie that there can be must not pass.

use crate::{
    call::{ALL, Ended, Kind, Outcome, Safety},
    journal::Journal,
    judge::{ALL_ANSWERED, Doomed, FAILOVER, Finding, HONEST, Promise, judge},
    load::{Record, Trace},
    row::{Row, Setting},
};
use std::time::Duration;

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        name: "control",
        fault: "the judge is lied to",
        repeats: (1, 1),
        rate: None,
        run: |setting| Box::pin(async move { control(&setting) }),
    }]
}

fn kind(method: &str) -> Kind {
    ALL.iter().map(|(kind, _)| *kind).find(|kind| kind.method == method).expect("a kind of that method")
}

fn record(tag: u64, method: &str, outcome: Outcome) -> Record {
    let ended = Ended { outcome, error: None, timed_out: false };
    let (began, took) = (Duration::from_millis(tag), Duration::from_millis(1));
    let kind = kind(method);
    Record { tag, kind, repeats: None, broken: false, began, took, ended_at: ARRIVED, deadline: Some(DEADLINE), ended }
}

fn answered(tag: u64) -> Outcome {
    Outcome::Answered { tag: Some(tag), pid: Some(7) }
}

/// A call with an idempotency key, and its repeat.
fn repeated(tag: u64, outcome: Outcome, repeat: Outcome) -> [Record; 2] {
    let is_meant = |kind: &Kind| kind.method == "create" && kind.safety == Safety::Keyed;
    let kind = ALL.iter().map(|(kind, _)| *kind).find(is_meant).expect("a create with a key");
    let first = Record { kind, ..record(tag, "create", outcome.clone()) };
    [first, Record { kind, repeats: Some(outcome), ..record(tag, "create", repeat) }]
}

/// When calls are over, and when their outcomes arrive.
const DEADLINE: u64 = 1000;
const ARRIVED: u64 = 1600;

/// Each of these is a lie or a loss, and some are two.
fn lies() -> (Vec<Record>, &'static str) {
    let journal = "\
S 1 create 7 10\nE 1 create 7 11\nS 1 create 8 10\n\
S 3 get 8 10\nE 3 get 8 11\n\
S 4 get 7 10\n\
S 5 create 7 10\nE 5 create 7 11\n\
S 6 get 7 10\nE 6 get 7 11\n\
S 9 create 7 5000\nE 9 create 7 5001\n\
S 10 create 7 10\nE 10 create 7 11\nS 10 create 8 20\nE 10 create 8 21\n\
S 11 create 7 10\nS 11 create 8 20\nE 11 create 8 21\n\
S 12 create 9 10\nE 12 create 9 11\nS 12 create 8 20\nE 12 create 8 21\n\
S 13 create 7 10\nE 13 create 7 11\n\
S 14 create 9 900\nE 14 create 9 901\n";
    let mut records = vec![
        record(1, "create", answered(1)),
        record(2, "get", answered(2)),
        record(3, "get", answered(3)),
        record(4, "get", answered(4)),
        record(5, "create", Outcome::Refused),
        record(6, "get", answered(5)),
        record(7, "find", Outcome::Hung),
        record(8, "find", Outcome::Odd),
        record(9, "create", Outcome::Unknown),
    ];
    // A finished run is repeated, with another answer; one that lives is joined by another; one that had ended long
    // before its process is begun again; the repeat is told what another call is.
    let by_8 = Outcome::Answered { tag: Some(10), pid: Some(8) };
    records.extend(repeated(10, answered(10), by_8));
    records.extend(repeated(11, Outcome::Unknown, Outcome::Refused));
    records.extend(repeated(12, Outcome::Unknown, Outcome::Refused));
    records.extend(repeated(13, answered(13), answered(12)));
    // By this one it is known that 12 had been answered before the process died.
    let by_9 = Outcome::Answered { tag: Some(14), pid: Some(9) };
    records.extend(repeated(14, by_9.clone(), by_9));
    (records, journal)
}

fn truths() -> (Vec<Record>, &'static str) {
    let journal = "\
S 1 create 7 10\nE 1 create 7 11\n\
S 2 get 6 10\nS 2 get 7 20\nE 2 get 7 21\n\
S 3 create 7 10\n\
S 6 create 9 10\nS 6 create 7 20\nE 6 create 7 21\n\
S 7 create 9 10\nS 7 create 7 20\nE 7 create 7 21\nE 7 create 9 3000\n\
S 8 create 9 2100\nE 8 create 9 2150\nS 8 create 7 2200\nE 8 create 7 2201\n\
S 9 create 9 10\nE 9 create 9 11\nS 9 create 7 20\nE 9 create 7 21\n\
S 10 create 9 400\nE 10 create 9 401\n";
    let mut records = vec![
        record(1, "create", answered(1)),
        record(2, "get", answered(2)),
        record(3, "create", Outcome::Unknown),
        record(4, "create", Outcome::Unknown),
        record(5, "get", Outcome::Refused),
    ];
    // With a key, what the process did not end, ended after it had been frozen, or could not tell, is begun again.
    // So is what had ended long before, where nothing that ended later arrived: a busy machine is no mistake.
    for tag in [6, 7, 8, 9, 10] {
        let answer = if tag == 10 { Outcome::Answered { tag: Some(10), pid: Some(9) } } else { answered(tag) };
        records.extend(repeated(tag, answer.clone(), answer));
        records.iter_mut().for_each(|record| record.deadline = Some(2 * DEADLINE));
    }
    (records, journal)
}

/// One given out by each of two masters, and one that its replica ran twice.
fn failed_over() -> (Vec<Record>, &'static str) {
    let journal = "\
S 1 create 7 10\nE 1 create 7 11\nS 1 create 8 20\nE 1 create 8 21\n\
S 2 create 7 10\nE 2 create 7 11\nS 2 create 7 20\nE 2 create 7 21\n";
    (vec![record(1, "create", answered(1)), record(2, "create", answered(2))], journal)
}

fn judged((records, journal): (Vec<Record>, &str), promise: Promise) -> Finding {
    let trace = Trace { records, lasted: Duration::from_secs(1) };
    judge(&trace, &Journal::parse(journal), promise, &Doomed::from([(9, vec![2200])]))
}

fn control(_: &Setting) -> Finding {
    let (lies, truths, strictly) = (judged(lies(), HONEST), judged(truths(), HONEST), judged(truths(), ALL_ANSWERED));
    let mut finding = Finding::default();
    let mut expect = |what: &str, seen: (usize, usize), wanted: (usize, usize)| {
        if seen != wanted {
            finding.problems.push(format!("{what}: {seen:?} instead of {wanted:?}"));
        }
    };
    expect("lost and run twice of the lies", (lies.lost, lies.twice), (9, 4));
    expect("lost and run twice of the truths", (truths.lost, truths.twice), (0, 0));
    let kinds = (truths.problems.len(), strictly.problems.len());
    expect("kinds of mistakes among the truths", kinds, (0, 2));
    let failover = judged(failed_over(), FAILOVER);
    expect("run twice, and mistakes, at a failover", (failover.twice, failover.problems.len()), (2, 1));
    let by_two = failover.notes.iter().filter(|note| note.starts_with("1 calls were given")).count();
    expect("told of those given to two replicas", (by_two, 0), (1, 0));
    expect("kinds of mistakes among the lies", (lies.problems.len(), 0), (3, 0));
    finding
}
