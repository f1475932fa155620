//! Users, authentication and services on nodes of their own.

use super::*;
use rachis::{Config, Context, Hook, Node};
use rachis_testing as testing;

async fn log_in_from(node: &Node) -> Value {
    node.wait_for("users").await.unwrap();
    node.wait_for("authentication").await.unwrap();
    sign_up(&node.service("users")).await;
    log_in(&node.service("authentication")).await
}

/// Every node verifies: only the secret is shared.
#[tokio::test]
async fn users_authentication_and_services_may_be_on_different_nodes() {
    let auth = auth();
    let [users_node, login_node, secured_node, outside] = testing::cluster([
        App::new().register("users", users(&auth)),
        App::new().register("authentication", self::auth()),
        App::new().register("secured", Echo.before(ALL, self::auth().authenticate("jwt"))),
        App::new(),
    ])
    .await;
    for node in [&login_node, &secured_node] {
        node.wait_for("users").await.unwrap();
    }
    let login = log_in_from(&outside).await;
    assert_eq!(login["user"], json!({ "email": "ada@example.org", "id": 1 }));

    let again = json!({ "strategy": "jwt", "accessToken": token(&login) });
    let again = outside.service("authentication").create(again).params(client()).await.unwrap();
    assert_eq!((&again["accessToken"], &again["user"]), (&login["accessToken"], &login["user"]));

    let secured = outside.wait_for("secured").await.map(|_| outside.service("secured")).unwrap();
    let seen = secured.get(1).params(bearer(token(&login))).await.unwrap();
    assert_eq!((&seen["user"]["id"], &seen["authenticated"]), (&json!(1), &json!(true)));
    assert_refused(secured.get(1).params(client()).await, "Not authenticated");
    let mut claimed = client().with_user(json!({ "id": 1 }));
    claimed.authenticated = true;
    assert_refused(secured.get(1).params(claimed).await, "Not authenticated");

    let error = secured.get(1).params(bearer("a.b.c")).await.unwrap_err();
    assert_eq!((error.code(), error.data()), (401, Some(&json!({ "name": "JsonWebTokenError" }))));

    let mine = outside.service("users").get(1).params(bearer(token(&login))).await.unwrap();
    assert_eq!(mine, json!({ "email": "ada@example.org", "id": 1 }));
    users_node.service("users").remove(1).await.unwrap();
    assert_eq!(secured.get(1).params(bearer(token(&login))).await.unwrap_err().code(), 404);
}

/// The gateway verifies: the node behind has no secret and takes its word.
#[tokio::test]
async fn a_node_that_trusts_keeps_what_its_gateway_found_out() {
    let config = testing::config();
    let behind = Config { app: "behind".into(), authentication: false, ..config.clone() };
    // No key of the gateway's can be verified here.
    let other = Authentication::new(AuthConfig::new("another-secret-of-at-least-32-bytes!!")).unwrap();
    let services = App::new()
        .register("users", MemoryService::new().start_id(1).before(ALL, hash_password("password")))
        .register("secured", Echo.before(ALL, other.authenticate("jwt")));
    let _behind = testing::start(behind, services).await;

    let auth = auth();
    let guard = auth.authenticate("jwt");
    let gateway = Node::builder(Config { app: "gateway".into(), ..config })
        .app(App::new().register("authentication", auth))
        .remote_before_with(
            ALL,
            guard,
            async |guard, ctx: Context| {
                if ctx.path == "users" { Ok(ctx) } else { guard.run(ctx).await }
            },
        )
        .start()
        .await
        .unwrap();
    let login = log_in_from(&gateway).await;
    gateway.wait_for("secured").await.unwrap();
    let secured = gateway.service("secured");
    let seen = secured.get(1).params(bearer(token(&login))).await.unwrap();
    assert_eq!((&seen["user"]["id"], &seen["authenticated"]), (&json!(1), &json!(true)));
    assert_refused(secured.get(1).params(client()).await, "Not authenticated");
    assert_refused(secured.get(1).params(bearer("x")).await, "jwt malformed");
}

#[tokio::test]
async fn nobody_hears_of_logins_on_other_nodes() {
    let [_node, other] = testing::cluster([app(), App::new()]).await;
    other.wait_for("authentication").await.unwrap();
    let mut logins = other.service("authentication").on("*").await.unwrap();
    let mut signs = other.service("users").on("created").await.unwrap();
    log_in_from(&other).await;
    sign_up(&other.service("users")).await;
    // Two users were heard of, so an event of the login between them would have come by now.
    for _ in 0..2 {
        assert_eq!(signs.next().await.unwrap().data["email"], "ada@example.org");
    }
    let early = futures_util::FutureExt::now_or_never(logins.next());
    assert!(early.is_none(), "{early:?}");
}
