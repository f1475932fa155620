//! Hashing passwords, and hiding them.

use super::*;

fn people() -> rachis::Registration {
    MemoryService::new().multi(true).before(ALL, hash_password("password")).after(ALL, protect(["password"]))
}

fn is_hash(value: &Value) -> bool {
    value.as_str().is_some_and(|hash| hash.starts_with("$2b$10$") && hash.len() == 60)
}

#[tokio::test]
async fn passwords_are_hashed_wherever_they_are_written() {
    let app = App::new().register("people", people());
    let people = app.service("people");
    let several = people.create(json!([{ "password": "a" }, { "name": "b" }, { "password": "c" }])).await.unwrap();
    assert!(is_hash(&several[0]["password"]) && is_hash(&several[2]["password"]));
    assert_ne!(several[0]["password"], several[2]["password"]);
    assert_eq!(several[1].get("password"), None);
    assert!(is_hash(&people.update(0, json!({ "password": "d" })).await.unwrap()["password"]));
    let patched = people.patch(0, json!({ "password": "e" })).await.unwrap();
    assert!(is_hash(&patched["password"]));
    assert_eq!(people.patch(0, json!({ "name": "f" })).await.unwrap()["password"], patched["password"]);
}

#[tokio::test]
async fn a_password_that_is_no_text_is_refused() {
    let app = App::new().register("people", people());
    for password in [json!(5), json!(null), json!(["a"]), json!({ "$ne": 1 })] {
        let error = app.service("people").create(json!({ "password": password })).await.unwrap_err();
        assert_eq!(error.to_string(), "BadRequest: `password` must be text");
    }
}

#[tokio::test]
async fn nested_passwords_are_hashed_and_hidden() {
    let service = MemoryService::new().before(ALL, hash_password("login.pin")).after(ALL, protect(["login.pin"]));
    let app = App::new().register("people", service);
    let answer = app.service("people").create(json!({ "login": { "pin": "1", "name": "a" } })).answer().await.unwrap();
    assert!(is_hash(&answer.result["login"]["pin"]));
    assert_eq!(answer.external(), json!({ "login": { "name": "a" }, "id": 0 }));
}

#[tokio::test]
async fn code_sees_hidden_fields_and_clients_never_do() {
    let app = App::new().register("people", people());
    let people = app.service("people");
    people.create(json!([{ "password": "a" }, { "password": "b" }])).await.unwrap();

    let answer = people.get(0).answer().await.unwrap();
    assert!(is_hash(&answer.result["password"]));
    assert_eq!(answer.external(), json!({ "id": 0 }));
    let answer = people.get(0).params(client()).answer().await.unwrap();
    assert_eq!((answer.result.clone(), answer.external()), (json!({ "id": 0 }), json!({ "id": 0 })));

    assert_eq!(people.find().params(client()).await.unwrap(), json!([{ "id": 0 }, { "id": 1 }]));
    let patched = people.patch_many(json!({ "n": 1 })).params(client()).await.unwrap();
    assert_eq!(patched, json!([{ "id": 0, "n": 1 }, { "id": 1, "n": 1 }]));
}

#[tokio::test]
async fn pages_are_searched_and_a_field_named_data_is_not() {
    let records = [json!({ "id": 1, "password": "x", "data": { "password": "kept" } })];
    let service = MemoryService::new().records(records).paginate(10, 10).after(ALL, protect(["password"]));
    let app = App::new().register("people", service);
    let record = json!({ "id": 1, "data": { "password": "kept" } });
    let page = app.service("people").find().params(client()).await.unwrap();
    assert_eq!(page, json!({ "total": 1, "limit": 10, "skip": 0, "data": [record] }));
    assert_eq!(app.service("people").get(1).params(client()).await.unwrap(), record);
}

#[tokio::test]
async fn events_do_not_tell_what_is_hidden() {
    let app = App::new().register("people", people());
    let mut created = app.service("people").on("created").await.unwrap();
    app.service("people").create(json!({ "password": "a" })).await.unwrap();
    assert_eq!(created.next().await.unwrap().data, json!({ "id": 0 }));
}

#[tokio::test]
async fn a_dispatch_that_is_set_already_is_what_fields_are_taken_from() {
    let service = MemoryService::new().after(ALL, async |mut ctx: rachis::Context| {
        ctx.dispatch = Some(json!({ "password": "a", "shown": true }));
        Ok(ctx)
    });
    let app = App::new().register("people", service.after(ALL, protect(["password"])));
    let answer = app.service("people").create(json!({})).answer().await.unwrap();
    assert_eq!((answer.result.clone(), answer.external()), (json!({ "id": 0 }), json!({ "shown": true })));
}

#[tokio::test]
async fn the_user_in_a_login_is_hidden_too_for_code_as_well() {
    let auth = auth();
    let app = App::new()
        .register("users", users(&auth))
        .register("authentication", auth.after(ALL, protect(["user.password"])));
    sign_up(&app.service("users")).await;
    let answer = app.service("authentication").create(with_password()).answer().await.unwrap();
    assert!(is_hash(&answer.result["user"]["password"]));
    assert_eq!(answer.external()["user"], json!({ "email": "ada@example.org", "id": 1 }));
}
