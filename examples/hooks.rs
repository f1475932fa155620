//! Hooks: code around calls, of a whole app or of one service. Needs no Redis: an app works alone, too.
//!
//! ```sh
//! cargo run --example hooks
//! ```

use rachis::{ALL, App, Context, Error, MemoryService, Method, Next, Params, Result, ServiceExt};
use serde_json::json;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Around: before and after at once.
async fn trace(ctx: Context, next: Next) -> Result<Context> {
    let call = format!("{} {}", ctx.method, ctx.path);
    let started = Instant::now();
    let outcome = next.run(ctx).await;
    println!("{call} took {:?}", started.elapsed());
    outcome
}

/// Before: refuses what came in by a gateway without a user. Calls by code have no provider and pass.
async fn only_users(ctx: Context) -> Result<Context> {
    if ctx.params.is_internal() || ctx.params.user.is_some() {
        Ok(ctx)
    } else {
        Err(Error::not_authenticated("Please log in"))
    }
}

/// Before: changes what the method is given.
async fn not_done_yet(mut ctx: Context) -> Result<Context> {
    ctx.data["done"] = false.into();
    Ok(ctx)
}

/// The texts that are taken already: state, which all calls of this process share. Other replicas have their own, so what
/// must hold for all of them belongs into a store, such as `node.redis()`.
type Texts = Arc<Mutex<HashSet<String>>>;

/// Before, with state: refuses a second todo with the same text.
async fn no_doubles(texts: Texts, ctx: Context) -> Result<Context> {
    let text = ctx.data["text"].to_string();
    let is_new = texts.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    if is_new { Ok(ctx) } else { Err(Error::conflict("There is such a todo already")) }
}

/// After: `result` is for code, `dispatch` is what clients and events get instead.
async fn hide_notes(mut ctx: Context) -> Result<Context> {
    let mut shown = ctx.result.clone().unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("note");
    }
    ctx.dispatch = Some(shown);
    Ok(ctx)
}

/// Error: changes what went wrong, or sets a result and so recovers.
async fn explain(mut ctx: Context) -> Result<Context> {
    ctx.error = ctx.error.take().map(|error| error.with_data(json!({ "help": "https://example.org/todos" })));
    Ok(ctx)
}

#[tokio::main]
async fn main() -> Result<()> {
    let todos = MemoryService::new()
        .before(Method::Create, not_done_yet)
        .before_with(Method::Create, Texts::default(), no_doubles)
        .after([Method::Get, Method::Create], hide_notes)
        .on_error(ALL, explain);
    let app = App::new().around(ALL, trace).before(ALL, only_users).register("todos", todos);

    let todos = app.service("todos");
    let answer = todos.create(json!({ "text": "write", "note": "in pencil" })).answer().await?;
    println!("code sees    {}", answer.result);
    println!("clients see  {}", answer.external());

    if let Err(error) = todos.create(json!({ "text": "write" })).await {
        println!("a second one is {}", error.to_json());
    }

    let stranger = Params::default().with_provider("rest");
    match todos.get(0).params(stranger).await {
        Ok(todo) => println!("a stranger sees {todo}"),
        Err(error) => println!("a stranger gets {}", error.to_json()),
    }
    match todos.get(7).await {
        Ok(todo) => println!("{todo}"),
        Err(error) => println!("a missing one is {}", error.to_json()),
    }
    Ok(())
}
