//! `create` and `remove` of the authentication service.

use super::*;
use rachis::ErrorKind;

async fn ready() -> (App, Handle) {
    let app = app();
    sign_up(&app.service("users")).await;
    let authentication = app.service("authentication");
    (app, authentication)
}

#[tokio::test]
async fn a_login_by_password_answers_as_in_feathers() {
    let (_app, authentication) = ready().await;
    let login = log_in(&authentication).await;
    let claims = auth().verify_token(token(&login)).unwrap();
    assert_eq!(claims.keys().collect::<Vec<_>>(), ["iat", "exp", "aud", "iss", "sub", "jti"]);
    assert_eq!(claims["sub"], "1");
    let expected = json!({
        "accessToken": token(&login),
        "authentication": { "strategy": "local", "payload": claims },
        "user": { "email": "ada@example.org", "id": 1 },
    });
    assert_eq!(login.to_string(), expected.to_string());
}

#[tokio::test]
async fn a_login_by_token_answers_with_the_same_token() {
    let (_app, authentication) = ready().await;
    let first = log_in(&authentication).await;
    let request = json!({ "strategy": "jwt", "accessToken": token(&first) });
    let login = authentication.create(request).params(client()).await.unwrap();
    let expected = json!({
        "accessToken": token(&first),
        "authentication": {
            "strategy": "jwt", "accessToken": token(&first), "payload": first["authentication"]["payload"],
        },
        "user": { "email": "ada@example.org", "id": 1 },
    });
    assert_eq!(login.to_string(), expected.to_string());
}

#[tokio::test]
async fn code_that_logs_in_sees_the_whole_user() {
    let (_app, authentication) = ready().await;
    let login = authentication.create(with_password()).await.unwrap();
    assert!(login["user"]["password"].as_str().unwrap().starts_with("$2b$10$"));
}

#[tokio::test]
async fn a_wrong_login_never_says_what_was_wrong() {
    let (_app, authentication) = ready().await;
    let wrong = [
        json!({}),
        json!({ "email": "ada@example.org" }),
        json!({ "password": "hunter2" }),
        json!({ "email": "ada@example.org", "password": "" }),
        json!({ "email": "", "password": "hunter2" }),
        json!({ "email": "ada@example.org", "password": "hunter3" }),
        json!({ "email": "bob@example.org", "password": "hunter2" }),
        json!({ "email": "ada@example.org", "password": 5 }),
        json!({ "email": "ada@example.org", "password": ["hunter2"] }),
    ];
    for mut request in wrong {
        request["strategy"] = "local".into();
        let outcome = authentication.create(&request).params(client()).await;
        assert_refused(outcome, "Invalid login");
    }
}

#[tokio::test]
async fn a_username_that_is_no_text_is_never_a_query() {
    struct NoQueries;
    impl Service for NoQueries {
        const METHODS: &'static [Method] = &[Method::Find];
        async fn find(&self, params: Params) -> Result<Value> {
            panic!("asked for {:?}", params.query)
        }
    }
    let app = App::new().register("authentication", auth()).register("users", NoQueries);
    for username in [json!({ "$ne": null }), json!({ "$gt": "" }), json!(["ada@example.org"]), json!(1), json!(true)] {
        let request = json!({ "strategy": "local", "email": username, "password": "hunter2" });
        assert_refused(app.service("authentication").create(request).params(client()).await, "Invalid login");
    }
}

#[tokio::test]
async fn a_strategy_must_be_named_and_allowed() {
    let (app, authentication) = ready().await;
    for request in [json!({}), json!(null), json!([{ "strategy": "jwt" }]), json!("jwt"), json!({ "strategy": "" })] {
        let outcome = authentication.create(request).params(client()).await;
        assert_refused(outcome, "Invalid authentication information (no `strategy` set)");
    }
    for request in [json!({ "strategy": "github" }), json!({ "strategy": { "a": 1 } })] {
        let outcome = authentication.create(request).params(client()).await;
        assert_refused(outcome, "Invalid authentication information (strategy not allowed in authStrategies)");
    }
    let config = AuthConfig { auth_strategies: Vec::new(), ..AuthConfig::new(SECRET) };
    let app = app.register("closed", Authentication::new(config).unwrap());
    assert_refused(
        app.service("closed").create(with_password()).params(client()).await,
        "No authentication strategies allowed for creating a JWT (`authStrategies`)",
    );
}

#[tokio::test]
async fn a_token_is_asked_for_and_must_be_text() {
    let (_app, authentication) = ready().await;
    for none in [json!({}), json!({ "accessToken": null }), json!({ "accessToken": "" })] {
        let mut request = none;
        request["strategy"] = "jwt".into();
        assert_refused(authentication.create(request).params(client()).await, "No access token");
    }
    let request = json!({ "strategy": "jwt", "accessToken": 5 });
    let error = authentication.create(request).params(client()).await.unwrap_err();
    assert_eq!(
        error.to_json(),
        json!({
            "name": "NotAuthenticated", "message": "jwt must be a string", "code": 401,
            "className": "not-authenticated", "data": { "name": "JsonWebTokenError" },
        })
    );
}

#[tokio::test]
async fn a_token_of_a_deleted_user_is_not_found() {
    let (app, authentication) = ready().await;
    let login = log_in(&authentication).await;
    app.service("users").remove(1).await.unwrap();
    let request = json!({ "strategy": "jwt", "accessToken": token(&login) });
    for outcome in [
        authentication.create(request).params(client()).await,
        app.service("secured").get(1).params(bearer(token(&login))).await,
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.to_string(), "NotFound: No record found for id '1'");
    }
}

#[tokio::test]
async fn a_missing_users_service_is_not_mistaken_for_a_missing_user() {
    let app = App::new().register("authentication", auth());
    let (token, _) = auth().sign(Default::default(), Some("1")).unwrap();
    for request in [with_password(), json!({ "strategy": "jwt", "accessToken": token })] {
        let error = app.service("authentication").create(request).params(client()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("'users'"), "{error}");
    }
}

#[tokio::test]
async fn a_logout_answers_like_a_login_by_token() {
    let (_app, authentication) = ready().await;
    let login = log_in(&authentication).await;
    let removed = authentication.remove_many().params(bearer(token(&login))).await.unwrap();
    assert_eq!((&removed["accessToken"], &removed["user"]), (&login["accessToken"], &login["user"]));
    assert_eq!(removed["authentication"]["payload"], login["authentication"]["payload"]);
    assert_eq!(authentication.remove(token(&login)).params(bearer(token(&login))).await.unwrap(), removed);

    let none = "Invalid authentication information (no `strategy` set)";
    assert_refused(authentication.remove_many().params(client()).await, none);
    assert_refused(authentication.remove("x").params(bearer(token(&login))).await, "Invalid access token");
    assert_refused(authentication.remove("x").params(client()).await, "Invalid access token");
    assert_refused(authentication.remove_many().params(bearer("x.y")).await, "jwt malformed");
}

#[tokio::test]
async fn the_service_has_no_other_methods_and_no_events() {
    let (app, authentication) = ready().await;
    assert_eq!(app.descriptor("authentication").unwrap().methods, [Method::Create, Method::Remove]);
    for call in [authentication.find(), authentication.get(1), authentication.patch(1, json!({}))] {
        assert_eq!(call.params(client()).await.unwrap_err().kind(), ErrorKind::MethodNotAllowed);
    }
    let mut heard = authentication.on("*").await.unwrap();
    let login = log_in(&authentication).await;
    authentication.remove_many().params(bearer(token(&login))).await.unwrap();
    authentication.emit("created", json!("by hand")).unwrap();
    assert_eq!(heard.next().await.unwrap().data, "by hand");
}

#[tokio::test]
async fn more_claims_come_from_params_and_from_nowhere_else() {
    let (_app, authentication) = ready().await;
    let mut params = client();
    params.extra.insert("payload".into(), json!({ "role": "admin" }));
    let login = authentication.create(with_password()).params(params).await.unwrap();
    assert_eq!(login["authentication"]["payload"]["role"], "admin");

    let mut request = with_password();
    request["payload"] = json!({ "role": "admin" });
    let login = authentication.create(request).params(client()).await.unwrap();
    assert_eq!(login["authentication"]["payload"].get("role"), None);
}

#[tokio::test]
async fn names_of_path_entity_and_fields_can_be_chosen() {
    let mut config = AuthConfig::new(SECRET);
    (config.path, config.entity, config.service) = ("auth/login".into(), "member".into(), "members".into());
    config.entity_id = "_id".into();
    (config.local.username_field, config.local.password_field) = ("contact.mail".into(), "pin".into());
    let auth = Authentication::new(config).unwrap();
    let members = MemoryService::new().id_field("_id").paginate(10, 10).before(ALL, hash_password("pin"));
    let app = App::new()
        .register("auth/login", auth.clone())
        .register("members", members.after(ALL, protect(["pin"])))
        .register("secured", Echo.before(ALL, auth.authenticate("jwt")));
    app.service("members").create(json!({ "_id": "m1", "contact": { "mail": "a" }, "pin": "1234" })).await.unwrap();

    let request = json!({ "strategy": "local", "contact": { "mail": "a" }, "pin": "1234" });
    let login = app.service("auth/login").create(request).params(client()).await.unwrap();
    assert_eq!(login["member"], json!({ "_id": "m1", "contact": { "mail": "a" } }));
    assert_eq!(login["authentication"]["payload"]["sub"], "m1");
    let echoed = app.service("secured").get(1).params(bearer(token(&login))).await.unwrap();
    assert_eq!(echoed["user"]["_id"], "m1");
}

#[tokio::test]
async fn an_entity_that_hides_its_id_gets_no_token() {
    let auth = auth();
    let app = App::new()
        .register("authentication", auth.clone())
        .register("users", MemoryService::new().before(ALL, hash_password("password")).after(ALL, protect(["id"])));
    sign_up(&app.service("users")).await;
    let outcome = app.service("authentication").create(with_password()).params(client()).await;
    assert_refused(outcome, "Can not set subject from user.id");
}

#[tokio::test]
async fn only_users_with_a_hash_by_bcrypt_or_argon2_can_log_in() {
    // Made by hash-wasm and bcryptjs, which know nothing of this crate.
    let argon2 = "$argon2id$v=19$m=19456,t=2,p=1$ziJF02UkkuFr6JcGVDS7Dw$8ALuXWwxLyuCKDIyy/f0BLdJX33GwkFsE1WkNdoZ5hc";
    let bcrypt = "$2b$10$z14AlfujEji82X30QHCLyu4K0nCuYz7UW0T/BAuvhSc.MkyjbRhJa";
    let stored =
        [("argon2", json!(argon2)), ("bcrypt", json!(bcrypt)), ("text", json!("hunter2")), ("none", json!(null))];
    let records = stored.map(|(email, password)| json!({ "id": email, "email": email, "password": password }));
    let users = MemoryService::new().records(records).after(ALL, protect(["password"]));
    let app = App::new().register("authentication", auth()).register("users", users);
    let authentication = app.service("authentication");
    let login = async |email: &str, password: &str| {
        let request = json!({ "strategy": "local", "email": email, "password": password });
        authentication.create(request).params(client()).await
    };
    for email in ["argon2", "bcrypt"] {
        assert_eq!(login(email, "hunter2").await.unwrap()["user"], json!({ "id": email, "email": email }));
        assert_refused(login(email, "hunter3").await, "Invalid login");
    }
    for email in ["text", "none"] {
        assert_refused(login(email, "hunter2").await, "Invalid login");
    }
}
