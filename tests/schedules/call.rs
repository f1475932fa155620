//! One call: what is asked, and what its caller was told.

use crate::{plan::Order, random::Random};
use rachis::{Error, ErrorKind, Node};
use serde_json::{Value, json};
use std::time::Duration;

/// What becomes of a call whose replica died.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Safety {
    /// It may run twice with the effect of once.
    Idempotent,
    /// It has an idempotency key.
    Keyed,
    /// It may not run twice.
    Unsafe,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) method: &'static str,
    pub(crate) safety: Safety,
}

const KINDS: [Kind; 6] = [
    Kind { method: "get", safety: Safety::Idempotent },
    Kind { method: "update", safety: Safety::Idempotent },
    Kind { method: "create", safety: Safety::Unsafe },
    Kind { method: "patch", safety: Safety::Unsafe },
    Kind { method: "create", safety: Safety::Keyed },
    Kind { method: "charge", safety: Safety::Keyed },
];

impl Kind {
    pub(crate) fn any(random: &mut Random) -> Kind {
        KINDS[random.below(KINDS.len() as u64) as usize]
    }

    /// One of each safety.
    pub(crate) fn each() -> [Kind; 3] {
        [KINDS[0], KINDS[2], KINDS[4]]
    }
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A result, and what it says of the call and of the run.
    Answered { tag: Option<u64>, run: Option<u64> },
    /// An error that says, or means, that it never ran.
    Refused,
    /// An error that says that it may have run.
    Unknown,
    /// An error that no promise names.
    Odd,
    /// Nothing, long after the deadline.
    Hung,
}

/// A call that is over.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) order: Order,
    /// What the first call with the same key was told.
    pub(crate) repeats: Option<Outcome>,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    /// How many runs, of all calls, had begun when its caller was told.
    pub(crate) begun_by_then: usize,
    pub(crate) outcome: Outcome,
    pub(crate) timed_out: bool,
    pub(crate) error: String,
}

/// Makes a call, and waits no longer than `patience` to be told of it.
pub(crate) async fn ask(node: &Node, order: &Order, patience: Duration) -> (Outcome, bool, String) {
    let jobs = node.service("jobs");
    let mut call = jobs.method(order.kind.method).timeout(order.timeout);
    if order.kind.safety == Safety::Keyed {
        call = call.idempotency_key(format!("key-{}", order.tag));
    }
    let whole = json!({ "tag": order.tag, "work": u64::try_from(order.work.as_millis()).unwrap_or(0) });
    let id = order.tag.to_string();
    let call = match order.kind.method {
        "get" => call.id(id.as_str()).query(whole),
        "update" | "patch" => call.id(id.as_str()).data(whole),
        _ => call.data(whole),
    };
    match tokio::time::timeout(patience, async { call.await }).await {
        Ok(Ok(value)) => (answered(&value), false, String::new()),
        Ok(Err(error)) => (failed(&error), error.kind() == ErrorKind::Timeout, format!("{error:?}")),
        Err(_) => (Outcome::Hung, true, "neither answer nor error".into()),
    }
}

fn answered(value: &Value) -> Outcome {
    Outcome::Answered { tag: value["tag"].as_u64(), run: value["run"].as_u64() }
}

fn failed(error: &Error) -> Outcome {
    match (error.kind(), error.outcome().map(rachis::Outcome::name)) {
        (_, Some("unknown")) => Outcome::Unknown,
        (ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::TooManyRequests, _) => Outcome::Refused,
        _ => Outcome::Odd,
    }
}
