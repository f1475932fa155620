//! Calls between nodes: what arrives, what comes back, and what bounds them.

use crate::{
    calls_of, command, dead_letters, knows, outcome, queued, sees_replicas,
    services::{Bomb, Echo, Gate, Named},
    start,
    wire::{self, request},
};
use futures_util::future::join_all;
use rachis::{
    ALL, App, Error, ErrorKind, Http, Id, Method, Params, Service, ServiceExt,
    config::{ByteSize, Linger},
};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::{
    future::IntoFuture,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

fn params() -> Params {
    let mut params = Params::default().with_query(json!({ "$limit": 3, "tag": ["a", null] }));
    params.provider = Some("rest".into());
    params.user = Some(json!({ "id": 7 }));
    params.headers.insert("x-trace".into(), "t1".into());
    params.extra.insert("tenant".into(), json!({ "name": "acme" }));
    params
}

#[tokio::test]
async fn every_method_crosses_nodes_with_its_params() {
    let [_there, here] = testing::cluster([App::new().register("orgs/:orgId/echo", Echo), App::new()]).await;
    let echo = here.service("orgs/12/echo");
    let id = Id::from("a b/ü");
    let calls = [
        (echo.find(), "find", false, false),
        (echo.get(id.clone()), "get", true, false),
        (echo.create(json!({ "n": u64::MAX })), "create", false, true),
        (echo.update(id.clone(), json!([1, 2.5])), "update", true, true),
        (echo.patch(id.clone(), json!({ "deep": { "null": null } })), "patch", true, true),
        (echo.patch_many(json!({ "all": true })), "patch", false, true),
        (echo.remove(id.clone()), "remove", true, false),
        (echo.remove_many(), "remove", false, false),
        (echo.custom("inspect", json!("text")), "inspect", false, true),
    ];
    for (call, method, with_id, with_data) in calls {
        let seen = call.params(params()).await.unwrap();
        assert_eq!(seen["method"], method);
        assert_eq!(seen["id"], if with_id { json!(id) } else { Value::Null }, "{method}");
        assert_eq!(seen["data"].is_null(), !with_data, "{method}");
        assert_eq!(seen["query"], json!({ "$limit": 3, "tag": ["a", null] }));
        assert_eq!(seen["provider"], "rest");
        assert_eq!(seen["user"], json!({ "id": 7 }));
        assert_eq!(seen["headers"], json!({ "x-trace": "t1" }));
        assert_eq!(seen["extra"], json!({ "tenant": { "name": "acme" } }));
        assert_eq!(seen["route"], json!({ "orgId": "12" }));
        assert_eq!(seen["fromRemote"], true);
    }
}

#[tokio::test]
async fn only_the_responder_says_that_a_call_is_remote() {
    let [there, here] = testing::cluster([App::new().register("echo", Echo), App::new()]).await;
    let pretending = Params { from_remote: true, ..Params::default() };
    let local = there.service("echo").find().await.unwrap();
    assert_eq!(local["fromRemote"], false);
    let remote = here.service("echo").find().params(Params::default()).await.unwrap();
    assert_eq!(remote["fromRemote"], true);
    let remote = here.service("echo").find().params(pretending).await.unwrap();
    assert_eq!(remote["fromRemote"], true);
}

#[tokio::test]
async fn results_keep_their_external_view_and_their_http_metadata() {
    let marked = Echo.after(Method::Get, async |mut ctx: rachis::Context| {
        ctx.dispatch = Some(if ctx.id == Some(Id::from("hidden")) { Value::Null } else { json!({ "safe": true }) });
        ctx.http = Some(Http { status: Some(202), location: Some("/there".into()), ..Http::default() });
        Ok(ctx)
    });
    let [_there, here] = testing::cluster([App::new().register("echo", marked), App::new()]).await;
    let answer = here.service("echo").get("shown").answer().await.unwrap();
    assert_eq!(answer.result["id"], "shown");
    assert_eq!(answer.dispatch, Some(json!({ "safe": true })));
    assert_eq!((answer.http.status, answer.http.location.as_deref()), (Some(202), Some("/there")));
    let hidden = here.service("echo").get("hidden").answer().await.unwrap();
    assert_eq!(hidden.dispatch, Some(Value::Null));
    assert_eq!(here.service("echo").find().answer().await.unwrap().dispatch, None);
}

#[tokio::test]
async fn errors_keep_class_message_data_and_errors() {
    let failing = Echo.before(ALL, async |ctx: rachis::Context| {
        let kind = ErrorKind::from_name(ctx.id.as_ref().map(Id::to_string).unwrap_or_default().as_str());
        Err(Error::new(kind, "as told").with_data(json!({ "a": [1] })).with_errors(json!({ "field": "is bad" })))
    });
    let [_there, here] = testing::cluster([App::new().register("failing", failing), App::new()]).await;
    for kind in ErrorKind::ALL {
        let error = here.service("failing").get(kind.name()).await.unwrap_err();
        let expected =
            Error::new(*kind, "as told").with_data(json!({ "a": [1] })).with_errors(json!({ "field": "is bad" }));
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn a_service_that_panics_fails_that_call_and_nothing_else() {
    let app = App::new().register("bomb", Bomb).register("echo", Echo);
    let [there, here] = testing::cluster([app, App::new()]).await;
    for _ in 0..3 {
        let error = here.service("bomb").create(json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GeneralError);
        assert!(!error.message().contains("a test has set"), "{error}: a panic's text may be a secret");
    }
    assert_eq!(here.service("echo").find().await.unwrap()["method"], "find");
    testing::eventually("nothing runs any more", async || there.in_flight() == 0).await;
    assert_eq!(there.queue_length().await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_that_nobody_took_says_that_it_never_ran() {
    let mut config = testing::config();
    config.linger = Linger::Forever;
    let caller = start(&config, "caller", App::new()).await;
    start(&config, "worker", App::new().register("echo", Echo)).await.shutdown().await.unwrap();
    knows(&caller, "echo").await;
    let asked = Instant::now();
    let error = caller.service("echo").create(json!({})).timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), outcome(&error)), (ErrorKind::Timeout, 408, "never ran"));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(queued(&config, "worker").await, 0);

    // And so it is: the next replica does not run it.
    let gate = Gate::open("late");
    let _late = start(&config, "worker", App::new().register("echo", gate.clone())).await;
    assert_eq!(caller.service("echo").get(1).await.unwrap(), "late");
    assert_eq!(gate.started(), 1);
}

#[tokio::test]
async fn a_call_that_takes_too_long_says_that_it_may_have_run() {
    let gate = Gate::closed("slow");
    let [there, here] = testing::cluster([App::new().register("slow", gate.clone()), App::new()]).await;
    let error = here.service("slow").find().timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), outcome(&error)), (ErrorKind::Timeout, 408, "unknown"));
    assert_eq!(gate.started(), 1);
    gate.open_up();
    testing::eventually("it is settled", async || there.queue_length().await.unwrap() == 0).await;
    assert_eq!(here.pending(), 0);
}

#[tokio::test]
async fn each_call_ends_in_its_own_time_and_one_without_an_end_is_answered() {
    let gate = Gate::closed("slow");
    let [_there, here] = testing::cluster([App::new().register("slow", gate.clone()), App::new()]).await;
    let patient = tokio::spawn(here.service("slow").find().timeout(Duration::MAX).answer());
    // Neither the first nor the last to begin is the first to end.
    let calls = [300, 700, 100, 500].map(|ms| {
        let time = Duration::from_millis(ms);
        let asked = Instant::now();
        let call = here.service("slow").find().timeout(time).answer();
        async move {
            let error = call.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            // On a busy machine the answering node may notice first.
            let said = [format!("within {ms}ms"), "deadline is over".into()];
            assert!(said.iter().any(|text| error.message().contains(text)), "{error}");
            assert!(!error.message().contains(&said[1]) || outcome(&error) == "unknown", "{error:?}");
            // Its deadline is one of Redis's clock, which it knows to some ms.
            let earliest = if error.message().contains(&said[1]) { time / 2 } else { time };
            assert!(
                (earliest..time + Duration::from_secs(2)).contains(&asked.elapsed()),
                "{ms}: {:?}",
                asked.elapsed()
            );
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!((here.pending(), patient.is_finished()), (1, false));
    gate.open_up();
    assert_eq!(patient.await.unwrap().unwrap().result, "slow");
}

#[tokio::test]
async fn a_call_that_is_dropped_withdraws_its_request() {
    let mut config = testing::config();
    config.linger = Linger::Forever;
    let caller = start(&config, "caller", App::new()).await;
    start(&config, "worker", App::new().register("echo", Echo)).await.shutdown().await.unwrap();
    knows(&caller, "echo").await;
    let calls: Vec<_> = (0..20).map(|n| tokio::spawn(caller.service("echo").create(json!(n)).answer())).collect();
    testing::eventually("all wait in Redis", async || queued(&config, "worker").await == 20).await;
    calls.iter().for_each(|call| call.abort());
    testing::eventually("all are withdrawn", async || queued(&config, "worker").await == 0).await;
    assert_eq!(caller.pending(), 0);
}

#[tokio::test]
async fn a_call_that_is_dropped_while_it_leaves_is_withdrawn_as_well() {
    let mut config = testing::config();
    config.linger = Linger::Forever;
    let caller = start(&config, "caller", App::new()).await;
    start(&config, "worker", App::new().register("echo", Echo)).await.shutdown().await.unwrap();
    knows(&caller, "echo").await;
    // Dropped at every moment between before it leaves and after it has arrived.
    for step in 0..200u64 {
        let call =
            tokio::time::timeout(Duration::from_micros(step * 10), caller.service("echo").create(json!(step)).answer());
        assert!(call.await.is_err());
    }
    testing::eventually("all are withdrawn", async || queued(&config, "worker").await == 0 && caller.pending() == 0)
        .await;
    // What was still on its way has arrived by now, since a later one has.
    let _ = caller.service("echo").get(1).timeout(Duration::from_millis(100)).await;
    testing::eventually("none came late", async || queued(&config, "worker").await == 0).await;
}

/// Whatever runs on a replica ends at its caller's deadline at the latest; what only reads ends as soon as the caller goes.
#[tokio::test]
async fn a_caller_that_gives_up_ends_what_a_replica_reads_for_it_and_nothing_else() {
    let plain = testing::config();
    let mut signed = testing::config();
    signed.mesh.secret = Some("a-fixture-secret-of-at-least-32-bytes!".into());
    signed.partitions = 3;
    for config in [plain, signed] {
        let gate = Gate::closed("worker");
        let worker = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
        let caller = start(&config, "caller", App::new()).await;
        knows(&caller, "jobs").await;
        let jobs = caller.service("jobs");
        let calls: Vec<_> =
            [jobs.find(), jobs.get(1), jobs.find(), jobs.get(2), jobs.create(json!(1)), jobs.patch_many(json!(1))]
                .into_iter()
                .map(|call| tokio::spawn(call.timeout(Duration::from_secs(60)).answer()))
                .collect();
        let patient = tokio::spawn(jobs.find().timeout(Duration::from_secs(60)).answer());
        testing::eventually("all run", async || gate.started() == 7).await;
        calls.iter().for_each(|call| call.abort());
        testing::eventually("what reads has ended", async || worker.in_flight() == 3).await;
        gate.open_up();
        assert_eq!(patient.await.unwrap().unwrap().result, "worker");
        testing::eventually("the rest ends", async || worker.in_flight() == 0 && caller.pending() == 0).await;
        assert!(dead_letters(&config, "worker").await.is_empty());
    }
}

#[tokio::test]
async fn a_request_whose_time_is_over_is_dropped_and_never_started() {
    let config = testing::config();
    let gate = Gate::open("worker");
    start(&config, "worker", App::new().register("jobs", gate.clone())).await.shutdown().await.unwrap();
    wire::send(&config, "worker", &request(1, "jobs", "find", Duration::from_millis(1))).await;
    wire::send(&config, "worker", &request(2, "jobs", "find", Duration::from_secs(60))).await;
    let millisecond_later = Instant::now() + Duration::from_millis(5);
    tokio::time::sleep_until(millisecond_later.into()).await;
    let _again = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    testing::eventually("the living one is answered", async || !wire::replies(&config).await.is_empty()).await;
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
    assert_eq!(gate.started(), 1);
    assert_eq!(wire::replies(&config).await.iter().map(|reply| reply.0).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_replica_starts_no_more_than_max_in_flight_and_another_takes_the_rest() {
    let mut config = testing::config();
    config.limits.max_in_flight = 3;
    let first = Gate::closed("first");
    let one = start(&config, "worker", App::new().register("jobs", first.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "jobs").await;
    let calls: Vec<_> = (0..10).map(|n| tokio::spawn(caller.service("jobs").get(n).answer())).collect();
    testing::eventually("it is full", async || first.started() == 3 && one.in_flight() == 3).await;
    testing::eventually("the rest waits in Redis", async || queued(&config, "worker").await == 10).await;

    let second = Gate::open("second");
    let _two = start(&config, "worker", App::new().register("jobs", second.clone())).await;
    testing::eventually("the other took the rest", async || second.started() == 7).await;
    assert_eq!(first.started(), 3);
    first.open_up();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(first.most() == 3 && second.most() <= 3, "{} {}", first.most(), second.most());
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

#[tokio::test]
async fn a_full_queue_refuses_what_does_not_fit_and_keeps_nothing_of_it() {
    let mut config = testing::config();
    config.linger = Linger::Forever;
    config.limits.max_queue = 5;
    let caller = start(&config, "caller", App::new()).await;
    start(&config, "worker", App::new().register("echo", Echo)).await.shutdown().await.unwrap();
    knows(&caller, "echo").await;
    let calls: Vec<_> = (0..12)
        .map(|n| tokio::spawn(caller.service("echo").get(n).timeout(Duration::from_secs(20)).answer()))
        .collect();
    testing::eventually("the rest is refused", async || calls.iter().filter(|call| call.is_finished()).count() == 7)
        .await;
    testing::eventually("five wait", async || queued(&config, "worker").await == 5).await;
    let error = caller.service("echo").get(99).await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::TooManyRequests, "never ran"));
    assert_eq!(queued(&config, "worker").await, 5);

    let _worker = start(&config, "worker", App::new().register("echo", Echo)).await;
    let outcomes = join_all(calls).await;
    let refused = outcomes.iter().filter(|outcome| match outcome.as_ref().unwrap() {
        Ok(_) => false,
        Err(error) => {
            assert_eq!((error.kind(), crate::outcome(error)), (ErrorKind::TooManyRequests, "never ran"));
            true
        }
    });
    assert_eq!(refused.count(), 7);
    testing::eventually("there is room again", async || caller.service("echo").get(1).await.is_ok()).await;
}

#[tokio::test]
async fn too_large_a_request_is_refused_before_anything_is_sent() {
    let mut config = testing::config();
    config.limits.max_payload = ByteSize(2000);
    let gate = Gate::open("there");
    let _there = start(&config, "worker", App::new().register("jobs", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "jobs").await;
    let error = here.service("jobs").create("x".repeat(2000)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::PayloadTooLarge, 413));
    assert_eq!((here.pending(), gate.started(), queued(&config, "worker").await), (0, 0, 0));
    here.service("jobs").create("x".repeat(1000)).await.unwrap();
}

#[tokio::test]
async fn too_large_a_reply_is_an_error_in_its_place() {
    struct Large;
    impl Service for Large {
        const METHODS: &[Method] = &[Method::Get];
        async fn get(&self, id: Id, _: Params) -> rachis::Result<Value> {
            let Id::Number(size) = id else { return Err(Error::bad_request("a number")) };
            Ok("x".repeat(size as usize).into())
        }
    }
    let mut config = testing::config();
    config.limits.max_payload = ByteSize(2000);
    let there = start(&config, "worker", App::new().register("large", Large)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "large").await;
    let error = here.service("large").get(2000).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::PayloadTooLarge, 413));
    assert_eq!(here.service("large").get(1000).await.unwrap().as_str().unwrap().len(), 1000);
    testing::eventually("it is settled", async || there.queue_length().await.unwrap() == 0).await;
}

#[tokio::test]
async fn a_node_waits_for_no_more_than_max_pending_replies() {
    let mut config = testing::config();
    config.limits.max_pending = 2;
    let gate = Gate::closed("slow");
    let _there = start(&config, "worker", App::new().register("slow", gate.clone())).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "slow").await;
    let calls: Vec<_> = (0..2).map(|n| tokio::spawn(here.service("slow").get(n).answer())).collect();
    testing::eventually("both are under way", async || gate.started() == 2).await;
    let error = here.service("slow").get(3).await.unwrap_err();
    assert_eq!((error.kind(), outcome(&error)), (ErrorKind::TooManyRequests, "never ran"));
    gate.open_up();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(here.pending(), 0);
    here.service("slow").get(4).await.unwrap();
}

#[tokio::test]
async fn replicas_share_the_load() {
    let mut config = testing::config();
    config.limits.max_in_flight = 2;
    let left = Gate::open("left");
    let right = Gate::open("right");
    let _left = start(&config, "worker", App::new().register("jobs", left.clone())).await;
    let _right = start(&config, "worker", App::new().register("jobs", right.clone())).await;
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "jobs", 2).await;
    let answers = join_all((0..300).map(|n| caller.service("jobs").get(n).answer())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(left.started() + right.started(), 300);
    assert!(left.started() >= 50 && right.started() >= 50, "{} and {}", left.started(), right.started());
}

#[tokio::test]
async fn an_unknown_path_and_an_unknown_method_are_refused_at_once() {
    let [_there, here] = testing::cluster([App::new().register("named", Named("there")), App::new()]).await;
    let error = here.service("nowhere").find().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = here.service("named").custom("unheard", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MethodNotAllowed);
}

#[tokio::test]
async fn a_service_calls_another_one_on_another_node() {
    struct Relay;
    impl Service for Relay {
        const METHODS: &[Method] = &[Method::Get];
        async fn get(&self, id: Id, params: Params) -> rachis::Result<Value> {
            params.service("echo").get(id).await
        }
    }
    let [echo, relay, _here] =
        testing::cluster([App::new().register("echo", Echo), App::new().register("relay", Relay), App::new()]).await;
    assert_eq!(echo.service("relay").get("around").await.unwrap()["id"], "around");
    assert_eq!(relay.service("relay").get("half").await.unwrap()["fromRemote"], true);
}

#[tokio::test]
async fn a_thousand_calls_at_once_all_get_their_own_answer() {
    let [_there, here] = testing::cluster([App::new().register("echo", Echo), App::new()]).await;
    let answers = join_all((0..1000).map(|n| here.service("echo").get(n).answer())).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().result["id"], n);
    }
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_made_anew_and_calls_go_on() {
    let config = testing::config();
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    here.service("echo").get(1).await.unwrap();
    let stream = calls_of(&config, "worker");
    command(&config, &["DEL", &stream]).await.unwrap();
    assert_eq!(here.service("echo").get(2).await.unwrap()["id"], 2);
    command(&config, &["XGROUP", "DESTROY", &stream, "replicas"]).await.unwrap();
    assert_eq!(here.service("echo").get(3).await.unwrap()["id"], 3);
    assert_eq!(here.service("echo").create(json!({})).await.unwrap()["method"], "create");
}

#[tokio::test]
async fn however_many_give_up_at_once_each_learns_that_its_call_never_ran() {
    let mut config = testing::config();
    config.linger = rachis::config::Linger::Forever;
    config.redis.pool_size = 1;
    let worker = start(&config, "worker", App::new().register("jobs", crate::services::Echo)).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "jobs").await;
    worker.shutdown().await.unwrap();
    let impatient = || caller.service("jobs").create("x").timeout(Duration::from_millis(500)).answer();
    for error in join_all((0..3000).map(|_| impatient())).await {
        let error = error.unwrap_err();
        assert_eq!((error.kind(), outcome(&error)), (ErrorKind::Timeout, "never ran"), "{error}");
    }
    assert_eq!(crate::queued(&config, "worker").await, 0);
}

/// Its answers take for ever, and it tells when one is given up.
struct Endless(mpsc::UnboundedSender<Method>);

struct GivenUp(Method, mpsc::UnboundedSender<Method>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.1.send(self.0.clone()).unwrap();
    }
}

impl Endless {
    async fn answer(&self, method: Method) -> rachis::Result<Value> {
        let _told = GivenUp(method, self.0.clone());
        std::future::pending().await
    }
}

impl Service for Endless {
    const METHODS: &[Method] = &[Method::Find, Method::Get, Method::Create];

    async fn find(&self, _: Params) -> rachis::Result<Value> {
        self.answer(Method::Find).await
    }

    async fn get(&self, _: Id, _: Params) -> rachis::Result<Value> {
        self.answer(Method::Get).await
    }

    async fn create(&self, _: Value, _: Params) -> rachis::Result<Value> {
        self.answer(Method::Create).await
    }
}

#[tokio::test]
async fn what_only_reads_ends_with_the_deadline_of_its_caller_and_what_changes_something_goes_on() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let [_there, here] = testing::cluster([App::new().register("endless", Endless(tell)), App::new()]).await;
    let endless = here.service("endless");
    let short = Duration::from_millis(300);
    let calls =
        [endless.create(json!({})), endless.find(), endless.get(1)].map(|call| call.timeout(short).into_future());
    for outcome in join_all(calls).await {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    }
    let ended = [told.recv().await.unwrap(), told.recv().await.unwrap()];
    assert!(ended.contains(&Method::Find) && ended.contains(&Method::Get), "{ended:?}");
    assert!(told.try_recv().is_err(), "the create was given up");
}
