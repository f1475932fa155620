//! The authentication service, and what hooks need of it.

use super::{
    AuthConfig, Authenticate, Identity, JwtStrategy, LocalStrategy, Strategies, Strategy,
    keys::Keys,
    strategy::Erased,
    token::{self, Claims, Tokens},
};
use arc_swap::ArcSwap;
use rachis_config::{CallFilter, Secret};
use rachis_core::{Caller, Error, Handle, Id, Method, Params, Result, STANDARD_EVENTS, Service};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

/// Logs users in by strategies, and signs and verifies their tokens. Cheap to clone: clones are the same.
///
/// It is a service: `create` logs in, `remove` logs out (which verifies the token; nothing is stored, so nothing is
/// revoked). No event tells of either. And it makes the [hook](Authentication::authenticate) that other services are
/// guarded by, also on nodes that do not register the service and only share the secret.
#[derive(Clone)]
pub struct Authentication {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    config: AuthConfig,
    // Shared by all clones, so that a new secret reaches every hook.
    tokens: Arc<ArcSwap<Tokens>>,
    /// The public keys of other issuers.
    keys: Option<Arc<Keys>>,
    strategies: BTreeMap<String, Arc<dyn Erased>>,
}

impl Authentication {
    /// An authentication with the strategies `jwt` and `local`.
    ///
    /// # Errors
    /// `GeneralError` for a missing or weak secret, an empty name, or a `keys_file` that has no keys.
    pub fn new(config: AuthConfig) -> Result<Self> {
        config.check()?;
        let tokens = Arc::new(ArcSwap::from_pointee(Tokens::new(&config)));
        let keys = Keys::new(&config.jwt)?.map(Arc::new);
        let auth = Authentication { inner: Arc::new(Inner { config, tokens, keys, strategies: BTreeMap::new() }) };
        Ok(auth.strategy("jwt", JwtStrategy).strategy("local", LocalStrategy))
    }

    /// Adds a strategy, or replaces the one of that name. Hooks may use it at once; clients log in with it only if
    /// `auth_strategies` names it. Clones made before do not know it.
    pub fn strategy(mut self, name: &str, strategy: impl Strategy) -> Self {
        Arc::make_mut(&mut self.inner).strategies.insert(name.to_owned(), Arc::new(strategy));
        self
    }

    /// Signs and verifies by other secrets from now on, in all clones and in the hooks that were made of them. Tokens that
    /// are signed by `previous` are still taken.
    ///
    /// # Errors
    /// Like [`Authentication::new`]; then nothing has changed.
    pub fn change_secret(&self, secret: impl Into<Secret>, previous: Option<Secret>) -> Result<()> {
        let config = AuthConfig { secret: secret.into(), previous_secret: previous, ..self.inner.config.clone() };
        config.check()?;
        self.inner.tokens.store(Arc::new(Tokens::new(&config)));
        Ok(())
    }

    /// Returns the configuration that it was made from.
    pub fn config(&self) -> &AuthConfig {
        &self.inner.config
    }

    /// A hook that lets a call pass only if one of `strategies` knows its caller, and tells the service which user that is.
    ///
    /// | the call | what happens |
    /// |---|---|
    /// | is marked as `authenticated` already | passes |
    /// | has credentials (`params.authentication`) | they are checked, even if code made the call; `user`, `authentication` (with `payload`) and the mark are set in params |
    /// | comes from a client, without | fails: `Not authenticated` |
    /// | comes from code, without | passes |
    ///
    /// The user in params is the whole record, as code sees it. The hook is registered by `before` or `around`.
    ///
    /// ```
    /// use rachis::{ALL, App, MemoryService, Params, ServiceExt};
    /// use rachis::auth::{AuthConfig, Authentication};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let auth = Authentication::new(AuthConfig::new("keep-this-one-out-of-version-control"))?;
    /// let app = App::new().register("secured", MemoryService::new().before(ALL, auth.authenticate("jwt")));
    ///
    /// let client = Params::default().with_provider("rest");
    /// let error = app.service("secured").find().params(client).await.unwrap_err();
    /// assert_eq!(error.to_string(), "NotAuthenticated: Not authenticated");
    /// assert_eq!(app.service("secured").find().await?, json!([]));
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Without any strategy, or for one that was not added: contradictions in a program's own set-up.
    #[track_caller]
    pub fn authenticate(&self, strategies: impl Into<Strategies>) -> Authenticate {
        Authenticate::new(self.clone(), strategies.into())
    }

    /// The same hook for all calls but the `open` ones and those of the authentication service itself, for the app of a
    /// gateway. The token of an open call is not verified.
    ///
    /// ```
    /// use rachis::{ALL, App, MemoryService, Params, ServiceExt};
    /// use rachis::{auth::{AuthConfig, Authentication}, config::CallFilter};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let auth = Authentication::new(AuthConfig::new("keep-this-one-out-of-version-control"))?;
    /// let open = CallFilter::new(["notes:find"])?;
    /// let app = App::new()
    ///     .before(ALL, auth.authenticate_except("jwt", open))
    ///     .register("authentication", auth)
    ///     .register("notes", MemoryService::new());
    ///
    /// let client = Params::default().with_provider("rest");
    /// assert_eq!(app.service("notes").find().params(client.clone()).await?, json!([]));
    /// assert_eq!(app.service("notes").create(json!({})).params(client).await.unwrap_err().code(), 401);
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Like [`Authentication::authenticate`].
    #[track_caller]
    pub fn authenticate_except(&self, strategies: impl Into<Strategies>, open: CallFilter) -> Authenticate {
        self.authenticate(strategies).unless(move |ctx| open.allows(&ctx.path, ctx.method.name()))
    }

    /// The names of all strategies, sorted.
    pub(super) fn strategy_names(&self) -> impl Iterator<Item = &str> {
        self.inner.strategies.keys().map(String::as_str)
    }

    /// Runs the strategy that `request` names, if it is one of `allowed`.
    pub(super) async fn run(&self, request: &Value, params: Params, allowed: &[String]) -> Result<Map<String, Value>> {
        let refused = |why: &str| Err(Error::not_authenticated(format!("Invalid authentication information{why}")));
        let name = match request.get("strategy") {
            None | Some(Value::Null) => return refused(" (no `strategy` set)"),
            Some(Value::String(name)) if name.is_empty() => return refused(" (no `strategy` set)"),
            Some(name) => name.as_str().filter(|name| allowed.iter().any(|allowed| allowed == name)),
        };
        let Some(name) = name else { return refused(" (strategy not allowed in authStrategies)") };
        let Some(strategy) = self.inner.strategies.get(name) else { return refused("") };
        let params = Params { authenticated: true, ..params };
        let Value::Object(mut proven) = strategy.run(self, request, &params).await? else {
            return Err(Error::general(format!("The strategy `{name}` returned something else than an object")));
        };
        let authentication = proven.entry("authentication").or_insert_with(|| json!({}));
        if authentication.is_object() && authentication.get("strategy").is_none() {
            authentication["strategy"] = name.into();
        }
        Ok(proven)
    }

    /// Runs the strategy for a client that logs in or out.
    async fn log_in(&self, request: &Value, params: &Params) -> Result<Map<String, Value>> {
        let allowed = &self.config().auth_strategies;
        if allowed.is_empty() {
            return Err(Error::not_authenticated(
                "No authentication strategies allowed for creating a JWT (`authStrategies`)",
            ));
        }
        self.run(request, params.clone(), allowed).await
    }

    /// A new token for `subject`, with `claims` beside those that every token has; and all that it says.
    ///
    /// # Errors
    /// `GeneralError` for a claim that is set for every token.
    pub fn sign(&self, claims: Claims, subject: Option<&str>) -> Result<(String, Claims)> {
        self.inner.tokens.load().sign(claims, subject, SystemTime::now())
    }

    /// What a token says, if it is genuine, for us, from us, and not over. Asks no service whether its user is still
    /// there. Of public keys it uses those that were read already: see [`Authentication::prepare_keys`].
    ///
    /// # Errors
    /// `NotAuthenticated` with the messages of Feathers, e.g. `jwt expired`, and the name of the error as `data`.
    pub fn verify_token(&self, token: &str) -> Result<Claims> {
        self.inner.tokens.load().verify(token, self.inner.keys.as_deref(), SystemTime::now())
    }

    /// Reads the public keys that `jwks_url` or `keys_file` name, if this token needs one that is not known or they are old. The
    /// strategy `jwt` does so by itself; call it before [`Authentication::verify_token`].
    ///
    /// # Errors
    /// `NotAuthenticated` for what is no token; `Unavailable` if the keys can not be read, so that the token can not be
    /// judged.
    pub async fn prepare_keys(&self, token: &str) -> Result<()> {
        match &self.inner.keys {
            Some(keys) => keys.prepare(&token::header(token)?).await,
            None => Ok(()),
        }
    }

    /// Logs a connection in by the token it came with: verifies it and reads its user through `caller`. `params` are
    /// those of the connection: its provider and headers.
    ///
    /// # Errors
    /// Those of the `jwt` strategy.
    pub async fn verify(&self, token: &str, mut params: Params, caller: Arc<dyn Caller>) -> Result<Identity> {
        params.caller = Some(caller);
        let request = json!({ "strategy": "jwt", "accessToken": token });
        let result = Value::Object(self.log_in(&request, &params).await?);
        Identity::of_login(&result, &self.config().entity).ok_or_else(|| Error::not_authenticated("No access token"))
    }

    /// The token for what a strategy has proven.
    fn token_for(&self, proven: &Map<String, Value>, params: &Params) -> Result<(String, Claims)> {
        let AuthConfig { entity: name, entity_id, .. } = self.config();
        let claims = match params.extra.get("payload") {
            Some(Value::Object(claims)) => claims.clone(),
            _ => Map::new(),
        };
        let subject = match proven.get(name) {
            Some(entity) => match entity.get(entity_id).and_then(Id::from_json) {
                Some(id) => Some(id.to_string()),
                None => {
                    return Err(Error::not_authenticated(format!("Can not set subject from {name}.{entity_id}")));
                }
            },
            None => None,
        };
        self.sign(claims, subject.as_deref())
    }
}

impl Service for Authentication {
    const METHODS: &'static [Method] = &[Method::Create, Method::Remove];
    // Named here, they are not fired: no listener learns of logins.
    const EVENTS: &'static [&'static str] = STANDARD_EVENTS;
    // A login leaves nothing behind, so it may run again where a replica died.
    const IDEMPOTENT: &'static [Method] = &[Method::Create];

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        let mut proven = self.log_in(&data, &params).await?;
        if proven.get("accessToken").and_then(Value::as_str).is_some_and(|token| !token.is_empty()) {
            return Ok(Value::Object(proven));
        }
        let (token, claims) = self.token_for(&proven, &params)?;
        if let Some(authentication) = proven.get_mut("authentication").filter(|found| found.is_object()) {
            authentication["payload"] = Value::Object(claims);
        }
        let mut result = Map::new();
        result.insert("accessToken".into(), token.into());
        result.extend(proven);
        Ok(Value::Object(result))
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        let request = params.authentication.clone().unwrap_or_default();
        let token = request.get("accessToken").and_then(Value::as_str);
        if id.is_some_and(|id| Some(id.to_string().as_str()) != token) {
            return Err(Error::not_authenticated("Invalid access token"));
        }
        self.log_in(&request, &params).await.map(Value::Object)
    }

    async fn setup(&self, this: Handle) -> Result<()> {
        let config = self.config();
        if let Some(name) = config.auth_strategies.iter().find(|name| !self.inner.strategies.contains_key(*name)) {
            return Err(Error::general(format!(
                "`auth_strategies` of '{}' names `{name}`, which is no strategy: add it with `strategy`, or take it out",
                this.path()
            )));
        }
        Ok(())
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("config", &self.inner.config)
            .field("strategies", &self.inner.strategies.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
