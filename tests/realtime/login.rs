//! Who a socket belongs to, from login to logout or expiry.

use crate::{
    Server,
    client::{Client, End},
    polling::Poller,
    services::app,
};
use rachis::gateway::Channels;
use rachis_testing::eventually;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

type Log = Arc<Mutex<Vec<String>>>;

/// Notes what happens, in order, each with the name of the user if there is one.
fn noting() -> (Channels, Log) {
    let log = Log::default();
    let note = |what: &'static str| {
        let log = log.clone();
        move |user: Option<Value>| {
            let name = user.and_then(|user| user["name"].as_str().map(str::to_owned));
            log.lock().unwrap().push(format!("{what} {}", name.unwrap_or_else(|| "-".to_owned())));
        }
    };
    let (connection, disconnect, login, logout, rest) =
        (note("connection"), note("disconnect"), note("login"), note("logout"), note("login by rest"));
    let channels = Channels::new()
        .on_connection(move |new, channels| {
            channels.channel("everyone").join(new);
            connection(new.user());
        })
        .on_disconnect(move |old, channels| {
            assert!(!channels.channel("everyone").connections().contains(old));
            disconnect(old.user());
        })
        .on_login(move |event, _| match event.connection {
            Some(connection) => login(connection.user()),
            None => rest(event.result.get("user").cloned()),
        })
        .on_logout(move |event, channels| {
            assert!(channels.channel("everyone").is_empty());
            logout(event.connection.and_then(|connection| connection.user()));
        });
    (channels, log)
}

async fn until(log: &Log, expected: &[&str]) {
    eventually(&format!("{expected:?} happened"), async || *log.lock().unwrap() == expected).await;
}

fn login(name: &str) -> Value {
    json!(["create", "authentication", { "strategy": "local", "name": name }, {}])
}

/// What a service sees of the caller.
async fn seen(client: &mut Client) -> (Value, Value, Value) {
    let seen = client.call(json!(["find", "echo", {}])).await.unwrap();
    (seen["user"].clone(), seen["authentication"].clone(), seen["authenticated"].clone())
}

#[tokio::test]
async fn a_login_goes_with_every_call_until_the_logout() {
    let (channels, log) = noting();
    let server = Server::remote(app(), channels).await;
    let mut client = server.connect().await;
    let nobody = (Value::Null, Value::Null, json!(false));
    assert_eq!(seen(&mut client).await, nobody);

    let answer = client.call(login("ada")).await.unwrap();
    assert_eq!(answer["accessToken"], "ada");
    let credentials = json!({ "strategy": "jwt", "accessToken": "ada" });
    assert_eq!(seen(&mut client).await, (json!({ "name": "ada" }), credentials, json!(false)));

    client.call(json!(["remove", "authentication", null, {}])).await.unwrap();
    assert_eq!(seen(&mut client).await, nobody);
    drop(client);
    until(&log, &["connection -", "login ada", "logout -", "disconnect -"]).await;
}

#[tokio::test]
async fn a_failed_login_changes_nothing() {
    let (channels, log) = noting();
    let server = Server::remote(app(), channels).await;
    let mut client = server.connect().await;
    client.call(login("ada")).await.unwrap();
    let refused = client.call(login("nobody")).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["message"]), (&json!(401), &json!("Invalid login")));
    assert_eq!(seen(&mut client).await.0["name"], "ada");
    until(&log, &["connection -", "login ada"]).await;
}

#[tokio::test]
async fn the_logout_of_another_token_leaves_the_connection_logged_in() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    client.call(login("ada")).await.unwrap();
    client.call(json!(["remove", "authentication", "bob", {}])).await.unwrap();
    assert_eq!(seen(&mut client).await.0["name"], "ada");
}

#[tokio::test]
async fn a_login_concerns_its_own_connection_alone() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut ada = server.connect().await;
    let mut bob = server.connect().await;
    ada.call(login("ada")).await.unwrap();
    assert_eq!(seen(&mut bob).await.0, Value::Null);
}

#[tokio::test]
async fn the_server_disconnects_when_the_token_expires() {
    let (channels, log) = noting();
    let server = Server::remote(app(), channels).await;
    let mut client = server.connect().await;
    let call = json!(["create", "authentication", { "strategy": "local", "name": "ada", "ttl": 300 }, {}]);
    client.call(call).await.unwrap();
    assert_eq!(client.end().await, End::Disconnected);
    until(&log, &["connection -", "login ada", "disconnect ada"]).await;
}

#[tokio::test]
async fn a_new_login_and_a_logout_end_the_old_expiry() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut ada = server.connect().await;
    let mut bob = server.connect().await;
    for client in [&mut ada, &mut bob] {
        let soon = json!(["create", "authentication", { "strategy": "local", "name": "x", "ttl": 400 }, {}]);
        client.call(soon).await.unwrap();
    }
    ada.call(login("ada")).await.unwrap();
    bob.call(json!(["remove", "authentication", null, {}])).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(seen(&mut ada).await.0["name"], "ada");
    assert_eq!(seen(&mut bob).await.0, Value::Null);
}

#[tokio::test]
async fn a_token_in_the_handshake_logs_in_before_the_connection() {
    let (channels, log) = noting();
    let server = Server::remote(app(), channels).await;
    let mut client = Client::connect_with(server.address, &[("Authorization", "Bearer ada")]).await.unwrap();
    assert_eq!(seen(&mut client).await.0["name"], "ada");
    until(&log, &["login ada", "connection ada"]).await;
}

#[tokio::test]
async fn what_may_pass_closes_the_transport_so_that_clients_come_back() {
    let server = Server::local(app(), Channels::new()).await;
    for name in ["unavailable", "timeout", "busy", "broken", "panic"] {
        let mut client = Client::open(server.address, &[("authorization", name)]).await;
        client.write("40").await;
        assert_eq!(client.end().await, End::Closed, "{name}");
        let poller = Poller::open_with(server.address, &[("authorization", name)]).await;
        assert_eq!(poller.poll_and_post("40").await, "1", "{name}");
    }
    assert!(Client::connect_with(server.address, &[("authorization", "ada")]).await.is_ok());
}

#[tokio::test]
async fn a_bad_token_in_the_handshake_refuses_the_connection() {
    let (channels, log) = noting();
    let server = Server::remote(app(), channels).await;
    let refused = Client::connect_with(server.address, &[("Authorization", "nobody")]).await.err().unwrap();
    assert_eq!(refused, json!({ "message": "Invalid login" }));
    until(&log, &["disconnect -"]).await;
    assert!(server.channels.connections().is_empty());
}

#[tokio::test]
async fn without_an_authentication_service_a_token_in_the_handshake_means_nothing() {
    let server = Server::remote(rachis::App::new(), Channels::new()).await;
    assert!(Client::connect_with(server.address, &[("Authorization", "nobody")]).await.is_ok());
}

#[tokio::test]
async fn logins_over_rest_are_told_without_a_connection() {
    let (channels, log) = noting();
    let server = Server::remote(app(), channels).await;
    let url = format!("http://{}/authentication", server.address);
    let web = reqwest::Client::new();
    let answer = web.post(&url).json(&json!({ "strategy": "local", "name": "ada" })).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer = web.delete(&url).header("authorization", "ada").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    until(&log, &["login by rest ada", "logout -"]).await;
}

#[tokio::test]
async fn without_an_authentication_service_a_login_is_not_possible_now_rather_than_not_found() {
    let server = Server::remote(rachis::App::new(), Channels::new()).await;
    let mut client = server.connect().await;
    for call in [login("ada"), json!(["remove", "authentication", null, {}])] {
        let error = client.call(call).await.unwrap_err();
        assert_eq!((&error["code"], &error["data"]["outcome"]), (&json!(503), &json!("never ran")), "{error}");
    }
    assert_eq!(client.call(json!(["find", "absent", {}])).await.unwrap_err()["code"], 404);
}
