//! Frames: what nodes say to each other, as MessagePack behind a version byte.
//!
//! | frame | bytes |
//! |---|---|
//! | request | version, kind, time left in ms (u32, big endian), [`Request`] |
//! | reply, event, announcement, descriptor | version, kind, the value |
//!
//! Structs are arrays: field names would double the size of a small call. Fields are therefore only ever added at the
//! end and under a new version.

use crate::{
    Error, Result,
    service::{Answer, Call, Descriptor, Event, EventContext, Http, Id, Method, Params, Query, secret::is_secret},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// The version this node writes, and the only one it reads.
pub(crate) const VERSION: u8 = 1;

/// What follows the version byte: an inbox holds requests and replies.
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
    pub(crate) fn call_id(&self) -> String {
        call_id(&self.from, self.id)
    }

    /// The call as it runs on this side. That it came from another node is said here and nowhere else, so no caller can
    /// pretend; whether it was authenticated there counts only where `trusted`.
    pub(crate) fn into_call(self, trusted: bool) -> Call {
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
        Call { path: self.path, method: self.method, id: self.record, data: self.data, params, timeout: None }
    }

    pub(crate) fn encode(&self, left: Duration) -> Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(&[VERSION, REQUEST, 0, 0, 0, 0]);
        write(&mut frame, self)?;
        stamp(&mut frame, left);
        Ok(frame)
    }

    /// The request and the time its caller had left when it was sent.
    pub(crate) fn decode(frame: &[u8]) -> Result<(Self, Duration)> {
        check_header(frame, REQUEST)?;
        let left: [u8; 4] =
            frame.get(TIME_LEFT).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| too_short(frame))?;
        let request = read(frame.get(TIME_LEFT.end..).unwrap_or_default())?;
        Ok((request, Duration::from_millis(u32::from_be_bytes(left).into())))
    }
}

/// Is this a request (and not a reply), whatever its version?
pub(crate) fn is_request(frame: &[u8]) -> bool {
    frame.get(1) == Some(&REQUEST)
}

/// One name for a call on both sides.
pub(crate) fn call_id(from: &str, id: u64) -> String {
    format!("{from}-{id}")
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
}

/// Frames that are nothing but a version and a value.
pub(crate) trait Frame: Serialize + DeserializeOwned {
    /// The byte after the version.
    const KIND: u8;

    fn encode(&self) -> Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(&[VERSION, Self::KIND]);
        write(&mut frame, self)?;
        Ok(frame)
    }

    /// # Errors
    /// `NotAcceptable` for another version, naming both; `BadRequest` for anything that is no such frame.
    fn decode(frame: &[u8]) -> Result<Self> {
        check_header(frame, Self::KIND)?;
        read(frame.get(2..).unwrap_or_default())
    }
}

impl Frame for Reply {
    const KIND: u8 = b'R';
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

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| Error::bad_request(format!("The frame is damaged: {}", told(error))))
}

/// What is wrong, without what serde quotes of it: that may be a secret, and goes to logs and dead letters.
fn told(error: rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error::{Syntax, Uncategorized};
    match error {
        Syntax(_) | Uncategorized(_) => "it holds something else than belongs there".to_owned(),
        other => other.to_string(),
    }
}

fn check_header(frame: &[u8], kind: u8) -> Result<()> {
    match frame.first() {
        Some(&VERSION) if frame.get(1) == Some(&kind) => Ok(()),
        Some(&VERSION) => Err(Error::bad_request("The frame is of another kind than its place says")),
        Some(other) => Err(Error::not_acceptable(format!(
            "The frame has version {other}, this node speaks version {VERSION}: upgrade the older of the two nodes"
        ))),
        None => Err(too_short(frame)),
    }
}

fn too_short(frame: &[u8]) -> Error {
    Error::bad_request(format!("The frame is damaged: it ends after {} bytes", frame.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;
    use serde_json::json;

    fn request() -> Request {
        let mut call = Call::new("api/todos", Method::Patch);
        call.id = Some(Id::from(7));
        call.data = json!({"done": true, "big": u64::MAX, "real": 1.5, "none": null});
        call.params = Params::default().with_query(json!({"$select": ["id"]})).with_user(json!({"id": 1}));
        call.params.provider = Some("rest".into());
        call.params.authenticated = true;
        call.params.idempotency_key = Some("order-17".into());
        Request::new(42, "node", "api/todos", call)
    }

    #[test]
    fn a_request_survives_the_trip() {
        let frame = request().encode(Duration::from_secs(20)).unwrap();
        assert_eq!(Request::decode(&frame).unwrap(), (request(), Duration::from_secs(20)));
    }

    #[test]
    fn a_request_says_that_it_is_remote_and_loses_a_mark_that_is_not_trusted() {
        let call = request().into_call(false);
        assert!(call.params.from_remote && !call.params.authenticated);
        assert_eq!(call.params.idempotency_key.as_deref(), Some("order-17"));
        assert!(request().into_call(true).params.authenticated);
    }

    #[test]
    fn a_request_without_secrets_can_still_be_made() {
        let mut call = Call::new("users", Method::Create);
        call.data = json!({ "password": "needed" });
        call.params = Params::default()
            .with_user(json!({ "id": 1, "passwordHash": "hunter2" }))
            .with_authentication(json!({ "strategy": "jwt", "accessToken": "hunter2" }));
        for name in ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-csrf-token"] {
            call.params.headers.insert(name.into(), "hunter2".into());
        }
        call.params.headers.insert("accept-language".into(), "fi".into());
        call.params.extra = Map::from_iter([("apiKey".into(), "hunter2".into()), ("tenant".into(), 7.into())]);
        let request = Request::new(1, "node", "users", call).without_secrets();
        let frame = request.encode(Duration::ZERO).unwrap();
        assert!(!String::from_utf8_lossy(&frame).contains("hunter2"));
        let call = request.into_call(true);
        assert_eq!(call.data, json!({ "password": "needed" }));
        assert_eq!((call.params.user, call.params.extra["tenant"].as_u64()), (Some(json!({ "id": 1 })), Some(7)));
        assert_eq!(call.params.headers.keys().collect::<Vec<_>>(), ["accept-language"]);
    }

    #[test]
    fn the_time_left_is_written_anew_when_a_request_had_to_wait() {
        let mut frame = request().encode(Duration::from_secs(20)).unwrap();
        stamp(&mut frame, Duration::from_millis(1500));
        assert_eq!(Request::decode(&frame).unwrap().1, Duration::from_millis(1500));
    }

    #[test]
    fn an_answer_keeps_its_external_view_and_its_http_metadata() {
        let http = Http { status: Some(202), location: Some("/x".into()), ..Http::default() };
        let answer = Answer { result: json!([1]), dispatch: Some(json!({"a": null})), http };
        let reply = Reply::decode(&Reply::new(1, Ok(answer.clone())).encode().unwrap()).unwrap();
        assert_eq!(reply.into_outcome(), Ok(answer));
    }

    #[test]
    fn a_dispatch_of_null_is_not_lost_on_the_way() {
        let answer = Answer { result: json!({"secret": 1}), dispatch: Some(Value::Null), http: Http::default() };
        let reply = Reply::decode(&Reply::new(1, Ok(answer.clone())).encode().unwrap()).unwrap();
        assert_eq!(reply.into_outcome(), Ok(answer));
    }

    #[test]
    fn a_failure_keeps_class_data_and_errors() {
        let error = Error::conflict("array data").with_data(json!(["a"])).with_errors(json!({"f": 1}));
        let reply = Reply::decode(&Reply::new(1, Err(error.clone())).encode().unwrap()).unwrap();
        assert_eq!(reply.into_outcome(), Err(error));
    }

    #[test]
    fn a_frame_of_a_newer_version_is_refused_with_both_versions_named() {
        let mut frame = request().encode(Duration::ZERO).unwrap();
        frame[0] = VERSION + 1;
        let error = Request::decode(&frame).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAcceptable);
        assert!(error.message().contains("version 2") && error.message().contains("version 1"), "{error}");
    }

    #[test]
    fn an_error_about_a_frame_quotes_nothing_of_it() {
        let frame = |head: &[u8], body: Vec<u8>| [head, &body].concat();
        let reply = rmp_serde::to_vec(&(1, json!({ "hunter2": [] }))).unwrap();
        let error = Reply::decode(&frame(&[VERSION, Reply::KIND], reply)).unwrap_err();
        assert_eq!(error.message(), "The frame is damaged: it holds something else than belongs there");
        let request = rmp_serde::to_vec(&("hunter2", "hunter2")).unwrap();
        let error = Request::decode(&frame(&[VERSION, REQUEST, 0, 0, 0, 0], request)).unwrap_err();
        assert!(!error.message().contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&bytes);
            let _ = Reply::decode(&bytes);
            let _ = EventFrame::decode(&bytes);
            for kind in [REQUEST, Reply::KIND] {
                let mut headed = vec![VERSION, kind];
                headed.extend(&bytes);
                let _ = Request::decode(&headed);
                let _ = Reply::decode(&headed);
            }
        }

        #[test]
        fn a_frame_cut_short_is_an_error(cut in 0usize..100) {
            let frame = request().encode(Duration::ZERO).unwrap();
            prop_assume!(cut < frame.len());
            prop_assert!(Request::decode(&frame[..cut]).is_err());
        }
    }
}
