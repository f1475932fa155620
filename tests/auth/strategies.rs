//! Strategies of an application's own.

use super::*;
use rachis::auth::Strategy;

/// Knows one key.
struct ApiKey;

impl Strategy for ApiKey {
    async fn authenticate(&self, auth: &Authentication, request: &Value, params: &Params) -> Result<Value> {
        assert!(params.authenticated, "strategies call the users service as somebody trusted");
        let key = request["apiKey"].as_str().ok_or_else(|| Error::not_authenticated("No API key"))?;
        let user = auth.find_entity("apiKey", key, params).await?;
        let user = user.ok_or_else(|| Error::not_authenticated("Unknown API key"))?;
        Ok(json!({ "user": auth.visible_entity(user, params).await?, "scope": "read" }))
    }
}

/// Returns whatever it is given.
struct Given(Value);

impl Strategy for Given {
    async fn authenticate(&self, _: &Authentication, _: &Value, _: &Params) -> Result<Value> {
        Ok(self.0.clone())
    }
}

fn with_keys(strategies: &[&str]) -> App {
    let mut config = AuthConfig::new(SECRET);
    config.auth_strategies = strategies.iter().map(|name| (*name).to_owned()).collect();
    let auth = Authentication::new(config).unwrap().strategy("api-key", ApiKey);
    let records = [json!({ "id": 7, "apiKey": "k1", "password": "x" })];
    App::new()
        .register("authentication", auth.clone())
        .register("users", MemoryService::new().records(records).after(ALL, protect(["password", "apiKey"])))
        .register("secured", Echo.before(ALL, auth.authenticate(["jwt", "api-key"])))
}

fn key(key: &str) -> Value {
    json!({ "strategy": "api-key", "apiKey": key })
}

#[tokio::test]
async fn clients_log_in_with_it_if_the_configuration_says_so() {
    let app = with_keys(&["api-key"]);
    let authentication = app.service("authentication");
    let login = authentication.create(key("k1")).params(client()).await.unwrap();
    assert_eq!(login["user"], json!({ "id": 7 }));
    assert_eq!((&login["authentication"]["strategy"], &login["scope"]), (&json!("api-key"), &json!("read")));
    assert_eq!(login["authentication"]["payload"]["sub"], "7");
    assert_refused(authentication.create(key("k2")).params(client()).await, "Unknown API key");

    let closed = with_keys(&["jwt"]);
    assert_refused(
        closed.service("authentication").create(key("k1")).params(client()).await,
        "Invalid authentication information (strategy not allowed in authStrategies)",
    );
}

#[tokio::test]
async fn a_guard_takes_it_beside_others_and_keeps_what_else_it_found() {
    let app = with_keys(&["jwt"]);
    let params = client().with_authentication(key("k1"));
    let seen = app.service("secured").get(1).params(params).await.unwrap();
    assert_eq!((&seen["user"]["id"], &seen["extra"]), (&json!(7), &json!({ "scope": "read" })));
    let (token, _) = auth().sign(Default::default(), Some("7")).unwrap();
    assert_eq!(app.service("secured").get(1).params(bearer(&token)).await.unwrap()["user"]["id"], 7);
}

#[tokio::test]
async fn a_strategy_may_bring_its_own_token_or_no_user_at_all() {
    let login = async |given: Value| {
        let mut config = AuthConfig::new(SECRET);
        config.auth_strategies = vec!["given".into()];
        let auth = Authentication::new(config).unwrap().strategy("given", Given(given));
        let app = App::new().register("authentication", auth);
        app.service("authentication").create(json!({ "strategy": "given" })).params(client()).await
    };
    assert_eq!(login(json!({ "accessToken": "theirs" })).await.unwrap()["accessToken"], "theirs");
    let nobody = login(json!({})).await.unwrap();
    assert!(auth().verify_token(token(&nobody)).unwrap().get("sub").is_none());
    let error = login(json!("user")).await.unwrap_err();
    assert!(error.code() == 500 && error.message().contains("`given`"), "{error}");
    assert_refused(login(json!({ "user": { "name": "a" } })).await, "Can not set subject from user.id");
}

#[tokio::test]
async fn tokens_stand_for_themselves_where_there_is_no_entity() {
    let config = AuthConfig { entity: String::new(), service: String::new(), ..AuthConfig::new(SECRET) };
    let auth = Authentication::new(config).unwrap();
    let name = String::from("jwt");
    let app = App::new().register("secured", Echo.before(ALL, auth.authenticate(name.as_str())));
    let (token, _) = auth.sign(json!({ "role": "reader" }).as_object().unwrap().clone(), None).unwrap();
    let seen = app.service("secured").get(1).params(bearer(&token)).await.unwrap();
    assert_eq!((&seen["authentication"]["payload"]["role"], &seen["user"]), (&json!("reader"), &json!(null)));
}

#[tokio::test]
async fn a_strategy_that_is_allowed_but_missing_is_found_at_the_start() {
    let mut config = AuthConfig::new(SECRET);
    config.auth_strategies.push("github".into());
    let app = App::new().register("authentication", Authentication::new(config).unwrap());
    let error = app.setup().await.unwrap_err();
    assert!(error.message().contains("'authentication' names `github`"), "{error}");
}
