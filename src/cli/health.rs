//! `rachis health`: is a gateway ready? For HEALTHCHECK in a container, where there is no curl.

use super::{
    Exit,
    exit::Failure,
    global::{Global, duration},
    out::Out,
};
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

/// Unless --timeout says other. Shorter than the 30 s after which container platforms lose patience.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than any readiness has to say.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Ask a gateway whether it is ready
///
/// Prints the state and ends with 0 if the gateway should get traffic, else with 1. With --json: an object with url,
/// status and code (the HTTP status; null when there was no answer).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The gateway [default: http:// and `gateway.listen`]; without a path, /readyz is asked for
    url: Option<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let timeout = match &global.timeout {
        Some(text) => duration(text).map_err(|error| Failure::usage(format!("--timeout {text}: {error}")))?,
        None => TIMEOUT,
    };
    let url = match &args.url {
        Some(url) => address(url)?,
        None => address(&format!("http://{}", reachable(&global.config()?.gateway.listen)?))?,
    };
    let asked = tokio::time::timeout(timeout, ask(&url)).await;
    let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(timeout))));
    match (answer, out.json) {
        (Ok((code, status)), true) => {
            out.document(&json!({ "url": url.to_string(), "status": status, "code": code.as_u16() }))?;
            Ok(verdict(code))
        }
        (Ok((code, status)), false) => {
            out.line(&status)?;
            Ok(verdict(code))
        }
        (Err(error), true) => {
            out.document(&json!({ "url": url.to_string(), "status": error, "code": null }))?;
            Ok(Exit::Failed)
        }
        (Err(error), false) => Err(Failure::failed(format!("{url}: {error}"))),
    }
}

fn verdict(code: StatusCode) -> Exit {
    if code.is_success() { Exit::Good } else { Exit::Failed }
}

/// Where to ask a gateway that listens on `listen`: "any address" is none to connect to.
fn reachable(listen: &str) -> Result<String, Failure> {
    match listen.rsplit_once(':') {
        Some((_, "0")) => Err(Failure::usage("`gateway.listen` has port 0, so name the gateway: rachis health URL")),
        Some(("0.0.0.0", port)) => Ok(format!("127.0.0.1:{port}")),
        // It takes IPv4 as well, and only that where there is no IPv6.
        Some(("[::]", port)) => Ok(format!("127.0.0.1:{port}")),
        _ => Ok(listen.to_owned()),
    }
}

fn address(url: &str) -> Result<Uri, Failure> {
    let wrong = |why: &str| Failure::usage(format!("{url:?} {why}: write it as http://host:port"));
    let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) if !authority.as_str().contains('@') => match uri.path() {
            "" | "/" => format!("http://{authority}/readyz").parse().map_err(|_| wrong("is no URL")),
            _ => Ok(uri),
        },
        (Some("https"), _) => Err(wrong("is https, which is for clients outside")),
        _ => Err(wrong("can not be asked")),
    }
}

async fn ask(url: &Uri) -> Result<(StatusCode, String), String> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request =
        Request::get(path).header("host", authority).body(Body::empty()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let code = response.status();
    let body = to_bytes(Body::new(response.into_body()), LONGEST_ANSWER).await.unwrap_or_default();
    let status = serde_json::from_slice::<Value>(&body).ok().and_then(|body| Some(body["status"].as_str()?.to_owned()));
    Ok((code, status.unwrap_or_else(|| code.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_asked_at_this_machine() {
        assert_eq!(reachable("0.0.0.0:3030").unwrap(), "127.0.0.1:3030");
        assert_eq!(reachable("[::]:80").unwrap(), "127.0.0.1:80");
        assert_eq!(reachable("10.0.0.1:80").unwrap(), "10.0.0.1:80");
        assert!(reachable("127.0.0.1:0").is_err());
    }

    #[test]
    fn a_url_without_a_path_asks_for_readiness() {
        assert_eq!(address("http://a:1").unwrap(), "http://a:1/readyz");
        assert_eq!(address("http://a:1/livez?x").unwrap(), "http://a:1/livez?x");
        for url in ["https://a", "a:1", "http://u:p@a", "nonsense", ""] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
