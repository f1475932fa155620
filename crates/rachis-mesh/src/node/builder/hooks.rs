//! Hooks around calls of remote services.

use super::NodeBuilder;
use rachis_core::{AroundHook, Context, Hook, Next, Result, Scope};

impl NodeBuilder {
    /// Runs `hook` around the methods of `scope` of every remote service, inside the app's own hooks.
    pub fn remote_around(mut self, scope: impl Into<Scope>, hook: impl AroundHook) -> Self {
        self.plan.wrapping.hooks.around(scope.into(), hook);
        self
    }

    /// Runs `hook` around the methods of `scope` of every remote service, with a clone of `state` each time.
    ///
    /// ```no_run
    /// use rachis::{ALL, Config, Node};
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    ///
    /// # async fn start() -> rachis::Result<()> {
    /// let away = Arc::new(AtomicUsize::new(0)); // calls that other nodes work on
    /// let node = Node::builder(Config::load()?)
    ///     .remote_around_with(ALL, away.clone(), async |away, ctx, next| {
    ///         away.fetch_add(1, Ordering::Relaxed);
    ///         let outcome = next.run(ctx).await;
    ///         away.fetch_sub(1, Ordering::Relaxed);
    ///         outcome
    ///     })
    ///     .start()
    ///     .await?;
    /// # drop(node);
    /// # Ok(()) }
    /// ```
    pub fn remote_around_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.remote_around(scope, move |ctx: Context, next: Next| hook(state.clone(), ctx, next))
    }

    /// Runs `hook` before a remote service is called.
    pub fn remote_before(mut self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.plan.wrapping.hooks.before(scope.into(), hook);
        self
    }

    /// Runs `hook` before a remote service is called, with a clone of `state` each time; see
    /// [`remote_around_with`](NodeBuilder::remote_around_with).
    pub fn remote_before_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.remote_before(scope, move |ctx: Context| hook(state.clone(), ctx))
    }

    /// Runs `hook` after a remote service has answered.
    pub fn remote_after(mut self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.plan.wrapping.hooks.after(scope.into(), hook);
        self
    }

    /// Runs `hook` after a remote service has answered, with a clone of `state` each time; see
    /// [`remote_around_with`](NodeBuilder::remote_around_with).
    pub fn remote_after_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.remote_after(scope, move |ctx: Context| hook(state.clone(), ctx))
    }

    /// Runs `hook` when a remote service failed.
    pub fn remote_on_error(mut self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.plan.wrapping.hooks.on_error(scope.into(), hook);
        self
    }

    /// Runs `hook` when a remote service failed, with a clone of `state` each time; see
    /// [`remote_around_with`](NodeBuilder::remote_around_with).
    pub fn remote_on_error_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.remote_on_error(scope, move |ctx: Context| hook(state.clone(), ctx))
    }
}
