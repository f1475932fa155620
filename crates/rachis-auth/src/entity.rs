//! Finds the entity that logs in, in a users service that is here or on any other node.

use super::{AuthConfig, Authentication};
use rachis_core::{Error, Id, Listing, Params, Result, host::not_found};
use serde_json::{Map, Value, json};

impl Authentication {
    /// The entity with this id, with all its fields, as code sees it.
    ///
    /// # Errors
    /// `NotFound` from the entity service; `Unavailable` if there is no such service.
    pub async fn get_entity(&self, id: impl Into<Id>, params: &Params) -> Result<Value> {
        let users = params.service(&self.config().service);
        users.get(id).params(internal(params)).await.map_err(|error| self.explain(error))
    }

    /// The first entity whose `field` is exactly `value`, with all its fields, as code sees it.
    ///
    /// # Errors
    /// Those of the entity service; `Unavailable` if there is no such service.
    pub async fn find_entity(&self, field: &str, value: &str, params: &Params) -> Result<Option<Value>> {
        let mut query = Map::new();
        query.insert("$limit".into(), 1.into());
        query.insert(field.to_owned(), value.into());
        let users = params.service(&self.config().service);
        let call = users.find().params(internal(params).with_query(query));
        let found: Listing<Value> = serde_json::from_value(call.await.map_err(|error| self.explain(error))?)
            .map_err(|_| Error::bad_gateway(format!("find on '{}' returned no list", users.path())))?;
        Ok(found.into_records().into_iter().next())
    }

    /// `entity` as the caller may see it: unchanged for code. For a client it is asked for again in the client's
    /// name, so that the hooks of the users service hide what they hide from clients.
    ///
    /// # Errors
    /// `NotAuthenticated` for an entity without id, and whatever the entity service fails with.
    pub async fn visible_entity(&self, entity: Value, params: &Params) -> Result<Value> {
        if params.is_internal() {
            return Ok(entity);
        }
        // The users service may be on a node that does not take this one's word. The entity has just proven who it is,
        // so it gets the token that says so.
        let id = self.id_of(&entity)?.to_string();
        let (token, _) = self.sign(Map::new(), Some(&id))?;
        self.visible_by_token(entity, &token, params).await
    }

    /// The same for the bearer of a verified token.
    pub(super) async fn visible_by_token(&self, entity: Value, token: &str, params: &Params) -> Result<Value> {
        if params.is_internal() {
            return Ok(entity);
        }
        let users = params.service(&self.config().service);
        let id = self.id_of(&entity)?;
        let authentication = Some(json!({ "strategy": "jwt", "accessToken": token }));
        let params = Params { authenticated: true, authentication, user: Some(entity), ..params.clone() };
        let answer = users.get(id).params(params).answer().await;
        answer.map(|answer| answer.external()).map_err(|error| self.explain(error))
    }

    fn id_of(&self, entity: &Value) -> Result<Id> {
        let AuthConfig { entity: name, entity_id, .. } = self.config();
        let id = entity.get(entity_id).and_then(Id::from_json);
        id.ok_or_else(|| Error::not_authenticated(format!("Can not set subject from {name}.{entity_id}")))
    }

    /// A users service that is not there is no user that is not there: clients forget their tokens over the latter.
    fn explain(&self, error: Error) -> Error {
        let service = &self.config().service;
        if error == not_found(rachis_core::host::path::strip(service)) {
            return Error::unavailable(format!("Logins are not possible: the service '{service}' is not there"));
        }
        error
    }
}

/// The params of a call that code makes: no client, no query of a client's, and no credentials, which the hooks of the
/// users service would check again, and that asks the users service again.
fn internal(params: &Params) -> Params {
    Params {
        query: Default::default(),
        provider: None,
        route: Default::default(),
        authentication: None,
        authenticated: true,
        ..params.clone()
    }
}
