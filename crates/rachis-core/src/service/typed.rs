//! Services with types of their own instead of JSON values.

use crate::{Error, Handle, Id, Listing, Method, Params, Result, Service, Shape, query::Select, service::missing};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::future::{Future, ready};

/// A [`Service`] whose records and data are Rust types; [`Typed`] makes a service of it.
///
/// Data that does not fit its type never reaches a method: the caller gets a `BadRequest` that says what is wrong. Results
/// are reduced to the fields that the query's `$select` names; of all else in a query, the methods know what it means.
///
/// ```
/// use rachis::{App, Error, ErrorKind, Id, Method, Params, Result, Typed, TypedService};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
/// use std::sync::Mutex;
///
/// #[derive(Clone, Serialize)]
/// struct Todo { id: usize, text: String, done: bool }
///
/// #[derive(Deserialize)]
/// struct NewTodo { text: String }
///
/// #[derive(Deserialize)]
/// struct TodoPatch { done: bool }
///
/// #[derive(Default)]
/// struct Todos(Mutex<Vec<Todo>>);
///
/// impl TypedService for Todos {
///     const METHODS: &[Method] = &[Method::Create, Method::Patch];
///     type Record = Todo;
///     type Create = NewTodo;
///     type Patch = TodoPatch;
///
///     async fn create(&self, new: NewTodo, _: Params) -> Result<Todo> {
///         let mut todos = self.0.lock().unwrap();
///         let todo = Todo { id: todos.len(), text: new.text, done: false };
///         todos.push(todo.clone());
///         Ok(todo)
///     }
///
///     async fn patch(&self, id: Id, patch: TodoPatch, _: Params) -> Result<Todo> {
///         let mut todos = self.0.lock().unwrap();
///         let todo = todos.iter_mut().find(|todo| todo.id.to_string() == id.to_string());
///         let todo = todo.ok_or_else(|| Error::not_found(format!("No todo {id}")))?;
///         todo.done = patch.done;
///         Ok(todo.clone())
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let todos = App::new().register("todos", Typed(Todos::default())).service("todos");
/// todos.create(json!({ "text": "write" })).await?;
/// assert_eq!(todos.patch(0, json!({ "done": true })).await?, json!({ "id": 0, "text": "write", "done": true }));
///
/// let error = todos.patch(0, json!({ "done": "yes" })).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::BadRequest);
/// assert!(error.message().starts_with("Invalid data for patch: invalid type: string \"yes\""));
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
#[allow(unused_variables)]
pub trait TypedService: Send + Sync + 'static {
    /// The methods that clients and other nodes may call; see [`Service::METHODS`].
    const METHODS: &'static [Method];

    /// Events of the service's own; see [`Service::EVENTS`].
    const EVENTS: &'static [&'static str] = &[];

    /// Methods that may run twice; see [`Service::IDEMPOTENT`].
    const IDEMPOTENT: &'static [Method] = &[];

    /// The field of a record that holds its id: it is returned whatever `$select` names. Default `id`.
    const ID_FIELD: &'static str = "id";

    /// What the methods return. Of a record, clients and callers get the fields that `$select` names.
    type Record: Serialize + Send;

    /// What `create` and `update` are given.
    type Create: DeserializeOwned + Send;

    /// What `patch` is given.
    type Patch: DeserializeOwned + Send;

    /// Many records, chosen by `params.query`: a `Vec` or a [`Page`](crate::Page), each `.into()`.
    fn find(&self, params: Params) -> impl Future<Output = Result<Listing<Self::Record>>> + Send {
        ready(missing(&Method::Find))
    }

    /// One record.
    fn get(&self, id: Id, params: Params) -> impl Future<Output = Result<Self::Record>> + Send {
        ready(missing(&Method::Get))
    }

    /// A new record.
    fn create(&self, data: Self::Create, params: Params) -> impl Future<Output = Result<Self::Record>> + Send {
        ready(missing(&Method::Create))
    }

    /// Several new records, when the caller sends an array; refused by default.
    fn create_many(
        &self,
        data: Vec<Self::Create>,
        params: Params,
    ) -> impl Future<Output = Result<Vec<Self::Record>>> + Send {
        ready(no_multiple(&Method::Create))
    }

    /// Replaces a record.
    fn update(&self, id: Id, data: Self::Create, params: Params) -> impl Future<Output = Result<Self::Record>> + Send {
        ready(missing(&Method::Update))
    }

    /// Changes fields of a record.
    fn patch(&self, id: Id, data: Self::Patch, params: Params) -> impl Future<Output = Result<Self::Record>> + Send {
        ready(missing(&Method::Patch))
    }

    /// Changes fields of all records that the query chooses, when the caller names no id; refused by default.
    fn patch_many(&self, data: Self::Patch, params: Params) -> impl Future<Output = Result<Vec<Self::Record>>> + Send {
        ready(no_multiple(&Method::Patch))
    }

    /// Deletes a record.
    fn remove(&self, id: Id, params: Params) -> impl Future<Output = Result<Self::Record>> + Send {
        ready(missing(&Method::Remove))
    }

    /// Deletes all records that the query chooses, when the caller names no id; refused by default.
    fn remove_many(&self, params: Params) -> impl Future<Output = Result<Vec<Self::Record>>> + Send {
        ready(no_multiple(&Method::Remove))
    }

    /// Every custom method, by its name; each has data of its own, so it stays JSON.
    fn custom(&self, method: &str, data: Value, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::from(method)))
    }

    /// See [`Service::shape`]. A service whose `create_many`, `patch_many` or `remove_many` is its own says so here, as Rust can
    /// not see it.
    fn shape(&self) -> Shape {
        Shape::default()
    }

    /// See [`Service::setup`].
    fn setup(&self, this: Handle) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// See [`Service::teardown`].
    fn teardown(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }
}

/// Makes a [`Service`] of a [`TypedService`].
#[derive(Clone, Debug, Default)]
pub struct Typed<S>(
    /// The service with types.
    pub S,
);

impl<S: TypedService> Service for Typed<S> {
    const METHODS: &'static [Method] = S::METHODS;
    const EVENTS: &'static [&'static str] = S::EVENTS;
    const IDEMPOTENT: &'static [Method] = S::IDEMPOTENT;

    async fn find(&self, params: Params) -> Result<Value> {
        let select = Select::of(&params)?;
        match write(&Method::Find, self.0.find(params).await?)? {
            Value::Object(mut page) => {
                if let Some(data) = page.get_mut("data") {
                    *data = select.reduce(data.take(), S::ID_FIELD);
                }
                Ok(Value::Object(page))
            }
            records => Ok(select.reduce(records, S::ID_FIELD)),
        }
    }

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        let select = Select::of(&params)?;
        let record = write(&Method::Get, self.0.get(id, params).await?)?;
        Ok(select.reduce(record, S::ID_FIELD))
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        let select = Select::of(&params)?;
        let created = match data {
            Value::Array(items) => {
                let data = items.into_iter().map(|item| read(&Method::Create, item)).collect::<Result<_>>()?;
                write(&Method::Create, self.0.create_many(data, params).await?)?
            }
            data => write(&Method::Create, self.0.create(read(&Method::Create, data)?, params).await?)?,
        };
        Ok(select.reduce(created, S::ID_FIELD))
    }

    async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        let no_id = || Error::bad_request("You can not replace multiple instances. Did you mean 'patch'?");
        let id = id.ok_or_else(no_id)?;
        let select = Select::of(&params)?;
        let record = write(&Method::Update, self.0.update(id, read(&Method::Update, data)?, params).await?)?;
        Ok(select.reduce(record, S::ID_FIELD))
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        let select = Select::of(&params)?;
        let data = read(&Method::Patch, data)?;
        let patched = match id {
            Some(id) => write(&Method::Patch, self.0.patch(id, data, params).await?)?,
            None => write(&Method::Patch, self.0.patch_many(data, params).await?)?,
        };
        Ok(select.reduce(patched, S::ID_FIELD))
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        let select = Select::of(&params)?;
        let removed = match id {
            Some(id) => write(&Method::Remove, self.0.remove(id, params).await?)?,
            None => write(&Method::Remove, self.0.remove_many(params).await?)?,
        };
        Ok(select.reduce(removed, S::ID_FIELD))
    }

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        self.0.custom(method, data, params).await
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    async fn setup(&self, this: Handle) -> Result<()> {
        self.0.setup(this).await
    }

    async fn teardown(&self) -> Result<()> {
        self.0.teardown().await
    }
}

fn read<T: DeserializeOwned>(method: &Method, data: Value) -> Result<T> {
    serde_json::from_value(data).map_err(|error| Error::bad_request(format!("Invalid data for {method}: {error}")))
}

fn write<T: Serialize>(method: &Method, result: T) -> Result<Value> {
    serde_json::to_value(result).map_err(|error| Error::general(format!("The result of {method} is no JSON: {error}")))
}

fn no_multiple<T>(method: &Method) -> Result<T> {
    Err(Error::method_not_allowed(format!("Can not {method} multiple entries")))
}
