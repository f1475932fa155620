//! The hook that identifies callers.

use super::{Authentication, Strategies};
use rachis_core::{AroundHook, BoxFuture, Context, Error, Hook, Next, Params, Result, host::path};
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

/// Decides whether a call passes unseen.
type IsOpen = Arc<dyn Fn(&Context) -> bool + Send + Sync>;

/// The hook that [`Authentication::authenticate`] makes. Cheap to clone.
#[derive(Clone)]
pub struct Authenticate {
    auth: Authentication,
    strategies: Arc<[String]>,
    open: Option<IsOpen>,
}

impl Authenticate {
    #[track_caller]
    pub(super) fn new(auth: Authentication, Strategies(names): Strategies) -> Self {
        assert!(!names.is_empty(), "The authenticate hook needs at least one allowed strategy");
        let known: Vec<&str> = auth.strategy_names().collect();
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            panic!("The authenticate hook knows no strategy `{name}`, only {}: add it first", known.join(", "));
        }
        Authenticate { auth, strategies: names.into(), open: None }
    }

    /// Lets calls pass that are `open`, and those of the authentication service itself.
    #[doc(hidden)]
    pub fn unless(mut self, open: impl Fn(&Context) -> bool + Send + Sync + 'static) -> Self {
        let own = path::strip(&self.auth.config().path).to_owned();
        self.open = Some(Arc::new(move |ctx| ctx.path == own || open(ctx)));
        self
    }

    async fn check(&self, mut ctx: Context) -> Result<Context> {
        if self.open.as_ref().is_some_and(|is_open| is_open(&ctx)) {
            return Ok(ctx);
        }
        if ctx.path == path::strip(&self.auth.config().path) {
            return Err(Error::not_authenticated(
                "The authenticate hook does not need to be used on the authentication service",
            ));
        }
        if ctx.params.authenticated {
            return Ok(ctx);
        }
        match ctx.params.authentication.clone().filter(|sent| !sent.is_null()) {
            Some(sent) => {
                // Without a provider, so the user is read once and as code sees it.
                let params = Params { provider: None, authentication: None, ..ctx.params.clone() };
                let proven = self.auth.run(&sent, params, &self.strategies).await?;
                merge(&mut ctx.params, proven, &self.auth.config().entity);
                Ok(ctx)
            }
            None if ctx.params.is_internal() => Ok(ctx),
            None => Err(Error::not_authenticated("Not authenticated")),
        }
    }
}

impl Hook for Authenticate {
    fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>> {
        Box::pin(self.check(ctx))
    }

    fn identifies_caller(&self) -> bool {
        true
    }
}

impl AroundHook for Authenticate {
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move { next.run(self.check(ctx).await?).await })
    }

    fn identifies_caller(&self) -> bool {
        true
    }
}

impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").field("strategies", &self.strategies).finish_non_exhaustive()
    }
}

/// Puts what a strategy found into the params of the call: the user, the authentication, and all else but the token into
/// `extra`.
fn merge(params: &mut Params, mut proven: Map<String, Value>, entity: &str) {
    proven.shift_remove("accessToken");
    if let Some(user) = proven.shift_remove(entity) {
        params.user = Some(user);
    }
    if let Some(authentication) = proven.shift_remove("authentication") {
        params.authentication = Some(authentication);
    }
    params.extra.extend(proven);
    params.authenticated = true;
}
