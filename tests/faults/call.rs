//! One call of the load: what is asked, by which way, and what came of it.

use rachis::{Error, ErrorKind, Node};
use serde_json::{Value, json};
use std::time::Duration;

/// How long after its deadline a client still waits for the answer by HTTP that the deadline is over.
const HTTP_MARGIN: Duration = Duration::from_secs(1);

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
    pub(crate) safety: Safety,
}

/// What becomes of a call whose replica died.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Safety {
    /// It may run twice with the effect of once.
    Idempotent,
    /// It has an idempotency key, so it is begun again, and a finished run is never repeated.
    Keyed,
    /// It may not run twice.
    Unsafe,
}
use Safety::{Idempotent, Keyed, Unsafe};

impl Kind {
    /// Is it sent and given out again, whatever became of it before?
    pub(crate) fn is_repeatable(self) -> bool {
        self.safety != Unsafe
    }
}

const fn kind(path: &'static str, method: &'static str, safety: Safety) -> Kind {
    Kind { path, method, safety }
}

/// Kinds with their weights.
pub(crate) type Mix = &'static [(Kind, u64)];

/// Every kind of call there is, nearly half of them such that may not run twice.
pub(crate) const ALL: Mix = &[
    (kind("jobs", "find", Idempotent), 15),
    (kind("jobs", "get", Idempotent), 20),
    (kind("jobs", "update", Idempotent), 10),
    (kind("jobs", "remove", Idempotent), 5),
    (kind("jobs", "recount", Idempotent), 5),
    (kind("jobs", "create", Unsafe), 20),
    (kind("jobs", "patch", Unsafe), 10),
    (kind("jobs", "charge", Unsafe), 10),
    (kind("jobs", "create", Keyed), 6),
    (kind("jobs", "charge", Keyed), 4),
];

/// What two versions of an app offer together: the old one lacks `patch`, `charge` and all of `added`.
pub(crate) const VERSIONS: Mix = &[
    (kind("jobs", "get", Idempotent), 20),
    (kind("jobs", "create", Unsafe), 20),
    (kind("jobs", "patch", Unsafe), 20),
    (kind("jobs", "charge", Unsafe), 10),
    (kind("added", "get", Idempotent), 15),
    (kind("added", "create", Unsafe), 10),
    (kind("added", "create", Keyed), 5),
];

/// Where a call enters the mesh.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) entrance: Entrance,
    /// Is this the part that is being broken, so that its calls may fail?
    pub(crate) broken: bool,
}

#[derive(Clone)]
pub(crate) enum Entrance {
    Node(Node),
    Http { client: reqwest::Client, url: String },
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A result: of which call it says to be, and from which process.
    Answered { tag: Option<u64>, pid: Option<u64> },
    /// An error that says, or means, that the call never ran.
    Refused,
    /// An error that says that the call may have run.
    Unknown,
    /// An error that no promise names.
    Odd,
    /// Nothing at all until long after the deadline.
    Hung,
}

/// An outcome, and the error behind it.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<String>,
    /// Did it wait for its deadline?
    pub(crate) timed_out: bool,
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) tag: u64,
    /// How long its handler takes.
    pub(crate) work: Duration,
    /// Its deadline.
    pub(crate) timeout: Duration,
}

/// The header of an idempotency key.
const KEY: &str = "Idempotency-Key";

impl Asked {
    fn key(self) -> Option<String> {
        (self.kind.safety == Keyed).then(|| format!("call-{}", self.tag))
    }

    pub(crate) async fn ask(self, way: &Entrance) -> Ended {
        match way {
            Entrance::Node(node) => ended(self.ask_node(node).await),
            Entrance::Http { client, url } => match self.ask_http(client, url).await {
                Ok(result) => ended(result),
                // The connection broke: HTTP itself does not tell more.
                Err(error) => Ended { outcome: Outcome::Unknown, error: Some(format!("{error:?}")), timed_out: false },
            },
        }
    }

    fn work_ms(&self) -> u64 {
        u64::try_from(self.work.as_millis()).unwrap_or(0)
    }

    async fn ask_node(self, node: &Node) -> Result<Value, Error> {
        let mut call = node.service(self.kind.path).method(self.kind.method).timeout(self.timeout);
        if let Some(key) = self.key() {
            call = call.idempotency_key(key);
        }
        let whole = json!({ "tag": self.tag, "work": self.work_ms() });
        let id = self.tag.to_string();
        match self.kind.method {
            "find" => call.query(whole).await,
            "get" | "remove" => call.id(id.as_str()).query(whole).await,
            "update" | "patch" => call.id(id.as_str()).data(whole).await,
            _ => call.data(whole).await,
        }
    }

    async fn ask_http(self, client: &reqwest::Client, url: &str) -> reqwest::Result<Result<Value, Error>> {
        let (path, tag, work) = (self.kind.path, self.tag, self.work_ms());
        let (all, one) = (format!("{url}/{path}"), format!("{url}/{path}/{tag}"));
        let query = format!("?tag={tag}&work={work}");
        let whole = json!({ "tag": tag, "work": work });
        let request = match self.kind.method {
            "find" => client.get(format!("{all}{query}")),
            "get" => client.get(format!("{one}{query}")),
            "remove" => client.delete(format!("{one}{query}")),
            "update" => client.put(one).json(&whole),
            "patch" => client.patch(one).json(&whole),
            "create" => client.post(all).json(&whole),
            custom => client.post(all).header("x-service-method", custom).json(&whole),
        };
        let request = self.key().into_iter().fold(request, |request, key| request.header(KEY, key));
        let response = request.timeout(self.timeout + HTTP_MARGIN).send().await?;
        let good = response.status().is_success();
        let body: Value = response.json().await?;
        Ok(if good { Ok(body) } else { Err(Error::from_json(body)) })
    }
}

fn ended(result: Result<Value, Error>) -> Ended {
    match result {
        Ok(value) => {
            let outcome = Outcome::Answered { tag: value["tag"].as_u64(), pid: value["pid"].as_u64() };
            Ended { outcome, error: None, timed_out: false }
        }
        Err(error) => {
            let timed_out = error.kind() == ErrorKind::Timeout;
            Ended { outcome: failed(&error), error: Some(format!("{error:?}")), timed_out }
        }
    }
}

/// What an error says of the call. One that does not say that it may have run claims that it never did.
fn failed(error: &Error) -> Outcome {
    match (error.kind(), error.outcome().map(rachis::Outcome::name)) {
        (_, Some("unknown")) => Outcome::Unknown,
        (ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::TooManyRequests, _) => Outcome::Refused,
        _ => Outcome::Odd,
    }
}
