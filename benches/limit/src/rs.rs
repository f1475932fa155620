//! The same four transports through redis-rs: MultiplexedConnection writers, own blocking readers.
use crate::*;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value, cmd};

fn client(a: &Args) -> redis::Client {
    use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, io::tcp::TcpSettings};
    let i: ConnectionInfo = if a.unix {
        format!("redis+unix://{}", unix_path(a)).as_str().into_connection_info().unwrap()
    } else {
        format!("redis://{}", addr(a)).as_str().into_connection_info().unwrap()
    };
    let _ = ConnectionAddr::Unix("x".into());
    redis::Client::open(i.set_tcp_settings(TcpSettings::default().set_nodelay(a.nodelay))).unwrap()
}
async fn conn(a: &Args, timeout: Option<Duration>) -> MultiplexedConnection {
    let c = AsyncConnectionConfig::new().set_response_timeout(timeout).set_pipeline_buffer_size(a.pipeline_buffer);
    client(a).get_multiplexed_async_connection_with_config(&c).await.unwrap()
}
fn bs(v: &Value) -> &[u8] {
    match v {
        Value::BulkString(b) => b,
        Value::SimpleString(s) => s.as_bytes(),
        _ => b"",
    }
}
fn arr(v: &Value) -> &[Value] {
    match v {
        Value::Array(a) => a,
        _ => &[],
    }
}

fn read_cmd(mode: Mode, side_req: bool, last: &[u8], count: usize) -> Cmd {
    let mut c;
    match (mode, side_req) {
        (Mode::StreamAck | Mode::StreamNoack, true) => {
            c = cmd("XREADGROUP");
            c.arg("GROUP").arg(GROUP).arg("c1").arg("COUNT").arg(count).arg("BLOCK").arg(200);
            if mode == Mode::StreamNoack {
                c.arg("NOACK");
            }
            c.arg("STREAMS").arg(REQ).arg(">");
        }
        (Mode::StreamAck | Mode::StreamNoack, false) => {
            c = cmd("XREAD");
            c.arg("COUNT").arg(count).arg("BLOCK").arg(200).arg("STREAMS").arg(REP).arg(last);
        }
        (Mode::List, s) => {
            let k = if s { REQ } else { REP };
            if count == 1 {
                c = cmd("BLPOP");
                c.arg(k).arg("0.2");
            } else {
                c = cmd("BLMPOP");
                c.arg("0.2").arg(1).arg(k).arg("LEFT").arg("COUNT").arg(count);
            }
        }
        _ => unreachable!(),
    }
    c
}
fn each(mode: Mode, v: &Value, mut f: impl FnMut(&[u8], &[u8])) {
    match mode {
        Mode::StreamAck | Mode::StreamNoack => {
            for s in arr(v) {
                for e in arr(&arr(s)[1]) {
                    let e = arr(e);
                    f(bs(&e[0]), bs(&arr(&e[1])[1]))
                }
            }
        }
        Mode::List => {
            if let [_, x] = arr(v) {
                match x {
                    Value::Array(l) => {
                        for e in l {
                            f(b"", bs(e))
                        }
                    }
                    e => f(b"", bs(e)),
                }
            }
        }
        _ => {}
    }
}
fn put(mode: Mode, req: bool, payload: &[u8]) -> Cmd {
    let k = if req { REQ } else { REP };
    match mode {
        Mode::StreamAck if req => {
            let mut c = cmd("XADD");
            c.arg(k).arg("*").arg("d").arg(payload);
            c
        }
        Mode::StreamAck | Mode::StreamNoack => {
            let mut c = cmd("XADD");
            c.arg(k).arg("MAXLEN").arg("~").arg(10000).arg("*").arg("d").arg(payload);
            c
        }
        Mode::List => {
            let mut c = cmd("RPUSH");
            c.arg(k).arg(payload);
            c
        }
        Mode::Pubsub => {
            let mut c = cmd("PUBLISH");
            c.arg(k).arg(payload);
            c
        }
        Mode::StreamList | Mode::StreamPub => unreachable!(),
    }
}

pub async fn responder(ctx: Arc<Ctx>, ready: std::sync::mpsc::Sender<()>) {
    use futures_util::StreamExt;
    let (a, mode, back) = (ctx.a.clone(), kind(ctx.mode, true), kind(ctx.mode, false));
    let mut w = conn(&a, None).await;
    let _: () = cmd("DEL").arg(REQ).arg(REP).query_async(&mut w).await.unwrap();
    if matches!(mode, Mode::StreamAck | Mode::StreamNoack) {
        let _: () =
            cmd("XGROUP").arg("CREATE").arg(REQ).arg(GROUP).arg("$").arg("MKSTREAM").query_async(&mut w).await.unwrap();
    }
    // one background sender keeps writes in order without waiting for their answers
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<redis::Pipeline>();
    let mut w2 = w.clone();
    tokio::spawn(async move {
        while let Some(p) = rx.recv().await {
            let mut p = p;
            while p.len() < 2048 {
                match rx.try_recv() {
                    Ok(q) => {
                        for c in q.cmd_iter() {
                            p.add_command(c.clone());
                        }
                    }
                    Err(_) => break,
                }
            }
            let _ = w2.send_packed_commands(&p, 0, p.len()).await;
        }
    });
    if mode == Mode::Pubsub {
        let mut ps = client(&a).get_async_pubsub().await.unwrap();
        ps.subscribe(REQ).await.unwrap();
        ready.send(()).unwrap();
        let mut s = ps.into_on_message().ready_chunks(a.count);
        loop {
            match tokio::time::timeout(Duration::from_millis(200), s.next()).await {
                Ok(Some(ms)) => {
                    let mut p = redis::Pipeline::with_capacity(ms.len());
                    for m in &ms {
                        p.add_command(put(back, false, m.get_payload_bytes()));
                    }
                    let _ = tx.send(p);
                }
                Ok(None) => return,
                Err(_) => {
                    if ctx.stop.load(Relaxed) {
                        return;
                    }
                }
            }
        }
    }
    let mut r = conn(&a, None).await;
    ready.send(()).unwrap();
    let c = read_cmd(mode, true, b"", a.count);
    loop {
        let v = r.send_packed_command(&c).await.unwrap();
        if v == Value::Nil {
            if ctx.stop.load(Relaxed) {
                return;
            }
            continue;
        }
        let mut p = redis::Pipeline::new();
        let mut ids: Vec<Vec<u8>> = vec![];
        let ack = |p: &mut redis::Pipeline, ids: &[Vec<u8>]| {
            p.cmd("XACK").arg(REQ).arg(GROUP).arg(ids);
            if a.xdel {
                p.cmd("XDEL").arg(REQ).arg(ids);
            }
        };
        each(mode, &v, |id, pl| {
            p.add_command(put(back, false, pl));
            if mode == Mode::StreamAck {
                ids.push(id.to_vec());
                if !a.batch {
                    ack(&mut p, &ids);
                    ids.clear();
                }
            }
            if !a.batch {
                let _ = tx.send(std::mem::take(&mut p));
            }
        });
        if !ids.is_empty() {
            ack(&mut p, &ids)
        }
        if !p.is_empty() {
            let _ = tx.send(p);
        }
    }
}

pub async fn run(ctx: Arc<Ctx>, conc: usize, warm: Duration) -> (u64, Histogram<u64>, f64) {
    use futures_util::StreamExt;
    let (a, fwd, mode) = (ctx.a.clone(), kind(ctx.mode, true), kind(ctx.mode, false));
    let mut ws = vec![];
    for _ in 0..a.conns {
        ws.push(conn(&a, None).await)
    }
    let c = ctx.clone();
    let mut ps = if mode == Mode::Pubsub {
        let mut ps = client(&a).get_async_pubsub().await.unwrap();
        ps.subscribe(REP).await.unwrap();
        Some(ps)
    } else {
        None
    };
    let reader = tokio::spawn(async move {
        if let Some(ps) = ps.take() {
            let mut s = ps.into_on_message();
            loop {
                match tokio::time::timeout(Duration::from_millis(200), s.next()).await {
                    Ok(Some(m)) => c.waiters.answer(m.get_payload_bytes()),
                    Ok(None) => return,
                    Err(_) => {
                        if c.stop.load(Relaxed) {
                            return;
                        }
                    }
                }
            }
        }
        let mut r = conn(&c.a, None).await;
        let mut last = b"0-0".to_vec();
        loop {
            let v = r.send_packed_command(&read_cmd(mode, false, &last, c.a.count)).await.unwrap();
            if v == Value::Nil {
                if c.stop.load(Relaxed) {
                    return;
                }
                continue;
            }
            each(mode, &v, |id, p| {
                if !id.is_empty() {
                    last.clear();
                    last.extend_from_slice(id)
                }
                c.waiters.answer(p)
            });
        }
    });
    let ws = Arc::new(ws);
    let (pl, await_send) = (a.payload.max(8), a.await_send);
    let out = requester(ctx.clone(), conc, warm, move |slot, corr| {
        let ws = ws.clone();
        async move {
            let mut p = vec![0x61u8; pl];
            p[..8].copy_from_slice(&corr.to_le_bytes());
            let mut w = ws[slot % ws.len()].clone();
            let mut c = put(fwd, true, &p);
            if !await_send {
                c.set_no_response(true);
            }
            w.send_packed_command(&c).await.unwrap();
        }
    })
    .await;
    let _ = reader.await;
    out
}
