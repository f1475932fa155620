//! Hooks for the service that has the users.

use super::{fields, password};
use futures_core::future::BoxFuture;
use rachis_core::{Context, Error, Hiding, Method, Result};
use serde_json::Value;
use std::sync::Arc;

/// Hashes the field in what `create`, `update` and `patch` are given, in one record or in several: bcrypt, cost 10.
///
/// A record without that field is left as it is. A dot leads into a nested field. Like every bcrypt, it reads the first
/// 72 bytes of a password. On other methods the hook does nothing.
///
/// The hook fails with `BadRequest` when the field is there and no text.
///
/// ```
/// use rachis::{ALL, App, MemoryService, ServiceExt};
/// use rachis::auth::{hash_password, protect};
/// use serde_json::json;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let users = MemoryService::new().before(ALL, hash_password("password")).after(ALL, protect(["password"]));
/// let app = App::new().register("users", users);
/// let answer = app.service("users").create(json!({ "email": "ada@example.org", "password": "hunter2" })).answer().await?;
/// assert!(answer.result["password"].as_str().is_some_and(|hash| hash.starts_with("$2b$10$")));
/// assert_eq!(answer.external(), json!({ "email": "ada@example.org", "id": 0 }));
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
pub fn hash_password(
    field: &str,
) -> impl Fn(Context) -> BoxFuture<'static, Result<Context>> + Clone + Send + Sync + 'static + use<> {
    let field: Arc<str> = field.into();
    move |ctx| {
        let field = field.clone();
        Box::pin(hash_data(ctx, field))
    }
}

async fn hash_data(mut ctx: Context, field: Arc<str>) -> Result<Context> {
    if !matches!(ctx.method, Method::Create | Method::Update | Method::Patch) {
        return Ok(ctx);
    }
    match &mut ctx.data {
        Value::Array(records) => {
            for record in records {
                hash_field(record, &field).await?;
            }
        }
        record => hash_field(record, &field).await?,
    }
    Ok(ctx)
}

async fn hash_field(record: &mut Value, field: &str) -> Result<()> {
    match fields::get_mut(record, field) {
        None => Ok(()),
        Some(Value::String(text)) => {
            *text = password::hash(std::mem::take(text)).await?;
            Ok(())
        }
        Some(_) => Err(Error::bad_request(format!("`{field}` must be text"))),
    }
}

/// Hides fields from the outside: an `after` hook that sets `dispatch`, which clients and events get, to the result
/// without them, and `result` too if a client called. Code that calls sees everything.
///
/// It knows records, lists and pages. A dot leads into a nested field, e.g. `protect(["user.password"])`.
///
/// What is hidden can not be asked for either: registered by `after`, for whatever methods, it has the service refuse
/// with `BadRequest` each call of a client whose query names such a field, in a condition, `$sort` or `$select` and at
/// any depth, before anything runs. Conditions that hooks of this app add are not the client's, and stay. Called by a
/// hook of your own, it only hides: then name the fields by
/// [`protect_queries`](rachis_core::Registration::protect_queries) as well.
///
/// ```
/// use rachis::{ALL, App, MemoryService, Params, ServiceExt, auth::protect};
/// use serde_json::json;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let app = App::new().register("users", MemoryService::new().after(ALL, protect(["password"])));
/// app.service("users").create(json!({ "email": "bo@example.org", "password": "hash" })).await?;
///
/// let guess = json!({ "password": { "$gte": "h" } });
/// let client = Params::default().with_provider("rest").with_query(guess.clone());
/// let error = app.service("users").find().params(client).await.unwrap_err();
/// assert_eq!(error.code(), 400);
/// assert_eq!(app.service("users").find().query(guess).json::<Vec<serde_json::Value>>().await?.len(), 1);
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
pub fn protect<S: Into<String>>(
    fields: impl IntoIterator<Item = S>,
) -> impl Fn(Context) -> Hiding + Clone + Send + Sync + 'static {
    let fields: Arc<[String]> = fields.into_iter().map(Into::into).collect();
    move |mut ctx: Context| {
        hide(&mut ctx, &fields);
        Hiding::new(&fields, ctx)
    }
}

fn hide(ctx: &mut Context, hidden: &[String]) {
    let Some(mut view) = ctx.dispatch.take().or_else(|| ctx.result.clone()) else { return };
    let is_page = ctx.method == Method::Find && view.get("data").is_some();
    let records = if is_page { &mut view["data"] } else { &mut view };
    for field in hidden {
        fields::remove(records, field);
    }
    if !ctx.params.is_internal() {
        ctx.result = Some(view.clone());
    }
    ctx.dispatch = Some(view);
}
