//! Frames: what nodes say to each other, as MessagePack behind a version byte.
//!
//! | frame | bytes |
//! |---|---|
//! | request | version, kind, time left in ms (u32, big endian), [`Request`] |
//! | reply, note, question, statement, event, announcement, descriptor, manifest | version, kind, the value |
//!
//! Where nodes share a secret, the kind is in lower case and a signature follows; see [`signing`].
//!
//! Structs are arrays: field names would double the size of a small call. Fields are therefore only ever added at the
//! end and under a new version, or left out wherever they say what a node without them takes for granted.

mod question;
mod request;
mod signing;
#[cfg(test)]
mod tests;

pub(crate) use question::{Question, Statement};
pub(crate) use request::{CallId, LONGEST, Request, print, sender, stamp};
pub(crate) use signing::{Signer, SigningScope, UNKNOWING, is_signed, until};

use rachis_core::{
    Answer, Descriptor, Error, Event, EventContext, Http, Id, Method, Result,
    host::{DEEPEST, is_deeper_than, listeners},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
#[cfg(feature = "schema")]
use serde_bytes::ByteArray;
use serde_json::Value;
use std::collections::BTreeMap;

/// The version this node writes, and the only one it reads.
pub(crate) const VERSION: u8 = 1;

/// What follows the version byte of a request.
const REQUEST: u8 = b'Q';

/// Where the time left stands in a request.
const TIME_LEFT: std::ops::Range<usize> = 2..6;

/// Returns `true` for a frame of that kind, whatever its version.
pub(crate) fn is<F: Frame>(frame: &[u8]) -> bool {
    frame.get(1).is_some_and(|kind| kind.eq_ignore_ascii_case(&F::KIND))
}

/// What a call ended in, on its way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// The request it answers.
    pub(crate) id: u64,
    outcome: ReplyBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum ReplyBody {
    // The dispatch is a list of none or one: MessagePack does not tell an absent one from `null`, which hides a result.
    Answer(Value, Vec<Value>, Option<Http>),
    Failure(Value),
}

impl Reply {
    pub(crate) fn new(id: u64, outcome: Result<Answer>) -> Self {
        let outcome = match outcome {
            Ok(answer) => {
                let http = (!answer.http.is_empty()).then_some(answer.http);
                ReplyBody::Answer(answer.result, Vec::from_iter(answer.dispatch), http)
            }
            Err(error) => ReplyBody::Failure(error.to_json()),
        };
        Reply { id, outcome }
    }

    pub(crate) fn into_outcome(self) -> Result<Answer> {
        match self.outcome {
            ReplyBody::Answer(result, dispatch, http) => {
                let dispatch = dispatch.into_iter().next();
                Ok(Answer { result, dispatch, http: http.unwrap_or_default() })
            }
            ReplyBody::Failure(error) => Err(Error::from_json(error)),
        }
    }
}

/// Tells a replica that a request of its app has become its own, since another one lacks the method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Handoff {
    /// Where the request stands in the stream of the app. The note does not carry it: what is run is what the stream
    /// holds for this replica, regardless of its writer.
    pub(crate) entry: String,
    /// In which partition's.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(crate) partition: usize,
}

/// Tells a replica that the caller of a request that it has begun has gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Abandoned {
    /// The stream that the request stands in.
    pub(crate) stream: String,
    /// Where in it.
    pub(crate) entry: String,
}

/// Left out at its usual value, a field at the end makes no difference to nodes that do not know it.
fn is_first(partition: &usize) -> bool {
    *partition == 0
}

/// An event on its way to other nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventFrame {
    /// The node it happened on.
    pub(crate) origin: String,
    /// The app that node belongs to, `KEY/APP`.
    pub(crate) app: String,
    /// Counts the events of that node: a repeat has the number of the original.
    pub(crate) number: u64,
    path: String,
    name: String,
    data: Value,
    context: Option<ContextFrame>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ContextFrame {
    method: Method,
    id: Option<Id>,
    query: Value,
    route: BTreeMap<String, String>,
    provider: Option<String>,
    user: Option<Value>,
    /// A list of none or one; left out where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    data: Vec<Value>,
}

impl EventFrame {
    pub(crate) fn new(origin: &str, app: &str, number: u64, event: &Event) -> Self {
        EventFrame {
            origin: origin.to_owned(),
            app: app.to_owned(),
            number,
            path: event.path.clone(),
            name: event.name.clone(),
            data: event.data.clone(),
            context: event.context.clone().map(|context| ContextFrame {
                method: context.method,
                id: context.id,
                query: context.query,
                route: context.route,
                provider: context.provider,
                user: context.user,
                data: Vec::from_iter(context.data),
            }),
        }
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        let context = self.context.as_ref();
        let user = context.and_then(|context| context.user.as_ref());
        let query = context.map(|context| &context.query);
        let data = context.and_then(|context| context.data.first());
        listeners::size_of_parts([Some(&self.data), user, query, data])
    }

    /// The event as it is heard here, under the path by which the service is known here.
    pub(crate) fn into_event(self, path: &str) -> Event {
        let context = self.context.map(|context| EventContext {
            method: context.method,
            id: context.id,
            query: context.query,
            route: context.route,
            provider: context.provider,
            user: context.user,
            data: context.data.into_iter().next(),
        });
        Event { path: path.to_owned(), name: self.name, data: self.data, context, from_remote: true }
    }
}

/// What a node says of itself, apart from its services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) key: String,
    pub(crate) app: String,
    /// The application's own version.
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// When it joined, in ms since 1970 by its own clock; for people, nothing is decided by it.
    pub(crate) started: u64,
    /// How long its paths stay callable when the last replica is gone, in ms; `None` for ever.
    pub(crate) linger: Option<u64>,
    /// Over how many streams it lets the requests of its app be spread.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) partitions: usize,
}

fn one() -> usize {
    1
}

fn is_one(partitions: &usize) -> bool {
    *partitions == 1
}

/// Which schemas the services of a node have.
#[cfg(feature = "schema")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The SHA-256 of the schemas of each service, by path.
    pub(crate) services: BTreeMap<String, ByteArray<32>>,
}

/// Frames that are nothing but a version and a value.
pub(crate) trait Frame: Serialize + DeserializeOwned {
    /// The byte after the version.
    const KIND: u8;
    /// What it is, for messages.
    const NAME: &'static str = "frame";

    /// Returns `true` if a value in it is nested deeper than is read.
    fn is_too_deep(&self) -> bool {
        false
    }

    /// The frame for `scope`, which signs it.
    ///
    /// # Errors
    /// `GeneralError` for what is nested too deep.
    fn encode(&self, scope: SigningScope<'_>) -> Result<Vec<u8>> {
        if self.is_too_deep() {
            return Err(Error::general(too_deep(Self::NAME)));
        }
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(&[VERSION, scope.kind(Self::KIND)]);
        write(&mut frame, self)?;
        scope.sign(&mut frame);
        Ok(frame)
    }

    /// # Errors
    /// `NotAcceptable` for another version, naming both; `NotAuthenticated` for a frame that is not signed for `scope`;
    /// `BadRequest` for anything that is no such frame.
    fn decode(frame: &[u8], scope: SigningScope<'_>) -> Result<Self> {
        read(scope.open(frame, Self::KIND)?.get(2..).unwrap_or_default())
    }
}

impl Frame for Reply {
    const KIND: u8 = b'R';
    const NAME: &'static str = "reply";

    fn is_too_deep(&self) -> bool {
        match &self.outcome {
            ReplyBody::Answer(result, dispatch, _) => is_too_deep(result) || dispatch.iter().any(is_too_deep),
            ReplyBody::Failure(error) => is_too_deep(error),
        }
    }
}
impl Frame for Handoff {
    const KIND: u8 = b'H';
}
impl Frame for Abandoned {
    const KIND: u8 = b'G';
}
impl Frame for EventFrame {
    const KIND: u8 = b'E';
    const NAME: &'static str = "event";

    fn is_too_deep(&self) -> bool {
        let of_call =
            self.context.iter().flat_map(|context| context.data.iter().chain(&context.user).chain([&context.query]));
        of_call.chain([&self.data]).any(is_too_deep)
    }
}
impl Frame for Announcement {
    const KIND: u8 = b'A';
}
impl Frame for Descriptor {
    const KIND: u8 = b'D';
    const NAME: &'static str = "description of a service";

    fn is_too_deep(&self) -> bool {
        self.options.values().any(is_too_deep)
    }
}
#[cfg(feature = "schema")]
impl Frame for Manifest {
    const KIND: u8 = b'M';
}

/// How deep a frame is read: the deepest value, and what stands around it.
const DEEPEST_FRAME: usize = DEEPEST + 16;

fn is_too_deep(value: &Value) -> bool {
    is_deeper_than(DEEPEST, value)
}

fn too_deep(what: &str) -> String {
    format!("The {what} is nested deeper than {DEEPEST}, and no node would read it")
}

fn write(frame: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    rmp_serde::encode::write(frame, value)
        .map_err(|error| Error::general(format!("No frame can be made of it: {error}")))
}

/// Reads one value, and nothing may follow it.
fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    let damaged = |error| Error::bad_request(format!("The frame is damaged: {}", told(error)));
    let mut values = rmp_serde::Deserializer::from_read_ref(bytes);
    values.set_max_depth(DEEPEST_FRAME);
    let value = T::deserialize(&mut values).map_err(damaged)?;
    // The reader does not say what is left of it, but the next value does: the end is where not even a marker is.
    match <()>::deserialize(&mut values) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(Error::bad_request("The frame is damaged: it goes on after its end")),
    }
}

/// What is wrong, without what serde quotes of it: that may be a secret, and goes to logs and dead letters.
fn told(error: rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error::{Syntax, Uncategorized};
    match error {
        Syntax(_) | Uncategorized(_) => "it holds something else than belongs there".to_owned(),
        other => other.to_string(),
    }
}

fn too_short(frame: &[u8]) -> Error {
    Error::bad_request(format!("The frame is damaged: it ends after {} bytes", frame.len()))
}
