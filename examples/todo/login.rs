//! Logins at the gateway, and the tokens by which it knows users again.

use rachis::{
    ALL, App, MemoryService, Method, Registration, Result, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
    schema::Schemas,
};
use serde_json::json;

/// The only user; the page has them filled in.
const EMAIL: &str = "user@test.com";
const PASSWORD: &str = "user";

/// The variable with the secret that tokens are signed with.
const SECRET: &str = "TODO_SECRET";
/// FOR DEVELOPMENT ONLY: any reader of this can sign tokens. It is fixed so that they outlive a restart of the gateway.
const DEVELOPMENT_SECRET: &str = "for-development-only-everybody-can-read-this";

pub(crate) fn authentication() -> Result<Authentication> {
    let secret = std::env::var(SECRET).unwrap_or_else(|_| {
        eprintln!("{SECRET} is not set: tokens are signed with a secret that anyone can read in the source");
        DEVELOPMENT_SECRET.into()
    });
    Authentication::new(AuthConfig::new(secret))
}

/// Users live in the memory of the gateway. The one there is has the same id after a restart, so tokens stay good.
pub(crate) fn users(auth: &Authentication) -> Registration {
    MemoryService::new()
        .methods([Method::Get])
        .before(ALL, auth.authenticate("jwt"))
        .before(Method::Create, hash_password("password"))
        .after(ALL, protect(["password"]))
        .local_only()
        .schemas(Schemas::new())
}

pub(crate) async fn add_user(app: &App) -> Result<()> {
    app.service("users").create(json!({ "email": EMAIL, "password": PASSWORD })).await?;
    Ok(())
}
