//! What becomes of open sockets when their users change or go.

use crate::{Server, client::Client, services::todos};
use rachis::{
    App, Config, Id, Method, Params, Result, Service,
    gateway::{Channels, Gateway},
};
use rachis_testing as testing;
use rachis_testing::eventually;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

/// The token of a user is its id.
#[derive(Default)]
struct Logins {
    /// Holds back the answer to whoever asks for that.
    late: Arc<Notify>,
    read: Arc<Notify>,
}

impl Service for Logins {
    const METHODS: &[Method] = &[Method::Create, Method::Remove];

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        if data["machine"] == true {
            return Ok(json!({ "accessToken": "machine", "authentication": { "payload": {} } }));
        }
        let id = Id::from_json(&data["accessToken"]).unwrap();
        let user = params.service("users").get(id.clone()).await?;
        if data["late"] == true {
            self.read.notify_one();
            self.late.notified().await;
        }
        Ok(json!({ "accessToken": id.to_string(), "authentication": { "payload": {} }, "user": user }))
    }

    async fn remove(&self, _: Option<Id>, params: Params) -> Result<Value> {
        Ok(json!({ "accessToken": params.authentication.unwrap_or_default()["accessToken"] }))
    }
}

/// Whoever has logged in hears of todos, administrators of secrets, and everybody of notes. Nobody hears of users.
fn channels() -> Channels {
    let is_admin = |user: Option<Value>| user.is_some_and(|user| user["role"] == "admin");
    Channels::new()
        .on_connection(|connection, channels| channels.channel("anonymous").join(connection))
        .on_login(move |login, channels| {
            let connection = login.connection.unwrap();
            channels.channel("anonymous").leave(connection);
            channels
                .channel(["authenticated".to_owned(), format!("users/{}", login.result["user"]["id"])])
                .join(connection);
            if is_admin(connection.user()) {
                channels.channel("admins").join(connection);
            }
        })
        .on_logout(|login, channels| channels.channel("anonymous").join(login.connection.unwrap()))
        .on_user_change(move |connection, channels| {
            if is_admin(connection.user()) {
                channels.channel("admins").join(connection);
            } else {
                channels.channel("admins").leave(connection);
            }
        })
        .publish_service("todos", |_, channels| channels.channel("authenticated"))
        .publish_service("secrets", |_, channels| channels.channel("admins"))
        .publish_service("notes", |_, channels| channels.channel(["anonymous", "authenticated"]))
}

fn app(logins: Logins) -> App {
    let people =
        [json!({ "id": 1, "name": "Ada", "role": "admin" }), json!({ "id": 2, "name": "Bo", "role": "guest" })];
    App::new()
        .register("users", todos().records(people))
        .register("todos", todos())
        .register("secrets", todos())
        .register("notes", todos())
        .register("authentication", logins)
}

async fn log_in(client: &mut Client, id: i64) {
    let login = json!(["create", "authentication", { "strategy": "jwt", "accessToken": id }, {}]);
    assert_eq!(client.call(login).await.unwrap()["user"]["id"], id);
}

/// Waits until the gateway hears of users.
async fn until_heard(server: &Server, client: &mut Client) {
    log_in(client, 1).await;
    let users = server.nodes[0].service("users");
    let connection = || server.channels.channel("users/1").connections().into_iter().next().unwrap();
    eventually("the gateway hears of users", async || {
        users.patch(1, json!({ "heard": true })).await.unwrap();
        connection().user().unwrap()["heard"] == true
    })
    .await;
    client.call(json!(["remove", "authentication", null, {}])).await.unwrap();
}

/// What a client hears of one event of each service, of which everybody hears the last.
async fn heard(server: &Server, client: &mut Client) -> Vec<String> {
    for path in ["todos", "secrets", "notes"] {
        server.nodes[0].service(path).create(json!({})).await.unwrap();
    }
    let mut heard = Vec::new();
    loop {
        heard.push(client.event().await.0);
        if heard.last().unwrap() == "notes created" {
            heard.sort();
            return heard;
        }
    }
}

#[tokio::test]
async fn a_removed_user_hears_no_more_than_strangers_on_any_socket() {
    let server = Server::remote(app(Logins::default()), channels()).await;
    let mut ada = server.connect().await;
    let mut tablet = server.connect().await;
    let mut bo = server.connect().await;
    until_heard(&server, &mut ada).await;
    log_in(&mut ada, 1).await;
    log_in(&mut tablet, 1).await;
    log_in(&mut bo, 2).await;
    server.nodes[0].service("users").remove(1).await.unwrap();
    eventually("both are strangers", async || server.channels.channel("anonymous").len() == 2).await;
    assert_eq!(server.channels.names(), ["anonymous", "authenticated", "users/2"]);
    for client in [&mut ada, &mut tablet] {
        assert_eq!(heard(&server, client).await, ["notes created"]);
    }
    assert!(bo.call(json!(["get", "users", 2, {}])).await.is_ok());
}

#[tokio::test]
async fn a_user_who_loses_a_right_leaves_what_the_handler_says_and_nothing_else() {
    let server = Server::remote(app(Logins::default()), channels()).await;
    let mut ada = server.connect().await;
    until_heard(&server, &mut ada).await;
    log_in(&mut ada, 1).await;
    let connection = server.channels.channel("admins").connections().remove(0);
    server.channels.channel("room").join(&connection);
    server.nodes[0].service("users").patch(1, json!({ "role": "guest" })).await.unwrap();
    eventually("it is no administrator any more", async || server.channels.channel("admins").is_empty()).await;
    assert_eq!(server.channels.names(), ["authenticated", "room", "users/1"]);
    let user = connection.user().unwrap();
    assert_eq!((&user["role"], &user["name"]), (&json!("guest"), &json!("Ada")));
}

/// What an event tells of a change is not all that has changed.
#[tokio::test]
async fn a_right_is_lost_and_regained_whatever_the_event_tells_of_it() {
    let server = Server::remote(app(Logins::default()), channels()).await;
    let mut ada = server.connect().await;
    until_heard(&server, &mut ada).await;
    log_in(&mut ada, 1).await;
    let users = server.nodes[0].service("users");
    let connection = server.channels.channel("admins").connections().remove(0);
    let is_admin = || !server.channels.channel("admins").is_empty();
    users.update(1, json!({ "name": "Ada" })).await.unwrap();
    eventually("the field is gone", async || !is_admin()).await;
    assert_eq!(connection.user().unwrap(), json!({ "id": 1, "name": "Ada" }));
    let hears_a_part = json!({ "$select": ["name"] });
    users.patch(1, json!({ "role": "admin" })).query(hears_a_part.clone()).await.unwrap();
    eventually("it is an administrator", async || is_admin()).await;
    users.patch(1, json!({ "role": "guest" })).query(hears_a_part).await.unwrap();
    eventually("it is none", async || !is_admin()).await;
    assert_eq!(heard(&server, &mut ada).await, ["notes created", "todos created"]);
}

#[tokio::test]
async fn whoever_logs_in_on_somebody_elses_socket_does_not_hear_in_their_place() {
    let server = Server::local(app(Logins::default()), channels()).await;
    let mut client = server.connect().await;
    log_in(&mut client, 1).await;
    assert_eq!(server.channels.names(), ["admins", "authenticated", "users/1"]);
    log_in(&mut client, 1).await;
    assert_eq!(server.channels.names(), ["admins", "authenticated", "users/1"]);
    log_in(&mut client, 2).await;
    assert_eq!(server.channels.names(), ["authenticated", "users/2"]);
}

#[tokio::test]
async fn a_login_that_outlasts_its_user_ends() {
    let logins = Logins::default();
    let late = logins.late.clone();
    let read = logins.read.clone();
    let server = Server::remote(app(logins), channels()).await;
    let mut ada = server.connect().await;
    let mut bo = server.connect().await;
    until_heard(&server, &mut bo).await;
    log_in(&mut bo, 1).await;
    let login = json!(["create", "authentication", { "strategy": "jwt", "accessToken": 1, "late": true }, {}]);
    let asked = ada.ask(login).await;
    read.notified().await;
    server.nodes[0].service("users").remove(1).await.unwrap();
    eventually("the gateway has heard", async || server.channels.channel("users/1").is_empty()).await;
    late.notify_one();
    ada.answer(asked).await.unwrap();
    eventually("it is a stranger", async || server.channels.names() == ["anonymous"]).await;
}

/// Who was removed while nobody could be told of it is looked for afterwards.
#[tokio::test]
async fn users_who_were_removed_unheard_are_found_after_a_gap() {
    let config = testing::config();
    let node = |name: &str, app: App| testing::start(Config { app: name.into(), ..config.clone() }, app);
    let before =
        node("before", App::new().register("users", todos().records([json!({ "id": 1 }), json!({ "id": 2 })]))).await;
    let web = node("web", App::new().register("authentication", Logins::default()).register("todos", todos())).await;
    web.wait_for("users").await.unwrap();
    let channels = channels();
    let server = Server::serve(&web, crate::routed(Gateway::with_channels(&web, channels.clone())), channels).await;
    let mut ada = server.connect().await;
    let mut bo = server.connect().await;
    log_in(&mut ada, 1).await;
    log_in(&mut bo, 2).await;
    let _after = node("after", App::new().register("users", todos().records([json!({ "id": 2 })]))).await;
    before.shutdown().await.unwrap();
    eventually("only Bo is left", async || server.channels.names() == ["anonymous", "authenticated", "users/2"]).await;
}

#[tokio::test]
async fn whoever_logs_in_after_a_login_without_a_user_does_not_hear_in_its_place() {
    let server = Server::local(app(Logins::default()), channels()).await;
    let mut client = server.connect().await;
    let machine = json!(["create", "authentication", { "strategy": "apiKey", "machine": true }, {}]);
    assert_eq!(client.call(machine).await.unwrap()["user"], Value::Null);
    server.channels.channel("machines").join(&server.channels.connections()[0]);
    assert_eq!(server.channels.names(), ["authenticated", "machines", "users/null"]);
    log_in(&mut client, 2).await;
    assert_eq!(server.channels.names(), ["authenticated", "users/2"]);
}
