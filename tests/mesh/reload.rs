//! Configurations and logins that change while nodes run.

use crate::{forgets, knows, named, start};
use rachis::{
    App, Config, CredentialProvider, Credentials, Id, MemoryService, Method, Node, Params, Result, Service,
    config::{CallFilter, NameFilter, PathFilter, Secret},
};
use rachis_testing as testing;
use rachis_testing::{ThrowawayRedis, eventually};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinHandle};

fn app() -> App {
    App::new().register("todos", MemoryService::new()).register("internal/keys", MemoryService::new())
}

/// Calls under way without a pause; the outcome says what went wrong.
struct Load {
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(node: &Node) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let call = |_| {
            let node = node.clone();
            let done = done.clone();
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match node.service("todos").find().await {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                failed
            })
        };
        Load { tasks: (0..8).map(call).collect(), done, stop }
    }

    /// Waits until so many more calls have been answered.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("calls are answered", async || self.done.load(Ordering::Relaxed) > before + 50).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert_eq!(task.await.unwrap(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_filter_that_changes_hides_and_publishes_services_elsewhere() {
    let config = testing::config();
    let a = start(&config, "a", app()).await;
    let b = start(&config, "b", App::new()).await;
    knows(&b, "internal/keys").await;
    let mut new = named(&config, "a");
    new.services = PathFilter::new(["!internal/*"]).unwrap();
    assert_eq!(a.reload(new.clone()).unwrap().taken, ["services"]);
    forgets(&b, "internal/keys").await;
    b.service("todos").find().await.unwrap();
    new.services = PathFilter::all();
    new.distributed_methods = NameFilter::Only(vec!["find".into()]);
    assert_eq!(a.reload(new.clone()).unwrap().taken, ["distributed_methods", "services"]);
    knows(&b, "internal/keys").await;
    eventually("the method is gone", async || {
        b.service("todos").create(json!({})).await.is_err_and(|error| error.code() == 405)
    })
    .await;
    b.service("todos").find().await.unwrap();
    assert_eq!(a.reload(new).unwrap(), Default::default());
}

#[tokio::test]
async fn a_filter_that_changes_hides_services_of_others() {
    let config = testing::config();
    let _a = start(&config, "a", app()).await;
    let b = start(&config, "b", App::new()).await;
    knows(&b, "internal/keys").await;
    let mut new = named(&config, "b");
    new.remote_services = PathFilter::new(["todos"]).unwrap();
    b.reload(new.clone()).unwrap();
    forgets(&b, "internal/keys").await;
    b.service("todos").find().await.unwrap();
    new.remote_services = PathFilter::all();
    b.reload(new).unwrap();
    knows(&b, "internal/keys").await;
}

/// Counts who is in it; nobody leaves before there is a permit.
#[derive(Clone)]
struct Room(Arc<AtomicUsize>, Arc<Semaphore>);

impl Service for Room {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.acquire().await.unwrap().forget();
        self.0.fetch_sub(1, Ordering::SeqCst);
        Ok(json!("out"))
    }
}

#[tokio::test]
async fn limits_that_change_count_at_once() {
    let config = testing::config();
    let mut few = named(&config, "a");
    few.limits.max_in_flight = 1;
    let room = Room(Arc::default(), Arc::new(Semaphore::new(0)));
    let a = testing::start(few.clone(), App::new().register("room", room.clone())).await;
    let b = start(&config, "b", App::new()).await;
    knows(&b, "room").await;
    let calls: Vec<_> = (0..6)
        .map(|id| {
            tokio::spawn({
                let b = b.clone();
                async move { b.service("room").get(id).await }
            })
        })
        .collect();
    let inside = async |count| eventually("so many are in", async || room.0.load(Ordering::SeqCst) == count).await;
    inside(1).await;
    let mut more = few.clone();
    more.limits.max_in_flight = 3;
    assert_eq!(a.reload(more).unwrap().taken, ["limits.max_in_flight"]);
    inside(3).await;
    a.reload(few).unwrap();
    // Whoever waited for a place before it went gets one, and nobody after that.
    room.1.add_permits(3);
    inside(1).await;
    room.1.add_permits(10);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "out");
    }
    let mut small = named(&config, "b");
    small.limits.max_payload = rachis::config::ByteSize(200);
    b.reload(small).unwrap();
    let refused = b.service("room").get("x".repeat(300)).await.unwrap_err();
    assert!(refused.message().contains("max_payload (200)"), "{refused}");
}

#[tokio::test]
async fn what_can_not_change_is_told_and_what_is_wrong_changes_nothing() {
    let config = testing::config();
    let a = start(&config, "a", app()).await;
    let b = start(&config, "b", App::new()).await;
    knows(&b, "internal/keys").await;
    let mut wrong = named(&config, "a");
    wrong.services = PathFilter::none();
    wrong.limits.max_queue = 0;
    let error = a.reload(wrong).unwrap_err();
    assert!(error.message().starts_with("`limits.max_queue` is 0"), "{error}");
    let mut new = named(&config, "other");
    new.gateway.listen = "127.0.0.1:1".into();
    new.gateway.auth.public = CallFilter::new(["news"]).unwrap();
    new.mesh.secret = Some("sixteen bytes or more".into());
    new.timeout = Duration::from_secs(7);
    for _ in 0..2 {
        let outcome = a.reload(new.clone()).unwrap();
        assert_eq!(outcome.needs_restart, ["app", "gateway.auth.public", "gateway.listen", "mesh.secret"]);
    }
    // It was published all the time, and is.
    assert!(b.resolve("internal/keys").is_some());
    b.service("todos").find().await.unwrap();
}

#[tokio::test]
async fn what_a_program_takes_is_prepared_before_anything_changes() {
    let level = Arc::new(Mutex::new(String::new()));
    let taken = level.clone();
    let config = testing::config();
    let node = Node::builder(config.clone()).on_reload(["log.level"], move |config| {
        let taken = taken.clone();
        let level = config.log.level.clone();
        match level.as_str() {
            "loud" => Err(rachis::Error::bad_request("there is no such level")),
            _ => Ok(Box::new(move || *taken.lock().unwrap() = level)),
        }
    });
    let node = node.start().await.unwrap();
    let mut new = config.clone();
    (new.log.level, new.timeout) = ("debug".into(), Duration::from_secs(9));
    assert_eq!(node.reload(new.clone()).unwrap().taken, ["log.level", "timeout"]);
    assert_eq!(*level.lock().unwrap(), "debug");
    new.log.level = "loud".into();
    new.timeout = Duration::from_secs(10);
    assert_eq!(node.reload(new.clone()).unwrap_err().message(), "there is no such level");
    new.log.level = "debug".into();
    assert_eq!(node.reload(new).unwrap().taken, ["timeout"]);
    assert_eq!(*level.lock().unwrap(), "debug");
}

#[tokio::test]
async fn the_secret_of_a_mesh_is_changed_with_calls_under_way_and_none_fails() {
    let mut config = testing::config();
    let one = Secret::from("the-first-secret-of-all");
    let two = Secret::from("the-second-secret-of-all");
    config.mesh.secret = Some(one.clone());
    let a = start(&config, "a", app()).await;
    let b = start(&config, "b", App::new()).await;
    knows(&b, "todos").await;
    let load = Load::on(&b);
    // First all learn to believe the new one, then all sign with it, then all forget the old one.
    for (secret, previous) in [(&one, Some(&two)), (&two, Some(&one)), (&two, None)] {
        (config.mesh.secret, config.mesh.previous_secret) = (Some(secret.clone()), previous.cloned());
        for (node, app) in [(&a, "a"), (&b, "b")] {
            assert!(!node.reload(named(&config, app)).unwrap().taken.is_empty());
            load.goes_on().await;
        }
        // What stands in Redis is signed anew, too, before the next step.
        let next = start(&config, "next", App::new()).await;
        knows(&next, "todos").await;
        next.shutdown().await.unwrap();
    }
    load.end().await;
}

/// A server where `node` has one password, and how to change it.
struct Guarded {
    redis: ThrowawayRedis,
    admin: MultiplexedConnection,
}

impl Guarded {
    async fn start() -> Self {
        let redis = ThrowawayRedis::start().unwrap();
        let admin = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        Guarded { redis, admin }
    }

    async fn run(&self, words: &str) -> redis::Value {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>());
        command.query_async(&mut self.admin.clone()).await.unwrap()
    }

    async fn user(&self, name: &str, password: &str) {
        self.run(&format!("ACL SETUSER {name} on >{password} ~* &* +@all")).await;
    }

    fn config(&self, app: &str, password: &str) -> Config {
        let mut config = named(&testing::config_for(&self.redis.url()), app);
        config.namespace = "rotating".into();
        (config.redis.username, config.redis.password) = (Some("node".into()), Some(password.into()));
        // A read that blocks is told between two of them.
        config.redis.block = Duration::from_millis(300);
        config
    }

    /// How often someone logged in on an open or a new connection.
    async fn connections_of(&self, user: &str) -> usize {
        let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut self.admin.clone()).await.unwrap();
        list.lines().filter(|line| line.contains(&format!(" user={user} "))).count()
    }

    async fn logins(&self) -> usize {
        let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut self.admin.clone()).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_auth:calls=")).unwrap_or("0");
        line.split(',').next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn a_password_of_redis_is_changed_with_calls_under_way_and_none_fails() {
    let guarded = Guarded::start().await;
    guarded.user("node", "one").await;
    let a = testing::start(guarded.config("a", "one"), app()).await;
    let b = testing::start(guarded.config("b", "one"), App::new()).await;
    knows(&b, "todos").await;
    let load = Load::on(&b);
    for (old, new) in [("one", "two"), ("two", "three")] {
        load.goes_on().await;
        guarded.user("node", new).await;
        let before = guarded.logins().await;
        let open = guarded.connections_of("node").await;
        for (node, app) in [(&a, "a"), (&b, "b")] {
            assert_eq!(node.reload(guarded.config(app, new)).unwrap().taken, ["redis.password"]);
        }
        // Every connection that is open has said it, or has a successor, but those of the pool that nobody uses.
        eventually("open connections are told", async || guarded.logins().await >= before + open / 2).await;
        guarded.run(&format!("ACL SETUSER node <{old}")).await;
        // Whoever connects from now on has to know the new one.
        guarded.run("CLIENT KILL USER node").await;
        load.goes_on().await;
    }
    load.end().await;
}

#[tokio::test]
async fn a_password_that_redis_does_not_know_yet_costs_nothing() {
    let guarded = Guarded::start().await;
    guarded.user("node", "one").await;
    let a = testing::start(guarded.config("a", "one"), app()).await;
    let b = testing::start(guarded.config("b", "one"), App::new()).await;
    knows(&b, "todos").await;
    let load = Load::on(&b);
    for (node, app) in [(&a, "a"), (&b, "b")] {
        node.reload(guarded.config(app, "two")).unwrap();
    }
    load.goes_on().await;
    guarded.run("CLIENT KILL USER node").await;
    load.goes_on().await;
    guarded.user("node", "two").await;
    guarded.run("ACL SETUSER node <one").await;
    guarded.run("CLIENT KILL USER node").await;
    load.goes_on().await;
    load.end().await;
}

/// Another user each time, so that a server that deletes the last one ends whatever still uses it.
struct Tokens {
    guarded: Arc<Guarded>,
    count: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
    valid_for: Duration,
    name: &'static str,
}

impl CredentialProvider for Tokens {
    async fn credentials(&self) -> Result<Credentials> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(rachis::Error::unavailable("the vault is closed"));
        }
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let username = format!("{}-{count}", self.name);
        self.guarded.user(&username, "token").await;
        Ok(Credentials { username: Some(username), password: "token".into(), valid_for: Some(self.valid_for) })
    }
}

#[tokio::test]
async fn tokens_that_expire_are_renewed_on_live_connections_and_no_call_fails() {
    let guarded = Arc::new(Guarded::start().await);
    let count = Arc::new(AtomicUsize::new(0));
    let fails = Arc::new(AtomicBool::new(true));
    let tokens = |name| Tokens {
        guarded: guarded.clone(),
        count: count.clone(),
        fails: fails.clone(),
        valid_for: Duration::from_secs(3),
        name,
    };
    let config = |app: &str| {
        let mut config = guarded.config(app, "ignored");
        (config.redis.username, config.redis.password) = (None, None);
        config
    };
    // The default user may do nothing: all goes by the tokens.
    guarded.user("admin", "admin").await;
    redis::cmd("AUTH").arg("admin").arg("admin").exec_async(&mut guarded.admin.clone()).await.unwrap();
    guarded.run("ACL SETUSER default off").await;
    let starting = tokio::spawn(Node::builder(config("a")).app(app()).credentials(tokens("a")).start());
    fails.store(false, Ordering::SeqCst);
    let a = starting.await.unwrap().unwrap();
    let b = Node::builder(config("b")).app(App::new()).credentials(tokens("b")).start().await.unwrap();
    knows(&b, "todos").await;
    let load = Load::on(&b);
    let mut events = b.service("todos").on("created").await.unwrap();
    for _ in 0..3 {
        let last = count.load(Ordering::SeqCst);
        eventually("both are renewed", async || count.load(Ordering::SeqCst) >= last + 2).await;
        // All but idle ones of the pool, which nobody waits for.
        let users = guarded.run("ACL USERS").await;
        let redis::Value::Array(users) = users else { panic!("{users:?}") };
        let users: Vec<String> = users.into_iter().map(|user| redis::from_redis_value(user).unwrap()).collect();
        let newest = |name: &str| {
            let of = users.iter().filter_map(|user| user.strip_prefix(name)?.parse::<usize>().ok());
            of.max().map(|count| format!("{name}{count}")).unwrap()
        };
        let keep = [newest("a-"), newest("b-"), "admin".into(), "default".into()];
        eventually("live connections have the new token", async || {
            guarded.connections_of(&keep[0]).await >= 4 && guarded.connections_of(&keep[1]).await >= 4
        })
        .await;
        for user in users.iter().filter(|user| !keep.contains(user)) {
            guarded.run(&format!("ACL DELUSER {user}")).await;
        }
        load.goes_on().await;
        a.service("todos").create(json!({ "text": "heard" })).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(5), futures_util::StreamExt::next(&mut events)).await;
        assert!(heard.unwrap().is_some());
    }
    load.end().await;
}
