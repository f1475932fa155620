//! In which order hooks run, and what a failure runs into.

use super::{Trace, fails};
use crate::{
    ALL, App, AroundHook, Context, Error, Id, MemoryService, Method, Next, Params, Registration, Result, Scope,
    Service, ServiceExt,
};
use futures_core::future::BoxFuture;
use serde_json::{Value, json};

/// Fails for the id `fail`.
struct Traced;

impl Service for Traced {
    const METHODS: &'static [Method] = &[Method::Get];

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        Trace::note(&params, "method");
        if id == Id::from("fail") { Err(Error::general("method failed")) } else { Ok(json!({ "id": id })) }
    }
}

struct Around(&'static str);

impl AroundHook for Around {
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        let name = self.0;
        Box::pin(async move {
            Trace::note(&ctx.params, name);
            let ctx = next.run(ctx).await?;
            Trace::note(&ctx.params, &format!("{name} out"));
            Ok(ctx)
        })
    }
}

fn note(name: &'static str) -> impl Fn(Context) -> std::future::Ready<Result<Context>> + Send + Sync + 'static {
    move |ctx| {
        Trace::note(&ctx.params, name);
        std::future::ready(Ok(ctx))
    }
}

/// One hook of each kind, for all methods and for `get`, on the app and on the service.
fn noisy() -> App {
    let service = Traced
        .around(ALL, Around("service around"))
        .around(Method::Get, Around("service around get"))
        .before(Method::Get, note("service before get"))
        .before(ALL, note("service before"))
        .after(Method::Get, note("service after get"))
        .after(ALL, note("service after"))
        .on_error(ALL, note("service error"))
        .on_error(Method::Get, note("service error get"));
    with_noisy_app(service)
}

fn with_noisy_app(service: impl Into<Registration>) -> App {
    App::new()
        .around(Method::Get, Around("app around get"))
        .around(ALL, Around("app around"))
        .before(ALL, note("app before"))
        .before(Method::Get, note("app before get"))
        .after(ALL, note("app after"))
        .after(Method::Get, note("app after get"))
        .on_error(Method::Get, note("app error get"))
        .on_error(ALL, note("app error"))
        .register("traced", service)
}

async fn run(app: &App, id: &str) -> (Result<Value>, Vec<String>) {
    let trace = Trace::default();
    let result = app.service("traced").get(id).params(trace.params()).await;
    (result, trace.take())
}

const WAY_IN: [&str; 4] = ["app around", "app around get", "app before", "app before get"];
const ERRORS: [&str; 4] = ["service error get", "service error", "app error get", "app error"];

#[tokio::test]
async fn hooks_run_in_the_order_of_feathers() {
    let (result, trace) = run(&noisy(), "1").await;
    assert_eq!(result.unwrap(), json!({ "id": "1" }));
    let expected = [
        "app around",
        "app around get",
        "app before",
        "app before get",
        "service around",
        "service around get",
        "service before",
        "service before get",
        "method",
        "service after",
        "service after get",
        "service around get out",
        "service around out",
        "app after",
        "app after get",
        "app around get out",
        "app around out",
    ];
    assert_eq!(trace, expected);
}

#[tokio::test]
async fn hooks_of_one_kind_run_in_the_order_of_registration() {
    let service = Traced
        .before(ALL, note("before 1"))
        .before(ALL, note("before 2"))
        .after(ALL, note("after 1"))
        .after(ALL, note("after 2"));
    let (_, trace) = run(&App::new().register("traced", service), "1").await;
    assert_eq!(trace, ["before 1", "before 2", "method", "after 1", "after 2"]);
}

#[tokio::test]
async fn a_failing_method_runs_error_hooks_from_the_inside_out_and_nothing_else() {
    let (result, trace) = run(&noisy(), "fail").await;
    fails(result, (500, "method failed"));
    let way_in =
        [&WAY_IN[..], &["service around", "service around get", "service before", "service before get", "method"]];
    assert_eq!(trace, [&way_in.concat()[..], &ERRORS].concat());
}

#[tokio::test]
async fn a_result_set_before_the_method_skips_only_the_method() {
    let early = |mut ctx: Context| async {
        ctx.result = Some(json!("early"));
        Ok(ctx)
    };
    let service = Traced.before(ALL, early).before(Method::Get, note("before get")).after(ALL, note("after"));
    let (result, trace) = run(&App::new().register("traced", service), "fail").await;
    assert_eq!(result.unwrap(), "early");
    assert_eq!(trace, ["before get", "after"]);
}

#[tokio::test]
async fn an_early_result_of_null_skips_the_method_too() {
    let early = |mut ctx: Context| async {
        ctx.result = Some(Value::Null);
        Ok(ctx)
    };
    let (result, trace) = run(&App::new().register("traced", Traced.before(ALL, early)), "1").await;
    assert_eq!((result.unwrap(), trace.len()), (Value::Null, 0));
}

fn refuse(message: &'static str) -> impl Fn(Context) -> std::future::Ready<Result<Context>> + Send + Sync + 'static {
    move |_| std::future::ready(Err(Error::forbidden(message)))
}

#[tokio::test]
async fn an_error_in_before_all_skips_the_error_hooks_of_the_method() {
    let service = Traced
        .before(ALL, refuse("stopped"))
        .on_error(ALL, note("service error"))
        .on_error(Method::Get, note("service error get"));
    let (result, trace) = run(&with_noisy_app(service), "1").await;
    fails(result, (403, "stopped"));
    assert_eq!(trace, [&WAY_IN[..], &["service error", "app error get", "app error"]].concat());
}

#[tokio::test]
async fn an_error_in_a_before_hook_of_the_method_reaches_all_error_hooks() {
    let service = Traced
        .before(Method::Get, refuse("stopped"))
        .on_error(ALL, note("service error"))
        .on_error(Method::Get, note("service error get"));
    let (result, trace) = run(&with_noisy_app(service), "1").await;
    fails(result, (403, "stopped"));
    assert_eq!(trace, [&WAY_IN[..], &ERRORS].concat());
}

#[tokio::test]
async fn an_error_in_an_after_hook_reaches_the_error_hooks_of_its_level() {
    let service = Traced.after(ALL, refuse("too late")).on_error(ALL, note("service error"));
    let (result, trace) = run(&App::new().register("traced", service), "1").await;
    fails(result, (403, "too late"));
    assert_eq!(trace, ["method", "service error"]);
}

#[tokio::test]
async fn a_level_s_error_hooks_do_not_cover_its_own_around_hooks() {
    let around = async |_: Context, _: Next| -> Result<Context> { Err(Error::forbidden("around")) };
    let service = Traced.around(ALL, around).on_error(ALL, note("service error"));
    let (result, trace) = run(&App::new().on_error(ALL, note("app error")).register("traced", service), "1").await;
    fails(result, (403, "around"));
    assert_eq!(trace, ["app error"]);
}

#[tokio::test]
async fn an_error_hook_recovers_by_setting_a_result_and_outer_after_hooks_run() {
    let recover = |mut ctx: Context| async {
        assert!(ctx.result.is_none());
        ctx.result = Some(json!("recovered"));
        Ok(ctx)
    };
    let (result, trace) = run(&with_noisy_app(Traced.on_error(ALL, recover)), "fail").await;
    assert_eq!(result.unwrap(), "recovered");
    let way_out = ["method", "app after", "app after get", "app around get out", "app around out"];
    assert_eq!(trace, [&WAY_IN[..], &way_out].concat());
}

#[tokio::test]
async fn an_error_hook_replaces_the_error_by_setting_or_by_returning_another() {
    let set = |mut ctx: Context| async {
        ctx.error = ctx.error.take().map(|error| Error::conflict(format!("set over {}", error.message())));
        Ok(ctx)
    };
    let throw = |ctx: Context| async move {
        let error = ctx.error.as_ref().map(Error::message).unwrap_or_default();
        Err(Error::gone(format!("thrown over {error}")))
    };
    let app = App::new().on_error(ALL, throw).register("traced", Traced.on_error(ALL, set));
    fails(run(&app, "fail").await.0, (410, "thrown over set over method failed"));
}

#[tokio::test]
async fn the_result_of_a_method_is_gone_when_an_after_hook_fails() {
    let check = |ctx: Context| async {
        Trace::note(&ctx.params, if ctx.result.is_none() { "no result" } else { "a result" });
        Ok(ctx)
    };
    let service = Traced.after(ALL, refuse("no")).on_error(ALL, check);
    assert_eq!(run(&App::new().register("traced", service), "1").await.1, ["method", "no result"]);
}

#[tokio::test]
async fn an_error_hook_that_takes_the_error_away_without_a_result_is_an_error() {
    let service = Traced.on_error(ALL, async |mut ctx: Context| {
        ctx.error = None;
        Ok(ctx)
    });
    let error = run(&App::new().register("traced", service), "fail").await.0.unwrap_err();
    assert!(error.message().contains("without setting a result"), "{error}");
}

#[tokio::test]
async fn an_error_hook_sees_what_a_failing_hook_wrote_before_it_failed() {
    let fail = |mut ctx: Context| async move {
        ctx.id = Some(Id::from("changed"));
        ctx.params.extra.insert("seen".into(), true.into());
        ctx.data = json!({ "by": "the failing hook" });
        Err(Error::forbidden("no"))
    };
    let check = |mut ctx: Context| async {
        ctx.result = Some(json!({ "id": ctx.id, "extra": ctx.params.extra, "data": ctx.data }));
        Ok(ctx)
    };
    for (inner, outer) in [(true, false), (false, true)] {
        let mut service: Registration = Traced.before(Method::Get, fail);
        let mut app = App::new();
        if inner {
            service = service.on_error(Method::Get, check);
        }
        if outer {
            app = app.on_error(ALL, check);
        }
        let result = run(&app.register("traced", service), "1").await.0.unwrap();
        assert_eq!(result, json!({ "id": "changed", "extra": { "seen": true }, "data": { "by": "the failing hook" } }));
    }
}

#[tokio::test]
async fn an_outer_error_hook_sees_what_a_failing_error_hook_wrote() {
    let inner = |mut ctx: Context| async move {
        ctx.data = json!("inner");
        Err(Error::conflict("second"))
    };
    let outer = |mut ctx: Context| async {
        ctx.result = Some(json!([ctx.data, ctx.error.as_ref().map(Error::message)]));
        Ok(ctx)
    };
    let app = App::new().on_error(ALL, outer).register("traced", Traced.on_error(ALL, inner));
    assert_eq!(run(&app, "fail").await.0.unwrap(), json!(["inner", "second"]));
}

#[tokio::test]
async fn hooks_for_other_methods_do_not_run() {
    let service = Traced
        .before(Method::Find, note("find"))
        .before([Method::Create, Method::Get], note("create and get"))
        .before("shout", note("shout"));
    assert_eq!(run(&App::new().register("traced", service), "1").await.1, ["create and get", "method"]);
}

#[tokio::test]
async fn app_hooks_added_after_a_registration_apply_to_it() {
    let app = App::new().register("traced", Traced);
    let handle = app.service("traced");
    let app = app.before(ALL, note("late before")).after(Method::Get, note("late after"));
    let trace = Trace::default();
    handle.get("1").params(trace.params()).await.unwrap();
    assert_eq!(trace.take(), ["late before", "method", "late after"]);
    assert_eq!(app.paths(), ["traced"]);
}

#[tokio::test]
async fn what_hooks_change_reaches_the_method_and_the_caller() {
    let service = MemoryService::new()
        .before(Method::Create, async |mut ctx: Context| {
            ctx.data["by"] = "hook".into();
            ctx.params.query.insert("$select".into(), json!(["by"]));
            Ok(ctx)
        })
        .after(Method::Create, async |mut ctx: Context| {
            ctx.dispatch = Some(json!({ "public": true }));
            Ok(ctx)
        });
    let app = App::new().register("todos", service);
    let answer = app.service("todos").create(json!({ "text": "a" })).answer().await.unwrap();
    assert_eq!(answer.result, json!({ "by": "hook", "id": 0 }));
    assert_eq!(answer.external(), json!({ "public": true }));
}

#[tokio::test]
async fn a_dispatch_set_before_the_method_outlives_it() {
    let app = App::new().register(
        "traced",
        MemoryService::new().records([json!({})]).before(Scope::All, async |mut ctx: Context| {
            ctx.dispatch = Some(json!("view"));
            Ok(ctx)
        }),
    );
    assert_eq!(app.service("traced").get(0).answer().await.unwrap().external(), "view");
}

#[tokio::test]
async fn http_metadata_exists_for_rest_calls_only_and_comes_back() {
    let service = Traced.after(ALL, async |mut ctx: Context| {
        if let Some(http) = &mut ctx.http {
            http.status = Some(202);
        }
        Trace::note(&ctx.params, if ctx.http.is_some() { "http" } else { "no http" });
        Ok(ctx)
    });
    let app = App::new().register("traced", service);
    let trace = Trace::default();
    let rest = Params { provider: Some("rest".into()), ..trace.params() };
    assert_eq!(app.service("traced").get("1").params(rest).answer().await.unwrap().http.status, Some(202));
    assert!(app.service("traced").get("1").params(trace.params()).answer().await.unwrap().http.is_empty());
    assert_eq!(trace.take(), ["method", "http", "method", "no http"]);
}

#[tokio::test]
async fn a_hook_calls_other_services() {
    let app = App::new().register("users", MemoryService::new().records([json!({ "name": "Ada" })])).register(
        "notes",
        MemoryService::new().before(Method::Create, async |mut ctx: Context| {
            let user = ctx.service("users").get(0).await?;
            ctx.data["author"] = user["name"].clone();
            Ok(ctx)
        }),
    );
    let note = app.service("notes").create(json!({})).await.unwrap();
    assert_eq!(note, json!({ "author": "Ada", "id": 0 }));
}
