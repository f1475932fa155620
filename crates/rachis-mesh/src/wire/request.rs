//! The frame of a request: a call on its way to a replica.

use super::{REQUEST, SigningScope, TIME_LEFT, VERSION, is_too_deep, read, too_deep, too_short, write};
use rachis_core::{
    Call, Error, Method, Params, Result,
    host::secret::{self, is_secret},
};
use rustc_hash::FxHasher;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, SeqAccess, Visitor},
    ser::SerializeMap,
};
use std::{borrow::Cow, fmt, hash::Hasher, sync::Arc, time::Duration};

/// The longest time left that a request can tell: 49 days.
pub(crate) const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

/// A call on its way to a replica. It is written from the call and read into one: what is in between would be one more copy
/// of all of it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Which call of the calling node; the reply names it.
    pub(crate) id: u64,
    /// The node to reply to.
    pub(crate) from: Arc<str>,
    /// How often it was handed on by a replica that did not have the method.
    pub(crate) hops: u8,
    /// The call, under the path by which its app knows the service.
    pub(crate) call: Box<Call>,
}

impl Request {
    pub(crate) fn new(id: u64, from: impl Into<Arc<str>>, call: Box<Call>) -> Self {
        Request { id, from: from.into(), hops: 0, call }
    }

    /// Returns `true` if it has an idempotency key, so that it may be delivered again whatever its method.
    pub(crate) fn has_key(&self) -> bool {
        self.call.params.idempotency_key.is_some()
    }

    /// Takes away what must not lie about: credentials, and whatever else is secret by its name but for data and query,
    /// which the call is nothing without.
    pub(crate) fn without_secrets(mut self) -> Self {
        let params = &mut self.call.params;
        params.authentication = None;
        params.headers.retain(|name, _| !is_secret(name));
        secret::remove_from(&mut params.extra);
        params.user.iter_mut().for_each(secret::remove);
        self
    }

    /// The name of this call in the logs of both sides.
    pub(crate) fn call_id(&self) -> CallId<'_> {
        CallId(&self.from, self.id)
    }

    /// The call as it runs on this side. That it came from another node is said here and nowhere else, so no caller can
    /// pretend; whether it was authenticated there counts only where `trusted`.
    pub(crate) fn into_call(self, trusted: bool) -> Box<Call> {
        let mut call = self.call;
        call.params.from_remote = true;
        call.params.authenticated &= trusted;
        call
    }

    /// The frame for the stream `scope`, which signs it.
    ///
    /// # Errors
    /// `BadRequest` for what is nested deeper than is read.
    pub(crate) fn encode(&self, left: Duration, scope: SigningScope<'_>) -> Result<Vec<u8>> {
        let params = &self.call.params;
        let values =
            params.query.values().chain(params.extra.values()).chain(&params.user).chain(&params.authentication);
        if values.chain([&self.call.data]).any(is_too_deep) {
            return Err(Error::bad_request(too_deep("call")));
        }
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(&[VERSION, scope.kind(REQUEST), 0, 0, 0, 0]);
        write(&mut frame, self)?;
        stamp(&mut frame, left);
        scope.sign(&mut frame);
        Ok(frame)
    }

    /// The request and the time its caller had left when it was sent.
    ///
    /// # Errors
    /// As of [`Frame::decode`](super::Frame::decode).
    pub(crate) fn decode(frame: &[u8], scope: SigningScope<'_>) -> Result<(Self, Duration)> {
        let frame = scope.open(frame, REQUEST)?;
        let left: [u8; 4] =
            frame.get(TIME_LEFT).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| too_short(frame))?;
        let request = read(frame.get(TIME_LEFT.end..).unwrap_or_default())?;
        Ok((request, Duration::from_millis(u32::from_be_bytes(left).into())))
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Call { path, method, id, data, params, timeout: _ } = &*self.call;
        (self.id, &*self.from, self.hops, path, method, id, data, Sent(params)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(8, Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Request, A::Error> {
        let id = next(&mut fields)?;
        let from = next::<&str, A>(&mut fields)?.into();
        let hops = next(&mut fields)?;
        let mut call = Box::new(Call::new("", Method::Find));
        call.path = next(&mut fields)?;
        call.method = next(&mut fields)?;
        call.id = next(&mut fields)?;
        call.data = next(&mut fields)?;
        fields.next_element_seed(Received(&mut call.params))?.ok_or_else(missing::<A>)?;
        Ok(Request { id, from, hops, call })
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(fields: &mut A) -> Result<T, A::Error> {
    fields.next_element()?.ok_or_else(missing::<A>)
}

fn missing<'de, A: SeqAccess<'de>>() -> A::Error {
    A::Error::custom("a field is missing")
}

/// Under which name the address of the client stands among the headers of its request. No client can send a header of that
/// name, and nodes of builds that know no addresses take it for one: a field more would make the request unreadable to them.
const IP: &str = ":ip";

/// The part of [`Params`] that travels, as it is written.
struct Sent<'a>(&'a Params);

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Params { query, provider, route, user, authentication, authenticated, extra, .. } = self.0;
        let headers = Headers(self.0);
        let key = &self.0.idempotency_key;
        (query, provider, headers, route, user, authentication, authenticated, extra, key).serialize(serializer)
    }
}

/// The headers, and the address.
struct Headers<'a>(&'a Params);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Params { headers, ip, .. } = self.0;
        let Some(ip) = ip else { return headers.serialize(serializer) };
        let others = headers.iter().filter(|(name, _)| *name != IP);
        let mut map = serializer.serialize_map(Some(others.clone().count() + 1))?;
        map.serialize_entry(IP, &ip.to_string())?;
        for (name, value) in others {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The same, as it is read.
struct Received<'a>(&'a mut Params);

impl<'de> DeserializeSeed<'de> for Received<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_tuple(9, self)
    }
}

impl<'de> Visitor<'de> for Received<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the params of a request")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let params = self.0;
        params.query = next(&mut fields)?;
        params.provider = next::<Option<&str>, A>(&mut fields)?.map(provider);
        params.headers = next(&mut fields)?;
        params.route = next(&mut fields)?;
        params.user = next(&mut fields)?;
        params.authentication = next(&mut fields)?;
        params.authenticated = next(&mut fields)?;
        params.extra = next(&mut fields)?;
        // Nodes from before there were keys leave it out.
        params.idempotency_key = fields.next_element()?.flatten();
        // Nodes of later builds may write more.
        while fields.next_element::<IgnoredAny>()?.is_some() {}
        params.ip = params.headers.remove(IP).and_then(|ip| ip.parse().ok());
        Ok(())
    }
}

/// The names that gateways give need no memory of their own.
fn provider(name: &str) -> Cow<'static, str> {
    match name {
        "rest" => Cow::Borrowed("rest"),
        "socketio" => Cow::Borrowed("socketio"),
        other => Cow::Owned(other.to_owned()),
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

/// How many bytes tell a request from others: its number and the id of its node stand at the front.
const PRINT: usize = 40;

/// A number that two requests hardly share, and every copy of one does, however much time it has left.
pub(crate) fn print(frame: &[u8]) -> u64 {
    let front = frame.get(TIME_LEFT.end..).unwrap_or_default();
    let mut hasher = FxHasher::default();
    hasher.write(front.get(..PRINT).unwrap_or(front));
    hasher.finish()
}

struct Sender<'a>(&'a mut Option<(u64, String)>);

impl<'de> Visitor<'de> for Sender<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        *self.0 = fields.next_element()?.zip(fields.next_element()?);
        Ok(())
    }
}

/// One name for a call on both sides: the node that makes it, and its number there. Written only where it is read, since
/// every call has a span, also where none is recorded.
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

/// Two are the same where they say the same.
#[cfg(any(test, fuzzing))]
impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        rmp_serde::to_vec(self).ok() == rmp_serde::to_vec(other).ok()
    }
}
