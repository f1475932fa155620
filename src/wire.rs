//! Frames: what nodes say to each other, as MessagePack behind a version byte.
//!
//! | frame | bytes |
//! |---|---|
//! | request | version, kind, time left in ms (u32, big endian), [`Request`] |
//! | reply, note, event, announcement, descriptor | version, kind, the value |
//!
//! Where nodes share a secret, the kind is in lower case and a signature follows; see [`seal`].
//!
//! Structs are arrays: field names would double the size of a small call. Fields are therefore only ever added at the
//! end and under a new version, or left out wherever they say what a node without them takes for granted.

mod seal;
#[cfg(test)]
mod tests;

pub(crate) use seal::{Place, Seal, UNKNOWING, is_signed, until};

use crate::{
    Error, Result,
    service::{Answer, Call, Descriptor, Event, EventContext, Http, Id, Method, Params, Query, secret::is_secret},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, time::Duration};

/// The version this node writes, and the only one it reads.
pub(crate) const VERSION: u8 = 1;

/// What follows the version byte of a request.
const REQUEST: u8 = b'Q';

/// Where the time left stands in a request.
const TIME_LEFT: std::ops::Range<usize> = 2..6;

/// A call on its way to a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Which call of the calling node; the reply names it.
    pub(crate) id: u64,
    /// The node to reply to.
    pub(crate) from: String,
    /// How often it was handed on by a replica that did not have the method.
    pub(crate) hops: u8,
    pub(crate) path: String,
    pub(crate) method: Method,
    pub(crate) record: Option<Id>,
    pub(crate) data: Value,
    pub(crate) params: RequestParams,
}

/// The part of [`Params`] that travels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestParams {
    query: Query,
    provider: Option<String>,
    headers: BTreeMap<String, String>,
    route: BTreeMap<String, String>,
    user: Option<Value>,
    authentication: Option<Value>,
    authenticated: bool,
    extra: Map<String, Value>,
    #[serde(default)]
    idempotency_key: Option<String>,
}

impl Request {
    pub(crate) fn new(id: u64, from: &str, path: &str, call: Call) -> Self {
        let sent = call.params;
        let params = RequestParams {
            query: sent.query,
            provider: sent.provider.map(String::from),
            headers: sent.headers,
            route: sent.route,
            user: sent.user,
            authentication: sent.authentication,
            authenticated: sent.authenticated,
            extra: sent.extra,
            idempotency_key: sent.idempotency_key,
        };
        Request {
            id,
            from: from.to_owned(),
            hops: 0,
            path: path.to_owned(),
            method: call.method,
            record: call.id,
            data: call.data,
            params,
        }
    }

    /// May it be given out again whatever its method, since its key tells a repeat from the first?
    pub(crate) fn has_key(&self) -> bool {
        self.params.idempotency_key.is_some()
    }

    /// Takes away what must not lie about: credentials, and whatever else is secret by its name but for data and query,
    /// which the call is nothing without.
    pub(crate) fn without_secrets(mut self) -> Self {
        let params = &mut self.params;
        params.authentication = None;
        params.headers.retain(|name, _| !is_secret(name));
        params.extra.retain(|name, _| !is_secret(name));
        if let Some(Value::Object(user)) = &mut params.user {
            user.retain(|name, _| !is_secret(name));
        }
        self
    }

    /// The name of this call in the logs of both sides.
    pub(crate) fn call_id(&self) -> CallId<'_> {
        CallId(&self.from, self.id)
    }

    /// The call as it runs on this side. That it came from another node is said here and nowhere else, so no caller can
    /// pretend; whether it was authenticated there counts only where `trusted`.
    pub(crate) fn into_call(self, trusted: bool) -> Box<Call> {
        let sent = self.params;
        let params = Params {
            query: sent.query,
            provider: sent.provider.map(Into::into),
            headers: sent.headers,
            route: sent.route,
            user: sent.user,
            authentication: sent.authentication,
            authenticated: sent.authenticated && trusted,
            from_remote: true,
            extra: sent.extra,
            idempotency_key: sent.idempotency_key,
            ..Params::default()
        };
        let Request { path, method, record: id, data, .. } = self;
        Box::new(Call { path, method, id, data, params, timeout: None })
    }

    /// The frame for the stream `place`, which signs it.
    pub(crate) fn encode(&self, left: Duration, place: Place<'_>) -> Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(&[VERSION, place.kind(REQUEST), 0, 0, 0, 0]);
        write(&mut frame, self)?;
        stamp(&mut frame, left);
        place.sign(&mut frame);
        Ok(frame)
    }

    /// The request and the time its caller had left when it was sent.
    ///
    /// # Errors
    /// As of [`Frame::decode`].
    pub(crate) fn decode(frame: &[u8], place: Place<'_>) -> Result<(Box<Self>, Duration)> {
        let frame = place.open(frame, REQUEST)?;
        let left: [u8; 4] =
            frame.get(TIME_LEFT).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| too_short(frame))?;
        let request = read(frame.get(TIME_LEFT.end..).unwrap_or_default())?;
        Ok((request, Duration::from_millis(u32::from_be_bytes(left).into())))
    }
}

/// Which call of which node a request is, told from its front alone; `None` for anything else.
pub(crate) fn sender(front: &[u8]) -> Option<(u64, String)> {
    let [VERSION, kind, ..] = front else { return None };
    if !kind.eq_ignore_ascii_case(&REQUEST) {
        return None;
    }
    let mut found = None;
    // The rest is missing, so there is always an error in the end.
    let _ = rmp_serde::Deserializer::new(front.get(TIME_LEFT.end..)?).deserialize_seq(Sender(&mut found));
    found
}

struct Sender<'a>(&'a mut Option<(u64, String)>);

impl<'de> Visitor<'de> for Sender<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> std::result::Result<(), A::Error> {
        *self.0 = fields.next_element()?.zip(fields.next_element()?);
        Ok(())
    }
}

/// Is this a frame of that kind, whatever its version?
pub(crate) fn is<F: Frame>(frame: &[u8]) -> bool {
    frame.get(1).is_some_and(|kind| kind.eq_ignore_ascii_case(&F::KIND))
}

/// One name for a call on both sides: the node that makes it, and its number there. Written only where it is read, since
/// every call has a span that nobody may listen to.
pub(crate) struct CallId<'a>(pub(crate) &'a str, pub(crate) u64);

impl fmt::Display for CallId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// Writes the time left into a request that is already a frame.
pub(crate) fn stamp(frame: &mut [u8], left: Duration) {
    let ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
    if let Some(bytes) = frame.get_mut(TIME_LEFT) {
        bytes.copy_from_slice(&ms.to_be_bytes());
    }
}

/// What a call ended in, on its way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// The request it answers.
    pub(crate) id: u64,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Outcome {
    // The dispatch is a list of none or one: MessagePack does not tell an absent one from `null`, which hides a result.
    Answer(Value, Vec<Value>, Option<Http>),
    Failure(Value),
}

impl Reply {
    pub(crate) fn new(id: u64, outcome: Result<Answer>) -> Self {
        let outcome = match outcome {
            Ok(answer) => {
                let http = (!answer.http.is_empty()).then_some(answer.http);
                Outcome::Answer(answer.result, Vec::from_iter(answer.dispatch), http)
            }
            Err(error) => Outcome::Failure(error.to_json()),
        };
        Reply { id, outcome }
    }

    pub(crate) fn into_outcome(self) -> Result<Answer> {
        match self.outcome {
            Outcome::Answer(result, dispatch, http) => {
                let dispatch = dispatch.into_iter().next();
                Ok(Answer { result, dispatch, http: http.unwrap_or_default() })
            }
            Outcome::Failure(error) => Err(Error::from_json(error)),
        }
    }
}

/// Tells a replica that a request of its app has become its own, since another one lacks the method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HandedOn {
    /// Where the request stands in the stream of the app. The note does not carry it: what is run is what the stream
    /// holds for this replica, whoever wrote the note.
    pub(crate) entry: String,
    /// In which partition's.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(crate) partition: usize,
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
            }),
        }
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

/// Frames that are nothing but a version and a value.
pub(crate) trait Frame: Serialize + DeserializeOwned {
    /// The byte after the version.
    const KIND: u8;

    /// The frame for `place`, which signs it.
    fn encode(&self, place: Place<'_>) -> Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(&[VERSION, place.kind(Self::KIND)]);
        write(&mut frame, self)?;
        place.sign(&mut frame);
        Ok(frame)
    }

    /// # Errors
    /// `NotAcceptable` for another version, naming both; `NotAuthenticated` for a frame that is not signed for `place`;
    /// `BadRequest` for anything that is no such frame.
    fn decode(frame: &[u8], place: Place<'_>) -> Result<Self> {
        read(place.open(frame, Self::KIND)?.get(2..).unwrap_or_default())
    }
}

impl Frame for Reply {
    const KIND: u8 = b'R';
}
impl Frame for HandedOn {
    const KIND: u8 = b'H';
}
impl Frame for EventFrame {
    const KIND: u8 = b'E';
}
impl Frame for Announcement {
    const KIND: u8 = b'A';
}
impl Frame for Descriptor {
    const KIND: u8 = b'D';
}

fn write(frame: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    rmp_serde::encode::write(frame, value)
        .map_err(|error| Error::general(format!("No frame can be made of it: {error}")))
}

/// Reads one value, and nothing may follow it.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let damaged = |error| Error::bad_request(format!("The frame is damaged: {}", told(error)));
    let mut values = rmp_serde::Deserializer::from_read_ref(bytes);
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
