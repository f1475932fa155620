//! Which hooks there are, and in what order they run.

pub(crate) mod context;
#[doc(hidden)]
pub mod guarded;
pub(crate) mod hidden;
pub(crate) mod hook;
pub(crate) mod resolver;

use crate::{
    AroundHook, Context, Error, Hook, Method, Next, Result, Scope,
    hooks::{hidden::Hidden, hook::Chain},
    service::Dispatch,
};
use futures_core::future::BoxFuture;
use std::sync::Arc;

/// The hooks of one level: an app, a service, or the remote services of a node.
#[derive(Clone, Default)]
pub struct Hooks {
    around: Vec<(Scope, Arc<dyn AroundHook>)>,
    before: Vec<(Scope, Arc<dyn Hook>)>,
    after: Vec<(Scope, Arc<dyn Hook>)>,
    error: Vec<(Scope, Arc<dyn Hook>)>,
    /// The fields that clients may not name in queries, whatever the method.
    hidden: Vec<String>,
    /// What checks data and queries by their schemas.
    check: Option<Arc<dyn Hook>>,
}

/// The hooks that run until the caller is known.
pub(super) struct Guard {
    pub(super) hooks: Vec<Arc<dyn AroundHook>>,
    /// Nothing else is among them, and nothing is around them.
    pub(super) is_first: bool,
}

/// How far a [`Guard`] goes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reach {
    /// To the last hook that identifies callers.
    LastIdentifying,
    /// To the method, in front of which there are more.
    All,
}

/// The hooks of `levels`, outermost first, that say whether a caller of `method` is known; `None` if there are none.
///
/// Of hooks around, which see what a method returned, only those that identify callers are among them.
pub(super) fn guard(levels: &[&Hooks], method: &Method, reach: Reach) -> Option<Guard> {
    let mut all = Vec::new();
    for level in levels {
        level.append_guards(method, &mut all);
    }
    let last = all.iter().rposition(|(_, role)| *role == Role::Identifies);
    let end = match reach {
        Reach::LastIdentifying => last? + 1,
        Reach::All if all.is_empty() => return None,
        Reach::All => all.len(),
    };
    all.truncate(end);
    let is_first = all.iter().all(|(_, role)| matches!(role, Role::Identifies | Role::Catches));
    let hooks = all.into_iter().filter(|(_, role)| *role != Role::Around).map(|(hook, _)| hook).collect();
    Some(Guard { hooks, is_first })
}

/// What a hook does, as far as the guard of a service is concerned.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Identifies,
    /// It runs only when one inside of it has failed.
    Catches,
    Around,
    Before,
}

impl Hooks {
    /// Adds a hook around the methods of `scope`, and keeps the fields that it hides out of the queries of clients.
    pub fn around(&mut self, scope: Scope, hook: impl AroundHook) {
        self.hidden.extend_from_slice(hook.hidden_fields());
        self.around.push((scope, Arc::new(hook)));
    }

    /// Adds a hook before the methods of `scope`.
    pub fn before(&mut self, scope: Scope, hook: impl Hook) {
        self.before.push((scope, Arc::new(hook)));
    }

    /// Adds a hook after the methods of `scope`, and keeps the fields that it hides out of the queries of clients.
    pub fn after(&mut self, scope: Scope, hook: impl Hook) {
        self.hidden.extend_from_slice(hook.hidden_fields());
        self.after.push((scope, Arc::new(hook)));
    }

    /// Adds a hook for failures of the methods of `scope`.
    pub fn on_error(&mut self, scope: Scope, hook: impl Hook) {
        self.error.push((scope, Arc::new(hook)));
    }

    /// Keeps `fields` out of the queries of clients.
    pub fn hide(&mut self, fields: impl IntoIterator<Item = impl Into<String>>) {
        self.hidden.extend(fields.into_iter().map(Into::into));
    }

    /// Sets what checks data and queries by their schemas.
    #[cfg(feature = "schema")]
    pub(super) fn check_by(&mut self, check: Arc<dyn Hook>) {
        self.check = Some(check);
    }

    /// Returns `true` if data and queries are checked by their schemas.
    #[cfg(feature = "schema")]
    pub(super) fn has_check(&self) -> bool {
        self.check.is_some()
    }

    /// Appends this level's hooks for `method`, outermost first. With `guard`, queries with hidden fields are refused; that
    /// and the check by schemas come in front of all `before` hooks but those that identify callers.
    ///
    /// Feathers' order: around, before and after run all-then-method; the errors of a level cover everything inside
    /// it but its own around hooks, and those of a method do not cover the `before` hooks for all methods.
    fn append(&self, method: &Method, guard: bool, chain: &mut Vec<Arc<dyn AroundHook>>) {
        let (error_all, error_method) = split(&self.error, method);
        let (before_all, before_method) = split(&self.before, method);
        let (around_all, around_method) = split(&self.around, method);
        let (after_all, after_method) = split(&self.after, method);

        let last =
            |hooks: &[Arc<dyn Hook>]| hooks.iter().rposition(|hook| hook.identifies_caller()).map(|place| place + 1);
        let refuse: Option<Arc<dyn Hook>> = if guard { Some(Arc::new(refuse)) } else { None };
        let guards: Vec<Arc<dyn Hook>> = refuse.into_iter().chain(self.check.clone()).collect();
        let (before_all, before_method) = match last(&before_method) {
            Some(place) => (before_all, with_guards(before_method, place, guards)),
            None => {
                let place = last(&before_all).unwrap_or(0);
                (with_guards(before_all, place, guards), before_method)
            }
        };

        chain.extend(around_all);
        chain.extend(around_method);
        chain.extend(catch(error_all));
        chain.extend(before_all.into_iter().map(before));
        chain.extend(catch(error_method));
        chain.extend(before_method.into_iter().map(before));
        // The innermost wrapper acts first on the way out, so these go in backwards.
        chain.extend(after_method.into_iter().rev().map(after));
        chain.extend(after_all.into_iter().rev().map(after));
    }

    /// Appends what runs before `method` in the same order, with what each is for.
    fn append_guards(&self, method: &Method, all: &mut Vec<(Arc<dyn AroundHook>, Role)>) {
        let (error_all, error_method) = split(&self.error, method);
        let (before_all, before_method) = split(&self.before, method);
        let (around_all, around_method) = split(&self.around, method);
        let around = |hook: Arc<dyn AroundHook>| {
            let role = if hook.identifies_caller() { Role::Identifies } else { Role::Around };
            (hook, role)
        };
        let step = |hook: Arc<dyn Hook>| {
            let role = if hook.identifies_caller() { Role::Identifies } else { Role::Before };
            (before(hook), role)
        };
        let catches = |hooks| catch(hooks).map(|hook| (hook, Role::Catches));

        all.extend(around_all.into_iter().map(around));
        all.extend(around_method.into_iter().map(around));
        all.extend(catches(error_all));
        all.extend(before_all.into_iter().map(step));
        all.extend(catches(error_method));
        all.extend(before_method.into_iter().map(step));
    }
}

/// Those for every method, and those for this one.
fn split<T: Clone>(hooks: &[(Scope, T)], method: &Method) -> (Vec<T>, Vec<T>) {
    let pick = |wanted: fn(&Scope, &Method) -> bool| {
        hooks.iter().filter(|(scope, _)| wanted(scope, method)).map(|(_, hook)| hook.clone()).collect()
    };
    let all = pick(|scope, _| *scope == Scope::All);
    let only = pick(|scope, method| matches!(scope, Scope::Only(methods) if methods.contains(method)));
    (all, only)
}

/// Returns the hooks with `guards` among them, at `place`.
fn with_guards(mut hooks: Vec<Arc<dyn Hook>>, place: usize, guards: Vec<Arc<dyn Hook>>) -> Vec<Arc<dyn Hook>> {
    hooks.splice(place..place, guards);
    hooks
}

/// Fails if the query was found to be one that this caller may not make.
async fn refuse(mut ctx: Context) -> Result<Context> {
    match ctx.take_refusal() {
        Some(error) => Err(error),
        None => Ok(ctx),
    }
}

fn before(hook: Arc<dyn Hook>) -> Arc<dyn AroundHook> {
    Arc::new(Before(hook))
}

fn after(hook: Arc<dyn Hook>) -> Arc<dyn AroundHook> {
    Arc::new(After(hook))
}

/// One wrapper for all the error hooks of a scope, or none where there are none.
fn catch(hooks: Vec<Arc<dyn Hook>>) -> Option<Arc<dyn AroundHook>> {
    if hooks.is_empty() { None } else { Some(Arc::new(OnError(hooks))) }
}

struct Before(Arc<dyn Hook>);

impl AroundHook for Before {
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move { next.run(self.0.run(ctx).await?).await })
    }
}

struct After(Arc<dyn Hook>);

impl AroundHook for After {
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move { self.0.run(next.run(ctx).await?).await })
    }
}

struct OnError(Vec<Arc<dyn Hook>>);

impl AroundHook for OnError {
    fn run_around(&self, mut ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move {
            let slot = Arc::default();
            let outer = ctx.swap_rescue(Some(Arc::clone(&slot)));
            let error = match next.run(ctx).await {
                Ok(mut ctx) => {
                    ctx.swap_rescue(outer);
                    return Ok(ctx);
                }
                Err(error) => error,
            };
            match Context::rescued(&slot, outer) {
                Some(ctx) => self.recover(ctx, error).await,
                // A hook kept its context alive somewhere, so there is none to show.
                None => Err(error),
            }
        })
    }
}

impl OnError {
    async fn recover(&self, mut ctx: Context, error: Error) -> Result<Context> {
        ctx.result = None;
        ctx.error = Some(error);
        for hook in &self.0 {
            ctx = hook.run(ctx).await?;
        }
        if ctx.result.is_some() {
            ctx.error = None;
            return Ok(ctx);
        }
        Err(ctx
            .error
            .take()
            .unwrap_or_else(|| Error::general("An error hook removed the error without setting a result")))
    }
}

/// What runs for `method` of `service`: the hooks of `levels`, outermost first, built once per registration.
pub fn chain(levels: &[&Hooks], method: &Method, service: Arc<dyn Dispatch>) -> Chain {
    let mut hooks: Vec<Arc<dyn AroundHook>> = Vec::new();
    let guarded = levels.iter().rposition(|level| !level.hidden.is_empty());
    for (number, level) in levels.iter().enumerate() {
        level.append(method, guarded == Some(number), &mut hooks);
    }
    let hidden = Hidden::new(levels.iter().flat_map(|level| &level.hidden));
    Chain::new(hooks, hidden, service)
}
