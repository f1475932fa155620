//! Reads the data of a call out of a request's body.

use super::query_string;
use crate::{Error, Result};
use axum::body::{Body, BodyDataStream, HttpBody};
use futures_util::StreamExt;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
};
use serde_json::{Map, Value};
use std::time::Duration;

/// How much of a refused body is still read, and for how long; see [`discard`].
const DISCARDED: usize = 64 << 20;
const DISCARDING: Duration = Duration::from_secs(5);

/// What bodies are read as; the others count as no data, as with Feathers' servers.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Form,
}

/// The data of a request: JSON objects and arrays, forms, or `{}` where there is neither. A body that is not read stays
/// where it is.
///
/// # Errors
/// `BadRequest` for a body that is not what its type says, `PayloadTooLarge` above `limit` bytes, `Timeout` when it has
/// not arrived after `timeout`.
pub(super) async fn read(headers: &HeaderMap, body: &mut Body, limit: usize, timeout: Duration) -> Result<Value> {
    let Some(format) = format(headers) else { return Ok(empty()) };
    check(headers, limit)?;
    let arrived = tokio::time::timeout(timeout, collect(std::mem::take(body), limit)).await;
    let bytes = arrived.map_err(|_| late(timeout))??;
    match format {
        _ if bytes.is_empty() => Ok(empty()),
        Format::Json => json(&bytes),
        Format::Form => Ok(Value::Object(query_string::parse(&String::from_utf8_lossy(&bytes)))),
    }
}

/// What the headers alone say against the body.
fn check(headers: &HeaderMap, limit: usize) -> Result<()> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Error::bad_request("Compressed bodies are not read: send it without Content-Encoding"));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) { Err(too_large(limit)) } else { Ok(()) }
}

/// Reads and forgets a body that is not wanted.
///
/// A client that still writes when the server closes often sees a broken connection instead of the answer. One that
/// asked whether to send the body at all (`Expect`) is answered before it does.
pub(super) fn discard(headers: &HeaderMap, body: Body) {
    if !body.is_end_stream() && !headers.contains_key(EXPECT) {
        forget(body.into_data_stream());
    }
}

fn forget(mut chunks: BodyDataStream) {
    let read = async move {
        let mut left = DISCARDED;
        while let (1.., Some(Ok(chunk))) = (left, chunks.next().await) {
            left = left.saturating_sub(chunk.len());
        }
    };
    tokio::spawn(tokio::time::timeout(DISCARDING, read));
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn late(timeout: Duration) -> Error {
    Error::timeout(format!("The body did not arrive within {}", humantime::format_duration(timeout)))
}

fn too_large(limit: usize) -> Error {
    Error::payload_too_large(format!("The body is larger than {limit} bytes"))
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Some(Format::Json),
        "application/x-www-form-urlencoded" => Some(Format::Form),
        _ => None,
    }
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::bad_request("The body broke off before its end"))?;
        if chunk.len() > limit - bytes.len() {
            forget(chunks);
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn json(bytes: &[u8]) -> Result<Value> {
    match serde_json::from_slice(bytes) {
        Ok(data @ (Value::Object(_) | Value::Array(_))) => Ok(data),
        Ok(_) => Err(Error::bad_request("The body must be a JSON object or array")),
        Err(error) => Err(Error::bad_request(format!("The body is not valid JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures_util::stream;
    use serde_json::json;
    use std::io;

    const LIMIT: usize = 32;
    const TIMEOUT: Duration = Duration::from_secs(5);

    fn typed(content_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())])
    }

    async fn read_as(content_type: &str, body: impl Into<Body>) -> Result<Value> {
        read(&typed(content_type), &mut body.into(), LIMIT, TIMEOUT).await
    }

    fn chunks(chunks: Vec<&'static str>) -> Body {
        Body::from_stream(stream::iter(chunks).map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk))))
    }

    #[tokio::test]
    async fn json_and_forms_are_read_and_everything_else_is_no_data() {
        assert_eq!(read_as("application/json", r#"{"a":[1]}"#).await, Ok(json!({"a": [1]})));
        assert_eq!(read_as("Application/JSON; charset=utf-8", "[1]").await, Ok(json!([1])));
        assert_eq!(
            read_as("application/x-www-form-urlencoded", "a[b]=1&c=x+y").await,
            Ok(json!({"a": {"b": "1"}, "c": "x y"}))
        );
        for other in ["text/plain", "application/jsonp", "multipart/form-data; boundary=x", ""] {
            assert_eq!(read_as(other, "{\"a\":1}").await, Ok(json!({})), "{other}");
        }
        assert_eq!(read(&HeaderMap::new(), &mut Body::from("{}"), LIMIT, TIMEOUT).await, Ok(json!({})));
        assert_eq!(read_as("application/json", "").await, Ok(json!({})));
    }

    #[tokio::test]
    async fn what_is_no_json_object_or_array_is_refused() {
        for body in ["null", "1", "\"text\"", "{", "{\"a\":", "nope", "\u{feff}{}", "{} {}"] {
            assert_eq!(read_as("application/json", body).await.unwrap_err().code(), 400, "{body}");
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let refused = read(&typed("application/json"), &mut deep.into(), usize::MAX, TIMEOUT).await;
        assert_eq!(refused.unwrap_err().code(), 400);
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        let fits = format!("[\"{}\"]", "x".repeat(LIMIT - 4));
        assert!(read_as("application/json", fits.clone()).await.is_ok());
        assert_eq!(read_as("application/json", fits + " ").await.unwrap_err().code(), 413);
        let chunked = chunks(vec!["[\"0123456789", "0123456789", "0123456789", "\"]"]);
        assert_eq!(read_as("application/json", chunked).await.unwrap_err().code(), 413);
    }

    #[tokio::test]
    async fn a_length_above_the_limit_is_refused_before_anything_is_read() {
        let mut headers = typed("application/json");
        headers.insert(CONTENT_LENGTH, "33".parse().unwrap());
        let mut never = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        assert_eq!(read(&headers, &mut never, LIMIT, TIMEOUT).await.unwrap_err().code(), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_or_trickles_for_ever_times_out() {
        let stalls = chunks(vec!["{\"a\":"]).into_data_stream().chain(stream::pending());
        assert_eq!(read_as("application/json", Body::from_stream(stalls)).await.unwrap_err().code(), 408);
        let trickles = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, io::Error>(Bytes::from(" ")), ()))
        });
        assert_eq!(read_as("application/json", Body::from_stream(trickles)).await.unwrap_err().code(), 408);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_bad_request() {
        let broken = stream::iter([Ok(Bytes::from("{")), Err(io::Error::other("reset"))]);
        assert_eq!(read_as("application/json", Body::from_stream(broken)).await.unwrap_err().code(), 400);
    }

    #[tokio::test]
    async fn compressed_bodies_are_refused_by_name() {
        let mut headers = typed("application/json");
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let error = read(&headers, &mut Body::from("x"), LIMIT, TIMEOUT).await.unwrap_err();
        assert!(error.message().contains("Content-Encoding"), "{error}");
    }
}
