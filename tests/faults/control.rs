//! The judge itself: a trace with every lie that there can be must not pass.

use crate::{
    call::{ALL, Ended, Kind, Outcome},
    journal::Journal,
    judge::{Doubt, Finding, Promise, judge},
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
    Record { tag, kind: kind(method), broken: false, began, took, deadline: Some(DEADLINE), ended }
}

fn answered(tag: u64) -> Outcome {
    Outcome::Answered { tag: Some(tag), pid: Some(7) }
}

/// When calls are over.
const DEADLINE: u64 = 1000;

/// Each of these is a lie or a loss, and some are two.
fn lies() -> (Vec<Record>, &'static str) {
    let journal = "\
S 1 create 7 10\nE 1 create 7 11\nS 1 create 8 10\n\
S 3 get 8 10\nE 3 get 8 11\n\
S 4 get 7 10\n\
S 5 create 7 10\nE 5 create 7 11\n\
S 6 get 7 10\nE 6 get 7 11\n\
S 9 create 7 5000\nE 9 create 7 5001\n";
    let records = vec![
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
    (records, journal)
}

fn truths() -> (Vec<Record>, &'static str) {
    let journal = "\
S 1 create 7 10\nE 1 create 7 11\n\
S 2 get 6 10\nS 2 get 7 20\nE 2 get 7 21\n\
S 3 create 7 10\n";
    let records = vec![
        record(1, "create", answered(1)),
        record(2, "get", answered(2)),
        record(3, "create", Outcome::Unknown),
        record(4, "create", Outcome::Unknown),
        record(5, "get", Outcome::Refused),
    ];
    (records, journal)
}

fn judged((records, journal): (Vec<Record>, &str), promise: Promise) -> Finding {
    judge(&Trace { records, lasted: Duration::from_secs(1) }, &Journal::parse(journal), promise)
}

fn control(_: &Setting) -> Finding {
    let loose = Promise { refused: true, unknown: Doubt::Any, timeouts: Doubt::Any };
    let strict = Promise { refused: false, unknown: Doubt::None, timeouts: Doubt::None };
    let (lies, truths, strictly) = (judged(lies(), loose), judged(truths(), loose), judged(truths(), strict));
    let mut finding = Finding::default();
    let mut expect = |what: &str, seen: (usize, usize), wanted: (usize, usize)| {
        if seen != wanted {
            finding.problems.push(format!("{what}: {seen:?} instead of {wanted:?}"));
        }
    };
    expect("lost and run twice of the lies", (lies.lost, lies.twice), (7, 1));
    expect("lost and run twice of the truths", (truths.lost, truths.twice), (0, 0));
    let kinds = (truths.problems.len(), strictly.problems.len());
    expect("kinds of mistakes among the truths", kinds, (0, 2));
    expect("kinds of mistakes among the lies", (lies.problems.len(), 0), (3, 0));
    finding
}
