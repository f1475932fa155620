//! The files of the page. There is nothing secret in them: what is shown comes by services.

use crate::{Front, health, http::html::escaped};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};

const PAGE: &str = include_str!("page/index.html");

/// All other files, with their types.
const FILES: [(&str, &str, &str); 11] = [
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("client.js", SCRIPT, include_str!("page/client.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("charts.js", SCRIPT, include_str!("page/charts.js")),
    ("form.js", SCRIPT, include_str!("page/form.js")),
    ("live.js", SCRIPT, include_str!("page/live.js")),
    ("mesh.js", SCRIPT, include_str!("page/mesh.js")),
    ("services.js", SCRIPT, include_str!("page/services.js")),
    ("traffic.js", SCRIPT, include_str!("page/traffic.js")),
    ("queues.js", SCRIPT, include_str!("page/queues.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Everything comes from here and goes to here, and no text becomes HTML: browsers that know Trusted Types refuse it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Returns what of the page is at `path`: the name of a file, or nothing for the page itself.
pub(crate) fn file_at<'a>(gateway: &Front, path: &'a str) -> Option<&'a str> {
    let dashboard = gateway.settings.dashboard.as_str();
    if dashboard.is_empty() {
        return None;
    }
    let file = path.strip_prefix(dashboard)?;
    let file = if file.is_empty() { file } else { file.strip_prefix('/')? };
    (file.is_empty() || FILES.iter().any(|(name, ..)| *name == file)).then_some(file)
}

pub(crate) fn answer(gateway: &Front, file: &str, request: &Request) -> Response {
    if let Some(refused) = health::unless_read(request.method()) {
        return refused;
    }
    let (kind, content) = match FILES.iter().find(|(name, ..)| *name == file) {
        Some((_, kind, content)) => (*kind, (*content).to_owned()),
        // What the page refers to is beside it, so it has to be a folder.
        None if !request.uri().path().ends_with('/') => {
            let dashboard = gateway.settings.dashboard.as_str();
            let last = dashboard.rsplit('/').next().unwrap_or_default();
            return (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{last}/"))]).into_response();
        }
        None => ("text/html; charset=utf-8", page(gateway)),
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content).into_response()
}

/// The page with what it has to know of this gateway.
fn page(gateway: &Front) -> String {
    let config = &gateway.node.config().gateway;
    let dashboard = gateway.settings.dashboard.as_str();
    let up = "../".repeat(dashboard.split('/').count());
    let known = [
        ("{{services}}", dashboard.to_owned()),
        ("{{sockets}}", format!("{up}{}/", config.socket_path.trim_matches('/'))),
        ("{{authentication}}", config.authentication_path.trim_matches('/').to_owned()),
        ("{{username}}", config.auth.local.username_field.clone()),
        ("{{password}}", config.auth.local.password_field.clone()),
        ("{{anonymous}}", config.dashboard.anonymous.to_string()),
    ];
    known.into_iter().fold(PAGE.to_owned(), |page, (name, value)| page.replace(name, &escaped(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let all = || FILES.iter().map(|(.., content)| *content).chain([PAGE]);
        let bytes: usize = all().map(str::len).sum();
        assert!(bytes < 200 << 10, "{bytes} bytes");
        for content in all() {
            let elsewhere = ["https://", "//cdn", "@import", "innerHTML", "insertAdjacentHTML", "document.write"];
            for part in elsewhere {
                assert!(!content.contains(part), "{part}");
            }
        }
    }
}
