//! Strategies: ways to log in.

use super::Authentication;
use futures_core::future::BoxFuture;
use rachis_core::{Params, Result};
use serde_json::Value;

/// A way to log in. [`JwtStrategy`](super::JwtStrategy) and [`LocalStrategy`](super::LocalStrategy) are there
/// already, as `jwt` and `local`; an application adds its own.
///
/// ```
/// use rachis::{App, Error, MemoryService, Params, Result, ServiceExt, ALL};
/// use rachis::auth::{AuthConfig, Authentication, Strategy};
/// use serde_json::{Value, json};
///
/// /// Services of others come with a key instead of a password.
/// struct ApiKey;
///
/// impl Strategy for ApiKey {
///     async fn authenticate(&self, auth: &Authentication, request: &Value, params: &Params) -> Result<Value> {
///         let key = request["apiKey"].as_str().ok_or_else(|| Error::not_authenticated("No API key"))?;
///         let user = auth.find_entity("apiKey", key, params).await?;
///         let user = user.ok_or_else(|| Error::not_authenticated("Unknown API key"))?;
///         Ok(json!({ "user": auth.visible_entity(user, params).await? }))
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let auth = Authentication::new(AuthConfig::new("keep-this-one-out-of-version-control"))?.strategy("api-key", ApiKey);
/// let app = App::new()
///     .register("users", MemoryService::new())
///     .register("reports", MemoryService::new().before(ALL, auth.authenticate(["jwt", "api-key"])));
/// app.service("users").create(json!({ "name": "Ada", "apiKey": "k1" })).await?;
///
/// let client = Params::default().with_provider("rest");
/// let asking = |key: &str| client.clone().with_authentication(json!({ "strategy": "api-key", "apiKey": key }));
/// assert_eq!(app.service("reports").find().params(asking("k1")).await?, json!([]));
/// let error = app.service("reports").find().params(asking("k2")).await.unwrap_err();
/// assert_eq!(error.message(), "Unknown API key");
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
pub trait Strategy: Send + Sync + 'static {
    /// Checks `request`, which is what a client logs in with (`{ strategy, … }`) or what came with a call.
    ///
    /// Returns an object with the entity under its name (`user`). An `accessToken` in it is returned to the client as it
    /// is; without one, a login makes a new token for the entity. `authentication.strategy` is filled in.
    ///
    /// # Errors
    /// `NotAuthenticated` for credentials that are not good.
    fn authenticate(
        &self,
        auth: &Authentication,
        request: &Value,
        params: &Params,
    ) -> impl Future<Output = Result<Value>> + Send;
}

/// The erased form.
pub(super) trait Erased: Send + Sync {
    fn run<'a>(
        &'a self,
        auth: &'a Authentication,
        request: &'a Value,
        params: &'a Params,
    ) -> BoxFuture<'a, Result<Value>>;
}

impl<S: Strategy> Erased for S {
    fn run<'a>(
        &'a self,
        auth: &'a Authentication,
        request: &'a Value,
        params: &'a Params,
    ) -> BoxFuture<'a, Result<Value>> {
        Box::pin(self.authenticate(auth, request, params))
    }
}

/// The names of one or several strategies: `"jwt"`, `["jwt", "api-key"]`.
#[derive(Clone, Debug)]
pub struct Strategies(pub(super) Vec<String>);

impl From<&str> for Strategies {
    fn from(name: &str) -> Self {
        Strategies(vec![name.to_owned()])
    }
}

impl<const N: usize> From<[&str; N]> for Strategies {
    fn from(names: [&str; N]) -> Self {
        Strategies(names.map(str::to_owned).into())
    }
}

impl From<Vec<String>> for Strategies {
    fn from(names: Vec<String>) -> Self {
        Strategies(names)
    }
}
