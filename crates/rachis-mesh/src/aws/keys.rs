//! Whose keys sign: found where AWS puts them into containers.

use super::{
    Env,
    http::{self, encode},
};
use rachis_config::Secret;
use rachis_core::{Error, Result};
use serde_json::Value;

/// What an identity signs with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
}

impl Keys {
    pub(super) fn new(id: &str, secret: &str, token: Option<&str>) -> Self {
        Keys { id: id.to_owned(), secret: secret.into(), token: token.map(Secret::from) }
    }

    /// As a container's endpoint tells them.
    fn of_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| value[name].as_str();
        Some(Keys::new(field("AccessKeyId")?, field("SecretAccessKey")?, field("Token")))
    }

    /// As STS tells them.
    fn of_xml(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim())
        };
        Some(Keys::new(field("AccessKeyId")?, field("SecretAccessKey")?, field("SessionToken")))
    }
}

/// The keys of this process, of the first place that has some.
pub(super) async fn find(env: &Env, region: &str) -> Result<Keys> {
    if let (Some(id), Some(secret)) = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")) {
        return Ok(Keys::new(&id, &secret, env("AWS_SESSION_TOKEN").as_deref()));
    }
    if let (Some(role), Some(file)) = (env("AWS_ROLE_ARN"), env("AWS_WEB_IDENTITY_TOKEN_FILE")) {
        return of_service_account(env, region, &role, &file).await;
    }
    let relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("http://169.254.170.2{path}"));
    match relative.or_else(|| env("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        Some(url) => of_container(env, &url).await,
        None => Err(Error::unavailable(
            "No identity of AWS: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set, nor AWS_ROLE_ARN and \
             AWS_WEB_IDENTITY_TOKEN_FILE, nor AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI",
        )),
    }
}

async fn of_container(env: &Env, url: &str) -> Result<Keys> {
    let mut headers = Vec::new();
    let token = match env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        // Read anew each time, since it is changed.
        Some(file) => Some(read(&file)?),
        None => env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        headers.push(("authorization", token));
    }
    let body = http::ask(url, "GET", &headers, "").await?;
    Keys::of_json(&body).ok_or_else(|| Error::unavailable("The endpoint of the container told no keys"))
}

/// Keys for the role of a service account, from STS.
async fn of_service_account(env: &Env, region: &str, role: &str, file: &str) -> Result<Keys> {
    let token = read(file)?;
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    let url = env("AWS_ENDPOINT_URL_STS").unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com{china}"));
    let session = env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "rachis".into());
    let body = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
        encode(role),
        encode(&session),
        encode(&token)
    );
    let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
    let answer = http::ask(&url, "POST", &headers, &body).await?;
    Keys::of_xml(&answer).ok_or_else(|| Error::unavailable("STS told no keys"))
}

fn read(file: &str) -> Result<String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Error::unavailable(format!("{file} can not be read: {error}")))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashMap, sync::Arc};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
    };

    /// Answers one request with `reply`, and returns what was asked.
    async fn endpoint(reply: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            asked.truncate(length);
            stream.write_all(reply.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, asked)
    }

    fn env(variables: &[(&str, &str)]) -> Env {
        let variables: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Arc::new(move |name| variables.get(name).cloned())
    }

    #[tokio::test]
    async fn a_container_is_asked_with_its_token() {
        let body = r#"{"AccessKeyId":"AKID","SecretAccessKey":"hush","Token":"session","Expiration":"2030-01-01"}"#;
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak();
        let (url, asked) = endpoint(reply).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "a-token\n").unwrap();
        let url = format!("{url}/v1/credentials");
        let env = env(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
        ]);
        assert_eq!(find(&env, "eu-central-1").await.unwrap(), Keys::new("AKID", "hush", Some("session")));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /v1/credentials HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nauthorization: a-token\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_service_account_takes_on_its_role() {
        let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            26\r\n<Credentials><AccessKeyId>AKID</Access\r\n\
            3f\r\nKeyId><SecretAccessKey>hush</SecretAccessKey><SessionToken>sess\r\n\
            20\r\nion</SessionToken></Credentials>\r\n0\r\n\r\n";
        let (url, asked) = endpoint(reply).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "web.token").unwrap();
        let env = env(&[
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/todos"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
            ("AWS_ENDPOINT_URL_STS", &url),
        ]);
        assert_eq!(find(&env, "eu-central-1").await.unwrap(), Keys::new("AKID", "hush", Some("session")));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST / HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Ftodos&"), "{asked}");
        assert!(asked.ends_with("&WebIdentityToken=web.token"), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_without_what_came_along() {
        let (url, _asked) = endpoint("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nhush").await;
        let env = env(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
        let error = find(&env, "eu-central-1").await.unwrap_err();
        assert!(error.message().contains("403") && !error.message().contains("hush"), "{error}");
    }
}
