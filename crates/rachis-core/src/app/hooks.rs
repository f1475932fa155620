//! Hooks for every service of an app.

use crate::{App, AroundHook, Context, Hook, Next, Result, Scope};

impl App {
    /// Runs `hook` around the methods of `scope` of every service; see [`AroundHook`].
    pub fn around(self, scope: impl Into<Scope>, hook: impl AroundHook) -> Self {
        self.with_hooks(|hooks| hooks.around(scope.into(), hook))
    }

    /// Runs `hook` around the methods of `scope` of every service, with a clone of `state` each time.
    ///
    /// ```
    /// use rachis::{ALL, App, MemoryService};
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    ///
    /// let running = Arc::new(AtomicUsize::new(0));
    /// let app = App::new().register("notes", MemoryService::new()).around_with(ALL, running.clone(), async |running, ctx, next| {
    ///     running.fetch_add(1, Ordering::Relaxed);
    ///     let outcome = next.run(ctx).await;
    ///     running.fetch_sub(1, Ordering::Relaxed);
    ///     outcome
    /// });
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// app.service("notes").find().await?;
    /// assert_eq!(running.load(Ordering::Relaxed), 0);
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    pub fn around_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.around(scope, move |ctx: Context, next: Next| hook(state.clone(), ctx, next))
    }

    /// Runs `hook` before the methods of `scope` of every service; see [`Hook`].
    pub fn before(self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.with_hooks(|hooks| hooks.before(scope.into(), hook))
    }

    /// Runs `hook` before the methods of `scope` of every service, with a clone of `state` each time; see
    /// [`Registration::before_with`](crate::Registration::before_with).
    pub fn before_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.before(scope, move |ctx: Context| hook(state.clone(), ctx))
    }

    /// Runs `hook` after the methods of `scope` of every service; see [`Hook`].
    pub fn after(self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.with_hooks(|hooks| hooks.after(scope.into(), hook))
    }

    /// Runs `hook` after the methods of `scope` of every service, with a clone of `state` each time; see
    /// [`Registration::before_with`](crate::Registration::before_with).
    pub fn after_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.after(scope, move |ctx: Context| hook(state.clone(), ctx))
    }

    /// Runs `hook` when a method of `scope` of any service failed; see [`Hook`].
    pub fn on_error(self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.with_hooks(|hooks| hooks.on_error(scope.into(), hook))
    }

    /// Runs `hook` when a method of `scope` of any service failed, with a clone of `state` each time; see
    /// [`Registration::before_with`](crate::Registration::before_with).
    pub fn on_error_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Self
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(T, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Context>> + Send + 'static,
    {
        self.on_error(scope, move |ctx: Context| hook(state.clone(), ctx))
    }
}
