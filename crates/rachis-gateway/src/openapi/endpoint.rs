//! The document of a mesh, as a gateway serves it.

use super::{Described, Document};
use crate::{
    Front, dashboard, health,
    http::{params, reply},
};
use axum::{
    extract::{OriginalUri, Request},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    request::Parts,
};
use rachis_core::{Call, Error, Method, Result, host::guarded, schema::Schemas};
use rachis_mesh::{Node, ServiceSchemas};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Once};

/// The version of a document that is given none: it has to have one, and tools read it as a semantic one.
const UNVERSIONED: &str = "0.0.0";

/// Returns the OpenAPI document of all services that `node` can call, which are below `server`.
///
/// # Errors
/// Where the schemas of a service can not be read: those of [`Node::schemas`].
pub async fn describe(node: &Node, server: &str) -> Result<Value> {
    document(node, server, |path, error| {
        let message = format!("The schemas of '{path}' could not be read: {}", error.message());
        Err(Error::new(error.kind(), message))
    })
    .await
}

/// Does so; `unreadable` says what is noted of a service whose schemas can not be read.
async fn document(node: &Node, server: &str, unreadable: impl Fn(&str, &Error) -> Result<String>) -> Result<Value> {
    let config = node.live();
    let title = if config.app.is_empty() { "Services" } else { &config.app };
    let version = if config.version.is_empty() { UNVERSIONED } else { &config.version };
    let mut document = Document::new(title, version).server(server);
    for service in node.services().into_iter().filter(|service| !dashboard::is_own(node, &service.path)) {
        let Some(found) = node.resolve(&service.path) else { continue };
        let is_open = |method: &Method| config.gateway.auth.public.allows(&service.path, method.name());
        let is_login = service.path == config.gateway.authentication_path.trim_matches('/');
        let guarded =
            |method: &&Method| found.guarded.covers(Some(method), &found.descriptor) && !is_open(method) && !is_login;
        let mut descriptor = (*found.descriptor).clone();
        // A path with placeholders leads to itself, too; the name by which it is called here is what counts.
        descriptor.path.clone_from(&service.path);
        let (schemas, note) = match node.schemas(&service.path).await {
            Ok(Some(found)) => (Some(Schemas::clone(&found.schemas)), differing(&found)),
            Ok(None) => (None, None),
            Err(error) => (None, Some(unreadable(&service.path, &error)?)),
        };
        let guarded = descriptor.methods.iter().filter(guarded).cloned().collect();
        document = document.service(&Described { descriptor, schemas, guarded, note });
    }
    Ok(document.into_value())
}

/// Returns `true` if the document is at `path`. A service of just that name is not hidden by it: it is called.
pub(crate) fn is_at(gateway: &Front, path: &str) -> bool {
    static TOLD: Once = Once::new();
    !path.is_empty() && path == gateway.settings.openapi && !is_taken(gateway, path, "gateway.openapi", &TOLD)
}

/// Returns `true` if a service has just this path, and says once, by `told`, that it is served there instead of what `key` puts
/// there.
pub(super) fn is_taken(gateway: &Front, path: &str, key: &str, told: &Once) -> bool {
    let is_taken = gateway.node.resolve(path).is_some_and(|found| found.descriptor.path == path);
    if is_taken {
        told.call_once(|| {
            tracing::warn!(path, key, "a service has this path and is served there: set the key to another");
        });
    }
    is_taken
}

/// Returns what a reader has to know where replicas have different schemas.
fn differing(found: &ServiceSchemas) -> Option<String> {
    if found.others.is_empty() {
        return None;
    }
    let others: Vec<&str> = found.others.iter().map(|other| other.version.as_str()).collect();
    Some(format!(
        "Replicas of this service have different schemas: these are the newest, of version {}; others run version {}.",
        found.version,
        others.join(", ")
    ))
}

pub(crate) async fn answer(gateway: &Front, request: Request) -> Response {
    if let Some(refused) = health::unless_read(request.method()) {
        return refused;
    }
    let (parts, _) = request.into_parts();
    match read(gateway, &parts).await {
        Ok(document) => document,
        Err(error) => reply::error(&error),
    }
}

async fn read(gateway: &Front, parts: &Parts) -> Result<Response> {
    admit(gateway, parts).await?;
    let server = format!("{}/{}", mount(parts), gateway.settings.prefix);
    // One service whose schemas can not be read does not take the document away from the others.
    let document = document(&gateway.node, &server, |path, error| {
        tracing::warn!(path, %error, "a service is described without its schemas");
        Ok("Its schemas could not be read when this was made.".to_owned())
    });
    let document = document.await?.to_string();
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&document)[..16]));
    let mut response = if names(&parts.headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        reply::text(StatusCode::OK, document)
    };
    // Services come and go, so it is asked for each time; what has not changed is not sent again.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = tag.parse() {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// Lets pass whom the hooks of the app would let call a service of that name: a gateway that is closed to strangers does not
/// tell them what is behind it, unless its path is `public`.
async fn admit(gateway: &Front, parts: &Parts) -> Result<()> {
    let caller = params::caller(parts, gateway.proxies.client(&parts.extensions, &parts.headers))?;
    let path = gateway.settings.openapi.clone();
    let mut call = Call { path, method: Method::Find, id: None, data: Value::Null, params: caller, timeout: None };
    call.params.caller = Some(Arc::new(gateway.node.clone()));
    guarded::ask(&[&gateway.node.app().hooks()], &Method::Find, Box::new(call), None).await
}

/// The part of the path that a router has taken off in front of this one.
fn mount(parts: &Parts) -> String {
    let whole = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).path();
    let own = parts.uri.path().trim_matches('/');
    whole.trim_end_matches('/').strip_suffix(own).unwrap_or_default().trim_end_matches('/').to_owned()
}

fn names(headers: &HeaderMap, tag: &str) -> bool {
    let listed = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    listed
        .flat_map(|list| list.split(','))
        .any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag)
}
