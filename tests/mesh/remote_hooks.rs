//! What a node puts around the services of others.

use crate::{
    knows, named,
    services::{Echo, Named},
    start,
};
use rachis::{ALL, App, CallService, Context, Error, Method, Next, Node, ServiceExt};
use rachis_testing as testing;
use std::sync::{Arc, Mutex};
use tower::layer::layer_fn;

/// What ran, in its order.
type Trace = Arc<Mutex<Vec<String>>>;

fn note(trace: &Trace, what: &str) {
    trace.lock().unwrap().push(what.to_owned());
}

/// A layer that notes that a call has passed it.
fn noting(
    trace: &Trace,
    name: &'static str,
) -> impl tower::Layer<CallService, Service = CallService> + Clone + Send + Sync + 'static {
    let trace = trace.clone();
    layer_fn(move |inner: CallService| {
        let trace = trace.clone();
        let noted = tower::ServiceBuilder::new().map_request(move |call| {
            note(&trace, name);
            call
        });
        CallService::new(noted.service(inner))
    })
}

#[tokio::test]
async fn layers_and_hooks_with_state_go_around_remote_services_in_the_documented_order_and_around_no_others() {
    let config = testing::config();
    let poor = Named("poor").before(ALL, async |_| Err(Error::unavailable("Out of stock")));
    let there = App::new().register("there", Echo).register("poor", poor);
    let _there = start(&config, "worker", there).await;
    let trace = Trace::default();
    let here = Node::builder(named(&config, "caller"))
        .app(App::new().register("here", Echo))
        .outer_layer(noting(&trace, "outer"))
        .inner_layer(noting(&trace, "inner"))
        .remote_around_with(ALL, trace.clone(), async |trace, ctx: Context, next: Next| {
            note(&trace, "around");
            let outcome = next.run(ctx).await;
            note(&trace, "around ends");
            outcome
        })
        .remote_before_with(Method::Get, trace.clone(), async |trace, ctx| {
            note(&trace, "before get");
            Ok(ctx)
        })
        .remote_after_with(ALL, trace.clone(), async |trace, ctx| {
            note(&trace, "after");
            Ok(ctx)
        })
        .remote_on_error_with(ALL, trace.clone(), async |trace, ctx: Context| {
            note(&trace, "on error");
            let code = ctx.error.as_ref().map_or(0, Error::code);
            Err(Error::conflict(format!("was {code}")))
        })
        .start()
        .await
        .unwrap();
    knows(&here, "there").await;
    knows(&here, "poor").await;

    here.service("here").get(1).await.unwrap();
    assert!(trace.lock().unwrap().is_empty(), "a service of the own process is none of others");

    here.service("there").get(1).await.unwrap();
    assert_eq!(*trace.lock().unwrap(), ["outer", "around", "before get", "inner", "after", "around ends"]);

    trace.lock().unwrap().clear();
    let error = here.service("poor").find().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (409, "was 503"));
    assert_eq!(*trace.lock().unwrap(), ["outer", "around", "inner", "on error", "around ends"]);
}
