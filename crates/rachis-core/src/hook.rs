//! Hooks: code around a call. One mechanism (around, by value); before, after and error are sugar over it.

use super::{Answer, Call, Context, Method, Parts, hidden::Hidden, service::Dispatch};
use crate::Result;
use futures_core::future::BoxFuture;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

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
pub trait Hook: Send + Sync + 'static {
    /// Runs the hook; `next.run(ctx)` runs the rest.
    fn run(&self, ctx: Context, next: Next) -> BoxFuture<'static, Result<Context>>;

    /// Returns `true` if the hook finds out who calls and refuses whom it does not know, before it does anything else.
    ///
    /// Where all methods of a service have such a hook, it is asked before a gateway tells what the service offers; of other
    /// hooks nothing runs then but the `before` hooks in front of it. Default `false`.
    fn identifies(&self) -> bool {
        false
    }
}

impl<F, Fut> Hook for F
where
    F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Context>> + Send + 'static,
{
    fn run(&self, ctx: Context, next: Next) -> BoxFuture<'static, Result<Context>> {
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
            Some(hook) => hook.run(ctx, Next { at: self.at + 1, chain: self.chain }).await,
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

/// The future of a `before` hook that finds out who calls, such as `authenticate`.
///
/// Its type tells that clients who are refused by the hook need not hear what else is wrong with their call.
pub struct Identifying(BoxFuture<'static, Result<Context>>);

impl Identifying {
    /// The outcome of such a hook.
    pub fn new(outcome: impl Future<Output = Result<Context>> + Send + 'static) -> Self {
        Identifying(Box::pin(outcome))
    }
}

impl Future for Identifying {
    type Output = Result<Context>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(task)
    }
}

/// What runs for one method of one registration.
#[derive(Clone)]
pub struct Chain {
    hooks: Arc<[Arc<dyn Hook>]>,
    // Looked for in the query as it came: conditions that hooks add are code's.
    hidden: Option<Arc<Hidden>>,
    service: Arc<dyn Dispatch>,
}

impl Chain {
    /// `hooks` around `service`, the first one outermost.
    pub(super) fn new(hooks: Vec<Arc<dyn Hook>>, hidden: Hidden, service: Arc<dyn Dispatch>) -> Self {
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
