//! Resolvers: fields of data, queries and results that are computed one by one.

use crate::{AroundHook, Context, Error, Handle, Hook, Method, Next, Params, Query, Result};
use futures_core::future::BoxFuture;
use futures_util::future::{join_all, try_join_all};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Computes fields of a record, each by a function of its own.
///
/// It becomes a hook by [`resolve_data`], [`resolve_query`], [`resolve_result`] or [`resolve_external`]. All fields are
/// computed at the same time, from the record as it was; fields without a function stay. Where some fail, the call fails
/// with `BadRequest`, with the error of each in `errors`.
///
/// ```
/// use rachis::{ALL, App, MemoryService, Method, Params, Resolver, Resolving, ServiceExt};
/// use rachis::{resolve_data, resolve_external, resolve_result};
/// use serde_json::json;
///
/// let stamped = Resolver::new().field("email", async |field: Resolving| {
///     let email: Option<String> = field.value()?;
///     Ok(email.map(|email| email.to_lowercase()))
/// });
/// let greeted = Resolver::new().computed("greeting", async |field: Resolving| {
///     let name: String = field.get("name")?;
///     Ok(Some(format!("Hello, {name}!")))
/// });
/// let users = MemoryService::new()
///     .around(ALL, resolve_external(Resolver::new().without(["password"])))
///     .around(ALL, resolve_result(greeted))
///     .before([Method::Create, Method::Update, Method::Patch], resolve_data(stamped));
///
/// let app = App::new().register("users", users);
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let users = app.service("users");
/// let new = json!({ "name": "Ada", "email": "Ada@Example.org", "password": "secret" });
/// let answer = users.create(new).answer().await?;
/// assert_eq!(answer.result["email"], "ada@example.org");
/// assert_eq!(answer.result["greeting"], "Hello, Ada!");
/// assert_eq!(answer.result["password"], "secret");
///
/// // What clients see.
/// let seen = answer.external();
/// assert_eq!(seen, json!({ "name": "Ada", "email": "ada@example.org", "id": 0, "greeting": "Hello, Ada!" }));
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Resolver {
    fields: Vec<Field>,
    hidden: Vec<String>,
}

/// A field that is being computed.
pub struct Resolving {
    /// The record, as it was before any of its fields was computed.
    pub record: Arc<Map<String, Value>>,
    /// The method that is called.
    pub method: Method,
    /// The call: its caller, its method, its parameters.
    pub params: Arc<Params>,
    name: Arc<str>,
}

#[derive(Clone)]
struct Field {
    name: Arc<str>,
    /// It has no value before.
    is_computed: bool,
    resolve: Arc<dyn Fn(Resolving) -> BoxFuture<'static, Result<Option<Value>>> + Send + Sync>,
}

impl Resolver {
    /// Returns a resolver that changes nothing.
    pub fn new() -> Self {
        Resolver::default()
    }

    /// Sets the field `name` to what `resolve` returns; with `None`, the record has no such field.
    ///
    /// # Errors
    /// What `resolve` fails with stands in the `errors` of the call's error, under `name`.
    pub fn field<R, F, Fut>(self, name: &str, resolve: F) -> Self
    where
        R: Serialize,
        F: Fn(Resolving) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<R>>> + Send + 'static,
    {
        self.with(name, false, resolve)
    }

    /// Adds a field that is never stored: like [`field`](Resolver::field), but a query that selects it reaches the service
    /// without its `$select`, so that `resolve` finds the fields that it needs.
    pub fn computed<R, F, Fut>(self, name: &str, resolve: F) -> Self
    where
        R: Serialize,
        F: Fn(Resolving) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<R>>> + Send + 'static,
    {
        self.with(name, true, resolve)
    }

    /// Leaves these fields out. With [`resolve_external`], queries of clients that name one are refused as well, since
    /// their conditions would tell what is in it.
    pub fn without(mut self, fields: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hidden.extend(fields.into_iter().map(Into::into));
        self
    }

    fn with<R, F, Fut>(mut self, name: &str, is_computed: bool, resolve: F) -> Self
    where
        R: Serialize,
        F: Fn(Resolving) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<R>>> + Send + 'static,
    {
        let resolve = Arc::new(move |field: Resolving| -> BoxFuture<'static, Result<Option<Value>>> {
            let resolving = resolve(field);
            Box::pin(async move {
                let value = resolving.await?.map(serde_json::to_value).transpose();
                value.map_err(|error| Error::general(format!("It is no JSON: {error}")))
            })
        });
        self.fields.retain(|field| *field.name != *name);
        self.fields.push(Field { name: name.into(), is_computed, resolve });
        self
    }

    /// Returns `true` if `name` is a field that is never stored.
    fn computes(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.is_computed && *field.name == *name)
    }

    /// Resolves one record; anything but an object stays as it is. Only fields in `selected` are computed, if it is given.
    async fn resolve(&self, value: Value, ctx: &Asked, selected: Option<&[String]>) -> Result<Value> {
        let Value::Object(mut fields) = value else { return Ok(value) };
        let is_wanted = |field: &&Field| selected.is_none_or(|names| names.iter().any(|name| **name == *field.name));
        let wanted: Vec<&Field> = self.fields.iter().filter(is_wanted).collect();
        let record = Arc::new(fields.clone());
        let resolved = wanted.iter().map(async |field| {
            let resolving = Resolving {
                record: record.clone(),
                method: ctx.method.clone(),
                params: ctx.params.clone(),
                name: field.name.clone(),
            };
            (field, (field.resolve)(resolving).await)
        });
        let mut errors = Map::new();
        for (field, outcome) in join_all(resolved).await {
            match outcome {
                Ok(Some(value)) => {
                    fields.insert((*field.name).to_owned(), value);
                }
                Ok(None) => {
                    fields.shift_remove(&*field.name);
                }
                Err(error) => {
                    errors.insert((*field.name).to_owned(), error.to_json());
                }
            }
        }
        if !errors.is_empty() {
            return Err(Error::bad_request("Error resolving data").with_errors(Value::Object(errors)));
        }
        for name in &self.hidden {
            fields.shift_remove(name);
        }
        Ok(Value::Object(fields))
    }

    /// Resolves one record, or each of several: a list, or a page of a `find`.
    async fn resolve_all(&self, value: Value, ctx: &Asked, selected: Option<&[String]>) -> Result<Value> {
        match value {
            Value::Array(records) => {
                let resolved = records.into_iter().map(|record| self.resolve(record, ctx, selected));
                try_join_all(resolved).await.map(Value::Array)
            }
            Value::Object(mut page) if ctx.method == Method::Find && page.get("data").is_some_and(Value::is_array) => {
                let records = page.get_mut("data").map(Value::take).unwrap_or_default();
                page.insert("data".to_owned(), Box::pin(self.resolve_all(records, ctx, selected)).await?);
                Ok(Value::Object(page))
            }
            record => self.resolve(record, ctx, selected).await,
        }
    }
}

impl Resolving {
    /// Reads the value that the field has; `null` where it has none.
    ///
    /// # Errors
    /// `BadRequest` for a value of another type.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        self.get(&self.name)
    }

    /// Reads another field of the record.
    ///
    /// # Errors
    /// `BadRequest` for a value of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.record.get(name).cloned().unwrap_or_default();
        serde_json::from_value(value).map_err(|error| Error::bad_request(format!("{name}: {error}")))
    }

    /// Returns a service, local or remote. Results of its methods are for code; what clients may see of them is
    /// [`Answer::external`](crate::Answer::external).
    pub fn service(&self, path: &str) -> Handle {
        self.params.service(path)
    }
}

/// What a resolver knows of a call.
struct Asked {
    method: Method,
    params: Arc<Params>,
}

impl Asked {
    fn of(ctx: &Context) -> Self {
        Asked { method: ctx.method.clone(), params: Arc::new(ctx.params.clone()) }
    }
}

/// Returns a `before` hook that computes fields of the data; of an array, those of each record.
pub fn resolve_data(resolver: Resolver) -> impl Hook {
    ResolveData(resolver)
}

/// Returns a `before` hook that computes fields of the query, such as one that limits it to records of the user.
pub fn resolve_query(resolver: Resolver) -> impl Hook {
    ResolveQuery(resolver)
}

/// Returns a hook around methods that computes fields of what they return.
///
/// Of a query with `$select`, only fields that it names are computed.
pub fn resolve_result(resolver: Resolver) -> impl AroundHook {
    ResolveResult(resolver)
}

/// Returns a hook around methods that computes what clients see: `dispatch`, instead of the result.
///
/// It goes outside of [`resolve_result`], that is, it is registered first. Events are sent with the same view.
pub fn resolve_external(resolver: Resolver) -> impl AroundHook {
    ResolveExternal(resolver)
}

struct ResolveData(Resolver);

impl Hook for ResolveData {
    fn run(&self, mut ctx: Context) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move {
            let asked = Asked::of(&ctx);
            let data = std::mem::take(&mut ctx.data);
            ctx.data = match data {
                Value::Array(records) => {
                    let resolved = records.into_iter().map(|record| self.0.resolve(record, &asked, None));
                    Value::Array(try_join_all(resolved).await?)
                }
                record => self.0.resolve(record, &asked, None).await?,
            };
            Ok(ctx)
        })
    }
}

struct ResolveQuery(Resolver);

impl Hook for ResolveQuery {
    fn run(&self, mut ctx: Context) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move {
            let asked = Asked::of(&ctx);
            let query = Value::from(std::mem::take(&mut ctx.params.query));
            ctx.params.query = Query::from(self.0.resolve(query, &asked, None).await?);
            Ok(ctx)
        })
    }
}

struct ResolveResult(Resolver);

impl AroundHook for ResolveResult {
    fn run_around(&self, mut ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move {
            let asked = Asked::of(&ctx);
            let selected = selected(&ctx.params.query);
            let needs_more = selected.iter().flatten().any(|name| self.0.computes(name));
            if needs_more {
                ctx.params.query.shift_remove("$select");
            }
            let mut ctx = next.run(ctx).await?;
            let result = ctx.result.take().unwrap_or_default();
            let mut resolved = self.0.resolve_all(result, &asked, selected.as_deref()).await?;
            if let Some(names) = selected.filter(|_| needs_more) {
                each_record(&mut resolved, &asked.method, &|record| record.retain(|name, _| names.contains(name)));
            }
            ctx.result = Some(resolved);
            Ok(ctx)
        })
    }
}

struct ResolveExternal(Resolver);

impl AroundHook for ResolveExternal {
    fn run_around(&self, ctx: Context, next: Next) -> BoxFuture<'_, Result<Context>> {
        Box::pin(async move {
            let asked = Asked::of(&ctx);
            let selected = selected(&ctx.params.query);
            let mut ctx = next.run(ctx).await?;
            let seen = ctx.dispatch.take().or_else(|| ctx.result.clone()).unwrap_or_default();
            ctx.dispatch = Some(self.0.resolve_all(seen, &asked, selected.as_deref()).await?);
            Ok(ctx)
        })
    }

    fn hidden_fields(&self) -> &[String] {
        &self.0.hidden
    }
}

/// Returns the fields that a query selects; `None` for all.
fn selected(query: &Query) -> Option<Vec<String>> {
    let names = query.get("$select")?.as_array()?;
    Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Runs `change` on one record, or on each of several.
fn each_record(value: &mut Value, method: &Method, change: &dyn Fn(&mut Map<String, Value>)) {
    match value {
        Value::Array(records) => records.iter_mut().for_each(|record| each_record(record, &Method::Get, change)),
        Value::Object(page) if *method == Method::Find && page.get("data").is_some_and(Value::is_array) => {
            if let Some(records) = page.get_mut("data") {
                each_record(records, &Method::Get, change);
            }
        }
        Value::Object(record) => change(record),
        _ => {}
    }
}
