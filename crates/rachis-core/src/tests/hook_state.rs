//! Hooks with state, and hooks that say what they are.

use crate::{ALL, App, BoxFuture, Context, Error, Hook, MemoryService, Method, Params, Registration, ServiceExt};
use std::sync::{Arc, Mutex};

type Log = Arc<Mutex<Vec<&'static str>>>;

fn note(log: &Log, step: &'static str) {
    log.lock().unwrap().push(step);
}

fn noting(log: &Log) -> Registration {
    MemoryService::new()
        .around_with(ALL, log.clone(), async |log, ctx, next| {
            note(&log, "around");
            next.run(ctx).await
        })
        .before_with(ALL, log.clone(), async |log, ctx| {
            note(&log, "before");
            Ok(ctx)
        })
        .after_with(ALL, log.clone(), async |log, ctx| {
            note(&log, "after");
            Ok(ctx)
        })
        .on_error_with(ALL, log.clone(), async |log, ctx| {
            note(&log, "error");
            Ok(ctx)
        })
}

#[tokio::test]
async fn hooks_of_a_service_share_the_state_that_they_are_registered_with() {
    let log = Log::default();
    let notes = App::new().register("notes", noting(&log)).service("notes");
    notes.find().await.unwrap();
    notes.get(7).await.unwrap_err();
    assert_eq!(*log.lock().unwrap(), ["around", "before", "after", "around", "before", "error"]);
}

#[tokio::test]
async fn hooks_of_an_app_share_the_state_that_they_are_registered_with() {
    let log = Log::default();
    let app = App::new()
        .around_with(ALL, log.clone(), async |log, ctx, next| {
            note(&log, "around");
            next.run(ctx).await
        })
        .before_with(Method::Find, log.clone(), async |log, ctx| {
            note(&log, "before find");
            Ok(ctx)
        })
        .after_with(ALL, log.clone(), async |log, ctx| {
            note(&log, "after");
            Ok(ctx)
        })
        .on_error_with(ALL, log.clone(), async |log, ctx| {
            note(&log, "error");
            Ok(ctx)
        })
        .register("notes", MemoryService::new());
    app.service("notes").find().await.unwrap();
    app.service("notes").get(7).await.unwrap_err();
    assert_eq!(*log.lock().unwrap(), ["around", "before find", "after", "around", "error"]);
}

struct Hiding([String; 1]);

impl Hook for Hiding {
    fn run(&self, ctx: Context) -> BoxFuture<'_, crate::Result<Context>> {
        Box::pin(std::future::ready(Ok(ctx)))
    }

    fn hidden_fields(&self) -> &[String] {
        &self.0
    }
}

#[tokio::test]
async fn fields_that_an_after_hook_hides_are_refused_in_queries_of_clients() {
    let hiding = || Hiding(["pin".to_owned()]);
    let client = || Params::default().with_provider("rest").with_query(serde_json::json!({ "pin": 1 }));
    let app = App::new()
        .register("after", MemoryService::new().after(Method::Get, hiding()))
        .register("before", MemoryService::new().before(ALL, hiding()));
    assert_eq!(app.service("after").find().params(client()).await.unwrap_err().code(), 400);
    app.service("before").find().params(client()).await.unwrap();
}

struct Guard;

impl Hook for Guard {
    fn run(&self, ctx: Context) -> BoxFuture<'_, crate::Result<Context>> {
        Box::pin(async {
            if ctx.params.user.is_some() { Ok(ctx) } else { Err(Error::not_authenticated("Unknown caller")) }
        })
    }

    fn identifies_caller(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_hook_that_identifies_callers_answers_before_the_service_tells_what_it_lacks() {
    let app = App::new().register("notes", MemoryService::new().before(ALL, Guard));
    let client = Params::default().with_provider("rest");
    let missing = |params: Params| app.service("notes").custom("shred", serde_json::Value::Null).params(params);
    assert_eq!(missing(client.clone()).await.unwrap_err().code(), 401);
    assert_eq!(missing(client.with_user(serde_json::json!({ "id": 1 }))).await.unwrap_err().code(), 405);
}
