//! The gateway, with logins and a dashboard.

use crate::PATIENCE;
use rachis::{
    ALL, App, Config, MemoryService, Method, Node, Result, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
    gateway::{Gateway, serve},
    signal,
};
use serde_json::json;

/// FOR DEVELOPMENT ONLY: any reader of this can sign tokens. It is fixed so that they outlive a restart of the gateway.
const SECRET: &str = "for-development-only-everybody-can-read-this";
const PASSWORD: &str = "shop";

/// Serves until it is told to stop.
pub(crate) async fn run() -> Result<()> {
    let mut config = Config::load()?;
    config.app = "shop-gateway".into();
    config.version = "1.4.0".into();
    config.tap = true;
    config.gateway.dashboard.enabled = true;
    config.gateway.dashboard.writable = true;
    let auth = Authentication::new(AuthConfig::new(SECRET))?;
    let users = MemoryService::new()
        .methods([Method::Get])
        .before(ALL, auth.authenticate("jwt"))
        .before(Method::Create, hash_password("password"))
        .after(ALL, protect(["password"]))
        .local_only();
    let app = App::new().register("authentication", auth.clone().local_only()).register("users", users);
    for (name, roles) in [("admin", json!(["admin"])), ("guest", json!([]))] {
        let user = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "roles": roles });
        app.service("users").create(user).await?;
    }
    let guard = auth.authenticate("jwt");
    let node = Node::builder(config).app(app).remote_before(ALL, guard).connect_within(PATIENCE).start().await?;
    let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
    println!("gateway on http://{}", listener.local_addr()?);
    serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(signal()).await?;
    node.shutdown().await
}
