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
    let Some(auth) = AuthConfig::of_gateway(&config.gateway)? else { return Ok(app) };
    let auth = Authentication::new(auth)?;
    let guard = auth.authenticate_except("jwt", config.gateway.auth.public.clone());
    app.try_register(&config.gateway.authentication_path, auth)?;
    Ok(app.before(ALL, guard))
}
