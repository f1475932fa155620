//! The page that shows the document, with all that it consists of.
//!
//! It is Swagger UI, whose files the build takes from a crate that has them: nothing is fetched, neither by the build nor by
//! the page.

use super::endpoint;
use crate::{Front, health, http::html::escaped};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION},
};
use rachis_core::Error;
use std::sync::Once;

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/docs.js");
const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css"));

/// Everything comes from here and goes to here. Swagger UI has styles in its elements, and pictures in its styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns what of the page is at `path`: the name of a file, or nothing for the page itself. A service of just that name is
/// not hidden by it.
pub(crate) fn file_at<'a>(gateway: &Front, path: &'a str) -> Option<&'a str> {
    static TOLD: Once = Once::new();
    let docs = gateway.settings.docs.as_str();
    if docs.is_empty() || gateway.settings.openapi.is_empty() {
        return None;
    }
    let file = path.strip_prefix(docs)?;
    let file = if file.is_empty() { file } else { file.strip_prefix('/')? };
    let is_known = matches!(file, "" | "docs.js" | "swagger-ui-bundle.js" | "swagger-ui.css");
    (is_known && !endpoint::is_taken(gateway, docs, "gateway.docs", &TOLD)).then_some(file)
}

pub(crate) fn answer(gateway: &Front, file: &str, request: &Request) -> Response {
    if let Some(refused) = health::unless_read(request.method()) {
        return refused;
    }
    let docs = gateway.settings.docs.as_str();
    let (kind, content): (_, Vec<u8>) = match file {
        // What the page refers to is beside it, so it has to be a folder.
        "" if !request.uri().path().ends_with('/') => {
            let last = docs.rsplit('/').next().unwrap_or_default();
            return (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{last}/"))]).into_response();
        }
        "" => {
            let up = "../".repeat(docs.split('/').count());
            let openapi = escaped(&format!("{up}{}", gateway.settings.openapi));
            ("text/html; charset=utf-8", PAGE.replace("{{openapi}}", &openapi).into())
        }
        "docs.js" => ("text/javascript; charset=utf-8", SCRIPT.into()),
        "swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", BUNDLE.into()),
        "swagger-ui.css" => ("text/css; charset=utf-8", STYLE.into()),
        _ => return crate::http::reply::error(&Error::not_found("Page not found")),
    };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, content).into_response()
}
