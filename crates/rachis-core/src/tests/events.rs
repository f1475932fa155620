//! Which events calls fire, and when they do not.

use super::from_rest;
use crate::{
    ALL, App, Context, Error, EventStream, Handle, MemoryService, Method, Params, RESYNC, Registration, Result,
    Service, ServiceExt,
};
use serde_json::{Value, json};

/// A service at `todos` and all it fires.
struct Heard {
    todos: Handle,
    events: EventStream,
}

impl Heard {
    async fn new(service: impl Into<Registration>) -> Self {
        let todos = App::new().register("todos", service.into().events(["end"])).service("todos");
        let events = todos.on("*").await.unwrap();
        Heard { todos, events }
    }

    /// Name and data of what was fired so far; a marker fired last says where that ends.
    async fn fired(&mut self) -> Vec<(String, Value)> {
        self.todos.emit("end", ()).unwrap();
        let mut fired = Vec::new();
        loop {
            let event = self.events.next().await.expect("the app is there");
            if event.name == "end" {
                return fired;
            }
            fired.push((event.name, event.data));
        }
    }

    async fn data(&mut self) -> Vec<Value> {
        self.fired().await.into_iter().map(|(_, data)| data).collect()
    }
}

fn many() -> MemoryService {
    MemoryService::new().multi(true)
}

#[tokio::test]
async fn each_changing_method_fires_its_event_and_reading_fires_none() {
    let mut heard = Heard::new(many()).await;
    let todos = heard.todos.clone();
    todos.create(json!({ "n": 1 })).await.unwrap();
    todos.update(0, json!({ "n": 2 })).await.unwrap();
    todos.patch(0, json!({ "n": 3 })).await.unwrap();
    todos.get(0).await.unwrap();
    todos.find().await.unwrap();
    todos.remove(0).await.unwrap();
    let record = |n: i32| json!({ "id": 0, "n": n });
    let expected = [("created", record(1)), ("updated", record(2)), ("patched", record(3)), ("removed", record(3))];
    assert_eq!(heard.fired().await, expected.map(|(name, data)| (name.to_owned(), data)));
}

#[tokio::test]
async fn a_failed_call_fires_nothing() {
    let service = many().after(Method::Create, async |_| Err(Error::conflict("after the method")));
    let mut heard = Heard::new(service).await;
    heard.todos.create(json!({})).await.unwrap_err();
    assert!(heard.fired().await.is_empty());
}

#[tokio::test]
async fn an_event_is_muted_by_taking_it_out_of_the_context() {
    let service = many().after(ALL, async |mut ctx: Context| {
        ctx.event = None;
        Ok(ctx)
    });
    let mut heard = Heard::new(service).await;
    heard.todos.create(json!({})).await.unwrap();
    assert!(heard.fired().await.is_empty());
}

#[tokio::test]
async fn an_event_may_be_renamed_by_a_hook() {
    let service = many().after(Method::Patch, async |mut ctx: Context| {
        ctx.event = Some("renamed".into());
        Ok(ctx)
    });
    let mut heard = Heard::new(service).await;
    heard.todos.create(json!({})).await.unwrap();
    heard.todos.patch(0, json!({})).await.unwrap();
    let names: Vec<_> = heard.fired().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["created", "renamed"]);
}

#[tokio::test]
async fn an_array_fires_one_event_for_each_element() {
    let mut heard = Heard::new(many()).await;
    heard.todos.create(json!([{ "n": 1 }, { "n": 2 }])).await.unwrap();
    assert_eq!(heard.data().await, [json!({ "id": 0, "n": 1 }), json!({ "id": 1, "n": 2 })]);
}

fn with_dispatch(dispatch: Value) -> Registration {
    many().after(Method::Create, move |mut ctx: Context| {
        ctx.dispatch = Some(dispatch.clone());
        async { Ok(ctx) }
    })
}

#[tokio::test]
async fn events_carry_the_dispatch_of_their_element_instead_of_the_result() {
    let mut heard = Heard::new(with_dispatch(json!([{ "view": 1 }, { "view": 2 }]))).await;
    heard.todos.create(json!([{ "secret": 1 }, { "secret": 2 }])).await.unwrap();
    assert_eq!(heard.data().await, [json!({ "view": 1 }), json!({ "view": 2 })]);
}

#[tokio::test]
async fn a_dispatch_for_all_elements_goes_with_each_event() {
    let mut heard = Heard::new(with_dispatch(json!("changed"))).await;
    heard.todos.create(json!([{}, {}])).await.unwrap();
    assert_eq!(heard.data().await, ["changed", "changed"]);
}

#[tokio::test]
async fn a_single_record_fires_once_even_if_its_dispatch_is_an_array() {
    let mut heard = Heard::new(with_dispatch(json!(["a", "b"]))).await;
    heard.todos.create(json!({})).await.unwrap();
    assert_eq!(heard.fired().await, [("created".to_owned(), json!(["a", "b"]))]);
}

#[tokio::test]
async fn an_event_knows_the_call_that_caused_it() {
    let app = App::new().register("orgs/:org/todos", many());
    let mut events = app.service("orgs/:org/todos").on("created").await.unwrap();
    let mut params = from_rest().with_query(json!({ "$select": ["n"] })).with_user(json!({ "id": 7, "password": "x" }));
    params.headers.insert("authorization".into(), "secret".into());
    app.service("orgs/acme/todos").create(json!({ "n": 1 })).params(params).await.unwrap();
    let event = events.next().await.unwrap();
    let context = event.context.unwrap();
    assert_eq!(context.method, Method::Create);
    assert_eq!(context.route["org"], "acme");
    assert_eq!(context.provider.as_deref(), Some("rest"));
    assert_eq!(context.query, json!({ "$select": ["n"] }));
    assert_eq!(context.user, Some(json!({ "id": 7 })));
    assert!(!event.from_remote);
}

/// Fires `patched` itself and never by patching.
struct Quiet;

impl Service for Quiet {
    const METHODS: &'static [Method] = &[Method::Create, Method::Patch, Method::custom("ring")];
    const EVENTS: &'static [&'static str] = &["patched", "rang"];

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        Ok(data)
    }

    async fn patch(&self, _: Option<crate::Id>, data: Value, _: Params) -> Result<Value> {
        Ok(data)
    }

    async fn custom(&self, _: &str, data: Value, params: Params) -> Result<Value> {
        params.service("todos").emit("rang", &data)?;
        Ok(data)
    }
}

#[tokio::test]
async fn events_listed_by_the_service_are_fired_by_it_alone() {
    let mut heard = Heard::new(Quiet).await;
    let quiet = heard.todos.clone();
    quiet.create(json!(1)).await.unwrap();
    quiet.patch(0, json!(2)).await.unwrap();
    quiet.emit("patched", json!(3)).unwrap();
    quiet.custom("ring", json!(4)).await.unwrap();
    let expected = [("created", json!(1)), ("patched", json!(3)), ("rang", json!(4))];
    assert_eq!(heard.fired().await, expected.map(|(name, data)| (name.to_owned(), data)));
}

#[tokio::test]
async fn an_unknown_event_or_service_cannot_be_emitted() {
    let app = App::new().register("quiet", Quiet);
    let error = app.service("quiet").emit("reng", ()).unwrap_err();
    assert_eq!(error.code(), 400);
    assert!(error.message().contains("'reng' is no event of service 'quiet'"), "{error}");
    assert_eq!(app.service("loud").emit("rang", ()).unwrap_err().code(), 404);
}

#[tokio::test]
async fn a_subscription_hears_only_its_service_and_its_event() {
    let app = App::new().register("a", many()).register("b", many());
    let mut events = app.service("/a/").on("patched").await.unwrap();
    app.service("b").create(json!({})).await.unwrap();
    app.service("b").patch(0, json!({})).await.unwrap();
    app.service("a").create(json!({})).await.unwrap();
    app.service("a").patch(0, json!({ "n": 1 })).await.unwrap();
    let event = events.next().await.unwrap();
    assert_eq!((event.path.as_str(), event.data), ("a", json!({ "id": 0, "n": 1 })));
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_told_once_and_goes_on() {
    let app = App::new().register("todos", many());
    let mut events = app.service("todos").on("created").await.unwrap();
    let flood = |count, length| {
        let records: Vec<Value> = (0..count).map(|n| json!({ "n": n, "text": "x".repeat(length) })).collect();
        app.service("todos").create(records)
    };
    // By bytes it falls behind, not by number.
    flood(20_000, 0).await.unwrap();
    for n in 0..20_000 {
        assert_eq!(events.next().await.unwrap().data["n"], n);
    }
    flood(100, 1 << 20).await.unwrap();
    let mut heard = 0;
    while events.next().await.unwrap().name != RESYNC {
        heard += 1;
    }
    assert_eq!(heard, (32 << 20) / ((1 << 20) + 1), "as many as there is room for");
    flood(1, 0).await.unwrap();
    assert_eq!(events.next().await.unwrap().data["n"], 0);
}
