//! A service that says in which order hooks ran, of the app and of its own.

use rachis::{ALL, App, Context, Error, Id, Method, Next, Params, Registration, Result, Service, ServiceExt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const PATH: &str = "hooks-order";

/// Adds the service, and the hooks that the app has for it.
pub(crate) fn add(app: App) -> App {
    app.around(ALL, noting_around("app around"))
        .around(Method::Get, noting_around("app around get"))
        .before(ALL, noting("app before"))
        .before(Method::Get, noting("app before get"))
        .after(ALL, noting("app after"))
        .after(Method::Get, noting("app after get"))
        .on_error(ALL, noting("app error"))
        .on_error(Method::Get, noting("app error get"))
        .register(PATH, hooks_order())
}

fn hooks_order() -> Registration {
    HooksOrder
        .around(ALL, noting_around("service around"))
        .around(Method::Get, noting_around("service around get"))
        .before(ALL, noting("service before"))
        .before(Method::Get, noting("service before get"))
        .before(Method::Get, stop_or_answer_early)
        .before(Method::Get, fail_to_be_recovered)
        .after(ALL, noting("service after"))
        .after(Method::Get, noting("service after get"))
        .after(Method::Get, fail_late)
        .on_error(ALL, noting("service error"))
        .on_error(ALL, recover_or_explain)
        .on_error(Method::Get, noting("service error get"))
}

struct HooksOrder;

impl Service for HooksOrder {
    const METHODS: &'static [Method] = &[Method::Get];

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        let trace = Trace::of(&params);
        trace.push("method");
        if id == Id::from("fail") {
            return Err(Error::other("method failed"));
        }
        Ok(json!({ "id": id, "trace": trace.steps() }))
    }
}

/// The steps of one call so far. All hooks and the method share it, so it goes by `extensions`: those are handed on as
/// they are, while the rest of params is copied for the method.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn of(params: &Params) -> Trace {
        params.extensions.get().cloned().unwrap_or_default()
    }

    fn push(&self, step: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step.to_owned());
    }

    fn steps(&self) -> Value {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

/// Adds a step, and shows it in what the caller will get: the result, or the error once it has a trace.
fn note(ctx: &mut Context, step: &str) {
    if ctx.path != PATH {
        return;
    }
    let trace = ctx.params.extensions.get_or_insert_default::<Trace>().clone();
    trace.push(step);
    if let Some(Value::Object(result)) = &mut ctx.result {
        result.insert("trace".into(), trace.steps());
    }
    if let Some(error) = ctx.error.take_if(|error| error.data().is_some()) {
        ctx.error = Some(error.with_data(json!({ "trace": trace.steps() })));
    }
}

fn noting(step: &'static str) -> impl Fn(Context) -> std::future::Ready<Result<Context>> + Send + Sync + 'static {
    move |mut ctx| {
        note(&mut ctx, step);
        std::future::ready(Ok(ctx))
    }
}

fn noting_around(step: &'static str) -> impl rachis::AroundHook {
    move |mut ctx: Context, next: Next| async move {
        note(&mut ctx, step);
        let mut ctx = next.run(ctx).await?;
        note(&mut ctx, &format!("{step} out"));
        Ok(ctx)
    }
}

fn is_for(ctx: &Context, id: &str) -> bool {
    ctx.id == Some(Id::from(id))
}

async fn stop_or_answer_early(mut ctx: Context) -> Result<Context> {
    if is_for(&ctx, "stop") {
        return Err(Error::forbidden("stopped before"));
    }
    if is_for(&ctx, "early") {
        ctx.result = Some(json!({ "id": "early", "trace": Trace::of(&ctx.params).steps() }));
    }
    Ok(ctx)
}

async fn fail_to_be_recovered(ctx: Context) -> Result<Context> {
    if is_for(&ctx, "recover") { Err(Error::other("to be recovered")) } else { Ok(ctx) }
}

async fn fail_late(ctx: Context) -> Result<Context> {
    if is_for(&ctx, "after-fail") { Err(Error::bad_request("failed after")) } else { Ok(ctx) }
}

async fn recover_or_explain(mut ctx: Context) -> Result<Context> {
    let trace = Trace::of(&ctx.params).steps();
    if is_for(&ctx, "recover") {
        ctx.result = Some(json!({ "id": "recover", "trace": trace }));
    } else if let Some(error) = ctx.error.take() {
        ctx.error = Some(error.with_data(json!({ "trace": trace })));
    }
    Ok(ctx)
}
