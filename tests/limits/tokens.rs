//! Tokens that nobody should believe.

use crate::{
    client::{Socket, ask, get},
    server::{Server, auth},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rachis::auth::{AuthConfig, Authentication, JwtOptions};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

fn genuine() -> String {
    auth().sign(Map::new(), Some("1")).unwrap().0
}

/// Signed with the right secret, after a change of the options.
fn otherwise(change: impl FnOnce(&mut JwtOptions)) -> String {
    let mut config: AuthConfig = auth().config().clone();
    change(&mut config.jwt);
    Authentication::new(config).unwrap().sign(Map::new(), Some("1")).unwrap().0
}

fn unsigned(ending: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "sub": "1", "aud": "https://yourdomain.com", "iss": "feathers", "exp": 99_999_999_999u64 });
    format!("{}.{}.{ending}", part(json!({ "alg": "none", "typ": "access" })), part(claims))
}

fn bad_tokens() -> Vec<(String, &'static str)> {
    let expired = Map::from_iter([("iat".to_owned(), json!(1_000_000_000))]);
    let whole = genuine();
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    vec![
        (unsigned(""), "jwt signature is required"),
        (unsigned(signature), "invalid algorithm"),
        (auth().sign(expired, Some("1")).unwrap().0, "jwt expired"),
        (otherwise(|jwt| jwt.issuer = "somebody".into()), "jwt issuer invalid. expected: feathers"),
        (otherwise(|jwt| jwt.audience = "else".into()), "jwt audience invalid. expected: https://yourdomain.com"),
        (whole[..whole.len() - 5].to_owned(), "invalid signature"),
        (signed.to_owned(), "jwt malformed"),
        (format!("{signed}."), "jwt signature is required"),
        (signed[..20].to_owned(), "jwt malformed"),
        (format!("{}.b.c", "a".repeat(15_000)), "invalid token"),
    ]
}

async fn over_rest(address: SocketAddr, tokens: &[(String, &str)]) {
    for (token, message) in tokens {
        let expected = (401, "NotAuthenticated".to_owned(), (*message).to_owned());
        let header = format!("authorization: Bearer {token}\r\n");
        assert_eq!(ask(address, "GET /secured", &header, b"").await.error(), expected, "{token:.90}");
        let login = json!({ "strategy": "jwt", "accessToken": token }).to_string();
        let json = "content-type: application/json\r\n";
        assert_eq!(ask(address, "POST /authentication", json, login.as_bytes()).await.error(), expected);
    }
    let huge = "a".repeat(1 << 20);
    assert_eq!(ask(address, "GET /secured", &format!("authorization: {huge}\r\n"), b"").await.status, 431);
    let json = "content-type: application/json\r\n";
    let login = json!({ "strategy": "jwt", "accessToken": huge }).to_string();
    assert_eq!(ask(address, "POST /authentication", json, login.as_bytes()).await.status, 413);
}

async fn over_a_socket(address: SocketAddr, tokens: &[(String, &str)]) {
    let mut socket = Socket::connect(address).await;
    let huge = [("a".repeat(900_000), "jwt malformed")];
    for (token, message) in tokens.iter().chain(&huge) {
        let login = json!({ "strategy": "jwt", "accessToken": token });
        let answer = socket.call(&json!(["create", "authentication", login, {}])).await.unwrap();
        let error = &answer[0];
        assert_eq!(
            (&error["code"], &error["name"], &error["message"]),
            (&json!(401), &json!("NotAuthenticated"), &json!(message))
        );
        assert_eq!(socket.call(&json!(["find", "secured"])).await.unwrap()[0]["code"], 401);
    }
    assert!(socket.is_well().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_prove_nothing_are_refused_and_cost_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    let header = format!("authorization: Bearer {}\r\n", genuine());
    assert_eq!(ask(server.address, "GET /secured", &header, b"").await.status, 200, "the genuine one");
    assert_eq!(get(server.address, "/secured").await.status, 401);
    let tokens = bad_tokens();
    server.levels_off("bad tokens over REST", 10, 5000, async || over_rest(server.address, &tokens).await).await;
    server
        .levels_off("bad tokens over a socket", 10, 8000, async || over_a_socket(server.address, &tokens).await)
        .await;
    server.is_well().await;
}
