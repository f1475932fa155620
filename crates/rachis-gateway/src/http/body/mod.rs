//! Reads the data of a call out of a request's body.

mod charset;
mod coding;
mod media_type;

use crate::http::{json, query_string};
use axum::body::{Body, BodyDataStream, HttpBody};
use charset::Charset;
use coding::Coding;
use futures_util::StreamExt;
use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, EXPECT},
};
use media_type::MediaType;
use rachis_config as config;
use rachis_config::GatewayQuery;
use rachis_core::{Error, Result};
use serde_json::{Map, Value};
use std::{future::poll_fn, pin::Pin, time::Duration};

/// How much of a refused body is still read, and for how long; see [`discard`].
const DISCARDED: usize = 64 << 20;
const DISCARDING: Duration = Duration::from_secs(5);
const BROKEN_OFF: &str = "The body broke off before its end";

/// What bodies are read as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Json(Charset),
    Form(Charset),
}

impl Format {
    /// What the headers say.
    ///
    /// # Errors
    /// `UnsupportedMediaType` for everything else, with its name.
    fn of(headers: &HeaderMap) -> Result<Format> {
        let Some(media) = MediaType::of(headers) else {
            return Err(unsupported("A body without a Content-Type is"));
        };
        let charset = Charset::of(&media.charset);
        match charset {
            _ if !(media.is_json() || media.is_form()) => {
                Err(unsupported(&format!("Bodies of the type {:?} are", media.essence)))
            }
            // JSON is Unicode.
            Some(charset) if media.is_json() && charset != Charset::Latin1 => Ok(Format::Json(charset)),
            Some(charset @ (Charset::Utf8 | Charset::Latin1)) if media.is_form() => Ok(Format::Form(charset)),
            _ => Err(unsupported(&format!(
                "Bodies of the type {:?} in the charset {:?} are",
                media.essence, media.charset
            ))),
        }
    }

    fn read(self, bytes: &[u8], limits: &GatewayQuery) -> Result<Value> {
        match self {
            Format::Json(charset) => read_json(&charset.decode(bytes)),
            Format::Form(charset) => Ok(Value::Object(query_string::parse(&charset.decode(bytes), limits)?)),
        }
    }
}

fn unsupported(what: &str) -> Error {
    let read = "send application/json, a type that ends in +json, or application/x-www-form-urlencoded, in UTF-8";
    Error::unsupported_media_type(format!("{what} not read: {read}"))
}

/// The data of a request: JSON objects and arrays, forms, or `{}` where there is no body at all. A body that is not read
/// stays where it is.
///
/// Text that is not well encoded, half a surrogate pair among it, is read as U+FFFD, as Node.js decodes it.
///
/// # Errors
/// `BadRequest` for a body that is not what its type says and for a form that exceeds `settings.query`, `UnsupportedMediaType` for one of a type, charset or
/// compression that is not read, `PayloadTooLarge` above `settings.body_limit`, compressed or not, `Timeout` when it has not
/// arrived after `timeout`.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    settings: &config::Gateway,
    timeout: Duration,
) -> Result<Value> {
    if body.is_end_stream() {
        return Ok(empty());
    }
    let arrived = tokio::time::timeout(timeout, data(headers, body, settings)).await;
    arrived.map_err(|_| late(timeout))?
}

async fn data(headers: &HeaderMap, body: &mut Body, settings: &config::Gateway) -> Result<Value> {
    let limit = settings.body_limit.as_usize();
    let how = Format::of(headers).and_then(|format| Ok((format, Coding::of(headers)?)));
    let (format, coding) = match how {
        Ok(how) => how,
        Err(_) if is_empty(body).await? => return Ok(empty()),
        Err(error) => return Err(error),
    };
    let bytes = match coding {
        Some(coding) => coding.read(std::mem::take(body).into_data_stream(), limit).await?,
        None => {
            check_length(headers, limit)?;
            collect(std::mem::take(body), limit).await?
        }
    };
    if bytes.is_empty() { Ok(empty()) } else { format.read(&bytes, &settings.query) }
}

/// Whether nothing comes. One that announced its length is not asked for it.
async fn is_empty(body: &mut Body) -> Result<bool> {
    while body.size_hint().lower() == 0 {
        match poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await {
            None => return Ok(true),
            Some(Ok(frame)) if frame.data_ref().is_some_and(|data| !data.is_empty()) => return Ok(false),
            Some(Ok(_)) => {}
            Some(Err(_)) => return Err(Error::bad_request(BROKEN_OFF)),
        }
    }
    Ok(false)
}

/// # Errors
/// `PayloadTooLarge` if more than `limit` is announced.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<()> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) { Err(too_large(limit)) } else { Ok(()) }
}

/// Reads and forgets a body that is not wanted.
///
/// A client that still writes when the server closes often sees a broken connection instead of the answer. One that
/// asked whether to send the body at all (`Expect`) is answered before it does.
pub(crate) fn discard(headers: &HeaderMap, body: Body) {
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

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::bad_request(BROKEN_OFF))?;
        if chunk.len() > limit - bytes.len() {
            forget(chunks);
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn read_json(text: &str) -> Result<Value> {
    if text.is_empty() {
        return Ok(empty());
    }
    match json::read(text) {
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
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
    use serde_json::json;
    use std::io;
    use tokio::io::AsyncReadExt;

    const LIMIT: usize = 32;
    const TIMEOUT: Duration = Duration::from_secs(5);

    fn typed(content_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())])
    }

    /// Reads at most so many bytes.
    async fn read(headers: &HeaderMap, body: &mut Body, limit: usize, timeout: Duration) -> Result<Value> {
        let mut settings = config::Config::default().gateway;
        settings.body_limit = config::ByteSize(limit as u64);
        super::read(headers, body, &settings, timeout).await
    }

    async fn read_as(content_type: &str, body: impl Into<Body>) -> Result<Value> {
        read(&typed(content_type), &mut body.into(), LIMIT, TIMEOUT).await
    }

    fn chunks(chunks: Vec<&'static str>) -> Body {
        Body::from_stream(stream::iter(chunks).map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk))))
    }

    #[tokio::test]
    async fn a_form_beyond_the_limits_of_queries_is_refused() {
        let form = typed("application/x-www-form-urlencoded");
        for (body, key) in [
            ("a=1&".repeat(10_000), "gateway.query.parameters"),
            (format!("a{}=1", "[b]".repeat(33)), "gateway.query.depth"),
            ("a[2000]=1".to_owned(), "gateway.query.sparse_index"),
        ] {
            let error = read(&form, &mut body.into(), 1 << 20, TIMEOUT).await.unwrap_err();
            assert!(error.code() == 400 && error.message().contains(key), "{error}");
        }
    }

    #[tokio::test]
    async fn json_and_forms_are_read() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert_eq!(read_as(json, r#"{"a":[1]}"#).await, Ok(json!({"a": [1]})), "{json}");
        }
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read_as(form, "a[b]=1&c=x+y").await, Ok(json!({"a": {"b": "1"}, "c": "x y"})));
        assert_eq!(read_as("application/json; charset=utf-16", &b"{\0}\0"[..]).await, Ok(json!({})));
        assert_eq!(read_as("application/json", "\u{feff}{}").await, Ok(json!({})));
    }

    #[tokio::test]
    async fn what_is_not_read_is_refused_by_its_name_and_never_no_data() {
        for (content_type, name) in [
            ("text/plain", "\"text/plain\""),
            ("application/jsonp", "\"application/jsonp\""),
            ("multipart/form-data; boundary=x", "\"multipart/form-data\""),
            ("", "without a Content-Type"),
            ("application/json; charset=utf-7", "\"utf-7\""),
            ("application/json; charset=iso-8859-1", "\"iso-8859-1\""),
            ("application/x-www-form-urlencoded; charset=utf-16", "\"utf-16\""),
        ] {
            let refused = read_as(content_type, "{\"a\":1}").await.unwrap_err();
            assert!(refused.code() == 415 && refused.message().contains(name), "{content_type}: {refused}");
            for nothing in [Body::empty(), chunks(vec![]), chunks(vec!["", ""])] {
                assert_eq!(read_as(content_type, nothing).await, Ok(json!({})), "{content_type}");
            }
        }
        let mut headers = typed("application/json");
        for codings in [&["zstd"][..], &["gzip, gzip"], &["gzip", "br"]] {
            headers.remove(CONTENT_ENCODING);
            for coding in codings {
                headers.append(CONTENT_ENCODING, coding.parse().unwrap());
            }
            let refused = read(&headers, &mut Body::from("x"), LIMIT, TIMEOUT).await.unwrap_err();
            assert!(refused.code() == 415 && refused.message().contains("Content-Encoding"), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_is_no_json_object_or_array_is_refused() {
        for body in ["null", "1", "\"text\"", "{", "{\"a\":", "nope", "{} {}", " ", "\u{feff}\u{feff}{}"] {
            assert_eq!(read_as("application/json", body).await.unwrap_err().code(), 400, "{body}");
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let refused = read(&typed("application/json"), &mut deep.into(), usize::MAX, TIMEOUT).await;
        assert_eq!(refused.unwrap_err().code(), 400);
    }

    async fn compressed(coding: &str, text: &[u8]) -> Vec<u8> {
        use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder};
        let mut bytes = Vec::new();
        let outcome = match coding {
            "br" => BrotliEncoder::new(text).read_to_end(&mut bytes).await,
            "gzip" => GzipEncoder::new(text).read_to_end(&mut bytes).await,
            _ => ZlibEncoder::new(text).read_to_end(&mut bytes).await,
        };
        outcome.unwrap();
        bytes
    }

    async fn read_coded(coding: &str, bytes: Vec<u8>) -> Result<Value> {
        let mut headers = typed("application/json");
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        read(&headers, &mut bytes.into(), LIMIT, TIMEOUT).await
    }

    #[tokio::test]
    async fn compressed_bodies_are_read_whatever_of_gzip_and_zlib_they_are_called() {
        let text = format!("[\"{}\"]", "x".repeat(LIMIT - 4));
        for coding in ["br", "gzip", "deflate"] {
            let bytes = compressed(coding, text.as_bytes()).await;
            assert_eq!(read_coded(&coding.to_uppercase(), bytes.clone()).await.unwrap().to_string(), text);
            for broken in [&bytes[..bytes.len() - 5], b"[]"] {
                assert_eq!(read_coded(coding, broken.to_vec()).await.unwrap_err().code(), 400, "{coding}");
            }
        }
        assert_eq!(read_coded("deflate", compressed("gzip", b"[1]").await).await, Ok(json!([1])));
        assert_eq!(read_coded("gzip", compressed("deflate", b"[1]").await).await, Ok(json!([1])));
        let twice = [compressed("gzip", b"[1,").await, compressed("gzip", b"2]").await, vec![0; 9]].concat();
        assert_eq!(read_coded("gzip", twice).await, Ok(json!([1, 2])));
        let junk = [compressed("gzip", b"[1]").await, b"more".to_vec()].concat();
        assert_eq!(read_coded("gzip", junk).await.unwrap_err().code(), 400);
        assert_eq!(read_coded("gzip", Vec::new()).await, Ok(json!({})));
    }

    #[tokio::test]
    async fn a_small_body_that_holds_too_much_is_too_large() {
        for coding in ["br", "gzip", "deflate"] {
            let bomb = compressed(coding, &vec![b' '; 1 << 20]).await;
            assert!(bomb.len() < 2000, "{coding}");
            assert_eq!(read_coded(coding, bomb).await.unwrap_err().code(), 413, "{coding}");
        }
        // Blocks that hold nothing, without end.
        let nothing = stream::iter([&b"\x78\x9c"[..]]).chain(stream::repeat(&b"\0\0\0\xff\xff"[..]));
        let mut headers = typed("application/json");
        headers.insert(CONTENT_ENCODING, "deflate".parse().unwrap());
        let mut endless = Body::from_stream(nothing.map(|bytes| Ok::<_, io::Error>(Bytes::from(bytes))));
        assert_eq!(read(&headers, &mut endless, LIMIT, TIMEOUT).await.unwrap_err().code(), 413);
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
}
