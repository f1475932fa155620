//! `rachis gateway`: a gateway without code.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    log,
    out::{self, Out},
};
use rachis::{
    App, Error, Node, NodeBuilder,
    config::{Config, StartDelay},
    gateway::{self, Gateway, Guard, guarded_by, serve, serve_metrics},
    signal,
};
use rachis_testing::ThrowawayRedis;
use serde_json::json;
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  rachis gateway --redis redis://redis:6379 --listen 0.0.0.0:3030
  rachis gateway --dev --listen 127.0.0.1:0
";

/// Serve every service of the mesh over HTTP
///
/// Whatever is registered is served, from the moment it is. The gateway needs no code; the sections [gateway], [redis]
/// and all others of distribution.toml shape it. With a secret in [gateway.auth], or in JWT_SECRET, clients log in here
/// and need a token for all that is not public; without one, everyone may call everything.
///
/// What can change without a restart does when the files of the configuration change, or at SIGHUP: filters, limits, the
/// level of the log, passwords, secrets, certificates, and what is public. The log names the keys that need a restart.
///
/// Its URL goes to stdout as soon as it serves; until then /readyz answers 503. SIGTERM or Ctrl-C ends it in good order,
/// within `shutdown.delay` and `shutdown.grace`; a second one at once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// host:port to listen on; port 0: any that is free [default: 127.0.0.1:3030]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,

    /// Start a redis-server that lives as long as the gateway, on a free port of this machine
    #[arg(long)]
    dev: bool,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let own_redis = own_redis(args, global)?;
    let config = config(args, global, own_redis.as_ref())?;
    let relevel = log::start(&config.log)?;
    let (app, guard) = guarded_by(App::new(), &config).map_err(|error| Failure::joining(&error))?;
    let listener = listen(&config.gateway.listen).await?;
    let shown = Shown::new(&config, listener.local_addr()?, own_redis.is_some());
    let delay = config.start_delay;
    // Joins after it listens, so that an orchestrator can ask meanwhile.
    let config = Config { start_delay: StartDelay::Manual, ..config };
    let node = reloading(Node::builder(config).app(app), relevel, guard);
    let node = node.start().await.map_err(|error| Failure::joining(&error))?;
    // The Redis of --dev stands in no file.
    if own_redis.is_none() {
        tokio::spawn(node.follow(global.loader(args.listen.as_deref(), None).watch()));
    }

    serve_metrics(&node).await.map_err(|error| Failure::failed(error.message()))?;
    let stop = CancellationToken::new();
    let server = serve(listener, Gateway::new(&node)).config(node.config());
    let server = tokio::spawn(server.with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
    let first_signal = async {
        tokio::select! {
            () = signal() => {}
            // An operator has told it to leave.
            () = node.closing() => {}
        }
    };
    tokio::pin!(first_signal);
    let joined = tokio::select! {
        joined = join(&node, delay, global.connect_timeout) => joined,
        () = &mut first_signal => Ok(false),
    };
    let served = matches!(joined, Ok(true));
    if served {
        // The reader of stdout may be gone, which is no reason to stop.
        if shown.show(out).is_err() {
            tracing::debug!("the address could not be written to stdout");
        }
        first_signal.await;
        tracing::info!("stopping");
    }
    let ended = or_second_signal(async {
        if served {
            node.retire().await;
        }
        stop.cancel();
        if let Ok(Err(error)) = server.await {
            tracing::warn!(%error, "the listener failed");
        }
        node.shutdown().await
    });
    match (joined, ended.await) {
        (Err(failure), _) => Err(failure),
        (Ok(_), Some(Ok(()))) => Ok(Exit::Good),
        (Ok(_), Some(Err(error))) => Err(Failure::failed(error.message())),
        (Ok(_), None) => Err(Failure::failed("stopped before it was done")),
    }
}

/// Takes the level of the log, the secrets of tokens and what is public, too, when the configuration changes.
fn reloading(builder: NodeBuilder, relevel: log::Relevel, guard: Option<Guard>) -> NodeBuilder {
    let builder = builder.on_reload(["log.level"], move |config| {
        let filter = log::read(&config.log).map_err(Error::bad_request)?;
        let relevel = relevel.clone();
        Ok(Box::new(move || relevel(filter)))
    });
    match guard {
        Some(guard) => builder.on_reload(Guard::KEYS, move |config| guard.prepare(config)),
        None => builder,
    }
}

fn own_redis(args: &Args, global: &Global) -> Result<Option<ThrowawayRedis>, Failure> {
    match (args.dev, global.names_redis()) {
        (true, true) => Err(Failure::usage("--dev brings a Redis of its own: leave out --redis")),
        (true, false) => {
            ThrowawayRedis::start().map(Some).map_err(|error| Failure::Said(Exit::NoRedis, error.to_string()))
        }
        (false, _) => Ok(None),
    }
}

fn config(args: &Args, global: &Global, own_redis: Option<&ThrowawayRedis>) -> Result<Config, Failure> {
    let url = own_redis.map(ThrowawayRedis::url);
    let mut config = global.config_with(args.listen.as_deref(), url.as_deref())?;
    if own_redis.is_some() {
        // They belong to the Redis that is not used.
        (config.redis.username, config.redis.password) = (None, None);
    }
    Ok(config)
}

async fn listen(address: &str) -> Result<TcpListener, Failure> {
    gateway::listen(address).await.map_err(|error| {
        Failure::failed(format!("can not listen on {address} ({error}): free it, or choose another by --listen"))
    })
}

async fn join(node: &Node, delay: StartDelay, time: Duration) -> Result<bool, Failure> {
    // `manual` is for programs that know better when; this one has nothing to wait for.
    if let StartDelay::After(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    node.join_within(time).await.map_err(|error| Failure::joining(&error))?;
    Ok(true)
}

/// Runs the end to its end, or until someone can not wait for it.
async fn or_second_signal<T>(end: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        ended = end => Some(ended),
        () = signal() => None,
    }
}

/// What is told when it serves.
struct Shown {
    url: String,
    redis: String,
    namespace: String,
    dev: bool,
    authenticates: bool,
}

impl Shown {
    fn new(config: &Config, address: SocketAddr, dev: bool) -> Self {
        let url = format!("http://{address}{}", config.gateway.prefix.trim_end_matches('/'));
        let redis = config.redis.url.to_string();
        let namespace = config.namespace.clone();
        Shown { url, redis, namespace, dev, authenticates: config.gateway.auth.secret.is_some() }
    }

    fn show(&self, out: &mut Out) -> Result<(), Failure> {
        let Shown { url, redis, namespace, authenticates, .. } = self;
        tracing::info!(%url, %redis, %namespace, authenticates, "serving");
        if out.json {
            out.document(&json!({ "url": self.url, "redis": self.redis, "namespace": self.namespace }))?;
        } else {
            out.line(&self.url)?;
            if self.dev {
                out.line(&self.redis)?;
            }
        }
        if self.dev {
            out::say_lines(&format!(
                "\nThe Redis is empty and goes with the gateway. Start a service against it:\n\n  \
                 REDIS_URL={} DISTRIBUTION_NAMESPACE={} cargo run\n",
                self.redis, self.namespace
            ));
        }
        Ok(())
    }
}
