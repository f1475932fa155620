//! A way to log in of one's own: programs send a key in the header `x-api-key` instead of a token.
//!
//! ```sh
//! cargo run --features gateway --example api_key
//! curl http://127.0.0.1:3030/reports                               # 401 NotAuthenticated
//! curl http://127.0.0.1:3030/reports -H 'x-api-key: wrong'         # 401, too
//! curl http://127.0.0.1:3030/reports -H 'x-api-key: key-of-robot'
//! curl http://127.0.0.1:3030/reports -H 'x-api-key: key-of-robot' -H 'Content-Type: application/json' -d '{"text":"all well"}'
//! ```
//!
//! The last reply says `"by":"robot"`: the service knows its caller.

use rachis::{
    ALL, App, Config, Context, Error, MemoryService, Method, Node, Params, Result, ServiceExt,
    auth::{AuthConfig, Authentication, Strategy},
    gateway::{Gateway, serve},
    signal,
};
use serde_json::{Value, json};

const HEADER: &str = "x-api-key";
const STRATEGY: &str = "api-key";

struct ApiKey;

impl Strategy for ApiKey {
    async fn authenticate(&self, auth: &Authentication, request: &Value, params: &Params) -> Result<Value> {
        let key = request["key"].as_str().unwrap_or_default();
        let robot = auth.find_entity("key", key, params).await?;
        let robot = robot.ok_or_else(|| Error::not_authenticated("This API key is unknown"))?;
        Ok(json!({ "user": robot }))
    }
}

/// The gateway itself looks for tokens only.
async fn read_header(mut ctx: Context) -> Result<Context> {
    if ctx.params.authentication.is_none()
        && let Some(key) = ctx.params.headers.get(HEADER)
    {
        ctx.params.authentication = Some(json!({ "strategy": STRATEGY, "key": key }));
    }
    Ok(ctx)
}

async fn sign(mut ctx: Context) -> Result<Context> {
    let name = ctx.params.user.as_ref().map(|user| user["name"].clone());
    if let (Some(name), Some(report)) = (name, ctx.data.as_object_mut()) {
        report.insert("by".into(), name);
    }
    Ok(ctx)
}

#[tokio::main]
async fn main() -> Result<()> {
    // Tokens work beside the keys. A real secret comes from the environment or a file.
    let auth = Authentication::new(AuthConfig::new("for-development-only-everybody-can-read-this"))?;
    let auth = auth.strategy(STRATEGY, ApiKey);
    // The keys stay in this process: only the strategy may ask for them.
    let robots = MemoryService::new().records([json!({ "name": "robot", "key": "key-of-robot" })]);
    let reports = MemoryService::new()
        .before(ALL, read_header)
        .before(ALL, auth.authenticate(["jwt", STRATEGY]))
        .before(Method::Create, sign);
    let app = App::new().register("users", robots.before(ALL, only_code).local_only()).register("reports", reports);

    let node = Node::builder(Config::load()?).app(app).start().await?;
    let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
    println!("http://{}", listener.local_addr()?);
    serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(signal()).await?;
    node.shutdown().await
}

async fn only_code(ctx: Context) -> Result<Context> {
    if ctx.params.is_internal() { Ok(ctx) } else { Err(Error::forbidden("Keys are not for clients")) }
}
