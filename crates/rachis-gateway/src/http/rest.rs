//! REST: which method a verb means, and the call it becomes.

use crate::{
    Front,
    http::{
        body, params, refusal, reply,
        target::{self, RestTarget},
    },
};
use axum::{
    body::{Body, HttpBody},
    extract::{OriginalUri, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, Method as Verb, StatusCode, request::Parts};
use rachis_core::{Answer, Call, Descriptor, Error, Id, Method, Params, Result};
use serde_json::Value;

/// Names the custom method that a `POST` calls.
pub(crate) const SERVICE_METHOD: HeaderName = HeaderName::from_static("x-service-method");

pub(crate) async fn answer(gateway: &Front, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let response = respond(gateway, &parts, &mut body).await;
    body::discard(&parts.headers, body);
    response
}

async fn respond(gateway: &Front, parts: &Parts, body: &mut Body) -> Response {
    let target = match RestTarget::find(&gateway.node, &gateway.settings.prefix, parts.uri.path()) {
        Ok(Some(target)) => target,
        Ok(None) => {
            return match target::away_at(&gateway.node, &gateway.settings.prefix, parts.uri.path()) {
                Some(error) => reply::error(&error),
                None => reply::page_not_found(&url(parts), &parts.headers),
            };
        }
        Err(error) => return reply::error(&error),
    };
    let descriptor = target.service.descriptor.clone();
    let one = target.id.is_some();
    if parts.method == Verb::OPTIONS {
        return reply::allow(StatusCode::NO_CONTENT.into_response(), &allowed(&descriptor, one));
    }
    match run(gateway, target, parts, body).await {
        Ok((method, answer)) => reply::answer(&method, answer),
        Err(error) if error.code() == 405 => reply::allow(reply::error(&error), &allowed(&descriptor, one)),
        Err(error) => reply::error(&error),
    }
}

/// Everything is checked before the body is read, so a refused request costs little. A client that is not
/// logged in, of a service that needs a login, gets that error before any other.
async fn run(gateway: &Front, target: RestTarget, parts: &Parts, body: &mut Body) -> Result<(Method, Answer)> {
    let method = match method(&parts.method, &parts.headers, &target) {
        Ok(method) => method,
        Err(error) => return Err(refuse(gateway, &target, None, parts, error).await),
    };
    let caller = caller(gateway, parts)?;
    if caller.authentication.is_none() && !body.is_end_stream() && target.service.guarded.is_first(&method) {
        gateway.node.ask(&target.path, Some(&method), caller.clone()).await?;
    }
    let (params, data) = match read(gateway, &method, caller, parts, body).await {
        Ok(read) => read,
        Err(error) => return Err(refuse(gateway, &target, Some(&method), parts, error).await),
    };
    let id = target.id.filter(|_| takes_id(&method));
    let call = Call { path: target.path, method: method.clone(), id, data, params, timeout: None };
    gateway.realtime.call(Box::new(call), None).await.map(|answer| (method, answer))
}

/// The params of the caller.
///
/// # Errors
/// As of [`params::caller`].
fn caller(gateway: &Front, parts: &Parts) -> Result<Params> {
    params::caller(parts, gateway.proxies.client(&parts.extensions, &parts.headers))
}

/// All params of a request of `caller`, and its data.
///
/// # Errors
/// As of [`params::read`] and [`body::read`].
async fn read(
    gateway: &Front,
    method: &Method,
    caller: Params,
    parts: &Parts,
    body: &mut Body,
) -> Result<(Params, Value)> {
    let live = gateway.node.live();
    let params = params::read(caller, parts, &live.gateway.query)?;
    let data = match method {
        Method::Find | Method::Get | Method::Remove => Value::Null,
        _ => body::read(&parts.headers, body, &live.gateway, live.timeout).await?,
    };
    Ok((params, data))
}

/// The error of a request that can not be made because of `error`; `method` is `None` for what is not offered.
async fn refuse(gateway: &Front, target: &RestTarget, method: Option<&Method>, parts: &Parts, error: Error) -> Error {
    let RestTarget { path, service, .. } = target;
    refusal::of(&gateway.node, service, path, method, || caller(gateway, parts), error).await
}

/// A `POST` below an id creates or calls as if the id were not there, as in Feathers, unless it names a custom method.
fn takes_id(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Update | Method::Patch | Method::Remove)
}

/// # Errors
/// `MethodNotAllowed` for verbs without meaning and for methods that the service does not offer.
fn method(verb: &Verb, headers: &HeaderMap, target: &RestTarget) -> Result<Method> {
    let named = service_method(headers);
    let method = match (verb, &target.id, &named) {
        (&Verb::GET | &Verb::HEAD, None, _) => Method::Find,
        (&Verb::GET | &Verb::HEAD, Some(_), _) => Method::Get,
        (&Verb::POST, Some(id), None) => custom(id, target).unwrap_or(Method::Create),
        (&Verb::POST, None, None) => Method::Create,
        (&Verb::POST, _, Some(named)) => named.clone(),
        (&Verb::PUT, ..) => Method::Update,
        (&Verb::PATCH, ..) => Method::Patch,
        (&Verb::DELETE, ..) => Method::Remove,
        (verb, ..) => return Err(Error::method_not_allowed(format!("Method {verb} not allowed"))),
    };
    let misnamed = named.is_some_and(|named| named.is_standard());
    if misnamed || !target.service.descriptor.methods.contains(&method) {
        return Err(Error::method_not_allowed(format!("Method `{method}` is not supported by this endpoint.")));
    }
    Ok(method)
}

/// The custom method of this name, if the service offers one: `POST /mails/send` calls it as the header does, for clients
/// that know paths and no such header.
fn custom(id: &Id, target: &RestTarget) -> Option<Method> {
    let method = Method::from(id.to_string());
    (!method.is_standard() && target.service.descriptor.methods.contains(&method)).then_some(method)
}

/// What the header names. A repeated or unreadable one names something that no service offers, rather than nothing.
fn service_method(headers: &HeaderMap) -> Option<Method> {
    let values = headers.get_all(SERVICE_METHOD).iter();
    let named = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ");
    (!named.is_empty()).then(|| Method::from(named))
}

/// The verbs that mean something here, for one record or for many.
fn allowed(descriptor: &Descriptor, one: bool) -> Vec<&'static str> {
    let offers = |method: &Method| descriptor.methods.contains(method);
    let reads = if one { offers(&Method::Get) } else { offers(&Method::Find) };
    let posts = descriptor.methods.iter().any(|method| *method == Method::Create || !method.is_standard());
    let verbs = [
        ("GET", reads),
        ("HEAD", reads),
        ("POST", posts),
        ("PUT", offers(&Method::Update)),
        ("PATCH", offers(&Method::Patch)),
        ("DELETE", offers(&Method::Remove)),
        ("OPTIONS", true),
    ];
    verbs.iter().filter(|(_, means_something)| *means_something).map(|(verb, _)| *verb).collect()
}

/// What the client asked for, before a router that this one is nested in took its part off.
fn url(parts: &Parts) -> String {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    uri.path_and_query().map_or_else(|| uri.to_string(), |url| url.to_string())
}
