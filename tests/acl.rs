//! The rules of `docs/security.md`, as they stand there: whether a mesh works by them, and what they keep out.

#![allow(clippy::unwrap_used)]

use rachis::{
    App, Config, Context, MemoryService, Method, Node, Registration, ServiceExt,
    config::{Linger, RedisUrl},
};
use rachis_testing as testing;
use rachis_testing::{ThrowawayRedis, eventually};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

const DOC: &str = include_str!("../docs/security.md");

/// The rules of a user, word by word. A selector in parentheses is one word.
fn rules(name: &str) -> Vec<String> {
    let block = DOC.split(&format!("```acl {name}\n")).nth(1).unwrap().split("```").next().unwrap();
    let words = |line: &str| match line.starts_with('(') {
        true => vec![line.to_owned()],
        false => line.split_whitespace().map(str::to_owned).collect(),
    };
    block.lines().flat_map(words).collect()
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn run(url: &str, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    command.query_async(&mut connect(url).await).await
}

/// A server on which the default user may do nothing, and users may do what the page says.
struct Guarded {
    redis: ThrowawayRedis,
}

impl Guarded {
    async fn start(users: &[(&str, Vec<String>)]) -> Self {
        Guarded::start_with(&[], users).await
    }

    async fn start_with(arguments: &[&str], users: &[(&str, Vec<String>)]) -> Self {
        let guarded = Guarded { redis: ThrowawayRedis::start_with(arguments).unwrap() };
        let url = guarded.redis.url();
        run(&url, &["ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all"]).await.unwrap();
        for (user, rules) in users {
            let mut words = vec!["ACL", "SETUSER", user];
            words.extend(rules.iter().map(String::as_str));
            run(&url, &words).await.unwrap_or_else(|error| panic!("{user}: {error}"));
        }
        run(&url, &["ACL", "SETUSER", "default", "off"]).await.unwrap();
        guarded
    }

    fn url(&self, user: &str) -> String {
        self.redis
            .url()
            .replace("redis://", &format!("redis://{user}:{}@", if user == "admin" { user } else { "PASSWORD" }))
    }

    fn config(&self, user: &str, app: &str) -> Config {
        let mut config =
            Config { app: app.into(), namespace: "rachis".into(), ..testing::config_for(&self.redis.url()) };
        config.redis.url = RedisUrl::from(self.url(user));
        config.linger = Linger::Forever;
        config.partitions = 2;
        config
    }

    async fn node(&self, user: &str, app: &str, services: App) -> Node {
        testing::start(self.config(user, app), services).await
    }

    /// Commands that were refused so far, and why.
    async fn refused(&self) -> Vec<String> {
        let log: Vec<std::collections::HashMap<String, redis::Value>> =
            redis::cmd("ACL").arg("LOG").query_async(&mut connect(&self.url("admin")).await).await.unwrap();
        let field = |entry: &std::collections::HashMap<String, redis::Value>, name: &str| match &entry[name] {
            redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        log.iter()
            .map(|entry| ["username", "reason", "context", "object"].map(|name| field(entry, name)).join(" "))
            .collect()
    }
}

/// The app `todos`; a `find` never ends where it `hangs`, and a `get` waits for the gate.
fn todos(hangs: bool, gate: &Arc<Notify>) -> App {
    let gate = gate.clone();
    let wait = move |ctx: Context| async move {
        match hangs {
            true => std::future::pending().await,
            false => Ok(ctx),
        }
    };
    let pass = move |ctx: Context| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok(ctx)
        }
    };
    App::new().register("todos", MemoryService::new().before(Method::Find, wait).before(Method::Get, pass))
}

/// The service `jobs`, with schemas where they are built in.
fn jobs() -> Registration {
    let jobs = Registration::from(MemoryService::new());
    #[cfg(feature = "schema")]
    let jobs = jobs.schemas(rachis::schema::Schemas::new().record(json!({ "type": "object" })));
    jobs
}

/// Everything that a mesh does: calls, events, large replies, dead letters, a death with an heir, a queue that waits, leaving.
async fn live(redis: &Guarded, todos_user: &str, other_user: &str) {
    let gate = Arc::new(Notify::new());
    let doomed = redis.node(todos_user, "todos", todos(true, &gate)).await;
    let caller = redis.node(other_user, "web", App::new().register("jobs", jobs())).await;
    caller.wait_for("todos").await.unwrap();
    doomed.wait_for("jobs").await.unwrap();
    #[cfg(feature = "schema")]
    assert!(doomed.schemas("jobs").await.unwrap().is_some());
    let mut events = caller.service("todos").on("*").await.unwrap();
    for n in 0..20 {
        let created = caller.service("todos").create(json!({ "n": n })).await.unwrap();
        assert_eq!(events.next().await.unwrap().data, created);
    }
    drop(events);
    // After large replies the inbox is trimmed.
    for _ in 0..4 {
        caller.service("todos").create(json!({ "text": "x".repeat(30_000) })).await.unwrap();
    }
    doomed.service("jobs").create(json!({})).await.unwrap();

    // Nonsense becomes a dead letter.
    let calls = "rachis:{app:default/todos}:calls";
    run(&redis.url(other_user), &["XADD", calls, "*", "m", "nonsense"]).await.unwrap();
    let admin = redis.url("admin");
    let dead = ["XLEN", "rachis:{app:default/todos}:dead"];
    eventually("it is set aside", async || run(&admin, &dead).await == Ok(redis::Value::Int(1))).await;

    // A replica dies while it works: without a shutdown, as if it was killed.
    let call = tokio::spawn(caller.service("todos").find().answer());
    eventually("it has begun", async || doomed.in_flight() == 1).await;
    let heir = redis.node(todos_user, "todos", todos(false, &gate)).await;
    drop(doomed);
    call.await.unwrap().unwrap();

    // The last one leaves while a call runs; the next waits, and is withdrawn at its deadline.
    let running = tokio::spawn(caller.service("todos").get(1).answer());
    eventually("it has begun", async || heir.in_flight() == 1).await;
    let leave = async {
        heir.closing().await;
        gate.notify_one();
    };
    tokio::join!(heir.shutdown(), leave).0.unwrap();
    assert_eq!(running.await.unwrap().unwrap_err().code(), 404);
    let late = caller.service("todos").create(json!({})).timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(late.outcome(), Some(rachis::Outcome::NeverRan));
    let back = redis.node(todos_user, "todos", todos(false, &gate)).await;
    caller.service("todos").find().await.unwrap();

    // Connections that break are made anew by the same rules.
    run(&admin, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    run(&admin, &["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    eventually("calls work again", async || caller.service("todos").create(json!({})).await.is_ok()).await;

    let looking = Node::builder(redis.config(other_user, "eye")).observer().start().await.unwrap();
    assert!(looking.resolve("todos").is_some());
    looking.service("todos").find().await.unwrap();
    for node in [looking, caller, back] {
        node.shutdown().await.unwrap();
    }
}

/// The names of connections, without those of the test.
async fn connections(url: &str) -> Vec<String> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut connect(url).await).await.unwrap();
    let name = |line: &str| line.split(" name=").nth(1)?.split(' ').next().map(str::to_owned);
    list.lines().filter_map(name).filter(|name| !name.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_by_these_rules_is_answered_after_its_connection_was_cut_at_rest() {
    let redis = Guarded::start_with(&["--timeout", "1"], &[("mesh", rules("mesh"))]).await;
    let _todos = redis.node("mesh", "todos", App::new().register("todos", MemoryService::new())).await;
    let caller = redis.node("mesh", "web", App::new()).await;
    caller.wait_for("todos").await.unwrap();
    let admin = redis.url("admin");
    for _ in 0..3 {
        let created = caller.service("todos").create(json!({})).await;
        created.unwrap_or_else(|error| panic!("{error} {:?}", error.data()));
        let writes = async || connections(&admin).await.iter().filter(|name| name.ends_with(":writes")).count();
        eventually("what rested was cut", async || writes().await == 0).await;
    }
}

async fn is_refused(url: &str, commands: &[&[&str]]) {
    for command in commands {
        let error = run(url, command).await.unwrap_err();
        let in_a_script = error.to_string().contains("The user executing the script can't");
        assert!(error.code() == Some("NOPERM") || in_a_script, "{command:?}: {error}");
    }
}

/// Which of the commands that `rules` allow nobody has sent since the server started.
async fn unused(admin: &str, rules: &[String]) -> Vec<String> {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connect(admin).await).await.unwrap();
    let allowed = rules.iter().filter_map(|rule| rule.strip_prefix('+'));
    allowed.filter(|command| !stats.contains(&format!("cmdstat_{command}:"))).map(str::to_owned).collect()
}

/// What no user of ours may do.
const FOREIGN: &[&[&str]] = &[
    &["FLUSHALL"],
    &["FLUSHDB"],
    &["KEYS", "*"],
    &["SCAN", "0"],
    &["CONFIG", "GET", "*"],
    &["MONITOR"],
    &["ACL", "LIST"],
    &["CLIENT", "LIST"],
    &["CLIENT", "KILL", "TYPE", "normal"],
    &["SHUTDOWN", "NOSAVE"],
    &["GET", "secret"],
    &["GET", "other:{mesh}:epoch"],
    &["HGETALL", "other:{mesh}:node:x"],
    &["XADD", "other:{app:default/todos}:calls", "*", "m", "x"],
    &["XRANGE", "other:{app:default/todos}:calls", "-", "+"],
    &["PUBLISH", "other:lifecycle", "x"],
    &["SUBSCRIBE", "other:lifecycle"],
    &["EVAL", "return redis.call('GET', KEYS[1])", "1", "secret"],
    &["EVAL", "return redis.call('GET', 'secret')", "0"],
    &["EVAL", "return redis.call('FLUSHALL')", "0"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_lives_by_the_rules_of_its_user_who_reaches_nothing_else() {
    let redis = Guarded::start(&[("mesh", rules("mesh"))]).await;
    live(&redis, "mesh", "mesh").await;
    assert_eq!(redis.refused().await, Vec::<String>::new());
    // Only a full memory takes EVAL, and only a look for a lost request or for dead letters XREVRANGE.
    let mut unused = unused(&redis.url("admin"), &rules("mesh")).await;
    // Only a node with schemas reads GETRANGE.
    let spared = ["eval", "xrevrange", if cfg!(feature = "schema") { "" } else { "getrange" }];
    unused.retain(|command| !spared.contains(&command.as_str()));
    assert_eq!(unused, Vec::<String>::new(), "allowed, and nobody needs it");
    is_refused(&redis.url("mesh"), FOREIGN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_live_by_the_rules_of_users_of_their_own() {
    let of = |app: &str| rules("app").iter().map(|rule| rule.replace("default/todos", app)).collect::<Vec<_>>();
    let redis = Guarded::start(&[("todos", of("default/todos")), ("web", of("default/web"))]).await;
    live(&redis, "todos", "web").await;
    assert_eq!(redis.refused().await, Vec::<String>::new());
    for user in ["todos", "web"] {
        is_refused(&redis.url(user), FOREIGN).await;
    }
    // Neither takes, reads or settles what is meant for the other, nor touches what it set aside.
    let calls = "rachis:{app:default/todos}:calls";
    let of_others: &[&[&str]] = &[
        &["XREADGROUP", "GROUP", "replicas", "thief", "STREAMS", calls, ">"],
        &["XREAD", "STREAMS", calls, "0"],
        &["XACK", calls, "replicas", "1-1"],
        &["XCLAIM", calls, "replicas", "thief", "0", "1-1"],
        &["XGROUP", "CREATE", calls, "other", "0"],
        &["DEL", calls],
        &["XRANGE", "rachis:{app:default/todos}:dead", "-", "+"],
        &["XADD", "rachis:{app:default/todos}:dead", "*", "m", "x"],
        &["XDEL", "rachis:{node:x}:inbox", "1-1"],
        &["DEL", "rachis:{node:x}:inbox"],
        &["DEL", "rachis:{events:default/todos}:log"],
        &["DEL", "rachis:{events:default/todos}:last"],
    ];
    is_refused(&redis.url("web"), of_others).await;
    run(&redis.url("todos"), &["XRANGE", calls, "-", "+"]).await.unwrap();
}

#[tokio::test]
async fn a_node_that_redis_does_not_let_in_says_why_and_what_to_do() {
    let redis = Guarded::start(&[("mesh", rules("mesh"))]).await;
    let refused = async |config: Config| {
        // Time for a machine that has much to do.
        let builder = || Node::builder(config.clone()).connect_within(Duration::from_secs(3));
        let (node, observer) = tokio::join!(builder().start(), builder().observer().start());
        [node, observer].map(|outcome| outcome.unwrap_err().message().to_owned())
    };
    let elsewhere = Config { namespace: "other".into(), ..redis.config("mesh", "web") };
    for said in refused(elsewhere).await {
        assert!(said.contains("forbids its user what a node of 'other' has to do (NOPERM "), "{said}");
    }
    for said in refused(redis.config("default", "web")).await {
        assert!(said.contains("refuses the login (") && said.contains("REDIS_PASSWORD"), "{said}");
        assert!(!said.contains(":PASSWORD"), "{said}");
    }
    // They may listen, and then a node can not announce itself, and an observer not look at the registry.
    let mut rules = rules("mesh");
    rules.retain(|rule| !["+evalsha", "+eval", "+zrangebyscore"].contains(&rule.as_str()));
    let redis = Guarded::start(&[("mute", rules)]).await;
    let [node, observer] = refused(redis.config("mute", "web")).await;
    assert!(node.contains("(NOPERM ") && node.contains("evalsha"), "{node}");
    assert!(observer.contains("(NOPERM ") && observer.contains("zrangebyscore"), "{observer}");
}

#[tokio::test]
async fn what_a_replica_might_not_delete_it_deletes_when_it_may() {
    let redis = Guarded::start(&[("mesh", rules("mesh"))]).await;
    let fast = |app: &str| {
        let mut config = redis.config("mesh", app);
        (config.heartbeat_interval, config.ttl) = (Duration::from_millis(200), Some(Duration::from_millis(1500)));
        config.partitions = 1;
        config
    };
    let replica = testing::start(fast("todos"), App::new().register("todos", MemoryService::new())).await;
    let caller = testing::start(fast("web"), App::new()).await;
    caller.wait_for("todos").await.unwrap();
    let admin = redis.url("admin");
    let calls = "rachis:{app:default/todos}:calls";
    let left = async || run(&admin, &["XLEN", calls]).await.unwrap();
    run(&admin, &["ACL", "SETUSER", "mesh", "-xdel"]).await.unwrap();
    for n in 0..3 {
        caller.service("todos").create(json!({ "n": n })).await.unwrap();
    }
    assert_eq!(left().await, redis::Value::Int(3));
    // One that leaves meanwhile leaves them to the next.
    replica.shutdown().await.unwrap();
    let heir = testing::start(fast("todos"), App::new().register("todos", MemoryService::new())).await;
    caller.service("todos").create(json!({ "n": 3 })).await.unwrap();
    assert_eq!(left().await, redis::Value::Int(4));
    run(&admin, &["ACL", "SETUSER", "mesh", "+xdel"]).await.unwrap();
    eventually("the queue is empty", async || left().await == redis::Value::Int(0)).await;
    drop(heir);
}

/// What is logged from here on, a line each.
#[cfg(feature = "schema")]
fn log() -> Arc<std::sync::Mutex<Vec<String>>> {
    use tracing_subscriber::fmt::MakeWriter;
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<String>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;
        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }
    let lines = Lines::default();
    tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).init();
    lines.0
}

#[cfg(feature = "schema")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_store_no_schemas_joins_and_works_and_tells_of_it_once() {
    use rachis::schema::Schemas;
    // All of a mesh's keys but these.
    let keys = ["~rachis:{mesh}:[^s]*", "~rachis:{app:*", "~rachis:{node:*", "~rachis:{events:*"];
    let narrow = rules("mesh").into_iter().flat_map(|rule| match rule.as_str() {
        "~rachis:*" => keys.map(str::to_owned).to_vec(),
        _ => vec![rule],
    });
    let redis = Guarded::start(&[("narrow", narrow.collect()), ("mesh", rules("mesh"))]).await;
    let log = log();
    let name = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let people =
        || MemoryService::new().schemas(Schemas::new().record(name.clone()).data(Method::Create, name.clone()));
    let narrow = redis.node("narrow", "people", App::new().register("people", people())).await;
    let caller = redis.node("mesh", "web", App::new().register("own", people())).await;
    caller.wait_for("people").await.unwrap();
    caller.service("people").create(json!({ "name": "Ada" })).await.unwrap();
    assert_eq!(caller.service("people").create(json!({ "nam": "Ada" })).await.unwrap_err().code(), 400);
    assert_eq!(caller.schemas("people").await.unwrap(), None);
    // It can not read those of others either, and says why.
    narrow.wait_for("own").await.unwrap();
    let error = narrow.schemas("own").await.unwrap_err();
    assert!(error.message().contains("no permissions") && error.message().contains("docs/security.md"), "{error}");
    narrow.register("more", people()).await.unwrap();
    caller.wait_for("more").await.unwrap();
    let lines = log.lock().unwrap().clone();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("could not be stored in Redis")).collect();
    assert!(told.len() == 1 && told[0].contains("docs/security.md"), "{lines:?}");
}
