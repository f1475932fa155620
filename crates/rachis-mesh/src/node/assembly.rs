//! Builds the parts of a node, in the order in which they know each other, connected to nothing yet.

mod shared;

#[cfg(feature = "resilience")]
use super::resilience::Resilience;
use super::{
    admin::history::History,
    caller::{Calls, WeakCaller},
    client::{remote::Wrapping, requests::Requests, routes::Routes, rpc::Rpc, waiting::Waiting},
    events::{
        outbox::{EventSource, Outbox},
        receiver::EventReceiver,
        subscription::Subscriber,
    },
    handle::{Node, Parts},
    lifecycle::{
        join::Assembled,
        membership::Membership,
        reload::{Files, Takers},
    },
    server::{admission::Admission, execution::Execution, partitions::Partitions, tasks::Tasks},
};
use crate::node::shared::{filters::Filters, published::Published, runner::Runner, settings};
use crate::redis::{
    application,
    connection::{credentials::Provider, link::Links},
    event_log::Intake,
    pubsub,
    queue::Writer,
};
use rachis_config::Config;
use rachis_core::{App, Error, Result, host::EventSink};
use shared::Shared;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};

/// Changes of the mesh that a slow watcher may fall behind.
const CHANGE_BUFFER: usize = 1024;

/// What a node is built of.
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) app: App,
    pub(super) filters: Filters,
    pub(super) wrapping: Wrapping,
    pub(super) observer: bool,
    pub(super) takers: Takers,
    pub(super) credentials: Option<Provider>,
}

/// Builds a node.
///
/// # Errors
/// `BadRequest` for a configuration that can not work.
pub(super) fn assemble(plan: Plan) -> Result<Node> {
    let Plan { config, app, filters, wrapping, observer, takers, credentials } = plan;
    let credentials = match credentials {
        None => settings::provider(&config)?,
        given => given,
    };
    settings::features(&config)?;
    let limits = settings::limits(&config);
    let files = Files::of(&config);
    let shared = Shared::new(config, app, observer)?;
    let config = shared.config.at_start();
    let stop = shared.life.stop.clone();
    let redis_pool = application::pool(&shared.connector).map_err(Error::other)?;
    let (channels, subscriptions) =
        pubsub::new(shared.connector.clone(), shared.context.keys.lifecycle(), stop.clone());

    // Calls to other nodes.
    let waiting = Arc::new(Waiting::new(
        &shared.context.identity.id,
        limits,
        shared.context.signer.clone(),
        shared.context.keys.clone(),
    ));
    let links: Links = shared.commands.links().clone();
    let writer = Writer::start(links, waiting.clone(), stop.clone());
    let requests = Requests::new(waiting.clone(), writer.clone());
    let rpc = Arc::new(Rpc::new(
        &shared.context.identity.id,
        requests,
        shared.context.clock.clone(),
        shared.context.signer.clone(),
    ));
    let routes = Arc::new(Routes::new(
        shared.context.clone(),
        shared.config.clone(),
        filters.clone(),
        shared.app.clone(),
        wrapping,
        shared.catalog.clone(),
        rpc.clone(),
    ));

    // Events.
    let published = Arc::new(Published::default());
    let intake = watch::Sender::<Intake>::default();
    let (outbox, outgoing) = Outbox::new(shared.context.clone(), shared.config.clone(), stop.clone());
    let outbox = Arc::new(outbox);
    let source = EventSource { outbox: outbox.clone(), config: shared.config.clone(), published: published.clone() };
    let events: Arc<dyn EventSink> = Arc::new(source);
    shared.app.add_sink(Arc::downgrade(&events));
    let event_receiver = Arc::new(EventReceiver::new(
        shared.context.clone(),
        shared.life.clone(),
        shared.catalog.clone(),
        config.limits.event_buffer.as_usize(),
        shared.admin.clone(),
        channels.clone(),
    ));

    #[cfg(feature = "resilience")]
    let resilience = Arc::new(Resilience::new(config, shared.context.clone()));
    // Calls of this node's services, from here and from elsewhere.
    let tasks = Tasks::default();
    let calls = Arc::new_cyclic(|calls| {
        let caller = Arc::new(WeakCaller(calls.clone()));
        let runner = Runner { app: shared.app.clone(), caller: caller.clone() };
        let idempotency = shared.idempotency(waiting.clone(), runner, intake.clone(), tasks.own.clone());
        let subscriber = Subscriber {
            app: shared.app.clone(),
            identity: shared.context.identity.clone(),
            routes: routes.clone(),
            event_receiver: event_receiver.clone(),
            stop: stop.clone(),
        };
        Calls {
            app: shared.app.clone(),
            config: shared.config.clone(),
            routes: routes.clone(),
            subscriber,
            idempotency: Arc::new(idempotency),
            metrics: shared.context.metrics.clone(),
            intake: intake.clone(),
            stop: stop.clone(),
            #[cfg(feature = "resilience")]
            resilience: resilience.clone(),
            caller,
        }
    });
    let execution = Execution {
        runner: Runner { app: shared.app.clone(), caller: calls.caller.clone() },
        idempotency: calls.idempotency.clone(),
        intake: intake.clone(),
        clock: shared.context.clock.clone(),
        metrics: shared.context.metrics.clone(),
        authentication: config.authentication,
    };
    let admission = Admission {
        identity: shared.context.identity.clone(),
        app: shared.app.clone(),
        published: published.clone(),
        catalog: shared.catalog.clone(),
    };
    let (dead_replicas, dead) = mpsc::unbounded_channel();
    let work = shared.work(admission, execution, tasks, writer.clone(), dead_replicas.clone());
    let partitions =
        Partitions::new(Arc::new(work), shared.connector.clone(), shared.context.identity.clone(), config.partitions);
    let partitions = Arc::new(partitions);

    // Discovery.
    let watchers = broadcast::Sender::new(CHANGE_BUFFER);
    let changes =
        shared.change_feed(routes.clone(), waiting.clone(), partitions.clone(), dead_replicas, watchers.clone());
    let sync = Arc::new(shared.sync(filters.clone(), event_receiver.clone(), changes));
    #[cfg(feature = "schema")]
    let own_schemas = Arc::new(shared.own_schemas(published.clone()));
    let announcer = Arc::new(shared.announcer(
        filters,
        published,
        partitions.clone(),
        waiting.clone(),
        #[cfg(feature = "schema")]
        own_schemas.clone(),
    ));
    let view = Arc::new(shared.view(routes, watchers));

    // Operators.
    let queues = Arc::new(shared.queues(view.clone()));
    let beats = shared.beats();
    let questions = Arc::new(shared.questions(writer.clone()));
    let history = Arc::new(History::default());
    let has_provider = credentials.is_some();
    let reloader = Arc::new(shared.reloader(
        takers,
        files,
        has_provider,
        waiting.clone(),
        partitions.clone(),
        #[cfg(feature = "resilience")]
        resilience.clone(),
    ));

    let assembled = Assembled {
        identity: shared.context.identity.clone(),
        config: shared.config.clone(),
        life: shared.life.clone(),
        app: shared.app.clone(),
        keys: shared.context.keys.clone(),
        credentials: credentials.clone(),
        connector: shared.connector.clone(),
        commands: shared.commands.clone(),
        admin: shared.admin.clone(),
        registry: shared.registry.clone(),
        channels,
        subscriptions,
        waiting: waiting.clone(),
        recovery: shared.recovery(waiting.clone()),
        idempotency: calls.idempotency.clone(),
        outbox: outbox.clone(),
        outgoing,
        intake,
        event_receiver,
        partitions: partitions.clone(),
        questions: questions.clone(),
        respondent: shared.respondent(
            waiting.clone(),
            partitions.clone(),
            history.clone(),
            reloader.clone(),
            writer.clone(),
            #[cfg(feature = "resilience")]
            resilience,
        ),
        sampler: shared.sampler(waiting.clone(), partitions.clone(), history),
        takeover: shared.takeover(partitions.clone(), dead),
        heartbeat: shared.heartbeat(
            #[cfg(feature = "schema")]
            own_schemas,
        ),
        announcer,
        sync,
    };
    let exit = shared.exit(partitions.clone(), writer, outbox);
    Ok(Node::new(Parts {
        membership: Arc::new(Membership::new(assembled, exit)),
        calls,
        letters: Arc::new(shared.letters(rpc)),
        scraper: shared.scraper(view.clone(), waiting.clone(), partitions.clone(), queues.clone()),
        queues,
        beats,
        questions,
        reloader,
        waiting,
        partitions,
        #[cfg(feature = "schema")]
        schemas: shared.schema_reader(view.clone()),
        view,
        redis_pool,
        _events: events,
        identity: shared.context.identity.clone(),
        config: shared.config,
        app: shared.app,
        life: shared.life,
        clock: shared.context.clock.clone(),
    }))
}
