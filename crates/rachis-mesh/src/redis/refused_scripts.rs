//! Scripts of which Redis refuses a command: it keeps what was written before, and the next run has to complete it.
//!
//! Each command of each script is forbidden in turn, and allowed again. What the next run leaves in Redis, and returns, is
//! then what it would have without the first.

mod cases;

use super::{
    keys::{GROUP, Keys},
    registry::{Announced, Linger, Registry, Snapshot},
    scripts,
};
use cases::command;
use rachis_testing::ThrowawayRedis;
use redis::{FromRedisValue, RedisResult, Value, aio::MultiplexedConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

const TTL: Duration = Duration::from_secs(3600);
#[derive(Clone, Debug)]
enum Step {
    /// A command, word by word.
    Command(Vec<String>),
    /// A script by its name, its keys and its arguments.
    Script(&'static str, Vec<String>, Vec<String>),
    /// Which node of which app offers which paths.
    Register(&'static str, &'static str, &'static [&'static str], Linger),
    State(&'static str),
    Withdraw(&'static str),
    /// A beat that sweeps.
    Beat(&'static str),
    Tell,
    /// Keeps the registry in one value, as it is now.
    Digest,
}

struct Case {
    /// The files in which its commands are.
    scripts: &'static [&'static str],
    what: &'static str,
    before: Vec<Step>,
    run: Step,
}

/// The files of a script, and what Redis runs.
fn composed(name: &str) -> (&'static [&'static str], &'static str) {
    let found = scripts::ALL.iter().find(|(files, _)| files.last() == Some(&name));
    *found.unwrap_or_else(|| panic!("no script is named {name}"))
}

/// A file of scripts.
fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.lua"))).unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/redis/scripts"))
}

/// The commands in a text of Lua.
fn commands(text: &str) -> BTreeSet<String> {
    let calls = ["redis.call('", "redis.pcall('"].into_iter().flat_map(|call| text.split(call).skip(1));
    calls.map(|rest| rest.split('\'').next().unwrap().to_lowercase()).collect()
}

fn registry(node: &str, app: &str, linger: Linger) -> Registry {
    Registry::new(Keys::new("t"), node, app, TTL, linger)
}

fn own(node: &str) -> Registry {
    registry(node, "default/x", Linger::Forever)
}

impl Step {
    async fn take(&self, on: &mut MultiplexedConnection) -> RedisResult<String> {
        match self {
            Step::Command(words) => {
                let mut command = redis::cmd(&words[0]);
                words[1..].iter().for_each(|word| {
                    command.arg(word);
                });
                Ok(format!("{:?}", command.query_async::<Value>(on).await?))
            }
            Step::Script(name, keys, arguments) => {
                let mut command = redis::cmd("EVAL");
                command.arg(composed(name).1).arg(keys.len()).arg(keys).arg(arguments);
                Ok(format!("{:?}", command.query_async::<Value>(on).await?))
            }
            Step::Register(node, app, paths, linger) => {
                let services = paths.iter().map(|path| ((*path).to_owned(), b"descriptor".to_vec())).collect();
                let what = Announced { head: b"head".to_vec(), state: "up".into(), services, schemas: String::new() };
                Ok(format!("{:?}", registry(node, app, *linger).register(on, &what).await?))
            }
            Step::State(node) => Ok(format!("{:?}", own(node).set_state(on, "draining").await?)),
            Step::Withdraw(node) => Ok(format!("{:?}", own(node).withdraw(on).await?)),
            Step::Beat(node) => {
                let now = own(node).look(&mut on.clone()).await?.beat.now;
                Ok(format!("{:?}", own(node).beat(on, true, now).await?.known))
            }
            Step::Tell => Ok(format!("{:?}", own("a").tell(on).await?)),
            Step::Digest => {
                let snapshot = own("a").snapshot(on).await?;
                own("a").keep(on, &snapshot).await?;
                Ok(String::new())
            }
        }
    }
}

/// Replaces moments, and the ids that are made of them.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    let mut after = false;
    for sign in text.chars().chain(['\n']) {
        if sign.is_ascii_digit() {
            digits.push(sign);
            continue;
        }
        let is_moment = digits.len() == 13 || digits.len() == 14;
        match (std::mem::take(&mut after), is_moment) {
            // The rest of an id.
            (true, _) => {}
            (false, true) => out.push('T'),
            (false, false) => out.push_str(&digits),
        }
        digits.clear();
        after = is_moment && sign == '-';
        if !after {
            out.push(sign);
        }
    }
    out
}

/// Everything that Redis holds, but for the versions of the registry.
async fn held(on: &mut MultiplexedConnection) -> BTreeMap<String, String> {
    let versions = ["epoch", "changes", "told", "digest"].map(|name| format!("t:{{mesh}}:{name}"));
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(on).await.unwrap();
    let mut held = BTreeMap::new();
    for key in keys.into_iter().filter(|key| !versions.contains(key)) {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(on).await.unwrap();
        let expires: i64 = redis::cmd("PTTL").arg(&key).query_async(on).await.unwrap();
        let asked = match kind.as_str() {
            "string" => redis::cmd("GET").arg(&key).clone(),
            "hash" => redis::cmd("HGETALL").arg(&key).clone(),
            "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES").clone(),
            "stream" => redis::cmd("XRANGE").arg(&key).arg("-").arg("+").clone(),
            other => panic!("{key} is a {other}"),
        };
        let value: Value = asked.query_async(on).await.unwrap();
        let mut value = match kind.as_str() {
            "hash" => format!("{:?}", BTreeMap::<String, String>::from_redis_value(value).unwrap()),
            _ => format!("{value:?}"),
        };
        if kind == "stream" {
            let mut pending = redis::cmd("XPENDING");
            pending.arg(&key).arg(GROUP).arg("-").arg("+").arg(100);
            let pending: Option<Vec<(String, String, u64, u64)>> = pending.query_async(on).await.ok();
            let pending =
                pending.map(|all| all.into_iter().map(|(id, who, _, times)| (id, who, times)).collect::<Vec<_>>());
            value.push_str(&format!(" pending {pending:?}"));
        }
        held.insert(key, format!("{} {}", timeless(&value), if expires > 0 { "expires" } else { "stays" }));
    }
    held
}

fn sorted(mut snapshot: Snapshot) -> Snapshot {
    snapshot.nodes.sort_by(|a, b| a.id.cmp(&b.id));
    snapshot.lingering.sort_by(|a, b| (&a.app, &a.service.path).cmp(&(&b.app, &b.service.path)));
    snapshot
}

/// A Redis, its administrator and a user whose rights change.
struct Guarded {
    _redis: ThrowawayRedis,
    admin: MultiplexedConnection,
    user: MultiplexedConnection,
}

impl Guarded {
    async fn start() -> Self {
        let redis = ThrowawayRedis::start().unwrap();
        let url = redis.url();
        let mut admin = connect(&url).await;
        redis::cmd("ACL")
            .arg(&["SETUSER", "user", "on", ">p", "~*", "&*", "+@all"])
            .exec_async(&mut admin)
            .await
            .unwrap();
        let user = connect(&url.replace("redis://", "redis://user:p@")).await;
        Guarded { _redis: redis, admin, user }
    }

    async fn allow(&mut self, rule: &str) {
        redis::cmd("ACL").arg(&["SETUSER", "user", rule]).exec_async(&mut self.admin).await.unwrap();
    }

    async fn before(&mut self, case: &Case) {
        for step in [command("FLUSHALL"), command("CONFIG SET maxmemory 0")] {
            step.take(&mut self.admin).await.unwrap();
        }
        for step in &case.before {
            step.take(&mut self.admin).await.unwrap_or_else(|error| panic!("{}: {step:?}: {error}", case.what));
        }
    }

    /// Returns `true` if a command was refused since this was asked last.
    async fn has_refused(&mut self) -> bool {
        let log: Vec<Value> = redis::cmd("ACL").arg("LOG").query_async(&mut self.admin).await.unwrap();
        redis::cmd("ACL").arg(&["LOG", "RESET"]).exec_async(&mut self.admin).await.unwrap();
        !log.is_empty()
    }

    /// Runs the script of a case without the right to `command`, then with it. Returns `None` if it did not come to that
    /// command, else what is different from one run: nothing.
    async fn refuse(
        &mut self,
        case: &Case,
        command: &str,
        whole: &(String, BTreeMap<String, String>),
    ) -> Option<String> {
        self.before(case).await;
        self.allow(&format!("-{command}")).await;
        self.has_refused().await;
        let first = case.run.take(&mut self.user).await;
        let reached = self.has_refused().await;
        self.allow(&format!("+{command}")).await;
        if !reached {
            return None;
        }
        // A run that says nothing of a refusal has done everything. Only of a request that is withdrawn it may be left open
        // whether it had waited.
        if let Ok(first) = &first
            && timeless(first) != whole.0
            && case.scripts != ["cancel"]
        {
            return Some(format!("it returns {first}, not {}", whole.0));
        }
        let again = match case.run.take(&mut self.user).await {
            Ok(again) => timeless(&again),
            Err(error) => return Some(format!("the next run fails: {error}")),
        };
        let held = held(&mut self.admin).await;
        if held != whole.1 {
            return Some(format!("after {first:?} it holds\n  {held:?}, not\n  {:?}", whole.1));
        }
        if first.is_err() && !matches!(case.run, Step::Register(..) | Step::Withdraw(_)) && again != whole.0 {
            return Some(format!("after {first:?} it returns {again}, not {}", whole.0));
        }
        let all = sorted(own("a").snapshot(&mut self.admin).await.unwrap());
        if let Some((known, _)) = own("a").by_digest(&mut self.admin).await.unwrap() {
            let known = sorted(known);
            if (&known.nodes, &known.lingering) != (&all.nodes, &all.lingering) {
                return Some(format!("its changes lead to\n  {known:?}, not\n  {all:?}"));
            }
        }
        Some(String::new())
    }
}

async fn connect(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn whatever_of_a_script_redis_refuses_the_next_run_completes_it() {
    let mut redis = Guarded::start().await;
    let cases = cases::all();
    let mut left: BTreeSet<(String, String)> = BTreeSet::new();
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "lua")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        left.extend(commands(&text(&name)).into_iter().map(|command| (name.clone(), command)));
    }
    let mut problems = Vec::new();
    let mut refusals = 0;
    for case in &cases {
        redis.before(case).await;
        let reply = timeless(&case.run.take(&mut redis.user).await.unwrap());
        let whole = (reply, held(&mut redis.admin).await);
        for command in case.scripts.iter().flat_map(|name| commands(&text(name))).collect::<BTreeSet<_>>() {
            let Some(problem) = redis.refuse(case, &command, &whole).await else { continue };
            refusals += 1;
            for name in case.scripts {
                left.remove(&((*name).to_owned(), command.clone()));
            }
            if !problem.is_empty() {
                problems.push(format!("{}, {}, without {command}: {problem}", case.scripts.join(" "), case.what));
            }
        }
    }
    assert!(problems.is_empty(), "{} of {refusals}:\n{}", problems.len(), problems.join("\n"));
    assert!(left.is_empty(), "never came to {left:?}");
}
