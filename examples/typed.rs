//! A service with types of its own instead of JSON values. Needs no Redis.
//!
//! ```sh
//! cargo run --example typed
//! ```

use rachis::{App, Error, Id, Listing, Method, Params, Result, Typed, TypedService};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Todo {
    id: usize,
    text: String,
    done: bool,
}

#[derive(Deserialize)]
struct NewTodo {
    text: String,
}

#[derive(Deserialize)]
struct Changes {
    done: bool,
}

#[derive(Default)]
struct Todos(Mutex<Vec<Todo>>);

impl TypedService for Todos {
    const METHODS: &[Method] = &[Method::Find, Method::Create, Method::Patch];
    type Record = Todo;
    type Create = NewTodo;
    type Patch = Changes;

    async fn find(&self, _: Params) -> Result<Listing<Todo>> {
        Ok(self.todos().clone().into())
    }

    async fn create(&self, new: NewTodo, _: Params) -> Result<Todo> {
        let mut todos = self.todos();
        let todo = Todo { id: todos.len(), text: new.text, done: false };
        todos.push(todo.clone());
        Ok(todo)
    }

    async fn patch(&self, id: Id, changes: Changes, _: Params) -> Result<Todo> {
        let mut todos = self.todos();
        let todo = todos.iter_mut().find(|todo| todo.id.to_string() == id.to_string());
        let todo = todo.ok_or_else(|| Error::not_found(format!("No todo {id}")))?;
        todo.done = changes.done;
        Ok(todo.clone())
    }
}

impl Todos {
    fn todos(&self) -> MutexGuard<'_, Vec<Todo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let todos = App::new().register("todos", Typed(Todos::default())).service("todos");

    let todo: Todo = todos.create(json!({ "text": "write" })).json().await?;
    todos.patch(todo.id.to_string(), json!({ "done": true })).await?;
    println!("{:?}", todos.find().json::<Vec<Todo>>().await?);

    // What does not fit its type never reaches the method.
    if let Err(error) = todos.patch(0, json!({ "done": "perhaps" })).await {
        println!("{error}");
    }
    Ok(())
}
