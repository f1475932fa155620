//! Users, their logins, and records for logged-in users only.

use rachis::{
    ALL, Context, Id, MemoryService, Method, Registration, Result, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
    schema::Schemas,
};
use serde_json::Value;

/// The same on every node: one logs in, all verify.
pub(crate) fn authentication() -> Result<Authentication> {
    // The secret stands in the source, so its length is the least of its faults.
    Authentication::new(AuthConfig { allow_weak_secret: true, ..AuthConfig::new("compat-secret") })
}

/// Signing up takes no login, all else does. Clients see no password.
pub(crate) fn users(auth: &Authentication) -> Registration {
    let guarded = [Method::Find, Method::Get, Method::Update, Method::Patch, Method::Remove];
    MemoryService::new()
        .start_id(1)
        .around(guarded, auth.authenticate("jwt"))
        .before([Method::Create, Method::Patch], hash_password("password"))
        .after(ALL, protect(["password"]))
        .schemas(Schemas::new())
}

/// Records with the id of the user who made them.
pub(crate) fn secured(auth: &Authentication) -> Registration {
    let secured = MemoryService::new().multi(true).before(ALL, auth.authenticate("jwt"));
    secured.before(Method::Create, with_user_id).schemas(Schemas::new())
}

async fn with_user_id(mut ctx: Context) -> Result<Context> {
    let Some(id) = ctx.params.user.as_ref().and_then(|user| Id::from_json(&user["id"])) else { return Ok(ctx) };
    match &mut ctx.data {
        Value::Array(records) => records.iter_mut().for_each(|record| set_user_id(record, &id)),
        record => set_user_id(record, &id),
    }
    Ok(ctx)
}

fn set_user_id(record: &mut Value, id: &Id) {
    if let Value::Object(fields) = record {
        fields.insert("userId".into(), id.clone().into());
    }
}
