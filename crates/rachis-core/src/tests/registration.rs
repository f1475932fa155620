//! Registering, finding and taking away services, and who may call what.

use super::{fails, from_rest};
use crate::{App, Error, Handle, MemoryService, Method, Params, Registration, Result, Service, ServiceExt};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

fn refused(path: &str, service: impl Into<Registration>) -> (u16, String) {
    let error = App::new().register("taken", MemoryService::new()).try_register(path, service).unwrap_err();
    (error.code(), error.message().to_owned())
}

/// Offers `shout`; has `whisper` too.
struct Voices;

impl Service for Voices {
    const METHODS: &'static [Method] = &[Method::custom("shout")];

    async fn custom(&self, method: &str, data: Value, _: Params) -> Result<Value> {
        let text = data.as_str().unwrap_or_default();
        match method {
            "shout" => Ok(text.to_uppercase().into()),
            "whisper" => Ok(text.to_lowercase().into()),
            _ => Err(Error::method_not_allowed("No such voice")),
        }
    }
}

#[test]
fn a_path_that_is_taken_is_refused() {
    for path in ["taken", "/taken/"] {
        assert_eq!(refused(path, Voices), (409, "Path taken already exists".into()));
    }
}

#[test]
fn a_path_that_differs_only_in_placeholder_names_is_refused_and_leaves_no_trace() {
    let app = App::new().register("orgs/:id/todos", Voices);
    assert_eq!(app.try_register("orgs/:org/todos", Voices).unwrap_err().code(), 409);
    assert_eq!(app.paths(), ["orgs/:id/todos"]);
    assert_eq!(app.descriptor("orgs/1/todos").unwrap().path, "orgs/:id/todos");
}

#[test]
fn names_that_feathers_reserves_are_refused_as_custom_methods() {
    for name in
        ["on", "emit", "removeListener", "all", "around", "before", "after", "error", "hooks", "setup", "publish"]
    {
        let named = MemoryService::new().before("x", async |ctx: crate::Context| Ok(ctx)).methods([name]);
        let message = format!("'{name}' on service 'new' is not allowed as a custom method name");
        assert_eq!(refused("new", named), (400, message));
    }
}

#[test]
fn a_service_without_methods_and_an_odd_path_are_refused() {
    let none: [&str; 0] = [];
    assert_eq!(refused("new", Registration::from(Voices).methods(none)).0, 400);
    for path in ["a//b", "a b", "a/:", "a/{b}", "a?b", "a#b", "a*"] {
        let (code, message) = refused(path, Voices);
        assert_eq!(code, 400);
        assert!(message.starts_with(&format!("'{path}' is not a valid service path")), "{message}");
    }
}

#[test]
#[should_panic(expected = "Path taken already exists")]
fn contradictions_at_start_up_panic() {
    let _ = App::new().register("taken", Voices).register("taken", Voices);
}

#[tokio::test]
async fn slashes_around_a_path_do_not_matter() {
    let app = App::new().register("/api/voices/", Voices);
    assert_eq!(app.service("api/voices").custom("shout", "a").await.unwrap(), "A");
    assert_eq!(app.service("//api/voices//").custom("shout", "a").await.unwrap(), "A");
}

struct Echo;

impl Service for Echo {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn find(&self, params: Params) -> Result<Value> {
        Ok(json!(params.route))
    }
}

#[tokio::test]
async fn placeholders_end_up_in_the_route_and_exact_paths_win() {
    let app = App::new().register("orgs/:org/users/:user", Echo).register("orgs/main/users/:user", Echo);
    let find = async |path: &str| app.service(path).find().await.unwrap();
    assert_eq!(find("orgs/a/users/b").await, json!({ "org": "a", "user": "b" }));
    assert_eq!(find("orgs/main/users/b").await, json!({ "user": "b" }));
    fails(app.service("orgs/a/users").find().await, (404, "Service 'orgs/a/users' not found"));
}

#[tokio::test]
async fn an_unregistered_service_is_gone_and_its_siblings_stay() {
    let app = App::new().register("orgs/:org/a", Echo).register("orgs/:org/b", Echo);
    assert!(app.unregister("/orgs/:org/a").await.unwrap());
    assert!(!app.unregister("orgs/:org/a").await.unwrap());
    fails(app.service("orgs/1/a").find().await, (404, "Service 'orgs/1/a' not found"));
    assert_eq!(app.service("orgs/1/b").find().await.unwrap(), json!({ "org": "1" }));
    app.try_register("orgs/:org/a", Echo).unwrap();
    assert_eq!(app.service("orgs/1/a").find().await.unwrap(), json!({ "org": "1" }));
}

#[tokio::test]
async fn a_handle_is_valid_before_its_service_exists() {
    let app = App::new();
    let voices = app.service("voices");
    fails(voices.custom("shout", "a").await, (404, "Service 'voices' not found"));
    app.try_register("voices", Voices).unwrap();
    assert_eq!(voices.custom("shout", "a").await.unwrap(), "A");
}

#[tokio::test]
async fn the_outside_calls_offered_methods_only_while_code_calls_any() {
    let app = App::new().register("voices", Voices);
    let voices = app.service("voices");
    assert_eq!(voices.custom("shout", "Aa").params(from_rest()).await.unwrap(), "AA");
    assert_eq!(voices.custom("whisper", "Aa").await.unwrap(), "aa");
    let refusal = (405, "Method 'whisper' not allowed on service 'voices'");
    fails(voices.custom("whisper", "Aa").params(from_rest()).await, refusal);
    let remote = Params { from_remote: true, ..Params::default() };
    fails(voices.custom("whisper", "Aa").params(remote).await, refusal);
}

#[tokio::test]
async fn hooks_run_around_methods_that_are_not_offered_too() {
    let app = App::new().register("voices", Voices.before("whisper", async |_| Err(Error::forbidden("hush"))));
    fails(app.service("voices").custom("whisper", "a").await, (403, "hush"));
}

#[tokio::test]
async fn a_registration_may_offer_less_than_its_service() {
    let app = App::new().register("todos", Registration::from(MemoryService::new()).methods([Method::Find]));
    let todos = app.service("todos");
    todos.create(json!({})).await.unwrap();
    assert_eq!(todos.find().params(from_rest()).await.unwrap(), json!([{ "id": 0 }]));
    fails(todos.get(0).params(from_rest()).await, (405, "Method 'get' not allowed on service 'todos'"));
}

#[tokio::test]
async fn a_method_that_was_not_written_says_so() {
    let app = App::new().register("voices", Voices);
    fails(app.service("voices").get(1).await, (405, "Method `get` is not supported by this endpoint."));
}

#[tokio::test]
async fn get_without_an_id_is_a_bad_request() {
    let app = App::new().register("todos", MemoryService::new());
    fails(app.service("todos").method(Method::Get).await, (400, "get on 'todos' needs an id"));
}

#[derive(Default)]
struct Counted {
    up: Arc<AtomicUsize>,
    down: Arc<AtomicUsize>,
}

impl Service for Counted {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn setup(&self, this: Handle) -> Result<()> {
        assert_eq!(this.path(), "counted");
        self.up.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn teardown(&self) -> Result<()> {
        self.down.fetch_add(1, SeqCst);
        Err(Error::general("teardown failed"))
    }
}

#[tokio::test]
async fn setup_and_teardown_reach_the_service() {
    let service = Counted::default();
    let up = service.up.clone();
    let down = service.down.clone();
    let app = App::new().register("counted", service);
    app.setup().await.unwrap();
    assert_eq!((up.load(SeqCst), down.load(SeqCst)), (1, 0));
    app.teardown().await;
    assert_eq!((up.load(SeqCst), down.load(SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_failing_teardown_is_told_and_the_service_is_gone_all_the_same() {
    let app = App::new().register("counted", Counted::default());
    assert_eq!(app.unregister("counted").await.unwrap_err().message(), "teardown failed");
    assert_eq!(app.paths(), [""; 0]);
}

#[test]
fn a_descriptor_tells_methods_events_and_options() {
    let registration = Registration::from(MemoryService::new())
        .methods(["find", "shout"])
        .events(["rang", "created"])
        .option("scope", "public");
    let descriptor = App::new().register("x", registration).descriptor("x").unwrap();
    assert_eq!(descriptor.methods, [Method::Find, Method::custom("shout")]);
    assert_eq!(descriptor.events, ["created", "updated", "patched", "removed", "rang"]);
    assert_eq!(descriptor.options["scope"], "public");
}

#[tokio::test]
async fn a_query_that_is_no_object_is_refused_before_the_call() {
    let app = App::new().register("todos", MemoryService::new());
    let error = app.service("todos").find().query(json!([1])).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (400, "A query is a JSON object, not [1]"));
}
