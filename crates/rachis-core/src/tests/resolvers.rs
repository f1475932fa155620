//! Fields that are computed.

use crate::{
    ALL, App, Context, Error, MemoryService, Method, Params, Registration, Resolver, Resolving, Result, ServiceExt,
    resolve_data, resolve_external, resolve_query, resolve_result,
};
use serde_json::{Value, json};

fn of(value: Value) -> Params {
    Params::default().with_provider("rest").with_query(value)
}

fn doubled() -> Resolver {
    Resolver::new().computed("double", async |field: Resolving| Ok(Some(field.get::<i64>("n")? * 2)))
}

fn numbers(service: Registration) -> App {
    App::new().register("numbers", service)
}

#[tokio::test]
async fn a_field_that_is_never_stored_is_computed_for_each_record_of_a_page_and_a_list() {
    for (service, inner) in [
        (MemoryService::new().multi(true).around(ALL, resolve_result(doubled())), ""),
        (MemoryService::new().multi(true).paginate(10, 10).around(ALL, resolve_result(doubled())), "/data"),
    ] {
        let numbers = numbers(service).service("numbers");
        numbers.create(json!([{ "n": 1 }, { "n": 2 }])).await.unwrap();
        let found = numbers.find().await.unwrap();
        assert_eq!(
            found.pointer(inner).unwrap(),
            &json!([{ "n": 1, "id": 0, "double": 2 }, { "n": 2, "id": 1, "double": 4 }])
        );
        assert_eq!(numbers.get(1).await.unwrap()["double"], 4);
    }
}

#[tokio::test]
async fn a_selection_is_of_computed_fields_too() {
    let numbers = numbers(MemoryService::new().multi(true).around(ALL, resolve_result(doubled()))).service("numbers");
    numbers.create(json!({ "n": 1, "m": 5 })).await.unwrap();
    let select = |names: Value| numbers.find().query(json!({ "$select": names }));
    assert_eq!(select(json!(["double"])).await.unwrap(), json!([{ "double": 2 }]));
    assert_eq!(select(json!(["m"])).await.unwrap(), json!([{ "m": 5, "id": 0 }]));
}

#[tokio::test]
async fn data_is_resolved_record_by_record_and_a_field_of_nothing_is_left_out() {
    let resolver = Resolver::new()
        .field("name", async |field: Resolving| Ok(field.value::<Option<String>>()?.map(|name| name.trim().to_owned())))
        .field("admin", async |_: Resolving| Ok(None::<bool>));
    let names =
        App::new().register("names", MemoryService::new().multi(true).before(Method::Create, resolve_data(resolver)));
    let names = names.service("names");
    let created = names.create(json!([{ "name": " Ada ", "admin": true }, { "x": 1 }])).await.unwrap();
    assert_eq!(created, json!([{ "name": "Ada", "id": 0 }, { "x": 1, "id": 1 }]));
}

#[tokio::test]
async fn errors_of_fields_are_told_together() {
    let resolver = Resolver::new()
        .field("a", async |_: Resolving| Err::<Option<u8>, _>(Error::forbidden("Not a")))
        .field("b", async |field: Resolving| field.value::<Option<u8>>())
        .field("c", async |_: Resolving| Ok(Some(1)));
    let service =
        App::new().register("letters", MemoryService::new().multi(true).before(Method::Create, resolve_data(resolver)));
    let error = service.service("letters").create(json!({ "b": "x" })).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (400, "Error resolving data"));
    let errors = error.errors().unwrap();
    assert_eq!((&errors["a"]["code"], &errors["b"]["code"], errors.get("c")), (&json!(403), &json!(400), None));
}

#[tokio::test]
async fn a_query_is_limited_to_what_is_the_users() {
    let own = Resolver::new().field("owner", async |field: Resolving| {
        let user = field.params.user.clone();
        Ok(user.map(|user| user["id"].clone()))
    });
    let notes = App::new()
        .register("notes", MemoryService::new().multi(true).before(Method::Find, resolve_query(own)))
        .service("notes");
    notes.create(json!([{ "owner": 1 }, { "owner": 2 }])).await.unwrap();
    let mut ada = of(json!({ "owner": 2 }));
    ada.user = Some(json!({ "id": 1 }));
    assert_eq!(notes.find().params(ada).await.unwrap(), json!([{ "owner": 1, "id": 0 }]));
}

#[tokio::test]
async fn clients_and_events_see_the_external_view_and_code_the_whole() {
    let external = Resolver::new()
        .without(["password"])
        .field("name", async |field: Resolving| Ok(Some(field.value::<String>()?.to_uppercase())));
    let app = App::new().register("users", MemoryService::new().multi(true).around(ALL, resolve_external(external)));
    let mut events = app.service("users").on("created").await.unwrap();
    let answer = app.service("users").create(json!({ "name": "Ada", "password": "x" })).answer().await.unwrap();
    assert_eq!(answer.result, json!({ "name": "Ada", "password": "x", "id": 0 }));
    let seen = json!({ "name": "ADA", "id": 0 });
    assert_eq!(answer.external(), seen);
    let event = events.next().await.unwrap();
    assert_eq!(event.data, seen);
}

#[tokio::test]
async fn what_is_left_out_of_the_external_view_can_not_be_asked_for() {
    let external = Resolver::new().without(["password"]);
    let app = App::new().register("users", MemoryService::new().multi(true).around(ALL, resolve_external(external)));
    let users = app.service("users");
    users.create(json!({ "password": "x" })).await.unwrap();
    for query in [json!({ "password": "x" }), json!({ "$sort": { "password": 1 } }), json!({ "$select": ["password"] })]
    {
        assert_eq!(users.find().params(of(query.clone())).await.unwrap_err().code(), 400, "{query}");
        assert!(users.find().query(query).await.is_ok());
    }
}

#[tokio::test]
async fn what_a_hook_inside_made_the_external_view_is_resolved_further() {
    let app = App::new().register(
        "users",
        MemoryService::new().multi(true).around(ALL, resolve_external(doubled())).after(
            Method::Get,
            async |mut ctx: Context| -> Result<Context> {
                ctx.dispatch = Some(json!({ "n": 7 }));
                Ok(ctx)
            },
        ),
    );
    let users = app.service("users");
    users.create(json!({ "n": 1 })).await.unwrap();
    assert_eq!(users.get(0).answer().await.unwrap().external(), json!({ "n": 7, "double": 14 }));
}
