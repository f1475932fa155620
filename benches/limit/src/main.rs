//! Physical-limit yardstick: one request, one reply, through Redis, four transports.
//!   cargo run --release -- --seconds 3
//! Spawns its own redis-server (no persistence) on --port unless --url is given, and stops it.
mod raw;
mod rs;

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

#[derive(Copy, Clone, Debug, PartialEq, ValueEnum)]
pub enum Mode {
    StreamAck,
    StreamNoack,
    List,
    Pubsub,
    /** stream request, list reply */
    StreamList,
    /** stream request, pub/sub reply */
    StreamPub,
}
/// the transport of one direction
pub fn kind(m: Mode, req: bool) -> Mode {
    match (m, req) {
        (Mode::StreamList | Mode::StreamPub, true) => Mode::StreamAck,
        (Mode::StreamList, _) => Mode::List,
        (Mode::StreamPub, _) => Mode::Pubsub,
        (m, _) => m,
    }
}
#[derive(Copy, Clone, Debug, PartialEq, ValueEnum)]
pub enum Client {
    Raw,
    Rs,
}

#[derive(Parser, Clone, Debug)]
pub struct Args {
    /// seconds measured per cell
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    conc: Vec<usize>,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "stream-ack,stream-noack,list,pubsub")]
    mode: Vec<Mode>,
    /// raw = hand-written RESP (the yardstick); rs = redis-rs MultiplexedConnection
    #[arg(long, value_enum, value_delimiter = ',', default_value = "raw,rs")]
    client: Vec<Client>,
    /// COUNT of every batched read
    #[arg(long, default_value_t = 256)]
    count: usize,
    /// reply/ack batch: one write per read batch (false: one write per request)
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    batch: bool,
    /// also XDEL after XACK in stream-ack
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    xdel: bool,
    #[arg(long, default_value_t = 64)]
    payload: usize,
    /// tokio worker threads (0 = two current-thread runtimes, requester and responder)
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// requester's write connections
    #[arg(long, default_value_t = 1)]
    conns: usize,
    /// yields before a coalesced write (raw), a zero-timer batching window
    #[arg(long, default_value_t = 1)]
    yields: usize,
    /// rs: pipeline channel size
    #[arg(long, default_value_t = 1024)]
    pipeline_buffer: usize,
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    nodelay: bool,
    /// wait for the XADD/RPUSH/PUBLISH reply as well as the answer
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    await_send: bool,
    /// responder replicas (consumers of the group, each with its own connections)
    #[arg(long, default_value_t = 1)]
    consumers: usize,
    /// use a unix socket
    #[arg(long)]
    unix: bool,
    #[arg(long, default_value_t = 1)]
    io_threads: usize,
    #[arg(long, default_value_t = 7150)]
    port: u16,
    /// wait up to this long before each run for the rest of the machine to be idle (shared machines)
    #[arg(long, default_value_t = 0)]
    quiet_secs: u64,
    /// runs per cell; the best rpc/s is printed (on a shared machine the best is the least disturbed)
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// host:port of a running server instead of spawning one
    #[arg(long)]
    url: Option<String>,
}

/// Where a waiting requester is found again. corr = slot << 32 | seq.
pub struct Waiters {
    slots: Vec<Mutex<(u32, Option<oneshot::Sender<()>>)>>,
    pub stray: AtomicU64,
}
impl Waiters {
    fn new(n: usize) -> Self {
        Self { slots: (0..n).map(|_| Mutex::new((0, None))).collect(), stray: AtomicU64::new(0) }
    }
    fn arm(&self, slot: usize) -> (u64, oneshot::Receiver<()>) {
        let (tx, rx) = oneshot::channel();
        let mut g = self.slots[slot].lock().unwrap();
        g.0 = g.0.wrapping_add(1);
        g.1 = Some(tx);
        ((slot as u64) << 32 | g.0 as u64, rx)
    }
    pub fn answer(&self, frame: &[u8]) {
        let corr = u64::from_le_bytes(frame[..8].try_into().unwrap());
        let mut g = self.slots[(corr >> 32) as usize].lock().unwrap();
        if g.0 == corr as u32
            && let Some(tx) = g.1.take()
        {
            let _ = tx.send(());
        } else {
            self.stray.fetch_add(1, Relaxed);
        }
    }
}

pub struct Ctx {
    pub a: Args,
    pub mode: Mode,
    pub waiters: Arc<Waiters>,
    pub stop: AtomicBool,
}
pub const REQ: &str = "lim:{app}:req";
pub const REP: &str = "lim:{node}:rep";
pub const GROUP: &str = "g";
pub fn unix_path(a: &Args) -> String {
    std::env::temp_dir().join(format!("limit-{}.sock", a.port)).display().to_string()
}
pub fn addr(a: &Args) -> String {
    a.url.clone().unwrap_or_else(|| format!("127.0.0.1:{}", a.port))
}

fn cpu_of(stat: &str) -> f64 {
    let s = std::fs::read_to_string(stat).unwrap_or_default();
    let rest = s.rsplit(')').next().unwrap_or("");
    let f: Vec<&str> = rest.split_whitespace().collect();
    if f.len() < 14 {
        return 0.0;
    }
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn self_cpu() -> f64 {
    let mut r: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut r) };
    (r.ru_utime.tv_sec + r.ru_stime.tv_sec) as f64 + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) as f64 / 1e6
}

/// (busy, total) seconds of all cpus, steal counted as busy
fn machine_cpu() -> (f64, f64) {
    let s = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let v: Vec<f64> =
        s.lines().next().unwrap_or("").split_whitespace().skip(1).take(8).map(|x| x.parse().unwrap_or(0.0)).collect();
    if v.len() < 8 {
        return (0.0, 1.0);
    }
    let t: f64 = v.iter().sum();
    ((t - v[3] - v[4]) / 100.0, t / 100.0)
}
fn wait_quiet(a: &Args) {
    let end = Instant::now() + Duration::from_secs(a.quiet_secs);
    while Instant::now() < end {
        let x = machine_cpu();
        std::thread::sleep(Duration::from_millis(400));
        let y = machine_cpu();
        if (y.0 - x.0) / (y.1 - x.1) < 0.08 {
            return;
        }
    }
}

async fn requester<F, Fut>(ctx: Arc<Ctx>, conc: usize, warm: Duration, send: F) -> (u64, Histogram<u64>, f64)
where
    F: Fn(usize, u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let live = Arc::new(AtomicBool::new(false));
    let mut hs = vec![];
    for slot in 0..conc {
        let (ctx, live, send) = (ctx.clone(), live.clone(), send.clone());
        hs.push(tokio::spawn(async move {
            let mut h = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
            let mut n = 0u64;
            while !ctx.stop.load(Relaxed) {
                let t = Instant::now();
                let (corr, rx) = ctx.waiters.arm(slot);
                send(slot, corr).await;
                if tokio::time::timeout(Duration::from_secs(5), rx).await.is_err() {
                    panic!("reply lost in {:?}", ctx.mode)
                }
                if live.load(Relaxed) {
                    n += 1;
                    let _ = h.record(t.elapsed().as_nanos() as u64 / 100);
                }
            }
            (n, h)
        }));
    }
    tokio::time::sleep(warm).await;
    live.store(true, Relaxed);
    let t = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(ctx.a.seconds)).await;
    live.store(false, Relaxed);
    let el = t.elapsed().as_secs_f64();
    ctx.stop.store(true, Relaxed);
    let mut all = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    let mut n = 0;
    for h in hs {
        let (k, hh) = h.await.unwrap();
        n += k;
        all.add(hh).unwrap();
    }
    (n, all, el)
}

fn spawn_server(a: &Args) -> Option<std::process::Child> {
    if a.url.is_some() {
        return None;
    }
    let _ = std::fs::remove_file(unix_path(a));
    let c = std::process::Command::new("redis-server")
        .args([
            "--port",
            &a.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
            &unix_path(a),
            "--io-threads",
            &a.io_threads.to_string(),
            "--dir",
            &std::env::temp_dir().display().to_string(),
            "--loglevel",
            "warning",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("redis-server");
    for _ in 0..100 {
        if std::net::TcpStream::connect(addr(a)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(c)
}

fn main() {
    let a = Args::parse();
    let mut server = spawn_server(&a);
    let srv_stat = server.as_ref().map(|c| format!("/proc/{}/stat", c.id())).unwrap_or_default();
    println!(
        "payload {} B, COUNT {}, batch {}, conns {}, workers {}, yields {}, nodelay {}, unix {}, io-threads {}, await-send {}, {} s/cell",
        a.payload,
        a.count,
        a.batch,
        a.conns,
        a.workers,
        a.yields,
        a.nodelay,
        a.unix,
        a.io_threads,
        a.await_send,
        a.seconds
    );
    println!(
        "{:<6} {:<13} {:>5} {:>10} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11} {:>7}",
        "client",
        "transport",
        "conc",
        "rpc/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "srv us/rpc",
        "cli us/rpc",
        "other%"
    );
    for &client in &a.client {
        for &mode in &a.mode {
            for &conc in &a.conc {
                let mut rows: Vec<(f64, String)> = vec![];
                for _ in 0..a.repeat.max(1) {
                    let ctx = Arc::new(Ctx {
                        a: a.clone(),
                        mode,
                        waiters: Arc::new(Waiters::new(conc)),
                        stop: AtomicBool::new(false),
                    });
                    let warm = Duration::from_millis(300);
                    wait_quiet(&a);
                    let (c0, s0, m0) = (self_cpu(), cpu_of(&srv_stat), machine_cpu());
                    let (n, h, el) = match a.workers {
                        0 => {
                            // two single-threaded runtimes: as two processes would be
                            let c2 = ctx.clone();
                            let (tx, rx) = std::sync::mpsc::channel();
                            let t = std::thread::spawn(move || {
                                let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                                rt.block_on(async {
                                    match client {
                                        Client::Raw => raw::responder(c2, tx).await,
                                        Client::Rs => rs::responder(c2, tx).await,
                                    }
                                });
                            });
                            rx.recv().unwrap();
                            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                            let r = rt.block_on(async {
                                match client {
                                    Client::Raw => raw::run(ctx.clone(), conc, warm).await,
                                    Client::Rs => rs::run(ctx.clone(), conc, warm).await,
                                }
                            });
                            rt.shutdown_background();
                            t.join().unwrap();
                            r
                        }
                        w => {
                            let rt = tokio::runtime::Builder::new_multi_thread()
                                .worker_threads(w)
                                .enable_all()
                                .build()
                                .unwrap();
                            let r = rt.block_on(async {
                                let (tx, rx) = std::sync::mpsc::channel();
                                let c2 = ctx.clone();
                                let t = tokio::spawn(async move {
                                    match client {
                                        Client::Raw => raw::responder(c2, tx).await,
                                        Client::Rs => rs::responder(c2, tx).await,
                                    }
                                });
                                while rx.try_recv().is_err() {
                                    tokio::time::sleep(Duration::from_millis(2)).await
                                }
                                let c3 = ctx.clone();
                                let r = tokio::spawn(async move {
                                    match client {
                                        Client::Raw => raw::run(c3, conc, warm).await,
                                        Client::Rs => rs::run(c3, conc, warm).await,
                                    }
                                })
                                .await
                                .unwrap();
                                t.await.unwrap();
                                r
                            });
                            rt.shutdown_background();
                            r
                        }
                    };
                    let total = el + warm.as_secs_f64();
                    let rps = n as f64 / el;
                    let (cli, srv) = (self_cpu() - c0, cpu_of(&srv_stat) - s0);
                    let m1 = machine_cpu();
                    let other = ((m1.0 - m0.0 - cli - srv) / (m1.1 - m0.1) * 100.0).max(0.0);
                    let us = |q| h.value_at_quantile(q) as f64 / 10.0;
                    let row = format!(
                        "{:<6} {:<13} {:>5} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>11.2} {:>11.2} {:>7.0}",
                        format!("{client:?}").to_lowercase(),
                        format!("{mode:?}").to_lowercase(),
                        conc,
                        rps,
                        us(0.5),
                        us(0.99),
                        us(0.999),
                        h.max() as f64 / 10.0,
                        srv / (rps * total) * 1e6,
                        cli / (rps * total) * 1e6,
                        other
                    );
                    let stray = ctx.waiters.stray.load(Relaxed);
                    if stray > 0 {
                        println!("  stray replies: {stray}")
                    }
                    rows.push((rps, row));
                }
                rows.sort_by(|x, y| x.0.total_cmp(&y.0));
                println!("{}", rows.last().unwrap().1);
            }
        }
    }
    if let Some(c) = server.as_mut() {
        let _ = c.kill();
        let _ = c.wait();
        let _ = std::fs::remove_file(unix_path(&a));
    }
}
