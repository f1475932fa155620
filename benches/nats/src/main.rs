//! Request and reply through nats-server by the Rust client: `serve ADDRESS` answers, `call ADDRESS SECONDS` measures.
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [role, address, rest @ ..] = &words[..] else { return Err("serve|call ADDRESS [SECONDS]".into()) };
    let nats = async_nats::connect(address).await?;
    match role.as_str() {
        "serve" => serve(nats).await,
        _ => call(nats, rest.first().map_or(Ok(3.0), |seconds| seconds.parse())?).await,
    }
}

async fn serve(nats: async_nats::Client) -> Outcome<()> {
    let mut requests = nats.queue_subscribe("echo.get", "q".into()).await?;
    nats.flush().await?;
    println!("{}", json!({ "ready": true }));
    while let Some(request) = requests.next().await {
        let nats = nats.clone();
        tokio::spawn(async move {
            let Ok(asked) = serde_json::from_slice::<Value>(&request.payload) else { return };
            let record = json!({ "id": asked["id"], "title": "hello", "text": "x".repeat(100) });
            if let Some(reply) = request.reply {
                let _ = nats.publish(reply, record.to_string().into()).await;
            }
        });
    }
    Ok(())
}

async fn call(nats: async_nats::Client, seconds: f64) -> Outcome<()> {
    for callers in [1usize, 16, 64, 256] {
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let running: Vec<_> = (0..callers)
            .map(|_| {
                let nats = nats.clone();
                tokio::spawn(async move {
                    let (mut times, mut errors) = (Vec::new(), 0);
                    while Instant::now() < end {
                        let asked = Instant::now();
                        let answer = nats.request("echo.get", "{\"id\":\"1\"}".into()).await;
                        match answer.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.payload).ok()) {
                            Some(_) => times.push(asked.elapsed().as_micros() as u64),
                            None => errors += 1,
                        }
                    }
                    (times, errors)
                })
            })
            .collect();
        let (mut times, mut errors) = (Vec::new(), 0);
        for caller in running {
            let (part, failed) = caller.await?;
            times.extend(part);
            errors += failed;
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0);
        println!("{}", json!({ "callers": callers, "rate": rate, "p50": at(50), "p99": at(99), "errors": errors }));
    }
    Ok(())
}
