//! One method call in memory, and what comes back from it.

pub(crate) mod handle;
pub(crate) mod id;
#[doc(hidden)]
pub mod idempotency;
pub(crate) mod method;
pub(crate) mod outcome;
pub(crate) mod page;
pub(crate) mod params;

use crate::{Id, Method, Params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// One call of a method of a service.
///
/// Applications rarely build one: [`Handle`](crate::Handle) does. It is what tower layers and hooks see.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service, without leading and trailing slashes.
    pub path: String,
    /// The method to run.
    pub method: Method,
    /// The record, or `None` for many or all.
    pub id: Option<Id>,
    /// What `create`, `update`, `patch` and custom methods are given; `null` otherwise.
    pub data: Value,
    /// Everything else.
    pub params: Params,
    /// How long the caller waits for an answer; `None` means the node's `timeout`. Local calls are not bounded by it. On the
    /// node that answers, it is what was left when the call began.
    pub timeout: Option<Duration>,
}

impl Call {
    /// A call of `method` on the service at `path`, with nothing else set.
    pub fn new(path: impl AsRef<str>, method: impl Into<Method>) -> Self {
        Call {
            path: crate::path::strip(path.as_ref()).to_owned(),
            method: method.into(),
            id: None,
            data: Value::Null,
            params: Params::default(),
            timeout: None,
        }
    }
}

/// What a call returned: the result and how the outside shall see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What the service and its hooks returned; code that calls gets this.
    pub result: Value,
    /// The external view, where hooks set one: clients of a gateway and events get this instead of `result`.
    pub dispatch: Option<Value>,
    /// Status, headers and location for a REST reply.
    pub http: Http,
}

impl Answer {
    /// What clients outside may see.
    pub fn external(self) -> Value {
        self.dispatch.unwrap_or(self.result)
    }
}

impl From<Value> for Answer {
    fn from(result: Value) -> Self {
        Answer { result, ..Answer::default() }
    }
}

/// What a hook may say about the REST reply to a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// The status code, instead of 200, 201 or 204.
    pub status: Option<u16>,
    /// More headers.
    pub headers: BTreeMap<String, String>,
    /// Where to redirect to; the status becomes 303 unless set. It is URL-encoded on the way out.
    pub location: Option<String>,
}

impl Http {
    /// Returns `true` if no status, header or location is set.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.location.is_none() && self.headers.is_empty()
    }
}
