//! Services whose data and queries are described.

use crate::{Web, services::Echo};
use rachis::{
    App, Context, MemoryService, Method, Params, ServiceExt,
    auth::{AuthConfig, Authentication},
    schema::Schemas,
};
use rachis_testing::cluster;
use serde_json::{Value, json};

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "integer" },
            "name": { "type": "string", "minLength": 1 },
            "age": { "type": "integer", "minimum": 0 },
        },
        "required": ["name"],
        "additionalProperties": false,
    })
}

fn schemas() -> Schemas {
    Schemas::new().record(person()).data(Method::Create, person())
}

#[tokio::test]
async fn texts_of_a_query_string_are_compared_as_what_their_fields_are() {
    let people = MemoryService::new();
    let web = Web::remote(App::new().register("people", people.schemas(schemas()))).await;
    for (name, age) in [("Ada", 36), ("Bo", 7), ("Cy", 100)] {
        web.nodes[0].app().service("people").create(json!({ "name": name, "age": age })).await.unwrap();
    }
    let found = web.get("/people?age[$gt]=8&$sort[age]=-1&$select[]=name").await.json();
    assert_eq!(found, json!([{ "name": "Cy", "id": 2 }, { "name": "Ada", "id": 0 }]));
    assert_eq!(web.get("/people?age[$in][]=7&$limit=1").await.json()[0]["name"], "Bo");
}

#[tokio::test]
async fn the_same_is_refused_with_the_same_words_over_rest_and_from_another_node() {
    let app = App::new().register("people", Echo.schemas(schemas()));
    let [there, here] = cluster([app, App::new()]).await;
    let remote = here.service("people");
    let by_node = remote.create(json!({ "name": "", "agee": 7 })).await.unwrap_err();
    assert_eq!(by_node.message(), "Invalid data for create: name: value is shorter than 1 character; agee is unknown");
    let errors = json!({ "agee": "is unknown", "name": "value is shorter than 1 character" });
    assert_eq!((by_node.code(), by_node.errors()), (400, Some(&errors)));
    let local = there.app().service("people").create(json!({ "name": "", "agee": 7 })).await.unwrap_err();
    assert_eq!(local, by_node);
    let web = Web::remote(App::new().register("people", Echo.schemas(schemas()))).await;
    let reply = web.json("POST", "/people", json!({ "name": "", "agee": 7 })).await;
    assert_eq!((reply.status, reply.json()), (400, by_node.to_json()));
    let refused = web.get("/people?agee=7").await;
    assert_eq!((refused.status, refused.json()["errors"].take()), (400, json!({ "agee": "is unknown" })));
}

#[tokio::test]
async fn what_hooks_add_is_not_held_against_the_client() {
    let people = Echo.schemas(schemas()).before(Method::Create, async |mut ctx: Context| {
        ctx.data["createdBy"] = "hook".into();
        Ok(ctx)
    });
    let web = Web::local(App::new().register("people", people)).await;
    let reply = web.json("POST", "/people", json!({ "name": "Ada" })).await;
    assert_eq!((reply.status, &reply.json()["data"]["createdBy"]), (201, &json!("hook")));
}

#[tokio::test]
async fn a_stranger_hears_that_it_is_one_before_it_hears_of_fields() {
    let auth = Authentication::new(AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!")).unwrap();
    let people = Echo.schemas(schemas()).before(Method::Create, auth.authenticate("jwt"));
    let app = App::new().register("people", people);
    let stranger = Params::default().with_provider("rest");
    let error = app.service("people").create(json!({ "x": 1 })).params(stranger).await.unwrap_err();
    assert_eq!(error.code(), 401);
}
