//! Minimal RESP2 client: preencoded commands, coalesced writes, replies parsed in place.
use crate::*;
use bytes::{Buf, BytesMut};
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

pub type R = Pin<Box<dyn AsyncRead + Send>>;
pub type W = Pin<Box<dyn AsyncWrite + Send>>;

pub async fn connect(a: &Args) -> (R, W) {
    if a.unix {
        let s = tokio::net::UnixStream::connect(unix_path(a)).await.unwrap();
        let (r, w) = s.into_split();
        (Box::pin(r), Box::pin(w))
    } else {
        let s = tokio::net::TcpStream::connect(addr(a)).await.unwrap();
        s.set_nodelay(a.nodelay).unwrap();
        let (r, w) = s.into_split();
        (Box::pin(r), Box::pin(w))
    }
}

pub fn enc(b: &mut Vec<u8>, args: &[&[u8]]) {
    head(b, args.len());
    for x in args {
        arg(b, x)
    }
}
fn head(b: &mut Vec<u8>, n: usize) {
    let mut i = itoa::Buffer::new();
    b.push(b'*');
    b.extend_from_slice(i.format(n).as_bytes());
    b.extend_from_slice(b"\r\n");
}
fn arg(b: &mut Vec<u8>, x: &[u8]) {
    let mut i = itoa::Buffer::new();
    b.push(b'$');
    b.extend_from_slice(i.format(x.len()).as_bytes());
    b.extend_from_slice(b"\r\n");
    b.extend_from_slice(x);
    b.extend_from_slice(b"\r\n");
}

/// A frame's leaf strings, as ranges, depth-first; None while incomplete.
fn line(b: &[u8], p: usize) -> Option<(i64, usize)> {
    let e = p + 1 + memchr::memchr(b'\r', &b[p + 1..])?;
    if e + 1 >= b.len() {
        return None;
    }
    let mut n = 0i64;
    let mut neg = false;
    for &c in &b[p + 1..e] {
        if c == b'-' {
            neg = true
        } else if c.is_ascii_digit() {
            n = n * 10 + (c - b'0') as i64
        }
    }
    Some((if neg { -n } else { n }, e + 2))
}
pub fn parse(b: &[u8], p: usize, out: &mut Vec<(usize, usize)>) -> Option<usize> {
    if p >= b.len() {
        return None;
    }
    match b[p] {
        b'+' | b':' => line(b, p).map(|x| x.1),
        b'-' => {
            let x = line(b, p)?;
            panic!("redis: {}", String::from_utf8_lossy(&b[p..x.1]))
        }
        b'$' => {
            let (n, q) = line(b, p)?;
            if n < 0 {
                return Some(q);
            }
            let e = q + n as usize;
            if e + 2 > b.len() {
                return None;
            }
            out.push((q, e));
            Some(e + 2)
        }
        b'*' => {
            let (n, mut q) = line(b, p)?;
            for _ in 0..n.max(0) {
                q = parse(b, q, out)?;
            }
            Some(q)
        }
        c => panic!("odd byte {c}"),
    }
}

/// Coalescing writer: appends go into one shared buffer, one write per wake. Replies are dropped.
#[derive(Clone)]
pub struct Writer {
    buf: Arc<Mutex<Vec<u8>>>,
    wake: Arc<Notify>,
}
impl Writer {
    pub async fn open(a: &Args) -> Self {
        let (mut r, mut w) = connect(a).await;
        tokio::spawn(async move {
            // the answers to writes carry nothing this program needs beyond "not an error"
            let mut b = vec![0u8; 1 << 16];
            loop {
                match r.read(&mut b).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => {
                        if b[..n].first() == Some(&b'-') {
                            eprintln!("{}", String::from_utf8_lossy(&b[..n.min(200)]))
                        }
                    }
                }
            }
        });
        let me = Writer { buf: Default::default(), wake: Arc::new(Notify::new()) };
        let (m, yields) = (me.clone(), a.yields);
        tokio::spawn(async move {
            let mut out = Vec::with_capacity(1 << 16);
            loop {
                m.wake.notified().await;
                for _ in 0..yields {
                    tokio::task::yield_now().await
                }
                std::mem::swap(&mut *m.buf.lock().unwrap(), &mut out);
                if !out.is_empty() {
                    if w.write_all(&out).await.is_err() {
                        return;
                    }
                    out.clear();
                }
            }
        });
        me
    }
    pub fn push(&self, f: impl FnOnce(&mut Vec<u8>)) {
        let first = {
            let mut b = self.buf.lock().unwrap();
            let e = b.is_empty();
            f(&mut b);
            e
        };
        if first {
            self.wake.notify_one()
        }
    }
}

async fn once(a: &Args, cmds: &[&[&[u8]]]) {
    let (mut r, mut w) = connect(a).await;
    for c in cmds {
        let mut b = vec![];
        enc(&mut b, c);
        w.write_all(&b).await.unwrap();
        let mut x = [0u8; 256];
        let _ = r.read(&mut x).await.unwrap();
    }
}

/// Blocking reader over its own connection: calls `f` with the leaf strings of each reply.
async fn read_loop(
    ctx: &Ctx,
    mut r: R,
    mut w: W,
    mut next: impl FnMut(&mut Vec<u8>),
    pushes: bool,
    mut f: impl FnMut(&[u8], &[(usize, usize)]),
) {
    let mut b = BytesMut::with_capacity(1 << 18);
    let (mut cmd, mut leaves) = (vec![], vec![]);
    loop {
        if ctx.stop.load(Relaxed) && pushes {
            return;
        }
        if !pushes {
            cmd.clear();
            next(&mut cmd);
            w.write_all(&cmd).await.unwrap();
        }
        loop {
            leaves.clear();
            if let Some(n) = parse(&b, 0, &mut leaves) {
                f(&b[..n], &leaves);
                b.advance(n);
                if pushes { continue } else { break }
            }
            b.reserve(1 << 16);
            // a stop leaves this read hanging: give it a little, then leave
            match tokio::time::timeout(Duration::from_millis(200), r.read_buf(&mut b)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return,
                Ok(Ok(_)) => {}
                Err(_) => {
                    if ctx.stop.load(Relaxed) {
                        return;
                    }
                }
            }
        }
        if ctx.stop.load(Relaxed) && leaves.is_empty() {
            return;
        }
    }
}

fn read_cmd(mode: Mode, side_req: bool, last: &[u8], count: usize, b: &mut Vec<u8>) {
    let n = count.to_string();
    let n = n.as_bytes();
    match (mode, side_req) {
        (Mode::StreamAck, true) => enc(
            b,
            &[
                b"XREADGROUP",
                b"GROUP",
                GROUP.as_bytes(),
                last,
                b"COUNT",
                n,
                b"BLOCK",
                b"0",
                b"STREAMS",
                REQ.as_bytes(),
                b">",
            ],
        ),
        (Mode::StreamNoack, true) => enc(
            b,
            &[
                b"XREADGROUP",
                b"GROUP",
                GROUP.as_bytes(),
                last,
                b"COUNT",
                n,
                b"BLOCK",
                b"0",
                b"NOACK",
                b"STREAMS",
                REQ.as_bytes(),
                b">",
            ],
        ),
        (Mode::StreamAck | Mode::StreamNoack, false) => {
            enc(b, &[b"XREAD", b"COUNT", n, b"BLOCK", b"0", b"STREAMS", REP.as_bytes(), last])
        }
        (Mode::List, s) => {
            let k = if s { REQ } else { REP };
            if count == 1 {
                enc(b, &[b"BLPOP", k.as_bytes(), b"0"])
            } else {
                enc(b, &[b"BLMPOP", b"0", b"1", k.as_bytes(), b"LEFT", b"COUNT", n])
            }
        }
        _ => unreachable!(),
    }
}
/// leaves -> (id, payload) pairs
pub fn each(mode: Mode, b: &[u8], l: &[(usize, usize)], mut f: impl FnMut(&[u8], &[u8])) {
    match mode {
        // [stream, (id, "d", payload)*]
        Mode::StreamAck | Mode::StreamNoack => {
            for c in l.get(1..).unwrap_or(&[]).chunks_exact(3) {
                f(&b[c[0].0..c[0].1], &b[c[2].0..c[2].1])
            }
        }
        Mode::List => {
            for c in l.get(1..).unwrap_or(&[]) {
                f(b"", &b[c.0..c.1])
            }
        }
        Mode::StreamList | Mode::StreamPub => unreachable!(),
        Mode::Pubsub => {
            if l.len() == 3 && &b[l[0].0..l[0].1] == b"message" {
                f(b"", &b[l[2].0..l[2].1])
            }
        }
    }
}
pub fn put(mode: Mode, req: bool, b: &mut Vec<u8>, payload: &[u8]) {
    let k = if req { REQ } else { REP }.as_bytes();
    match mode {
        // requests that get XDELeted need no trim; the rest is bounded by an approximate MAXLEN
        Mode::StreamAck if req => enc(b, &[b"XADD", k, b"*", b"d", payload]),
        Mode::StreamAck | Mode::StreamNoack => enc(b, &[b"XADD", k, b"MAXLEN", b"~", b"10000", b"*", b"d", payload]),
        Mode::List => enc(b, &[b"RPUSH", k, payload]),
        Mode::Pubsub => enc(b, &[b"PUBLISH", k, payload]),
        Mode::StreamList | Mode::StreamPub => unreachable!(),
    }
}

pub async fn responder(ctx: Arc<Ctx>, ready: std::sync::mpsc::Sender<()>) {
    let (a, mode) = (ctx.a.clone(), kind(ctx.mode, true));
    once(&a, &[&[b"DEL", REQ.as_bytes(), REP.as_bytes()]]).await;
    if matches!(mode, Mode::StreamAck | Mode::StreamNoack) {
        once(&a, &[&[b"XGROUP", b"CREATE", REQ.as_bytes(), GROUP.as_bytes(), b"$", b"MKSTREAM"]]).await
    }
    let mut hs = vec![];
    for i in 0..a.consumers.max(1) {
        hs.push(tokio::spawn(consumer(ctx.clone(), i)));
    }
    tokio::time::sleep(Duration::from_millis(40)).await;
    ready.send(()).unwrap();
    for h in hs {
        h.await.unwrap()
    }
}
async fn consumer(ctx: Arc<Ctx>, i: usize) {
    let (a, mode, back) = (ctx.a.clone(), kind(ctx.mode, true), kind(ctx.mode, false));
    let w = Writer::open(&a).await;
    let (r, mut rw) = connect(&a).await;
    if mode == Mode::Pubsub {
        let mut b = vec![];
        enc(&mut b, &[b"SUBSCRIBE", REQ.as_bytes()]);
        rw.write_all(&b).await.unwrap();
    }
    let (batch, xdel, name) = (a.batch, a.xdel, format!("c{i}"));
    read_loop(
        &ctx,
        r,
        rw,
        |b| read_cmd(mode, true, name.as_bytes(), a.count, b),
        mode == Mode::Pubsub,
        |b, l| {
            let ack = |o: &mut Vec<u8>, ids: &[&[u8]]| {
                if !ids.is_empty() {
                    head(o, 3 + ids.len());
                    arg(o, b"XACK");
                    arg(o, REQ.as_bytes());
                    arg(o, GROUP.as_bytes());
                    for i in ids {
                        arg(o, i)
                    }
                    if xdel {
                        head(o, 2 + ids.len());
                        arg(o, b"XDEL");
                        arg(o, REQ.as_bytes());
                        for i in ids {
                            arg(o, i)
                        }
                    }
                }
            };
            if batch {
                w.push(|o| {
                    let mut ids = vec![];
                    each(mode, b, l, |_, p| put(back, false, o, p));
                    if mode == Mode::StreamAck {
                        for c in l.get(1..).unwrap_or(&[]).chunks_exact(3) {
                            ids.push(&b[c[0].0..c[0].1])
                        }
                        ack(o, &ids)
                    }
                });
            } else {
                each(mode, b, l, |id, p| {
                    w.push(|o| {
                        put(back, false, o, p);
                        if mode == Mode::StreamAck {
                            ack(o, &[id])
                        }
                    })
                });
            }
        },
    )
    .await;
}

pub async fn run(ctx: Arc<Ctx>, conc: usize, warm: Duration) -> (u64, Histogram<u64>, f64) {
    let (a, fwd, mode) = (ctx.a.clone(), kind(ctx.mode, true), kind(ctx.mode, false));
    let mut ws = vec![];
    for _ in 0..a.conns {
        ws.push(Writer::open(&a).await)
    }
    let (r, mut rw) = connect(&a).await;
    if mode == Mode::Pubsub {
        let mut b = vec![];
        enc(&mut b, &[b"SUBSCRIBE", REP.as_bytes()]);
        rw.write_all(&b).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await
    }
    let c = ctx.clone();
    let reader = tokio::spawn(async move {
        let last = std::cell::RefCell::new(b"0-0".to_vec());
        let a = c.a.clone();
        // the closure pair shares `last`; it is only touched from this task
        struct S<T>(T);
        unsafe impl<T> Send for S<T> {}
        unsafe impl<T> Sync for S<T> {}
        let last = S(last);
        let last = &last;
        let fut = read_loop(
            &c,
            r,
            rw,
            move |b| {
                let l = last;
                read_cmd(mode, false, &l.0.borrow(), a.count, b)
            },
            mode == Mode::Pubsub,
            |b, l| {
                let s = last;
                each(mode, b, l, |id, p| {
                    if !id.is_empty() {
                        let mut x = s.0.borrow_mut();
                        x.clear();
                        x.extend_from_slice(id)
                    }
                    c.waiters.answer(p)
                })
            },
        );
        fut.await
    });
    let ws = Arc::new(ws);
    let pl = a.payload.max(8);
    let out = requester(ctx.clone(), conc, warm, move |slot, corr| {
        let ws = ws.clone();
        async move {
            let mut p = vec![0x61u8; pl];
            p[..8].copy_from_slice(&corr.to_le_bytes());
            ws[slot % ws.len()].push(|b| put(fwd, true, b, &p));
        }
    })
    .await;
    let _ = reader.await;
    out
}
