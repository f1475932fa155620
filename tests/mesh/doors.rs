//! Somebody who can write to Redis knocks at every door that is not published.

use crate::{
    command, dead_letters, knows, queued,
    services::Echo,
    start,
    wire::{self, request},
};
use rachis::{
    App, Config, Context, Handle, Method, Params, Registration, Result, Service, ServiceExt,
    config::{NameFilter, ServiceConfig},
};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const LONG: Duration = Duration::from_secs(10);

/// Offers `find` and `greet`, has more than that, and counts whatever runs.
#[derive(Clone, Default)]
struct Guarded(Arc<AtomicUsize>);

impl Guarded {
    fn runs(&self) -> Result<Value> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok("ran".into())
    }
}

impl Service for Guarded {
    const METHODS: &[Method] = &[Method::Find, Method::custom("greet")];

    async fn find(&self, _: Params) -> Result<Value> {
        self.runs()
    }

    async fn remove(&self, _: Option<rachis::Id>, _: Params) -> Result<Value> {
        self.runs()
    }

    async fn custom(&self, _: &str, _: Value, _: Params) -> Result<Value> {
        self.runs()
    }

    async fn setup(&self, _: Handle) -> Result<()> {
        Ok(())
    }
}

/// What came of each request, in the order in which they were written.
async fn names(config: &Config, requests: &[(&str, &str)]) -> Vec<String> {
    for (id, (path, method)) in requests.iter().enumerate() {
        wire::send(config, "worker", &request(id as u64, path, method, LONG)).await;
    }
    testing::eventually("all are answered", async || wire::replies(config).await.len() == requests.len()).await;
    let mut replies = wire::replies(config).await;
    replies.sort_by_key(|reply| reply.0);
    let name = |outcome: &Value| match outcome.get("Failure") {
        Some(error) => crate::text(error, "name"),
        None => "ran".to_owned(),
    };
    replies.iter().map(|(_, outcome)| name(outcome)).collect()
}

#[tokio::test]
async fn only_methods_that_a_service_offers_run_whatever_else_it_has() {
    let config = testing::config();
    let guarded = Guarded::default();
    let _there = start(&config, "worker", App::new().register("guarded", guarded.clone())).await;
    let offered = ["find", "greet"];
    let others = [
        "get",
        "remove",
        "setup",
        "teardown",
        "custom",
        "emit",
        "on",
        "hooks",
        "publish",
        "healthcheck",
        "constructor",
        "__proto__",
        "Find",
        "find ",
        "internalOnly",
        "",
    ];
    let requests: Vec<_> = offered.iter().chain(&others).map(|method| ("guarded", *method)).collect();
    let names = names(&config, &requests).await;
    assert_eq!(names[..2], ["ran", "ran"]);
    assert!(names[2..].iter().all(|name| name == "MethodNotAllowed"), "{names:?}");
    assert_eq!(guarded.0.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn every_list_that_narrows_what_is_published_holds_for_requests_written_by_hand() {
    let mut config = testing::config();
    config.distributed_methods = NameFilter::Only(vec!["find".into(), "get".into()]);
    let methods = Some(NameFilter::Only(vec!["create".into()]));
    config.service.insert("special".into(), ServiceConfig { methods, ..ServiceConfig::default() });
    let app = App::new()
        .register("plain", Echo)
        .register("special", Echo)
        .register("own", Registration::from(Echo).distributed_methods(["remove"]))
        .register("narrow", Registration::from(Echo).methods(["update"]).distributed_methods(["update"]))
        .register("local", Registration::from(Echo).local_only());
    let _there = start(&config, "worker", app).await;
    let yes = "ran";
    let no = "MethodNotAllowed";
    let absent = "NotFound";
    let cases = [
        (("plain", "find"), yes),
        (("plain", "create"), no),
        (("plain", "inspect"), no),
        (("special", "create"), yes),
        (("special", "find"), no),
        (("own", "remove"), yes),
        (("own", "find"), no),
        (("narrow", "update"), yes),
        (("narrow", "find"), no),
        (("local", "find"), absent),
        // Other ways to write a path.
        (("/local/", "find"), absent),
        (("plain/../local", "find"), absent),
        (("LOCAL", "find"), absent),
        (("local\0", "find"), absent),
        (("", "find"), absent),
        (("*", "find"), absent),
    ];
    let requests: Vec<_> = cases.iter().map(|(request, _)| *request).collect();
    let names = names(&config, &requests).await;
    for ((request, expected), name) in cases.iter().zip(names) {
        assert_eq!(name, *expected, "{request:?}");
    }
}

#[tokio::test]
async fn hooks_run_for_requests_written_by_hand_as_for_any_other() {
    let config = testing::config();
    let refuse = async |ctx: Context| match ctx.params.user {
        Some(_) => Ok(ctx),
        None => Err(rachis::Error::forbidden("not without a user")),
    };
    let _there = start(&config, "worker", App::new().register("echo", Echo.before(rachis::ALL, refuse))).await;
    assert_eq!(names(&config, &[("echo", "find"), ("echo", "inspect")]).await, ["Forbidden", "Forbidden"]);
}

/// A request whose params say all that params can say.
fn boasting(id: u64) -> Vec<u8> {
    let none: Option<Value> = None;
    let extra = json!({ "fromRemote": false, "from_remote": false, "authenticated": true });
    let params = (json!({}), none.clone(), json!({}), json!({}), json!({ "id": 1 }), none.clone(), true, extra);
    let body = (id, wire::NOBODY, 0u8, "seen", "find", none, Value::Null, params);
    let mut frame = request(id, "seen", "find", LONG)[..6].to_vec();
    frame.extend(rmp_serde::to_vec(&body).unwrap());
    frame
}

struct Seen;

impl Service for Seen {
    const METHODS: &[Method] = &[Method::Find];

    async fn find(&self, params: Params) -> Result<Value> {
        Ok(json!([params.from_remote, params.authenticated]))
    }
}

#[tokio::test]
async fn who_writes_by_hand_is_remote_and_not_authenticated_unless_the_node_trusts() {
    for (authentication, authenticated) in [(true, false), (false, true)] {
        let config = Config { authentication, ..testing::config() };
        let _there = start(&config, "worker", App::new().register("seen", Seen)).await;
        wire::send(&config, "worker", &boasting(1)).await;
        testing::eventually("it is answered", async || wire::replies(&config).await.len() == 1).await;
        assert_eq!(wire::replies(&config).await[0].1["Answer"][0], json!([true, authenticated]));
    }
}

#[tokio::test]
async fn a_frame_that_goes_on_after_its_end_is_set_aside() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    wire::send(&config, "worker", &[request(1, "echo", "find", LONG), vec![0xc0]].concat()).await;
    testing::eventually("it is set aside", async || dead_letters(&config, "worker").await.len() == 1).await;
    assert!(dead_letters(&config, "worker").await[0].0.contains("goes on after its end"));
    // And one in the inbox is passed over.
    wire::add(&config, &wire::inbox_of(&config, there.id()), &[1, b'R', 0xc0, 0xc0]).await;
    assert_eq!(here.service("echo").get(1).await.unwrap()["id"], 1);
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
    assert_eq!(wire::replies(&config).await.len(), 0);
    command(&config, &["PING"]).await.unwrap();
}
