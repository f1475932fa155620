//! What is hidden from clients can not be asked for by them either.

use super::*;
use rachis::{BoxFuture, Context, Hook, Query, auth::Protect};
use rachis_testing as testing;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Queries that would tell something about passwords.
fn guesses() -> [Value; 9] {
    [
        json!({ "password": { "$gte": "$2b$10$" } }),
        json!({ "email": "bo@example.org", "password": { "$lt": "$2b$10$" } }),
        json!({ "password": { "$in": ["x"] }, "$limit": 0 }),
        json!({ "$or": [{ "email": "x" }, { "$and": [{ "password": { "$ne": null } }] }] }),
        json!({ "password.x": null }),
        json!({ "$sort": { "password": 1 } }),
        json!({ "$sort": { "email": "1", "password": "-1" }, "$limit": "1" }),
        json!({ "$select": ["email", "password"] }),
        json!({ "$nor": [{ "password": "x" }] }),
    ]
}

#[track_caller]
fn assert_hidden(outcome: Result<Value>, query: &Value) {
    let error = outcome.unwrap_err();
    let message = "The field 'password' is hidden from clients, so it can not be used in their queries";
    assert_eq!((error.code(), error.message()), (400, message), "{query}");
}

/// Ada and Bo.
async fn people() -> App {
    let service = MemoryService::new().start_id(1).multi(true).paginate(10, 50);
    let service = service.before(ALL, hash_password("password")).after(ALL, protect(["password"]));
    let app = App::new().register("people", service);
    let both = json!([{ "email": "ada@example.org", "password": "a" }, { "email": "bo@example.org", "password": "b" }]);
    app.service("people").create(both).await.unwrap();
    app
}

#[tokio::test]
async fn a_client_can_not_ask_for_a_hidden_field_by_any_method_and_nothing_runs() {
    let people = people().await.service("people");
    let before = people.find().await.unwrap();
    for query in guesses() {
        let asked = || client().with_query(query.clone());
        assert_hidden(people.find().params(asked()).await, &query);
        assert_hidden(people.get(2).params(asked()).await, &query);
        assert_hidden(people.create(json!({ "email": "c" })).params(asked()).await, &query);
        assert_hidden(people.update(2, json!({ "email": "c" })).params(asked()).await, &query);
        assert_hidden(people.patch(2, json!({ "email": "c" })).params(asked()).await, &query);
        assert_hidden(people.patch_many(json!({ "email": "c" })).params(asked()).await, &query);
        assert_hidden(people.remove(2).params(asked()).await, &query);
        assert_hidden(people.remove_many().params(asked()).await, &query);
    }
    assert_eq!(people.find().await.unwrap(), before);
}

#[tokio::test]
async fn code_may_ask_for_hidden_fields() {
    let people = people().await.service("people");
    let found = people.find().query(json!({ "password": { "$gte": "$2b$10$" }, "$sort": { "password": 1 } })).await;
    assert_eq!(found.unwrap()["total"], 2);
    let only = people.find().query(json!({ "$select": ["password"] })).await.unwrap();
    assert!(only["data"][0]["password"].as_str().unwrap().starts_with("$2b$10$"), "{only}");
}

#[tokio::test]
async fn clients_write_hidden_fields_and_ask_for_all_others() {
    let people = people().await.service("people");
    let patched = people.patch(1, json!({ "password": "new" })).params(client()).await.unwrap();
    assert_eq!(patched, json!({ "email": "ada@example.org", "id": 1 }));
    let query =
        json!({ "email": { "$in": ["password", "bo@example.org"] }, "$sort": { "email": 1 }, "$select": "email" });
    let found = people.find().params(client().with_query(query)).await.unwrap();
    assert_eq!(found["data"], json!([{ "email": "bo@example.org", "id": 2 }]));
}

#[tokio::test]
async fn conditions_that_hooks_add_are_not_the_clients() {
    let only_ours = async |mut ctx: rachis::Context| {
        ctx.params.query = Query::new().with("tenant", "ours");
        Ok(ctx)
    };
    let service =
        MemoryService::new().records([json!({ "id": 1, "tenant": "ours" }), json!({ "id": 2, "tenant": "x" })]);
    let app = App::new().register("notes", service.before(ALL, only_ours).after(ALL, protect(["tenant"])));
    assert_eq!(app.service("notes").find().params(client()).await.unwrap(), json!([{ "id": 1 }]));
    let asked = client().with_query(json!({ "tenant": "x" }));
    assert_eq!(app.service("notes").find().params(asked).await.unwrap_err().code(), 400);
}

/// A hook of one's own around `protect`, which passes on the fields that it hides.
struct Wrapped(Protect);

impl Hook for Wrapped {
    fn run(&self, ctx: Context) -> BoxFuture<'_, Result<Context>> {
        self.0.run(ctx)
    }

    fn hidden_fields(&self) -> &[String] {
        self.0.hidden_fields()
    }
}

/// A hook for some methods hides fields from the queries of all, and a hook of one's own names its fields.
#[tokio::test]
async fn fields_are_kept_out_of_queries_whichever_way_they_are_named() {
    let named = MemoryService::new().protect_queries(["password"]);
    let app = App::new()
        .register("one-method", MemoryService::new().multi(true).after(Method::Get, protect(["password"])))
        .register("wrapped", MemoryService::new().multi(true).after(ALL, Wrapped(protect(["password"]))))
        .register("named", named.after(ALL, async |ctx: Context| Ok(ctx)));
    let everywhere = App::new().after(ALL, protect(["password"])).register("all", MemoryService::new());
    for (app, path) in [(&app, "one-method"), (&app, "wrapped"), (&app, "named"), (&everywhere, "all")] {
        let guess = json!({ "password": { "$gt": "a" } });
        assert_hidden(app.service(path).remove_many().params(client().with_query(guess.clone())).await, &guess);
    }
}

#[tokio::test]
async fn whoever_is_not_logged_in_hears_that_first() {
    let auth = auth();
    let guarded = MemoryService::new().after(ALL, protect(["password"])).before(ALL, auth.authenticate("jwt"));
    let by_method =
        MemoryService::new().before(Method::Find, auth.authenticate("jwt")).after(ALL, protect(["password"]));
    let app = app().register("guarded", guarded).register("by-method", by_method);
    let asked = || client().with_query(json!({ "password": "x" }));
    for path in ["users", "guarded", "by-method"] {
        assert_refused(app.service(path).find().params(asked()).await, "Not authenticated");
    }
    sign_up(&app.service("users")).await;
    let login = log_in(&app.service("authentication")).await;
    for path in ["users", "guarded", "by-method"] {
        let query = json!({ "password": "x" });
        assert_hidden(app.service(path).find().params(bearer(token(&login)).with_query(query.clone())).await, &query);
    }
}

#[tokio::test]
async fn hooks_never_see_a_query_with_hidden_fields() {
    let seen = Arc::new(AtomicU32::new(0));
    let count = {
        let seen = seen.clone();
        move |ctx: rachis::Context| {
            seen.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(ctx))
        }
    };
    let app = App::new().register("people", MemoryService::new().before(ALL, count).after(ALL, protect(["password"])));
    let query = json!({ "password": "x" });
    assert_hidden(app.service("people").find().params(client().with_query(query.clone())).await, &query);
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_login_tells_nothing_of_hidden_fields_by_its_query() {
    let app = app();
    sign_up(&app.service("users")).await;
    let query = json!({ "password": { "$gte": "$2b$10$" } });
    let login = app.service("authentication").create(with_password()).params(client().with_query(query.clone())).await;
    assert_hidden(login, &query);
    assert_eq!(log_in(&app.service("authentication")).await["user"]["id"], 1);
}

/// The transport that a call came in by goes with it, however many nodes it crosses.
#[tokio::test]
async fn a_client_is_one_behind_every_node() {
    let [_users, relay, outside] =
        testing::cluster([people().await, App::new().register("relay", Relay), App::new()]).await;
    for node in [&relay, &outside] {
        node.wait_for("people").await.unwrap();
    }
    outside.wait_for("relay").await.unwrap();
    for query in guesses() {
        assert_hidden(outside.service("people").find().params(client().with_query(query.clone())).await, &query);
        assert_hidden(outside.service("relay").find().params(client().with_query(query.clone())).await, &query);
    }
    let by_code = outside.service("people").find().query(json!({ "password": { "$gte": "$" } })).await.unwrap();
    assert_eq!(by_code["total"], 2);
}

/// Asks in the name of its caller.
struct Relay;

impl Service for Relay {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn find(&self, params: Params) -> Result<Value> {
        params.service("people").find().params(params.clone()).await
    }
}
