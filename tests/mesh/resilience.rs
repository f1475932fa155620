//! Limits, retries and circuit breakers around the calls of single services.

use crate::{knows, services::Gate, start};
use rachis::{
    App, Config, ErrorKind, Method, Outcome, Params, Result, Service,
    config::{CircuitBreaker, Retry, ServiceConfig},
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

/// Fails with `Unavailable` as often as it is told to, and counts.
#[derive(Clone, Default)]
struct Shaky {
    calls: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
}

impl Shaky {
    fn fails(times: usize) -> Self {
        let shaky = Shaky::default();
        shaky.failures.store(times, Ordering::SeqCst);
        shaky
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn run(&self) -> Result<Value> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(rachis::Error::unavailable("It is not well")) } else { Ok(number.into()) }
    }
}

impl Service for Shaky {
    const METHODS: &[Method] = &[Method::Find, Method::Create];

    async fn find(&self, _: Params) -> Result<Value> {
        self.run()
    }

    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        self.run()
    }
}

fn with(config: &Config, path: &str, service: ServiceConfig) -> Config {
    let mut config = config.clone();
    config.service.insert(path.into(), service);
    config
}

#[tokio::test]
async fn a_call_that_failed_is_made_again_where_it_may_run_twice() {
    let config = testing::config();
    let shaky = Shaky::fails(2);
    let _serving = start(&config, "shop", App::new().register("orders", shaky.clone())).await;
    let retry = Retry { backoff: Duration::from_millis(5), ..Retry::default() };
    let patient = with(&config, "orders", ServiceConfig { retry: Some(retry), ..ServiceConfig::default() });
    let caller = start(&patient, "caller", App::new()).await;
    knows(&caller, "orders").await;
    let orders = caller.service("orders");
    assert_eq!(orders.find().await.unwrap(), 3, "the third try");
    shaky.failures.store(1, Ordering::SeqCst);
    let error = orders.create(json!({})).await.unwrap_err();
    assert_eq!((error.kind(), shaky.calls()), (ErrorKind::Unavailable, 4), "a create that ran is not made again");
    shaky.failures.store(1, Ordering::SeqCst);
    let keyed = orders.create(json!({})).idempotency_key("once");
    assert_eq!(keyed.await.unwrap(), 6, "with a key it is, since such an error is no result that the mesh keeps");
    assert_eq!(orders.create(json!({})).idempotency_key("once").await.unwrap(), 6);
    assert_eq!(shaky.calls(), 6);
    let stats = caller.peer(caller.id()).stats().await.unwrap();
    assert_eq!((stats.resilience[0].path.as_str(), stats.resilience[0].retries), ("orders", 3));
    assert!(caller.metrics().await.contains("rachis_retries_total{path=\"orders\"} 3"));
}

#[tokio::test]
async fn more_calls_in_a_second_than_the_rate_limit_are_refused_and_never_run() {
    let config = testing::config();
    let shaky = Shaky::default();
    let _serving = start(&config, "shop", App::new().register("orders", shaky.clone())).await;
    let limited = with(&config, "orders", ServiceConfig { rate_limit: Some(3), ..ServiceConfig::default() });
    // Services of this process are limited, too.
    let caller = start(&limited, "caller", App::new().register("own/orders", Shaky::default())).await;
    knows(&caller, "orders").await;
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        outcomes.push(caller.service("orders").find().await);
    }
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(shaky.calls() + refused.len(), 20);
    assert!(refused.len() >= 10, "{}", refused.len());
    for error in &refused {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::TooManyRequests, Some(Outcome::NeverRan)));
        assert!(error.message().contains("than 3 a second (service.orders.rate_limit); try again in"), "{error}");
    }
    assert_eq!(caller.service("own/orders").find().await.unwrap(), 1, "others are as they were");
    let told = caller.metrics().await;
    assert!(
        told.contains(&format!("rachis_refused_calls_total{{path=\"orders\",by=\"rate_limit\"}} {}", refused.len()))
    );
}

#[tokio::test]
async fn more_calls_at_once_than_the_limit_are_refused_until_one_has_ended() {
    let config = testing::config();
    let gate = Gate::closed("gate");
    let service = ServiceConfig { concurrency: Some(2), ..ServiceConfig::default() };
    // Here the service is one of the caller's own, below a path with a placeholder.
    let app = App::new().register("shops/:shop/jobs", gate.clone());
    let caller = start(&with(&config, "shops/:shop/jobs", service), "caller", app).await;
    let running: Vec<_> =
        ["a", "b"].map(|shop| tokio::spawn(caller.service(&format!("shops/{shop}/jobs")).find().into_future())).into();
    testing::eventually("two run", async || gate.running() == 2).await;
    let error = caller.service("shops/c/jobs").find().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::TooManyRequests, Some(Outcome::NeverRan)));
    gate.open_up();
    for call in running {
        call.await.unwrap().unwrap();
    }
    assert_eq!(caller.service("shops/c/jobs").find().await.unwrap(), "gate");
}

#[tokio::test]
async fn a_service_whose_calls_fail_is_left_alone_for_a_while_and_then_tried() {
    let config = testing::config();
    let shaky = Shaky::fails(5);
    let _serving = start(&config, "shop", App::new().register("orders", shaky.clone())).await;
    let breaker = CircuitBreaker { calls: 4, pause: Duration::from_millis(400), ..CircuitBreaker::default() };
    let service = ServiceConfig { breaker: Some(breaker), ..ServiceConfig::default() };
    let caller = start(&with(&config, "orders", service), "caller", App::new()).await;
    knows(&caller, "orders").await;
    let state = async || caller.peer(caller.id()).stats().await.unwrap().resilience[0].breaker.clone().unwrap();
    let orders = caller.service("orders");
    for _ in 0..4 {
        assert_eq!(orders.find().await.unwrap_err().message(), "It is not well");
    }
    assert_eq!(state().await, "open");
    let error = orders.create(json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Some(Outcome::NeverRan)));
    assert!(error.message().contains("(service.orders.breaker): the next is made in"), "{error}");
    assert_eq!(shaky.calls(), 4, "it was left alone");
    assert!(caller.metrics().await.contains("rachis_circuit_breaker{path=\"orders\"} 1"));
    // The fifth failure is the first try after the pause, which opens it again.
    testing::eventually("it is tried", async || {
        let _ = orders.find().await;
        shaky.calls() == 5
    })
    .await;
    assert_eq!(state().await, "open");
    testing::eventually("it has recovered", async || orders.find().await.is_ok()).await;
    assert_eq!(state().await, "closed");
    // What callers do wrong does not open it.
    for _ in 0..10 {
        assert_eq!(orders.get("1").await.unwrap_err().kind(), ErrorKind::MethodNotAllowed);
    }
    assert_eq!(state().await, "closed");
}

#[tokio::test]
async fn sections_of_services_are_taken_while_the_node_runs_and_what_did_not_change_goes_on() {
    let config = testing::config();
    let app = App::new().register("orders", Shaky::fails(100)).register("parts", Shaky::default());
    let breaker = CircuitBreaker { calls: 2, pause: Duration::from_secs(60), ..CircuitBreaker::default() };
    let service = ServiceConfig { breaker: Some(breaker), ..ServiceConfig::default() };
    let mut config = with(&config, "orders", service);
    let node = start(&config, "shop", app).await;
    for _ in 0..2 {
        node.service("orders").find().await.unwrap_err();
    }
    let left_alone = async || node.service("orders").find().await.unwrap_err().outcome() == Some(Outcome::NeverRan);
    assert!(left_alone().await);
    config.app = "shop".into();
    config.service.insert("parts".into(), ServiceConfig { concurrency: Some(1), ..ServiceConfig::default() });
    assert_eq!(node.reload(config.clone()).unwrap().taken, ["service"]);
    assert!(left_alone().await, "its breaker is still open");
    let paths = async || -> Vec<String> {
        node.peer(node.id()).stats().await.unwrap().resilience.into_iter().map(|of| of.path).collect()
    };
    assert_eq!(paths().await, ["orders", "parts"]);
    config.service.remove("orders");
    node.reload(config).unwrap();
    assert!(!left_alone().await, "it has none any more");
    assert_eq!(paths().await, ["parts"]);
    assert!(!node.metrics().await.contains("path=\"orders\",by="));
}
