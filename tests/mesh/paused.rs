//! A replica that takes no calls for a while, and services that hand back what they have not begun.

use rachis::{Answer, App, BoxFuture, Call, Config, Descriptor, DynService, Error, Method, Registration, Result};
use rachis_testing::{config, eventually, start};
use serde_json::json;
use std::future::IntoFuture;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Answers with its name, unless it is told to be busy.
#[derive(Default)]
struct Desk {
    name: &'static str,
    busy: AtomicBool,
    asked: AtomicUsize,
}

impl DynService for Desk {
    fn descriptor(&self) -> Descriptor {
        Descriptor::new([Method::Get, Method::Create])
    }

    fn call(&self, _: Call) -> BoxFuture<'_, Result<Answer>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if self.busy.load(Ordering::Relaxed) { Err(Error::hand_back()) } else { Ok(json!(self.name).into()) }
        })
    }
}

fn desk(name: &'static str) -> (Arc<Desk>, App) {
    let desk = Arc::new(Desk { name, ..Desk::default() });
    (desk.clone(), App::new().register("desks", Registration::dynamic(desk)))
}

fn named(config: &Config, app: &str) -> Config {
    Config { app: app.into(), ..config.clone() }
}

#[tokio::test]
async fn a_paused_replica_gets_no_calls_until_it_resumes() {
    let config = config();
    let (_, app) = desk("first");
    let first = start(named(&config, "desks"), app).await;
    let (_, app) = desk("second");
    let second = start(named(&config, "desks"), app).await;
    let caller = start(named(&config, "caller"), App::new()).await;
    caller.wait_for("desks").await.unwrap();
    first.pause();
    // A read that was under way may bring some of the first calls still.
    eventually("the other replica alone answers", async || {
        let mut names = Vec::new();
        for _ in 0..20 {
            names.push(caller.service("desks").get(1).await.unwrap());
        }
        names.iter().all(|name| name == "second")
    })
    .await;
    second.pause();
    first.resume();
    eventually("the first answers again", async || caller.service("desks").get(1).await.unwrap() == "first").await;
}

#[tokio::test]
async fn what_a_service_hands_back_another_replica_runs() {
    let config = config();
    let (busy, app) = desk("busy");
    busy.busy.store(true, Ordering::Relaxed);
    let replica = start(named(&config, "desks"), app).await;
    let caller = start(named(&config, "caller"), App::new()).await;
    caller.wait_for("desks").await.unwrap();
    for key in [None, Some("once")] {
        let handed_back = busy.asked.load(Ordering::Relaxed);
        let call = caller.service("desks").create(json!({}));
        let call = match key {
            Some(key) => call.idempotency_key(key),
            None => call,
        };
        let call = tokio::spawn(call.into_future());
        eventually("it was handed back", async || busy.asked.load(Ordering::Relaxed) > handed_back).await;
        replica.pause();
        let (_, app) = desk("idle");
        let idle = start(named(&config, "desks"), app).await;
        assert_eq!(call.await.unwrap().unwrap(), "idle");
        idle.shutdown().await.unwrap();
        replica.resume();
    }
}

#[tokio::test]
async fn a_caller_of_the_same_process_learns_that_a_service_did_not_begin() {
    let (busy, app) = desk("busy");
    busy.busy.store(true, Ordering::Relaxed);
    let error = app.service("desks").get(1).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (503, Some(rachis::Outcome::NeverRan)));
}
