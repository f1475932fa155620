//! What goes around every request: its id and span, compression, CORS, and a net for panics.

use crate::http::{client::Proxies, cors::Cors, reply};
use axum::{body::Body, extract::Request, response::Response};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method as Verb,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, COOKIE, ORIGIN, PROXY_AUTHORIZATION, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use rachis_config::Gateway;
use rachis_core::Error;
use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Instant};
use tower::{Layer, Service, ServiceExt, service_fn, util::Either};
use tower_http::compression::CompressionLayer;
use tracing::Instrument;
use ulid::{ULID_LEN, Ulid};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells browsers to believe the type of an answer rather than guess it.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Longer ids are replaced: they travel with the call and stand in every log line.
const REQUEST_ID_LENGTH: usize = 128;
/// What nothing may print that prints headers.
const SECRET: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];

/// A tower service that answers requests, whatever becomes of them.
pub(crate) trait Answers:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Answers for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// What the configuration says of all answers.
#[derive(Clone)]
pub(crate) struct Layers {
    cors: Option<Arc<Cors>>,
    compression: bool,
    proxies: Arc<Proxies>,
}

impl Layers {
    pub(crate) fn new(config: &Gateway, proxies: Arc<Proxies>) -> Self {
        Layers { cors: Cors::new(config).map(Arc::new), compression: config.compression, proxies }
    }

    /// The net for panics is innermost, so even the answer to one has its CORS headers and its id.
    ///
    /// Not stacked on a router, which would forget the type of each layer: that is some boxes for each of them and each
    /// request.
    pub(crate) fn around<S: Answers>(&self, service: S) -> impl Answers + use<S> {
        let cors = self.cors.clone();
        let inner = service_fn(move |request| shared(cors.clone(), service.clone(), request));
        let inner = if self.compression {
            Either::Left(service_fn(move |request| compressed(inner.clone(), request)))
        } else {
            Either::Right(inner)
        };
        let proxies = self.proxies.clone();
        service_fn(move |request| observe(proxies.clone(), inner.clone(), request))
    }
}

/// Compresses the answer for clients that accept it. Other requests do not pass the layer: that costs more than leaving it out,
/// and services and proxies rarely ask for compression.
async fn compressed(service: impl Answers, request: Request) -> Result<Response, Infallible> {
    if request.headers().contains_key(ACCEPT_ENCODING) {
        let response = CompressionLayer::new().layer(service).oneshot(request).await?;
        return Ok(response.map(Body::new));
    }
    let mut response = service.oneshot(request).await?;
    response.headers_mut().append(VARY, ACCEPT_ENCODING.into());
    Ok(response)
}

/// Answers browsers that ask what they may do, and lets the others read what `service` answers.
async fn shared(cors: Option<Arc<Cors>>, service: impl Answers, request: Request) -> Result<Response, Infallible> {
    let Some(cors) = cors else { return caught(service, request).await };
    if request.method() == Verb::OPTIONS {
        return Ok(cors.preflight(request.headers()));
    }
    let origins: HeaderMap = request.headers().get_all(ORIGIN).iter().map(|origin| (ORIGIN, origin.clone())).collect();
    let mut response = caught(service, request).await?;
    cors.mark(&origins, response.headers_mut());
    Ok(response)
}

/// What panicked is in the log, by the panic hook; the client learns nothing of it.
async fn caught(service: impl Answers, request: Request) -> Result<Response, Infallible> {
    let id = request.headers().get(REQUEST_ID).cloned();
    let answer = AssertUnwindSafe(service.oneshot(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        tracing::error!(id = id.and_then(|id| id.to_str().ok().map(str::to_owned)), "a request panicked");
        Ok(reply::error(&Error::general("The server failed at this request")))
    })
}

/// Gives every request an id, which services see as a header, and a span. The query stays out of the log, since it may
/// hold secrets.
///
/// The span is there from the level debug on: to keep one for every request was a tenth of what a request costs this
/// process, for lines that are few.
async fn observe(proxies: Arc<Proxies>, service: impl Answers, mut request: Request) -> Result<Response, Infallible> {
    let id = request_id(request.headers());
    let span = tracing::debug_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
        ip = proxies.client(request.extensions(), request.headers()).map(tracing::field::display),
    );
    request.headers_mut().insert(REQUEST_ID, id.clone());
    hide_secrets(request.headers_mut());
    let answer = async {
        let started = Instant::now();
        let response = service.oneshot(request).await;
        let status = response.as_ref().map(|response| response.status().as_u16());
        tracing::debug!(status = status.ok(), latency = ?started.elapsed(), "answered");
        response
    };
    let mut response = answer.instrument(span).await?;
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    hide_secrets(response.headers_mut());
    Ok(response)
}

fn hide_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers {
        if SECRET.contains(name) {
            value.set_sensitive(true);
        }
    }
}

/// The id that came along if it is harmless in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let sane = |id: &&HeaderValue| (1..=REQUEST_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(harmless);
    let sent = headers.get(REQUEST_ID).filter(sane).cloned();
    sent.unwrap_or_else(|| {
        let mut text = [0; ULID_LEN];
        // A ULID is letters and digits, which any header can hold.
        HeaderValue::from_str(Ulid::generate().array_to_str(&mut text)).unwrap_or(HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        let id_of =
            |sent: &[u8]| request_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(sent).unwrap())]));
        assert_eq!(id_of(b"req-1:a/b"), "req-1:a/b");
        for odd in [&b""[..], b"a b", b"\"quoted\"", b"\xff", &[b'a'; 129]] {
            assert_eq!(id_of(odd).len(), Ulid::generate().to_string().len());
        }
    }
}
