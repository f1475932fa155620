//! The gateway's CORS for routes of an application's own.

use super::Cors;
use axum::response::Response;
use http::{HeaderMap, Method, Request, header::ORIGIN};
use rachis_config::Config;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// CORS as `gateway.cors_origins` and the keys beside it say, as a layer for routes of an application's own.
///
/// The gateway's routes have it already, so a layer around all of them changes nothing for these. The layer answers every
/// `OPTIONS` request itself. Without origins in the configuration it does nothing.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use rachis::gateway::{Gateway, cors};
///
/// # fn web(node: &rachis::Node) -> Router {
/// let own = Router::new().route("/version", get(async || "1.2.3")).layer(cors(node.config()));
/// own.fallback_service(Gateway::new(node))
/// # }
/// ```
pub fn cors(config: &Config) -> CorsLayer {
    CorsLayer { cors: Cors::new(&config.gateway).map(Arc::new) }
}

/// What [`cors`] returns.
#[derive(Clone)]
pub struct CorsLayer {
    cors: Option<Arc<Cors>>,
}

impl<S> Layer<S> for CorsLayer {
    type Service = CorsService<S>;

    fn layer(&self, inner: S) -> CorsService<S> {
        CorsService { cors: self.cors.clone(), inner }
    }
}

impl fmt::Debug for CorsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorsLayer").finish_non_exhaustive()
    }
}

/// A service with CORS around it: see [`cors`].
#[derive(Clone)]
pub struct CorsService<S> {
    cors: Option<Arc<Cors>>,
    inner: S,
}

impl<S, B> Service<Request<B>> for CorsService<S>
where
    S: Service<Request<B>, Response = Response>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(cors) = self.cors.clone() else { return Box::pin(self.inner.call(request)) };
        if request.method() == Method::OPTIONS {
            let answer = cors.preflight(request.headers());
            return Box::pin(async { Ok(answer) });
        }
        let origins: HeaderMap =
            request.headers().get_all(ORIGIN).iter().map(|origin| (ORIGIN, origin.clone())).collect();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            cors.mark(&origins, answer.headers_mut());
            Ok(answer)
        })
    }
}

impl<S> fmt::Debug for CorsService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorsService").finish_non_exhaustive()
    }
}
