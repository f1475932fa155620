//! Who may call, by configuration.

use crate::{
    ALL, App, Result,
    auth::{AuthConfig, Authentication},
    config::Config,
};

/// `app` as `gateway.auth` of the configuration asks for: with the login service, and with a hook that refuses whoever
/// comes without a token, for its own services and all remote ones, except for public calls. Unchanged if no secret is
/// set.
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

/// The same, and what guards it, whose secret may be [changed](Authentication::change_secret); `None` if no secret is set.
///
/// # Errors
/// Like [`guarded`].
pub fn guarded_by(app: App, config: &Config) -> Result<(App, Option<Authentication>)> {
    let Some(auth) = AuthConfig::of_gateway(&config.gateway)? else { return Ok((app, None)) };
    let auth = Authentication::new(auth)?;
    let guard = auth.authenticate_except("jwt", config.gateway.auth.public.clone());
    app.try_register(&config.gateway.authentication_path, auth.clone())?;
    Ok((app.before(ALL, guard), Some(auth)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryService, Params};

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
