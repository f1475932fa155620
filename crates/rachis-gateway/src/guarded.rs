//! Logins and a guard of all services, by configuration.

use arc_swap::ArcSwap;
use rachis_auth::{AuthConfig, Authentication};
use rachis_config::{CallFilter, Config};
use rachis_core::{ALL, App, Error, Result};
use std::sync::Arc;

/// Adds what `gateway.auth` of the configuration asks for: the login service, and a hook that refuses calls without a token, of
/// its own services and of all remote ones, except for public calls. Returns the app unchanged if no secret is set.
///
/// ```no_run
/// use rachis::{App, Config, Node, gateway::guarded};
///
/// # async fn run() -> rachis::Result<()> {
/// let config = Config::load()?;
/// let app = guarded(App::new(), &config)?;
/// let node = Node::builder(config).app(app).start().await?;
/// # drop(node);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `BadRequest` for settings that do not hold together, with the key to change; `Conflict` if the app has a service at
/// `gateway.authentication_path` already.
pub fn guarded(app: App, config: &Config) -> Result<App> {
    guarded_by(app, config).map(|(app, _)| app)
}

/// Does what [`guarded`] does, and returns the guard, which can take a new configuration; `None` if no secret is set.
///
/// # Errors
/// Like [`guarded`].
pub fn guarded_by(app: App, config: &Config) -> Result<(App, Option<Guard>)> {
    let Some(auth) = AuthConfig::of_gateway(&config.gateway)? else { return Ok((app, None)) };
    let auth = Authentication::new(auth)?;
    let public = Arc::new(ArcSwap::from_pointee(config.gateway.auth.public.clone()));
    let open = public.clone();
    let hook = auth.authenticate("jwt").unless(move |ctx| open.load().allows(&ctx.path, ctx.method.name()));
    app.try_register(&config.gateway.authentication_path, auth.clone())?;
    Ok((app.before(ALL, hook), Some(Guard { auth, public })))
}

/// The guard of an app, which can take a new configuration. Cheap to clone: clones are the same.
///
/// ```no_run
/// use rachis::{App, Config, Node, gateway::{Guard, guarded_by}};
///
/// # async fn run() -> rachis::Result<()> {
/// let loader = Config::loader();
/// let watch = loader.clone().watch();
/// let config = loader.load()?;
/// let (app, guard) = guarded_by(App::new(), &config)?;
/// let mut node = Node::builder(config).app(app);
/// if let Some(guard) = guard {
///     node = node.on_reload(Guard::KEYS, move |config| guard.prepare(config));
/// }
/// let node = node.start().await?;
/// tokio::spawn(node.follow(watch));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Guard {
    auth: Authentication,
    public: Arc<ArcSwap<CallFilter>>,
}

impl Guard {
    /// The keys whose new values it takes.
    pub const KEYS: [&'static str; 3] = ["gateway.auth.secret", "gateway.auth.previous_secret", "gateway.auth.public"];

    /// The login service, and the hook that other services may be guarded by.
    pub fn authentication(&self) -> &Authentication {
        &self.auth
    }

    /// Looks at a new configuration; what it returns makes its secrets, and what it says to be public, count from then on.
    ///
    /// # Errors
    /// `BadRequest` for settings that do not hold together, and where no secret is left: to let everyone in, a gateway
    /// has to be started anew.
    pub fn prepare(&self, config: &Config) -> Result<Box<dyn FnOnce() + Send>> {
        let Some(AuthConfig { secret, previous_secret, .. }) = AuthConfig::of_gateway(&config.gateway)? else {
            return Err(Error::bad_request("gateway.auth.secret is gone: restart the gateway to let everyone in"));
        };
        let guard = self.clone();
        let public = config.gateway.auth.public.clone();
        Ok(Box::new(move || match guard.auth.change_secret(secret, previous_secret) {
            Ok(()) => guard.public.store(Arc::new(public)),
            // It was looked at just now.
            Err(error) => tracing::error!(%error, "the secret of tokens stays as it was"),
        }))
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("public", &self.public.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_core::{MemoryService, Params};

    fn config(more: &str) -> Config {
        Config::from_toml(&format!("[gateway.auth]\nsecret = '{}'\n{more}", "x".repeat(32))).unwrap()
    }

    #[tokio::test]
    async fn services_of_the_gateway_itself_are_guarded_too_whenever_they_are_registered() {
        let app = App::new().register("early", MemoryService::new());
        let app = guarded(app, &config("public = ['late:find']")).unwrap().register("late", MemoryService::new());
        let client = Params::default().with_provider("rest");
        for path in ["early", "late"] {
            let error = app.service(path).get(1).params(client.clone()).await.unwrap_err();
            assert_eq!((error.code(), error.message()), (401, "Not authenticated"), "{path}");
        }
        app.service("late").find().params(client.clone()).await.unwrap();
        app.service("early").find().await.unwrap();
        let error = app.service("authentication").create(serde_json::json!({})).params(client).await.unwrap_err();
        assert!(error.message().starts_with("Invalid authentication information"), "{error}");
    }

    #[test]
    fn without_a_secret_the_app_stays_as_it_was() {
        assert!(guarded(App::new(), &Config::default()).unwrap().paths().is_empty());
    }

    #[test]
    fn logins_are_where_the_configuration_says_unless_something_else_is_there() {
        let config = config("[gateway]\nauthentication_path = '/api/login/'");
        assert_eq!(guarded(App::new(), &config).unwrap().paths(), ["api/login"]);
        let taken = App::new().register("api/login", MemoryService::new());
        assert_eq!(guarded(taken, &config).unwrap_err().code(), 409);
    }
}
