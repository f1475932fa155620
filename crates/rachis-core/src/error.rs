//! One error for everything a call can end in: Feathers' error classes, with their HTTP codes and wire names.

use crate::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{borrow::Cow, fmt};

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident $code:literal $class:literal $make:ident; )*) => {
        /// The classes of failure, named as in FeathersJS, each with one HTTP status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $( $(#[$doc])* $kind, )* }

        impl ErrorKind {
            /// Every kind there is, in order of its code.
            pub const ALL: &[ErrorKind] = &[ $( ErrorKind::$kind, )* ];

            /// The HTTP status code, e.g. `404`.
            pub const fn code(self) -> u16 {
                match self { $( ErrorKind::$kind => $code, )* }
            }

            /// The name that Feathers clients rebuild the error by, e.g. `NotFound`.
            pub const fn name(self) -> &'static str {
                match self { $( ErrorKind::$kind => stringify!($kind), )* }
            }

            /// The kebab-case class name, e.g. `not-found`.
            pub const fn class_name(self) -> &'static str {
                match self { $( ErrorKind::$kind => $class, )* }
            }
        }

        impl Error {
            $(
                #[doc = concat!("A `", stringify!($kind), "` error (HTTP ", stringify!($code), ").")]
                pub fn $make(message: impl Into<String>) -> Self {
                    Error::new(ErrorKind::$kind, message)
                }
            )*
        }
    };
}

kinds! {
    /// The request cannot be understood or is not valid.
    BadRequest 400 "bad-request" bad_request;
    /// The caller is not known.
    NotAuthenticated 401 "not-authenticated" not_authenticated;
    /// Something has to be paid for first.
    PaymentError 402 "payment-error" payment_error;
    /// The caller is known and may not do this.
    Forbidden 403 "forbidden" forbidden;
    /// No such service, or no such record.
    NotFound 404 "not-found" not_found;
    /// The service does not offer this method.
    MethodNotAllowed 405 "method-not-allowed" method_not_allowed;
    /// No representation suits the caller.
    NotAcceptable 406 "not-acceptable" not_acceptable;
    /// No answer came inside the call's deadline.
    Timeout 408 "timeout" timeout;
    /// The record is not in the state the call assumes.
    Conflict 409 "conflict" conflict;
    /// The record existed once.
    Gone 410 "gone" gone;
    /// A length is missing.
    LengthRequired 411 "length-required" length_required;
    /// The body, the data or the reply is larger than a limit allows.
    PayloadTooLarge 413 "payload-too-large" payload_too_large;
    /// The body is of a type, charset or compression that is not read.
    UnsupportedMediaType 415 "unsupported-media-type" unsupported_media_type;
    /// The data was understood and is not acceptable.
    Unprocessable 422 "unprocessable" unprocessable;
    /// A queue or a limit is full; try again later.
    TooManyRequests 429 "too-many-requests" too_many_requests;
    /// Everything that has no class of its own.
    GeneralError 500 "general-error" general;
    /// The method is not written yet.
    NotImplemented 501 "not-implemented" not_implemented;
    /// Someone further on answered nonsense.
    BadGateway 502 "bad-gateway" bad_gateway;
    /// Redis, or the replica that had the call, went away.
    Unavailable 503 "unavailable" unavailable;
}

impl ErrorKind {
    /// The kind of that `name`, or [`ErrorKind::GeneralError`] for a name Feathers does not know.
    pub fn from_name(name: &str) -> ErrorKind {
        let known = ErrorKind::ALL.iter().find(|kind| kind.name() == name);
        known.copied().unwrap_or(ErrorKind::GeneralError)
    }
}

/// Why a call failed, in the shape Feathers clients expect.
///
/// ```
/// use rachis::{Error, ErrorKind};
/// use serde_json::json;
///
/// let error = Error::unprocessable("Can not save").with_errors(json!({ "title": "is missing" }));
/// assert_eq!(error.kind(), ErrorKind::Unprocessable);
/// assert_eq!(error.to_json(), json!({
///     "name": "Unprocessable", "message": "Can not save", "code": 422, "className": "unprocessable",
///     "errors": { "title": "is missing" },
/// }));
/// ```
#[derive(Clone, PartialEq)]
pub struct Error {
    // Boxed, since a Result is moved through every hook of every call.
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq)]
struct Inner {
    kind: ErrorKind,
    /// A class of an application's own; the kind is `GeneralError` then.
    class: Option<Class>,
    message: String,
    handed_back: bool,
    outcome: Option<Outcome>,
    data: Option<Value>,
    errors: Option<Value>,
}

/// A class of failure that is none of [`ErrorKind`].
#[derive(Clone, PartialEq)]
struct Class {
    name: String,
    code: u16,
    class_name: String,
}

impl Class {
    /// The longest name, in bytes: it is no place for a message.
    const LONGEST_NAME: usize = 100;

    /// `None` for what is one of [`ErrorKind`], and for what is no class of a failure.
    fn new(name: &str, code: u64, class_name: &str) -> Option<Self> {
        let is_name = |text: &str| !text.is_empty() && text.len() <= Class::LONGEST_NAME;
        let code = u16::try_from(code).ok().filter(|code| (400..600).contains(code))?;
        let known = ErrorKind::ALL.iter().any(|kind| kind.name() == name);
        (!known && is_name(name) && is_name(class_name)).then(|| Class {
            name: name.to_owned(),
            code,
            class_name: class_name.to_owned(),
        })
    }
}

impl Error {
    /// An error of `kind`; the functions named after the kinds are shorter.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        let inner = Inner { kind, class: None, message, handed_back: false, outcome: None, data: None, errors: None };
        Error { inner: Box::new(inner) }
    }

    /// An error of a class of the application's own, as Feathers applications derive them from `FeathersError`. Its
    /// [`kind`](Error::kind) is `GeneralError`; name, code and class name cross nodes and reach clients as they are.
    ///
    /// A code outside of 400 to 599, a name that is empty or longer than 100 bytes, and the name of an [`ErrorKind`] make it
    /// an ordinary error of the kind with that name.
    ///
    /// ```
    /// use rachis::{Error, ErrorKind};
    ///
    /// let error = Error::of_class("Teapot", 418, "teapot", "Short and stout");
    /// assert_eq!((error.name(), error.code(), error.kind()), ("Teapot", 418, ErrorKind::GeneralError));
    /// assert_eq!(Error::from_json(error.to_json()), error);
    /// ```
    pub fn of_class(name: &str, code: u16, class_name: &str, message: impl Into<String>) -> Self {
        let mut error = Error::new(ErrorKind::from_name(name), message);
        error.inner.class = Class::new(name, code.into(), class_name);
        error
    }

    /// Hands a request back to the queue of the app: returned by a service that has not begun the call, it lets another
    /// replica have it, or this one later. Only a service that is called by another node can hand back; anyone else
    /// gets it as `Unavailable`, `never ran`.
    pub fn hand_back() -> Self {
        let mut error = Error::unavailable("The service did not begin the call").with_outcome(Outcome::NeverRan);
        error.inner.handed_back = true;
        error
    }

    /// Returns `true` for [`Error::hand_back`], on the node it was made on.
    #[doc(hidden)]
    pub fn is_handed_back(&self) -> bool {
        self.inner.handed_back
    }

    /// Wraps what any other library reports: a `GeneralError` with its message.
    ///
    /// Only the message is kept: it crosses nodes and reaches clients, so nothing else may travel unasked.
    pub fn other(error: impl fmt::Display) -> Self {
        Error::general(error.to_string())
    }

    /// Attaches `data`, which clients find as `error.data`.
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.inner.data = Some(data.into());
        self
    }

    /// Says whether the call has run, which clients find as `error.data.outcome`.
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.inner.outcome = Some(outcome);
        self
    }

    /// Attaches `errors`, by custom one message per field, which clients find as `error.errors`.
    pub fn with_errors(mut self, errors: impl Into<Value>) -> Self {
        self.inner.errors = Some(errors.into());
        self
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The HTTP status code of its class.
    pub fn code(&self) -> u16 {
        self.inner.class.as_ref().map_or(self.inner.kind.code(), |class| class.code)
    }

    /// The name of its class, e.g. `NotFound`.
    pub fn name(&self) -> &str {
        self.inner.class.as_ref().map_or(self.inner.kind.name(), |class| &class.name)
    }

    fn class_name(&self) -> &str {
        self.inner.class.as_ref().map_or(self.inner.kind.class_name(), |class| &class.class_name)
    }

    /// What went wrong, for a person.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Returns whether the call has run, where that is the question: after a timeout, a death of a replica, or while
    /// Redis is away. `None` for all other errors, which the service itself or its hooks gave.
    pub fn outcome(&self) -> Option<Outcome> {
        self.inner.outcome
    }

    /// What the thrower attached for programs.
    pub fn data(&self) -> Option<&Value> {
        self.inner.data.as_ref()
    }

    /// Messages per field, for forms.
    pub fn errors(&self) -> Option<&Value> {
        self.inner.errors.as_ref()
    }

    /// The exact JSON that Feathers servers send: `name, message, code, className` and, where set, `data` and
    /// `errors`. An [`Outcome`] is a field of `data`.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "name": self.name(), "message": self.inner.message, "code": self.code(), "className": self.class_name(),
        });
        match (self.inner.outcome, &self.inner.data) {
            (Some(outcome), data) => json["data"] = outcome.put(data.as_ref()),
            (None, Some(data)) => json["data"] = data.clone(),
            (None, None) => {}
        }
        if let Some(errors) = &self.inner.errors {
            json["errors"] = errors.clone();
        }
        json
    }

    /// Reads what [`Error::to_json`] wrote; anything else becomes a `GeneralError` that quotes it.
    pub fn from_json(json: Value) -> Self {
        let Value::Object(mut fields) = json else { return Error::general(json.to_string()) };
        let text = |fields: &Map<String, Value>, key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = text(&fields, "name").unwrap_or_default();
        let mut error =
            Error::new(ErrorKind::from_name(&name), text(&fields, "message").unwrap_or_else(|| "Error".into()));
        let code = fields.get("code").and_then(Value::as_u64).unwrap_or_default();
        error.inner.class = Class::new(&name, code, &text(&fields, "className").unwrap_or_default());
        error.inner.data = fields.remove("data");
        error.inner.outcome = Outcome::take(&mut error.inner.data);
        error.inner.errors = fields.remove("errors");
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct(self.name());
        debug.field("message", &self.inner.message);
        if let Some(outcome) = self.inner.outcome {
            debug.field("outcome", &outcome);
        }
        if let Some(data) = &self.inner.data {
            debug.field("data", data);
        }
        if let Some(errors) = &self.inner.errors {
            debug.field("errors", errors);
        }
        debug.finish()
    }
}

impl std::error::Error for Error {}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind, "Error")
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::bad_request(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::other(error)
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Error::from_json)
    }
}

/// The longest text of a caller's that an error quotes, in characters.
const QUOTED: usize = 200;

/// The beginning of a text of a caller's: an answer does not grow with what was asked.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_again_by_its_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.name()), *kind);
        }
    }

    #[test]
    fn an_error_survives_the_trip_through_json() {
        let error = Error::conflict("array data").with_data(json!(["a", "b"])).with_errors(json!({"f": "x"}));
        assert_eq!(Error::from_json(error.to_json()), error);
    }

    #[test]
    fn an_unknown_name_becomes_a_general_error_that_keeps_its_message() {
        let error = Error::from_json(json!({"name": "MyError", "message": "custom failure", "code": 418}));
        assert_eq!((error.kind(), error.message()), (ErrorKind::GeneralError, "custom failure"));
    }

    #[test]
    fn a_class_of_an_application_survives_the_trip_through_json() {
        let error = Error::of_class("Teapot", 418, "teapot", "Short").with_data(json!({"a": 1}));
        assert_eq!(
            error.to_json(),
            json!({"name": "Teapot", "message": "Short", "code": 418, "className": "teapot", "data": {"a": 1}})
        );
        assert_eq!(Error::from_json(error.to_json()), error);
        assert_eq!(error.to_string(), "Teapot: Short");
    }

    #[test]
    fn a_class_of_an_application_can_be_no_other_kind_and_no_success() {
        assert_eq!(Error::of_class("NotFound", 418, "teapot", "x"), Error::not_found("x"));
        for (name, code, class_name) in [("Ok", 200, "ok"), ("", 418, "x"), ("X", 418, ""), ("X", 999, "x")] {
            assert_eq!(Error::of_class(name, code, class_name, "x"), Error::general("x"), "{name:?} {code}");
        }
    }

    #[test]
    fn display_says_class_and_message() {
        assert_eq!(Error::not_found("No record found for id '1'").to_string(), "NotFound: No record found for id '1'");
    }
}
