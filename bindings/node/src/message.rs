//! What JavaScript and Rust say to each other.

use rachis::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeMap;

/// Numbers a question of either side, to tell the answers apart.
pub(crate) type Number = u32;

/// A line from JavaScript.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum FromJs {
    /// Calls a service of the mesh; answered by [`ToJs::Reply`] or [`ToJs::Failure`].
    Call {
        /// The number of the question.
        number: Number,
        /// The node that calls.
        node: Number,
        /// The call.
        call: CallMessage,
    },
    /// What a service of this process came to, that was asked by [`ToJs::Call`].
    Answer {
        /// The number of the question.
        number: Number,
        /// The result, and what hooks made of it.
        answer: AnswerMessage,
    },
    /// The same for one that failed.
    Refuse {
        /// The number of the question.
        number: Number,
        /// The error, as Feathers serializes it.
        error: Value,
    },
    /// Fires an event of a service of this process.
    Emit {
        /// The node that has the service.
        node: Number,
        /// The event.
        event: EventMessage,
    },
    /// Asks something of a node that is no call; answered like one.
    Ask {
        /// The number of the question.
        number: Number,
        /// The node.
        node: Number,
        /// What is asked.
        what: Question,
    },
}

/// What a node is asked to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Question {
    /// To join the mesh.
    Join,
    /// To leave it in good order.
    Shutdown,
    /// To offer a service.
    Register(ServiceMessage),
    /// To take one back.
    Unregister(String),
    /// To bring the events of a path, from a moment in ms of Redis's clock on.
    Listen {
        /// The path.
        path: String,
        /// Since when; from now on if it is left out.
        since: Option<u64>,
    },
    /// To bring those of a path no more.
    Ignore(String),
}

/// A service as JavaScript describes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceMessage {
    pub(crate) path: String,
    pub(crate) methods: Vec<String>,
    pub(crate) events: Vec<String>,
    #[serde(default)]
    pub(crate) idempotent: Vec<String>,
    #[serde(default)]
    pub(crate) options: Map<String, Value>,
}

/// A call in either direction.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallMessage {
    pub(crate) path: String,
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) id: Value,
    #[serde(default)]
    pub(crate) data: Value,
    #[serde(default)]
    pub(crate) params: Map<String, Value>,
    /// How long the caller waits, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u64>,
}

/// What a call came to, in either direction.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerMessage {
    #[serde(default)]
    pub(crate) result: Value,
    /// A list of none or one: `null` may be a dispatch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dispatch: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HttpMessage>,
}

/// What hooks say of the REST reply.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct HttpMessage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
}

/// An event in either direction.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventMessage {
    pub(crate) path: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) data: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<EventContextMessage>,
    /// The call of another node that JavaScript works on and that fired it: it is told before that one is answered.
    #[serde(default, skip_serializing)]
    pub(crate) by: Option<Number>,
}

/// The call that caused an event.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventContextMessage {
    pub(crate) method: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) id: Value,
    /// A list of none or one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) data: Vec<Value>,
    #[serde(default)]
    pub(crate) query: Value,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) route: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<Value>,
}

/// A message for JavaScript.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ToJs {
    /// The answer to a call or a question.
    Reply {
        number: Number,
        answer: AnswerMessage,
    },
    /// The same for one that failed.
    Failure {
        number: Number,
        error: Error,
    },
    /// Asks a service of this process.
    Call {
        number: Number,
        node: Number,
        call: CallMessage,
    },
    /// Something happened to a service.
    Event {
        node: Number,
        event: EventMessage,
    },
    /// The mesh became different.
    Change {
        node: Number,
        change: ChangeMessage,
    },
    Log {
        level: &'static str,
        target: String,
        text: String,
    },
}

/// What became different.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ChangeMessage {
    /// A service of another node can be called, or is offered differently than before. `now` is Redis's time in ms.
    Service {
        now: u64,
        service: Box<RawValue>,
    },
    ServiceRemoved(Box<RawValue>),
    Health(Box<RawValue>),
    NodeUp(Box<RawValue>),
    NodeDown(Box<RawValue>),
}
