//! Login with a token.

use super::{Authentication, Strategy};
use rachis_core::{Error, Id, Params, Result};
use serde_json::{Value, json};

/// Takes `{ strategy: "jwt", accessToken }`. The token is verified anew each time, and the entity it names must still be
/// there: a deleted one is the entity service's `NotFound`.
#[derive(Clone, Copy, Debug, Default)]
pub struct JwtStrategy;

impl Strategy for JwtStrategy {
    async fn authenticate(&self, auth: &Authentication, request: &Value, params: &Params) -> Result<Value> {
        let token = match request.get("accessToken") {
            None | Some(Value::Null) => return Err(Error::not_authenticated("No access token")),
            Some(Value::String(token)) if token.is_empty() => return Err(Error::not_authenticated("No access token")),
            Some(Value::String(token)) => token,
            Some(_) => return Err(super::token::refused("jwt must be a string")),
        };
        auth.prepare_keys(token).await?;
        let claims = auth.verify_token(token)?;
        let subject = claims.get("sub").and_then(Id::from_json);
        let mut result = json!({
            "accessToken": token,
            "authentication": { "strategy": "jwt", "accessToken": token, "payload": claims },
        });
        if !auth.config().entity.is_empty() {
            let id = subject.ok_or_else(|| Error::not_authenticated("The token names no user: it has no `sub`"))?;
            let entity = auth.get_entity(id, params).await?;
            result[&auth.config().entity] = auth.visible_by_token(entity, token, params).await?;
        }
        Ok(result)
    }
}
