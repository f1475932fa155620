//! The service. Its replicas share a hash in Redis, so all show the same list and none is missed.

use crate::PATIENCE;
use rachis::{
    ALL, Config, Context, Error, Id, Method, Node, Page, Params, RedisConnection, RedisPool, Result, Service,
    ServiceExt, gateway,
    query::Filter,
    redis::{AsyncCommands, Script},
    schema::{Schema, Schemas},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Where the todos are: id → JSON.
const TODOS: &str = "todo-example:todos";
/// The last id given.
const LAST_ID: &str = "todo-example:last-id";
/// Characters of one todo.
const MAX_TEXT: usize = 200;

/// Writes a todo unless another replica has changed or deleted it since it was read.
const REPLACE: &str = "
    if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    return 1";

/// Runs one replica until it is told to stop.
pub(crate) async fn run(mut config: Config) -> Result<()> {
    if config.app.is_empty() {
        // Nodes of one app share its requests, and the gateway is the same program: it must not get any.
        config.app = "todo-service".into();
    }
    // The gateway has verified the caller. Any other node is believed, too.
    config.authentication = false;
    let node = Node::builder(config).connect_within(PATIENCE).start().await?;
    let todos = Todos { redis: node.redis() };
    node.register("todos", todos.after(ALL, sign).schemas(schemas())).await?;
    gateway::serve_metrics(&node).await?;
    println!("replica {} serves todos", std::process::id());
    node.run_until_signal().await
}

/// What the service takes and returns. By it, data that does not fit is refused, the `true` of `?done=true` is one, and
/// `/openapi.json` of the gateway describes it.
fn schemas() -> Schemas {
    Schemas::new()
        .record(Schema::output::<Todo>())
        .data(Method::Create, Schema::input::<NewTodo>())
        .data(Method::Patch, Schema::input::<Changes>())
        .pages()
        .describe("What is to be done. All replicas show the same list.")
}

/// Says which replica answered.
async fn sign(mut ctx: Context) -> Result<Context> {
    if let Some(Value::Object(result)) = &mut ctx.result {
        result.insert("replica".into(), std::process::id().into());
    }
    Ok(ctx)
}

struct Todos {
    // A pool: calls run beside each other, and a connection that broke stays broken.
    redis: RedisPool,
}

/// Something to do.
#[derive(Serialize, JsonSchema)]
struct Todo {
    id: i64,
    text: String,
    /// Whether it is done.
    done: bool,
    /// The process that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTodo {
    /// What is to be done.
    #[schemars(length(min = 1, max = MAX_TEXT), regex(pattern = r"\S"))]
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[schemars(length(min = 1, max = MAX_TEXT), regex(pattern = r"\S"))]
    text: Option<String>,
    done: Option<bool>,
}

impl Service for Todos {
    const METHODS: &[Method] = &[Method::Find, Method::Get, Method::Create, Method::Patch, Method::Remove];

    async fn find(&self, params: Params) -> Result<Value> {
        let filter = Filter::of(&params)?;
        let stored: Vec<String> = self.redis().await?.hvals(TODOS).await.map_err(unavailable)?;
        let page = filter.evaluate(stored.len(), move |query| {
            let mut todos = query.each(stored.iter()).map(|todo| read(todo)).collect::<Result<Vec<_>>>()?;
            todos.sort_by_key(|todo| todo.get("id").and_then(Value::as_i64));
            let found = query.find(todos.iter(), query.filter().limit());
            let total = found.total as u64;
            let limit = query.filter().limit().unwrap_or(total);
            Ok(serde_json::to_value(Page { total, limit, skip: query.filter().skip() as u64, data: found.records })?)
        });
        page.await?
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(read(&self.stored(&id).await?)?.into())
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        let NewTodo { text } = parse(data)?;
        let text = checked(&text)?;
        let mut redis = self.redis().await?;
        let id: i64 = redis.incr(LAST_ID, 1).await.map_err(unavailable)?;
        let todo = serde_json::to_value(Todo { id, text: text.to_owned(), done: false, replica: None })?;
        let () = redis.hset(TODOS, id, todo.to_string()).await.map_err(unavailable)?;
        Ok(todo)
    }

    async fn patch(&self, id: Option<Id>, data: Value, _: Params) -> Result<Value> {
        let id = id.ok_or_else(one_at_a_time)?;
        let changes: Changes = parse(data)?;
        let text = changes.text.as_deref().map(checked).transpose()?;
        loop {
            let stored = self.stored(&id).await?;
            let mut todo = read(&stored)?;
            if let Some(text) = text {
                todo.insert("text".into(), text.into());
            }
            if let Some(done) = changes.done {
                todo.insert("done".into(), done.into());
            }
            let todo = Value::Object(todo);
            let replace = Script::new(REPLACE);
            let mut call = replace.key(TODOS);
            call.arg(id.to_string()).arg(&stored).arg(todo.to_string());
            if call.invoke_async(&mut self.redis().await?).await.map_err(unavailable)? {
                return Ok(todo);
            }
        }
    }

    async fn remove(&self, id: Option<Id>, _: Params) -> Result<Value> {
        let id = id.ok_or_else(one_at_a_time)?;
        let stored = self.stored(&id).await?;
        let deleted: bool = self.redis().await?.hdel(TODOS, id.to_string()).await.map_err(unavailable)?;
        if deleted { Ok(read(&stored)?.into()) } else { Err(unknown(&id)) }
    }
}

impl Todos {
    async fn redis(&self) -> Result<RedisConnection> {
        self.redis.get().await.map_err(unavailable)
    }

    async fn stored(&self, id: &Id) -> Result<String> {
        let stored: Option<String> = self.redis().await?.hget(TODOS, id.to_string()).await.map_err(unavailable)?;
        stored.ok_or_else(|| unknown(id))
    }
}

fn read(stored: &str) -> Result<Map<String, Value>> {
    Ok(serde_json::from_str(stored)?)
}

fn parse<T: DeserializeOwned>(data: Value) -> Result<T> {
    if !data.is_object() {
        return Err(Error::bad_request("A todo is a JSON object"));
    }
    serde_json::from_value(data).map_err(|error| Error::bad_request(format!("That is no todo: {error}")))
}

fn checked(text: &str) -> Result<&str> {
    let text = text.trim();
    match text.chars().count() {
        1..=MAX_TEXT => Ok(text),
        _ => Err(Error::bad_request(format!("A todo has 1 to {MAX_TEXT} characters"))),
    }
}

fn unknown(id: &Id) -> Error {
    Error::not_found(format!("No todo with id {id}"))
}

fn one_at_a_time() -> Error {
    Error::method_not_allowed("Name the todo: this service changes one at a time")
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("The store of the todos does not answer: {error}"))
}
