//! The mesh of one row: a Redis, replicas, a caller, and a journal.

use crate::{
    call::{ALL, Entrance, Mix, Way},
    journal::{Journal, unix_ms},
    judge::{Doomed, Finding, Promise, judge},
    load::{Load, Order, Trace},
    log,
    plan::Plan,
    proxy::Proxy,
    random::Random,
    redis::Server,
    row::Setting,
    service::Version,
    worker::{Spec, Worker},
};
use futures_util::StreamExt;
use rachis::{App, Change, Config, Node};
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take that a row waits for.
const PATIENCE: Duration = Duration::from_secs(40);
/// Lines of log that a process may write in a row, and for each fault.
const LOG_LINES: usize = 100;
const LOG_LINES_A_FAULT: usize = 50;

/// A replica or gateway, and the cable it hangs on.
pub(crate) struct Member {
    pub(crate) worker: Worker,
    pub(crate) cable: Option<Proxy>,
    pub(crate) version: Version,
    /// Its user in Redis, where it has one of its own.
    pub(crate) user: Option<String>,
}

pub(crate) struct Mesh {
    pub(crate) setting: Setting,
    pub(crate) plan: Plan,
    pub(crate) server: Server,
    pub(crate) caller: Node,
    /// The caller's.
    pub(crate) cable: Option<Proxy>,
    pub(crate) user: Option<String>,
    pub(crate) replicas: Vec<Member>,
    pub(crate) gateways: Vec<Worker>,
    pub(crate) gateway_cables: Vec<Proxy>,
    pub(crate) random: Random,
    /// Processes that may be believed dead.
    pub(crate) doomed: Doomed,
    folder: TempDir,
    namespace: String,
    losses: Arc<Mutex<Vec<Change>>>,
    started: usize,
    /// How much has been broken so far.
    pub(crate) faults: usize,
    problems: Vec<String>,
    /// Lines that this process had logged when the mesh was started.
    logged: usize,
}

impl Mesh {
    /// Starts everything and waits until the caller knows all replicas.
    pub(crate) async fn start(setting: &Setting, plan: Plan) -> Mesh {
        let mut server = Server::start(plan.servers, plan.redis);
        if let Some(password) = plan.password {
            server.set_password(password).await;
        }
        if !plan.sees {
            server.command(&["ACL", "SETUSER", "default", "-client|id", "-client|kill", "-info"]).await;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let namespace = format!("faults-{}", setting.row);
        let cable = cable(&plan, &server).await;
        let user = user(&plan, &server, 0).await;
        let toml = plan.toml(&namespace, "caller", &server.section(cable.as_ref(), user.as_deref()));
        let config = Config::from_toml(&toml).expect("a configuration");
        let caller = Node::builder(config).app(App::new()).connect_within(PATIENCE).start().await;
        let caller = caller.unwrap_or_else(|error| panic!("the caller does not start: {error}"));
        let losses = watch(&caller);
        let mut mesh = Mesh {
            random: Random::new(setting.seed),
            setting: setting.clone(),
            server,
            caller,
            cable,
            user,
            replicas: Vec::new(),
            gateways: Vec::new(),
            gateway_cables: Vec::new(),
            doomed: Doomed::new(),
            folder,
            namespace,
            losses,
            started: 0,
            faults: 0,
            problems: Vec::new(),
            logged: log::lines(),
            plan,
        };
        for version in mesh.plan.replicas.clone() {
            let member = mesh.member(version).await;
            mesh.replicas.push(member);
        }
        for member in &mut mesh.replicas {
            member.worker.ready().await;
        }
        mesh.is_whole().await;
        mesh
    }

    async fn member(&mut self, version: Version) -> Member {
        let cable = cable(&self.plan, &self.server).await;
        let log = self.log("replica");
        let user = user(&self.plan, &self.server, self.started).await;
        let section = self.server.section(cable.as_ref(), user.as_deref());
        let toml = self.plan.toml(&self.namespace, "jobs", &section);
        let spec = Spec { toml, journal: self.journal(), version };
        Member { worker: Worker::replica(&spec, &log), cable, version, user }
    }

    fn log(&mut self, what: &str) -> PathBuf {
        self.started += 1;
        self.folder.path().join(format!("{what}-{}.log", self.started))
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Starts a gateway and returns its URL.
    pub(crate) async fn gateway(&mut self) -> String {
        let (worker, url) = self.start_gateway("127.0.0.1:0").await;
        self.gateways.push(worker);
        url
    }

    /// Starts another gateway at the address of one that has ended.
    pub(crate) async fn replace_gateway(&mut self, place: usize, url: &str) {
        let (worker, _) = self.start_gateway(url.trim_start_matches("http://")).await;
        let old = std::mem::replace(&mut self.gateways[place], worker);
        self.look_at(&old.log(), "gateway");
        self.faults += 1;
    }

    async fn start_gateway(&mut self, listen: &str) -> (Worker, String) {
        let cable = cable(&self.plan, &self.server).await;
        let mut toml = self.plan.toml(&self.namespace, "gateway", &self.server.section(cable.as_ref(), None));
        self.gateway_cables.extend(cable);
        toml += &format!(
            "[gateway]\nlisten = \"{listen}\"\n[gateway.channels]\npublish = \"everyone\"\n[log]\nformat = \"human\"\n"
        );
        let log = self.log("gateway");
        let mut worker = Worker::gateway(&toml, &log);
        let url = worker.ready().await;
        (worker, url)
    }

    /// Puts a new replica of this version in the place of one that has ended. Returns before it is ready.
    pub(crate) async fn replace(&mut self, place: usize, version: Version) {
        let member = self.member(version).await;
        let old = std::mem::replace(&mut self.replicas[place], member);
        self.look_at(&old.worker.log(), "replica");
    }

    /// Starts one replica more.
    pub(crate) async fn add_replica(&mut self) {
        let mut member = self.member(Version::New).await;
        member.worker.ready().await;
        self.replicas.push(member);
        self.is_whole().await;
    }

    /// Waits until a replica says that it has joined.
    pub(crate) async fn is_ready(&mut self, place: usize) {
        self.replicas[place].worker.ready().await;
    }

    /// Says that a process is about to be killed, frozen, cut off or asked to leave.
    pub(crate) fn doom(&mut self, pid: u32) {
        self.doomed.entry(pid).or_default().push(unix_ms());
    }

    /// Kills a replica and starts another in its place.
    pub(crate) async fn kill_replica(&mut self, place: usize) {
        let member = &mut self.replicas[place];
        let version = member.version;
        self.doomed.entry(member.worker.pid()).or_default().push(unix_ms());
        member.worker.kill().await;
        self.faults += 1;
        self.replace(place, version).await;
    }

    /// Asks a replica to leave, and starts another in its place when it has.
    pub(crate) async fn restart_replica(&mut self, place: usize, version: Version) {
        let member = &mut self.replicas[place];
        self.doomed.entry(member.worker.pid()).or_default().push(unix_ms());
        let status = member.worker.leave().await;
        if !status.success() {
            self.problems.push(format!("a replica that was asked to leave ended with {status}"));
        }
        self.faults += 1;
        self.replace(place, version).await;
        self.is_ready(place).await;
    }

    /// The caller believes in exactly the processes that run.
    pub(crate) async fn is_whole(&self) {
        let wanted: HashSet<u32> = self.replicas.iter().map(|member| member.worker.pid()).collect();
        eventually("all replicas are known", async || {
            let nodes = self.caller.nodes();
            let known: HashSet<u32> =
                nodes.iter().filter(|node| node.app == "jobs" && node.up).map(|node| node.pid).collect();
            known == wanted
        })
        .await;
    }

    /// Calls of every kind, by the caller.
    pub(crate) fn load(&self) -> Load {
        self.load_of(ALL, vec![Way { entrance: Entrance::Node(self.caller.clone()), broken: false }])
    }

    /// The same, of which none works for long.
    pub(crate) fn quick_load(&self) -> Load {
        let ways = vec![Way { entrance: Entrance::Node(self.caller.clone()), broken: false }];
        Load::start(Order { longest_work: Duration::from_millis(300), ..self.order(ALL, ways) })
    }

    pub(crate) fn load_of(&self, mix: Mix, ways: Vec<Way>) -> Load {
        Load::start(self.order(mix, ways))
    }

    fn order(&self, mix: Mix, ways: Vec<Way>) -> Order {
        Order {
            rate: self.setting.rate,
            mix,
            ways,
            timeout: self.caller.config().timeout,
            longest_work: self.plan.ttl + Duration::from_secs(2),
            seed: self.setting.seed,
        }
    }

    /// Waits until calls are answered, all replicas are known, and the load has gone on for a little.
    pub(crate) async fn recovers(&mut self, load: &Load) {
        self.faults += 1;
        let since = Instant::now();
        let wanted = usize::try_from(self.setting.rate / 2).unwrap_or(0);
        eventually("calls are answered again", async || load.answered_since(since) > wanted).await;
        self.is_whole().await;
        if self.plan.one_by_one {
            eventually("the calls that the fault met are over", async || load.has_ended(since)).await;
        }
    }

    /// The key of the request stream of the replicas.
    pub(crate) fn stream(&self) -> String {
        format!("{}:{{app:default/jobs}}:calls", self.namespace)
    }

    /// A key of the registry of all nodes.
    pub(crate) fn registry(&self) -> String {
        format!("{}:{{mesh}}:nodes", self.namespace)
    }

    /// The replica's journal so far.
    pub(crate) fn journal_now(&self) -> Journal {
        Journal::read(&self.journal())
    }

    /// Ends the load and judges.
    pub(crate) async fn finish(self, load: Load, promise: Promise) -> Finding {
        let trace = load.end().await;
        self.judge(trace, promise).await
    }

    /// Judges a load that has ended, and ends everything else.
    pub(crate) async fn judge(self, trace: Trace, promise: Promise) -> Finding {
        let stream = self.stream();
        let mut left = Ok(0);
        for _ in 0..100 {
            left = self.server.number(&["XLEN", &stream]).await;
            if matches!(left, Ok(0)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let unended = self.unended().await;
        let mut finding = judge(&trace, &self.journal_now(), promise, &self.doomed);
        if !unended.is_empty() {
            finding.problems.push(format!("{} runs do not end, e.g. of call {}", unended.len(), unended[0]));
        }
        match left {
            Ok(0) => {}
            Ok(left) => {
                finding.problems.push(format!("{left} requests are left in the queue, and nobody works on them"))
            }
            Err(error) => finding.problems.push(format!("the queue can not be asked for: {error}")),
        }
        self.close(&mut finding).await;
        finding
    }

    /// Calls that replicas which live have begun and do not end.
    async fn unended(&self) -> Vec<u64> {
        let living: HashSet<u32> = self.replicas.iter().map(|member| member.worker.pid()).collect();
        let mut unended = self.journal_now().unended(&living);
        for _ in 0..20 {
            if unended.is_empty() {
                break;
            }
            tokio::time::sleep(self.plan.ttl / 5).await;
            unended = self.journal_now().unended(&living);
        }
        unended
    }

    /// Looks whether everything still runs, and ends it.
    pub(crate) async fn close(mut self, finding: &mut Finding) {
        finding.problems.append(&mut self.problems);
        let losses = std::mem::take(&mut *self.losses.lock().unwrap_or_else(PoisonError::into_inner));
        for loss in losses {
            match loss {
                Change::NodeDown(node) if !self.doomed.contains_key(&node.pid) => {
                    finding.problems.push(format!("{} {}, which lives, was declared dead", node.app, node.pid));
                }
                Change::ServiceRemoved(service) => finding.problems.push(format!("{} disappeared", service.path)),
                _ => {}
            }
        }
        let gateways = self.gateways.drain(..).map(|worker| ("gateway", worker));
        let replicas = self.replicas.drain(..).map(|member| ("replica", member.worker));
        let mut workers: Vec<_> = gateways.chain(replicas).collect();
        for (what, worker) in &mut workers {
            if let Some(status) = worker.ended().filter(|_| !self.doomed.contains_key(&worker.pid())) {
                finding.problems.push(format!("a {what} ended by itself with {status}"));
            }
            let _ = worker.kill().await;
            self.look_at(&worker.log(), what);
        }
        let (lines, allowed) = (log::lines() - self.logged, self.lines_allowed());
        if lines > allowed {
            self.problems
                .push(format!("the caller wrote {lines} lines of log (at most {allowed}), e.g. {}", log::last()));
        }
        finding.problems.append(&mut self.problems);
        let _ = tokio::time::timeout(PATIENCE, self.caller.shutdown()).await;
    }

    fn lines_allowed(&self) -> usize {
        LOG_LINES + LOG_LINES_A_FAULT * self.faults
    }

    /// Complains about panics and floods in a log.
    fn look_at(&mut self, log: &str, what: &str) {
        if let Some(panic) = log.lines().find(|line| line.contains("panicked")) {
            self.problems.push(format!("a {what} panicked: {panic}"));
        }
        let (lines, allowed) = (log.lines().count(), self.lines_allowed());
        if lines > allowed {
            let last = log.lines().last().unwrap_or_default();
            self.problems.push(format!("a {what} wrote {lines} lines of log (at most {allowed}), e.g. {last}"));
        }
    }
}

/// Keeps what the caller is told to have gone.
fn watch(caller: &Node) -> Arc<Mutex<Vec<Change>>> {
    let losses: Arc<Mutex<Vec<Change>>> = Arc::default();
    let (kept, mut changes) = (losses.clone(), caller.changes());
    tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            if matches!(change, Change::NodeDown(_) | Change::ServiceRemoved(_)) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(change);
            }
        }
    });
    losses
}

async fn cable(plan: &Plan, server: &Server) -> Option<Proxy> {
    match plan.cables {
        true => Some(Proxy::start(server.port(), plan.boundaries).await.expect("a proxy")),
        false => None,
    }
}

/// Makes a user for a node, if it has one of its own.
async fn user(plan: &Plan, server: &Server, number: usize) -> Option<String> {
    let without = plan.users?;
    let name = format!("node-{number}");
    server.make_user(&name, without).await;
    Some(name)
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not in good time.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
