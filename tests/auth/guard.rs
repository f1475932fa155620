//! The hook that services are guarded by.

use super::*;

async fn ready() -> (App, String) {
    let app = app();
    sign_up(&app.service("users")).await;
    let login = log_in(&app.service("authentication")).await;
    (app, token(&login).to_owned())
}

#[tokio::test]
async fn a_client_without_a_token_is_refused_and_code_passes() {
    let (app, _) = ready().await;
    let secured = app.service("secured");
    assert_refused(secured.get(1).params(client()).await, "Not authenticated");
    let null = client().with_authentication(Value::Null);
    assert_refused(secured.get(1).params(null).await, "Not authenticated");
    let code = secured.get(1).await.unwrap();
    assert_eq!((&code["authenticated"], &code["user"]), (&json!(false), &json!(null)));
}

#[tokio::test]
async fn a_token_brings_the_whole_user_and_what_the_token_says() {
    let (app, token) = ready().await;
    let seen = app.service("secured").get(1).params(bearer(&token)).await.unwrap();
    assert_eq!(seen["user"]["email"], "ada@example.org");
    assert!(seen["user"]["password"].as_str().unwrap().starts_with("$2b$"));
    let claims = auth().verify_token(&token).unwrap();
    let expected = json!({ "strategy": "jwt", "accessToken": token, "payload": claims });
    assert_eq!(seen["authentication"], expected);
    assert_eq!((&seen["authenticated"], &seen["provider"]), (&json!(true), &json!("rest")));
    assert_eq!(seen["extra"], json!({}), "the token shall not be left lying about");
}

#[tokio::test]
async fn code_that_brings_credentials_has_them_checked() {
    let (app, token) = ready().await;
    let secured = app.service("secured");
    let internal = |token: &str| Params::default().with_authentication(bearer(token).authentication.unwrap());
    assert_eq!(secured.get(1).params(internal(&token)).await.unwrap()["user"]["id"], 1);
    assert_refused(secured.get(1).params(internal("x")).await, "jwt malformed");
}

#[tokio::test]
async fn a_call_that_is_authenticated_already_passes_unchanged() {
    let (app, _) = ready().await;
    let mut params = bearer("x").with_user(json!({ "id": "someone" }));
    params.authenticated = true;
    let seen = app.service("secured").get(1).params(params).await.unwrap();
    assert_eq!(seen["user"], json!({ "id": "someone" }));
    assert_eq!(seen["authentication"]["accessToken"], "x");
}

#[tokio::test]
async fn credentials_for_another_strategy_are_refused() {
    let (app, _) = ready().await;
    let secured = app.service("secured");
    let with = |authentication: Value| client().with_authentication(authentication);
    assert_refused(
        secured.get(1).params(with(with_password())).await,
        "Invalid authentication information (strategy not allowed in authStrategies)",
    );
    let none = "Invalid authentication information (no `strategy` set)";
    assert_refused(secured.get(1).params(with(json!({}))).await, none);
}

#[tokio::test]
async fn the_guard_refuses_to_lock_the_authentication_service() {
    let auth = auth();
    let app = App::new().before(ALL, auth.authenticate("jwt")).register("authentication", auth);
    assert_refused(
        app.service("authentication").create(with_password()).params(client()).await,
        "The authenticate hook does not need to be used on the authentication service",
    );
}

#[test]
#[should_panic(expected = "knows no strategy `github`, only jwt, local")]
fn a_guard_by_an_unknown_strategy_is_a_mistake_of_the_program() {
    let _ = auth().authenticate("github");
}

#[test]
#[should_panic(expected = "at least one allowed strategy")]
fn a_guard_without_strategies_is_a_mistake_of_the_program() {
    let _ = auth().authenticate(Vec::new());
}

#[tokio::test]
async fn error_hooks_see_the_call_as_it_was_when_the_guard_refuses_it() {
    let auth = auth();
    let service = Echo.before(ALL, auth.authenticate("jwt")).on_error(ALL, async |mut ctx: rachis::Context| {
        ctx.result = Some(json!({ "sent": ctx.params.authentication, "why": ctx.error.as_ref().unwrap().message() }));
        Ok(ctx)
    });
    let app = App::new().register("secured", service);
    let seen = app.service("secured").get(1).params(bearer("x")).await.unwrap();
    assert_eq!((&seen["sent"]["accessToken"], &seen["why"]), (&json!("x"), &json!("jwt malformed")));
}

#[tokio::test]
async fn a_connection_logs_in_by_the_token_it_came_with() {
    let (app, token) = ready().await;
    let connection = Params::default().with_provider("socketio");
    let caller = std::sync::Arc::new(app.clone());
    let identity = auth().verify(&token, connection.clone(), caller.clone()).await.unwrap();
    assert_eq!(identity.user(), Some(&json!({ "email": "ada@example.org", "id": 1 })));
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    assert!(identity.remaining().is_some_and(|time| time <= day && time > day / 2));

    let mut params = connection.clone();
    identity.apply(&mut params);
    assert_eq!(app.service("secured").get(1).params(params).await.unwrap()["user"]["id"], 1);

    let error = auth().verify("x.y.z", connection, caller).await.unwrap_err();
    assert_eq!(error.to_string(), "NotAuthenticated: invalid token");
}
