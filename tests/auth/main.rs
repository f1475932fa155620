//! Logging in, and what is guarded by it: an app alone, and users, authentication and services on nodes of their own.

#![cfg(feature = "auth")]
// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod guard;
mod hooks;
mod keys;
mod login;
mod mesh;
mod queries;
mod strategies;

use rachis::{
    ALL, App, Error, Handle, MemoryService, Method, Params, Result, Service, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
};
use serde_json::{Value, json};

const SECRET: &str = "a-fixture-secret-of-at-least-32-bytes!";

fn auth() -> Authentication {
    Authentication::new(AuthConfig::new(SECRET)).unwrap()
}

/// Everybody may sign up, the rest is for those who have.
fn users(auth: &Authentication) -> rachis::Registration {
    let guarded = [Method::Find, Method::Get, Method::Update, Method::Patch, Method::Remove];
    MemoryService::new()
        .start_id(1)
        .around(guarded.clone(), auth.authenticate("jwt"))
        .before(ALL, hash_password("password"))
        .after(ALL, protect(["password"]))
}

/// Tells what it is told.
struct Echo;

impl Service for Echo {
    const METHODS: &'static [Method] = &[Method::Get];

    async fn get(&self, _: rachis::Id, params: Params) -> Result<Value> {
        Ok(json!({
            "user": params.user, "authentication": params.authentication, "authenticated": params.authenticated,
            "extra": params.extra, "provider": params.provider,
        }))
    }
}

/// All of it in one app.
fn app() -> App {
    let auth = auth();
    App::new()
        .register("authentication", auth.clone())
        .register("users", users(&auth))
        .register("secured", Echo.before(ALL, auth.authenticate("jwt")))
}

fn client() -> Params {
    Params::default().with_provider("rest")
}

/// A client that came with a token in its header.
fn bearer(token: &str) -> Params {
    client().with_authentication(json!({ "strategy": "jwt", "accessToken": token }))
}

async fn sign_up(users: &Handle) -> Value {
    users.create(json!({ "email": "ada@example.org", "password": "hunter2" })).params(client()).await.unwrap()
}

fn with_password() -> Value {
    json!({ "strategy": "local", "email": "ada@example.org", "password": "hunter2" })
}

async fn log_in(authentication: &Handle) -> Value {
    authentication.create(with_password()).params(client()).await.unwrap()
}

fn token(login: &Value) -> &str {
    login["accessToken"].as_str().unwrap()
}

#[track_caller]
fn assert_refused(outcome: Result<Value>, message: &str) {
    let error: Error = outcome.unwrap_err();
    assert_eq!((error.code(), error.message()), (401, message), "{error:?}");
}
