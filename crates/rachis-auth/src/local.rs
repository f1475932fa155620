//! Login with a password.

use super::{Authentication, Strategy, fields, password};
use rachis_core::{Error, Params, Result};
use serde_json::{Value, json};

/// Takes `{ strategy: "local", email, password }`, by whatever names [`LocalOptions`](super::LocalOptions) gives them.
///
/// Both must be text, so no request turns into a query. Hashes are bcrypt's, or argon2's, which applications may bring
/// along. Every failure is `Invalid login`, and a missing user takes as long as a wrong password (of a bcrypt hash with
/// cost 10), so that callers do not learn which names are registered.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalStrategy;

impl Strategy for LocalStrategy {
    async fn authenticate(&self, auth: &Authentication, request: &Value, params: &Params) -> Result<Value> {
        let options = &auth.config().local;
        let text = |field: &str| fields::get(request, field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(username), Some(password)) = (text(&options.username_field), text(&options.password_field)) else {
            return Err(invalid_login());
        };
        let found = auth.find_entity(&options.username_field, username, params).await?;
        let hash = found.as_ref().and_then(|entity| fields::get(entity, &options.password_field)?.as_str());
        let right = password::verify(password, hash).await?;
        let Some(entity) = found.filter(|_| right) else { return Err(invalid_login()) };
        let entity = auth.visible_entity(entity, params).await?;
        let mut result = json!({ "authentication": { "strategy": "local" } });
        result[&auth.config().entity] = entity;
        Ok(result)
    }
}

fn invalid_login() -> Error {
    Error::not_authenticated("Invalid login")
}
