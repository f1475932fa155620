//! What a request of Engine.IO asks for, and how it is refused: in the order, with the codes and with the words of
//! engine.io 6.

use super::reply;
use axum::response::Response;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use percent_encoding::percent_decode_str;
use serde_json::json;

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    Websocket,
}

/// The parameters of a request, of which the last of each name counts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    transport: Option<String>,
    /// The session; an empty one counts as none.
    pub(super) sid: Option<String>,
    version: Option<String>,
}

impl Asked {
    pub(super) fn read(uri: &Uri) -> Self {
        let mut asked = Asked::default();
        for part in uri.query().unwrap_or_default().split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = decode(value);
            match decode(name).as_str() {
                "transport" => asked.transport = Some(value),
                "sid" => asked.sid = Some(value).filter(|sid| !sid.is_empty()),
                "EIO" => asked.version = Some(value),
                _ => {}
            }
        }
        asked
    }

    /// # Errors
    /// [`Refusal::UnknownTransport`].
    pub(super) fn transport(&self) -> Result<Transport, Refusal> {
        match self.transport.as_deref() {
            Some("polling") => Ok(Transport::Polling),
            Some("websocket") => Ok(Transport::Websocket),
            _ => Err(Refusal::UnknownTransport),
        }
    }

    /// Whether revision 4 of the protocol is asked for, the only one that is spoken.
    pub(super) fn is_supported(&self) -> bool {
        self.version.as_deref() == Some("4")
    }
}

/// As in an HTML form.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Whether the connection shall become something else than HTTP.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let named = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    };
    headers.contains_key(UPGRADE) && headers.get_all(CONNECTION).iter().any(named)
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownTransport = 0,
    UnknownSession = 1,
    BadMethod = 2,
    BadRequest = 3,
    UnsupportedVersion = 5,
}

impl Refusal {
    fn message(self) -> &'static str {
        match self {
            Refusal::UnknownTransport => "Transport unknown",
            Refusal::UnknownSession => "Session ID unknown",
            Refusal::BadMethod => "Bad handshake method",
            Refusal::BadRequest => "Bad request",
            Refusal::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The answer, which is a page of text where the connection should have been upgraded.
    pub(super) fn answer(self, upgrade: bool) -> Response {
        if upgrade {
            return reply::page(StatusCode::BAD_REQUEST, self.message());
        }
        let body = json!({ "code": self as u8, "message": self.message() }).to_string();
        reply::typed(StatusCode::BAD_REQUEST, "application/json", body)
    }
}

/// The key of a websocket handshake.
///
/// # Errors
/// The answer to a handshake that is none.
pub(super) fn websocket_key<'a>(method: &Method, headers: &'a HeaderMap) -> Result<&'a HeaderValue, Box<Response>> {
    let refuse = |status, message| Err(Box::new(reply::page(status, message)));
    if method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "Invalid HTTP method");
    }
    if !headers.get(UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return refuse(StatusCode::BAD_REQUEST, "Invalid Upgrade header");
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes())) else {
        return refuse(StatusCode::BAD_REQUEST, "Missing or invalid Sec-WebSocket-Key header");
    };
    if !headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| [&b"13"[..], b"8"].contains(&version.as_bytes())) {
        let mut answer = reply::page(StatusCode::BAD_REQUEST, "Missing or invalid Sec-WebSocket-Version header");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13, 8"));
        return Err(Box::new(answer));
    }
    Ok(key)
}

/// Whether this is 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let in_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(in_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::read(&format!("/socket.io/?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_are_decoded_and_the_last_of_a_name_counts() {
        let read = asked("EIO=3&%45IO=4&transport=%70olling&sid=a+b%2Fc&t=x");
        assert_eq!(read.transport(), Ok(Transport::Polling));
        assert!(read.is_supported());
        assert_eq!(read.sid.as_deref(), Some("a b/c"));
        assert_eq!(asked("sid=a&sid=").sid, None);
        for none in
            ["", "transport", "transport=", "transport=Polling", "transport=webtransport", "transport=polling%20"]
        {
            assert_eq!(asked(none).transport(), Err(Refusal::UnknownTransport), "{none}");
        }
        for other in ["", "EIO=", "EIO=04", "EIO=4.0", "EIO=5", "eio=4"] {
            assert!(!asked(other).is_supported(), "{other}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        assert!(is_upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "x")])));
        assert!(!is_upgrade(&headers(&[("connection", "keep-alive"), ("upgrade", "websocket")])));
        assert!(!is_upgrade(&headers(&[("connection", "upgrade")])));
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for other in ["", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25j!Q=="] {
            assert!(!is_key(other.as_bytes()), "{other}");
        }
    }
}
