//! Who may look at the dashboard.

use parking_lot::Mutex;
use rachis_config::Gateway;
use rachis_core::{BoxFuture, Context, Error, Hook, Result};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long what the login service said of a token counts: a page asks several times a second.
const PROVEN: Duration = Duration::from_secs(5);
/// Tokens of which that is kept.
const TOKENS: usize = 256;

/// The hook before all services of the dashboard: lets pass whom the configuration lets look.
///
/// It believes an `authenticate` hook of the app, and where there is none it asks the login service itself: a program that
/// guards its services one by one need not think of these.
#[derive(Clone)]
pub(super) struct Access {
    anonymous: bool,
    role: String,
    role_field: String,
    /// The path of the login service.
    authentication: String,
    /// The field of a login that holds the user.
    entity: String,
    /// Whether the bearers of these tokens may look, and since when that is known.
    proven: Arc<Mutex<HashMap<String, (Instant, bool)>>>,
}

impl Access {
    pub(super) fn new(config: &Gateway) -> Self {
        Access {
            anonymous: config.dashboard.anonymous,
            role: config.dashboard.role.clone(),
            role_field: config.dashboard.role_field.clone(),
            authentication: config.authentication_path.trim_matches('/').to_owned(),
            entity: config.auth.entity.clone(),
            proven: Arc::default(),
        }
    }

    async fn check(&self, ctx: Context) -> Result<Context> {
        if self.anonymous || ctx.params.is_internal() {
            return Ok(ctx);
        }
        let credentials = ctx.params.authentication.as_ref().filter(|sent| !sent.is_null());
        let Some(credentials) = credentials else { return Err(Error::not_authenticated("Not authenticated")) };
        let may_look = if ctx.params.authenticated {
            self.has_role(&json!({ &self.entity: ctx.params.user, "authentication": credentials }))
        } else {
            self.may_look(&ctx, credentials).await?
        };
        if may_look {
            return Ok(ctx);
        }
        Err(Error::forbidden(format!("The dashboard is for users whose {} include '{}'", self.role_field, self.role)))
    }

    /// Asks the login service, unless it was asked a moment ago. That it refuses a token is not kept.
    async fn may_look(&self, ctx: &Context, credentials: &Value) -> Result<bool> {
        let token = credentials["accessToken"].as_str().unwrap_or_default();
        if let Some((since, may_look)) = self.proven.lock().get(token)
            && since.elapsed() < PROVEN
        {
            return Ok(*may_look);
        }
        let may_look = self.has_role(&self.log_in(ctx, credentials).await?);
        let mut proven = self.proven.lock();
        if proven.len() >= TOKENS {
            proven.clear();
        }
        proven.insert(token.to_owned(), (Instant::now(), may_look));
        Ok(may_look)
    }

    async fn log_in(&self, ctx: &Context, credentials: &Value) -> Result<Value> {
        if self.authentication.is_empty() {
            return Err(Error::not_authenticated("There is no login service that could say who calls"));
        }
        let token = json!({ "strategy": credentials["strategy"], "accessToken": credentials["accessToken"] });
        ctx.service(&self.authentication).create(token).await
    }

    fn has_role(&self, login: &Value) -> bool {
        if self.role.is_empty() {
            return true;
        }
        let user = login.get(&self.entity).filter(|user| !self.entity.is_empty() && user.is_object());
        let bearer = user.or_else(|| login.pointer("/authentication/payload"));
        match bearer.and_then(|bearer| bearer.get(&self.role_field)) {
            Some(Value::String(role)) => *role == self.role,
            Some(Value::Array(roles)) => roles.iter().any(|role| role.as_str() == Some(&self.role)),
            _ => false,
        }
    }
}

impl Hook for Access {
    fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>> {
        Box::pin(self.check(ctx))
    }

    fn identifies_caller(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_config::Config;

    fn access(toml: &str) -> Access {
        Access::new(&Config::from_toml(&format!("[gateway.dashboard]\n{toml}")).unwrap().gateway)
    }

    #[test]
    fn a_role_is_a_text_or_one_of_a_list_and_nothing_that_only_looks_like_it() {
        let admins = access("");
        for (roles, may) in [
            (json!("admin"), true),
            (json!(["editor", "admin"]), true),
            (json!("administrator"), false),
            (json!(["editor"]), false),
            (json!({ "admin": true }), false),
            (json!(true), false),
            (Value::Null, false),
        ] {
            assert_eq!(admins.has_role(&json!({ "user": { "roles": roles } })), may, "{roles}");
        }
        assert!(!admins.has_role(&json!({ "roles": "admin" })));
    }

    #[test]
    fn claims_of_a_token_count_only_where_it_names_no_user() {
        let claims = json!({ "payload": { "roles": ["admin"] } });
        assert!(access("").has_role(&json!({ "authentication": claims })));
        assert!(!access("").has_role(&json!({ "user": { "roles": [] }, "authentication": claims })));
    }

    #[test]
    fn another_field_and_no_role_at_all_can_be_asked_for() {
        let scope = access("role = 'ops'\nrole_field = 'team'");
        assert!(scope.has_role(&json!({ "user": { "team": "ops" } })));
        assert!(!scope.has_role(&json!({ "user": { "roles": "ops" } })));
        assert!(access("role = ''").has_role(&json!({ "user": {} })));
    }
}
