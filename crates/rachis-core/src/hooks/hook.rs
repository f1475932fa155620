//! Hooks: code around a call. What runs is a chain of [`AroundHook`]s; before, after and error hooks are wrapped as such.

use crate::{Answer, Call, Context, Method, Parts, Result, hooks::hidden::Hidden, service::Dispatch};
use futures_core::future::BoxFuture;
use std::{fmt, sync::Arc};

/// Code that runs before a call, after it, or when it failed.
///
/// Every `async fn(Context) -> Result<Context>` is one, and so is an async closure whose parameter has its type:
/// `async |ctx: Context| ..`. A hook with state is registered by `before_with` and its like, or is a type that implements
/// this trait, which can also say what registration should know of it.
///
/// ```
/// use rachis::{App, BoxFuture, Context, Error, Hook, MemoryService, Method, Params, Result, ServiceExt};
/// use serde_json::json;
///
/// /// Lets only requests pass that carry one of these keys.
/// struct Keys(Vec<String>);
///
/// impl Hook for Keys {
///     fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>> {
///         Box::pin(async move {
///             let key = ctx.params.headers.get("x-api-key");
///             let is_known = key.is_some_and(|key| self.0.contains(key));
///             if is_known { Ok(ctx) } else { Err(Error::not_authenticated("Unknown key")) }
///         })
///     }
///
///     // Asked before clients learn anything else about the service.
///     fn identifies_caller(&self) -> bool {
///         true
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let app = App::new().register("notes", MemoryService::new().before(Method::Find, Keys(vec!["k1".into()])));
/// let notes = app.service("notes");
/// let mut client = Params::default().with_provider("rest");
/// assert_eq!(notes.find().params(client.clone()).await.unwrap_err().code(), 401);
/// client.headers.insert("x-api-key".into(), "k1".into());
/// assert_eq!(notes.find().params(client).await?, json!([]));
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a hook",
    note = "a hook is an `async fn(Context) -> Result<Context>`, or a closure `async |ctx: Context| ..` that returns the \
            same and moves nothing into its future; hooks with state: `before_with`, `after_with`, `on_error_with`"
)]
pub trait Hook: Send + Sync + 'static {
    /// Runs the hook; the call goes on with the context that it returns.
    ///
    /// # Errors
    /// Whatever the hook refuses or fails with; the call ends with it, unless an error hook recovers.
    fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>>;

    /// Returns `true` if the hook identifies callers and refuses unknown ones. Default `false`.
    ///
    /// Where each method of a service has such a `before` hook, it runs before a gateway tells a client what the service
    /// offers; the other hooks that run then are the `before` hooks in front of it. Ignored for `after` and error hooks.
    fn identifies_caller(&self) -> bool {
        false
    }

    /// The fields of records that the hook hides from clients. Default none.
    ///
    /// With an `after` hook that has some, queries of clients that name one of them are refused with `BadRequest`. Ignored
    /// for other hooks.
    fn hidden_fields(&self) -> &[String] {
        &[]
    }
}

impl<F, Fut> Hook for F
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Context>> + Send + 'static,
{
    fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>> {
        Box::pin(self(ctx))
    }
}

/// Code around a call: do something, run the rest, do something else.
///
/// Every `async fn(Context, Next) -> Result<Context>` is one.
///
/// ```
/// use rachis::{ALL, App, Context, MemoryService, Next, Result};
///
/// async fn trace(ctx: Context, next: Next) -> Result<Context> {
///     let started = std::time::Instant::now();
///     let ctx = next.run(ctx).await?;
///     println!("{} {} took {:?}", ctx.path, ctx.method, started.elapsed());
///     Ok(ctx)
/// }
///
/// let app = App::new().around(ALL, trace).register("todos", MemoryService::new());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a hook to put around calls",
    note = "such a hook is an `async fn(Context, Next) -> Result<Context>`, or a closure \
            `async |ctx: Context, next: Next| ..` that returns the same; with state: `around_with`"
)]
pub trait AroundHook: Send + Sync + 'static {
    /// Runs the hook; `next.run(ctx)` runs the rest.
    ///
    /// # Errors
    /// Whatever the hook, or what it runs, fails with.
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>>;

    /// Returns `true` if the hook identifies callers and refuses unknown ones before it does anything else. Default `false`; see
    /// [`Hook::identifies_caller`].
    fn identifies_caller(&self) -> bool {
        false
    }

    /// The fields of records that the hook hides from clients, which their queries may not name. Default none; see
    /// [`Hook::hidden_fields`].
    fn hidden_fields(&self) -> &[String] {
        &[]
    }
}

impl<F, Fut> AroundHook for F
where
    F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Context>> + Send + 'static,
{
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(self(ctx, next))
    }
}

/// The rest of the hooks, and then the method.
pub struct Next {
    chain: Chain,
    at: usize,
}

impl Next {
    /// Runs the rest and returns the context as it left it, with `result` set.
    ///
    /// # Errors
    /// Whatever the method or a hook failed with.
    pub async fn run(self, mut ctx: Context) -> Result<Context> {
        match self.chain.hooks.get(self.at).cloned() {
            Some(hook) => hook.run_around(ctx, Next { at: self.at + 1, chain: self.chain }).await,
            None if ctx.result.is_some() => Ok(ctx),
            None => {
                let answer = self.chain.service.dispatch(Box::new(ctx.to_call())).await?;
                ctx.set_answer(answer);
                Ok(ctx)
            }
        }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next({} hooks left)", self.chain.hooks.len().saturating_sub(self.at))
    }
}

/// The methods a hook is for: [`ALL`], one, or several.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Every method, custom ones too.
    All,
    /// These only.
    Only(Vec<Method>),
}

/// Every method: `app.before(ALL, authenticate)`.
pub const ALL: Scope = Scope::All;

impl From<Method> for Scope {
    fn from(method: Method) -> Self {
        Scope::Only(vec![method])
    }
}

impl<const N: usize> From<[Method; N]> for Scope {
    fn from(methods: [Method; N]) -> Self {
        Scope::Only(methods.into())
    }
}

impl From<&str> for Scope {
    fn from(method: &str) -> Self {
        Scope::Only(vec![method.into()])
    }
}

/// What runs for one method of one registration.
#[derive(Clone)]
pub struct Chain {
    hooks: Arc<[Arc<dyn AroundHook>]>,
    // Looked for in the query as it came: conditions that hooks add are code's.
    hidden: Option<Arc<Hidden>>,
    service: Arc<dyn Dispatch>,
}

impl Chain {
    /// `hooks` around `service`, the first one outermost.
    pub(crate) fn new(hooks: Vec<Arc<dyn AroundHook>>, hidden: Hidden, service: Arc<dyn Dispatch>) -> Self {
        let hidden = (!hidden.is_empty()).then(|| Arc::new(hidden));
        Chain { hooks: hooks.into(), hidden, service }
    }

    /// Runs the call through the hooks.
    pub async fn run(&self, call: Box<Call>) -> Result<Finished> {
        let fires = self.service.fires_events() && call.method.event().is_some();
        if self.hooks.is_empty() && !fires {
            // No hook looks at the context, so none is made.
            return self.service.dispatch(call).await.map(Finished::Plain);
        }
        let hidden = self.hidden.as_ref().filter(|_| !call.params.is_internal());
        let refusal = hidden.and_then(|hidden| hidden.check(&call.params.query).err());
        let mut ctx = Context::new(*call);
        if let Some(error) = refusal {
            ctx.refuse(error);
        }
        if !fires {
            ctx.event = None;
        }
        Next { chain: self.clone(), at: 0 }.run(ctx).await.map(|ctx| Finished::Hooked(ctx.into_parts()))
    }
}

/// A call that went well, with the context it ended in where there was one.
pub enum Finished {
    /// No hook ran: the answer alone.
    Plain(Answer),
    /// What the hooks left.
    Hooked(Box<Parts>),
}

impl Finished {
    /// The answer without what belongs to the hooks.
    pub fn into_answer(self) -> Answer {
        match self {
            Finished::Plain(answer) => answer,
            Finished::Hooked(parts) => Answer {
                result: parts.result.unwrap_or_default(),
                dispatch: parts.dispatch,
                http: parts.http.unwrap_or_default(),
            },
        }
    }
}
