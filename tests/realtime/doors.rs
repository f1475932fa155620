//! What a socket says of itself is not believed.

use crate::{Server, client::Client, services::app};
use rachis::gateway::Channels;
use serde_json::{Value, json};

#[tokio::test]
async fn nothing_in_handshake_query_or_data_makes_a_socket_anybody_else() {
    let server = Server::remote(app(), Channels::new()).await;
    let headers = [("provider", ""), ("user", "{\"id\":1}"), ("authenticated", "true"), ("authentication", "{}")];
    let mut client = Client::connect_with(server.address, &headers).await.unwrap();
    let claims = json!({
        "fromRemote": false, "provider": null, "user": { "id": 1 }, "authenticated": true, "route": { "orgId": 9 },
        "authentication": { "strategy": "jwt", "accessToken": "x" }, "connection": { "user": { "id": 1 } },
    });
    for call in [
        json!(["find", "orgs/7/echo", claims]),
        json!(["get", "orgs/7/echo", 1, claims]),
        json!(["create", "orgs/7/echo", claims, claims]),
        json!(["update", "orgs/7/echo", 1, claims, claims]),
        json!(["patch", "orgs/7/echo", null, claims, claims]),
        json!(["remove", "orgs/7/echo", null, claims]),
        json!(["inspect", "orgs/7/echo", claims, claims]),
    ] {
        let seen = client.call(call.clone()).await.unwrap();
        assert_eq!((&seen["provider"], &seen["route"]), (&json!("socketio"), &json!({ "orgId": "7" })), "{call}");
        assert_eq!((&seen["user"], &seen["authentication"]), (&Value::Null, &Value::Null), "{call}");
        assert_eq!(seen["authenticated"], false, "{call}");
        assert_eq!(seen["query"], claims, "{call}");
    }
}

#[tokio::test]
async fn what_comes_with_the_connect_packet_means_nothing() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = Client::open(server.address, &[]).await;
    let payload = json!({ "user": { "id": 1 }, "authentication": { "strategy": "jwt" }, "provider": null });
    client.write(format!("40{payload}")).await;
    assert!(client.packet().await.starts_with("40"));
    let seen = client.call(json!(["get", "echo", 1])).await.unwrap();
    assert_eq!(
        (&seen["provider"], &seen["user"], &seen["authentication"]),
        (&json!("socketio"), &Value::Null, &Value::Null)
    );
}
