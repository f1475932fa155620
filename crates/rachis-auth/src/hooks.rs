//! Hooks for the service that has the users.

use super::{fields, password};
use rachis_core::{BoxFuture, Context, Error, Hook, Method, Result};
use serde_json::Value;
use std::{future::ready, sync::Arc};

/// Hashes the field in what `create`, `update` and `patch` are given, in one record or in several: bcrypt, cost 10.
///
/// A record without that field is left as it is. A dot leads into a nested field. Like every bcrypt, it reads the first
/// 72 bytes of a password. On other methods the hook does nothing.
///
/// # Errors
/// The hook fails with `BadRequest` if the field is there and is not text.
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
pub fn hash_password(field: &str) -> HashPassword {
    HashPassword { field: field.into() }
}

/// The hook that [`hash_password`] makes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HashPassword {
    field: Arc<str>,
}

impl Hook for HashPassword {
    fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>> {
        Box::pin(hash_data(ctx, &self.field))
    }
}

async fn hash_data(mut ctx: Context, field: &str) -> Result<Context> {
    if !matches!(ctx.method, Method::Create | Method::Update | Method::Patch) {
        return Ok(ctx);
    }
    match &mut ctx.data {
        Value::Array(records) => {
            for record in records {
                hash_field(record, field).await?;
            }
        }
        record => hash_field(record, field).await?,
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

/// Hides fields from clients: an `after` hook that sets `dispatch`, which clients and events get, to the result without
/// them, and `result` too if a client called. Calls by code get every field.
///
/// It knows records, lists and pages. A dot leads into a nested field, e.g. `protect(["user.password"])`.
///
/// Registered by `after`, for whatever methods, it also has the service refuse, with `BadRequest` and before anything runs,
/// each call of a client whose query names such a field: in a condition, `$sort` or `$select`, at any depth. Conditions
/// that hooks of this app add are not the client's, and stay. A hook of your own that runs it passes its
/// [`hidden_fields`](Hook::hidden_fields) on, or names them by
/// [`protect_queries`](rachis_core::Registration::protect_queries).
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
pub fn protect<S: Into<String>>(fields: impl IntoIterator<Item = S>) -> Protect {
    Protect { fields: fields.into_iter().map(Into::into).collect() }
}

/// The hook that [`protect`] makes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Protect {
    fields: Arc<[String]>,
}

impl Hook for Protect {
    fn run(&self, mut ctx: Context) -> BoxFuture<'_, Result<Context>> {
        hide(&mut ctx, &self.fields);
        Box::pin(ready(Ok(ctx)))
    }

    fn hidden_fields(&self) -> &[String] {
        &self.fields
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
