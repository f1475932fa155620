//! A proxy that reads what nodes say to Redis command by command, and decides for each what becomes of it.

use rachis_testing::ThrowawayRedis;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What becomes of one command.
pub(crate) enum Act {
    /// Redis runs it and its reply comes back.
    Pass,
    /// Redis never sees it; this error comes back.
    Refuse(&'static str),
    /// Redis runs it, and the connection is cut in place of the reply.
    LoseReply,
    /// Waits for the notification, then as `Pass`.
    Hold(Arc<Notify>),
    /// Waits for the notification, then as `Refuse`.
    RefuseLater(Arc<Notify>, &'static str),
}

type Decide = Arc<Mutex<dyn FnMut(&[Vec<u8>]) -> Act + Send>>;

/// A proxy on a port of its own. Connections for subscriptions are only decided about while they ask, command by command.
pub(crate) struct Scripted {
    port: u16,
    decide: Arc<Mutex<Option<Decide>>>,
}

impl Scripted {
    pub(crate) async fn before(redis: &ThrowawayRedis) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = redis.port();
        let decide = Arc::<Mutex<Option<Decide>>>::default();
        let decides = decide.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, to, decides.clone()));
            }
        });
        Scripted { port, decide }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Decides about every command from now on.
    pub(crate) fn decide(&self, decide: impl FnMut(&[Vec<u8>]) -> Act + Send + 'static) {
        *self.decide.lock().unwrap() = Some(Arc::new(Mutex::new(decide)));
    }
}

/// Is this command a call of a script whose first key ends like this?
pub(crate) fn is_script_on(command: &[Vec<u8>], end: &str) -> bool {
    command[0] == b"EVALSHA" && command.get(3).is_some_and(|key| key.ends_with(end.as_bytes()))
}

/// Returns `true` if this occurs in the key of a command, or in the first key of a script.
pub(crate) fn is_about(command: &[Vec<u8>], part: &str) -> bool {
    let at = if command[0].starts_with(b"EVAL") { 3 } else { 1 };
    command.get(at).is_some_and(|key| String::from_utf8_lossy(key).contains(part))
}

async fn serve(near: TcpStream, to: u16, decides: Arc<Mutex<Option<Decide>>>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (near, mut to_near) = near.into_split();
    let (far, mut to_far) = far.into_split();
    let mut near = BufReader::new(near);
    let mut far = BufReader::new(far);
    loop {
        let Some((command, bytes)) = command(&mut near).await else { return };
        let decide = decides.lock().unwrap().clone();
        let act = decide.map_or(Act::Pass, |decide| (decide.lock().unwrap())(&command));
        if let Act::Hold(go_on) | Act::RefuseLater(go_on, _) = &act {
            go_on.notified().await;
        }
        if let Act::Refuse(error) | Act::RefuseLater(_, error) = act {
            if to_near.write_all(format!("-{error}\r\n").as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        if to_far.write_all(&bytes).await.is_err() {
            return;
        }
        let listens = [&b"SUBSCRIBE"[..], b"SSUBSCRIBE"].contains(&command[0].as_slice());
        if listens {
            // From here on what comes back is no answer to anything.
            tokio::spawn(async move { tokio::io::copy_buf(&mut far, &mut to_near).await });
            loop {
                let Some((command, bytes)) = self::command(&mut near).await else { return };
                let decide = decides.lock().unwrap().clone();
                match decide.map_or(Act::Pass, |decide| (decide.lock().unwrap())(&command)) {
                    Act::LoseReply => return,
                    Act::Hold(go_on) => go_on.notified().await,
                    _ => {}
                }
                if to_far.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        let mut reply = Vec::new();
        if read_reply(&mut far, &mut reply).await.is_none() || matches!(act, Act::LoseReply) {
            return;
        }
        if to_near.write_all(&reply).await.is_err() {
            return;
        }
    }
}

/// The next command, as words and as bytes.
async fn command(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let count = line(from, &mut bytes, b'*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = line(from, &mut bytes, b'$').await?;
        words.push(exactly(from, &mut bytes, length).await?);
    }
    words.first_mut()?.make_ascii_uppercase();
    Some((words, bytes))
}

async fn line(from: &mut (impl AsyncBufReadExt + Unpin), bytes: &mut Vec<u8>, kind: u8) -> Option<usize> {
    let start = bytes.len();
    from.read_until(b'\n', bytes).await.ok()?;
    let line = bytes.get(start..)?.strip_suffix(b"\r\n")?;
    assert_eq!(line[0], kind, "{}", String::from_utf8_lossy(line));
    std::str::from_utf8(&line[1..]).ok()?.parse().ok()
}

async fn exactly(from: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    let start = bytes.len();
    bytes.resize(start + length + 2, 0);
    from.read_exact(&mut bytes[start..]).await.ok()?;
    Some(bytes[start..start + length].to_vec())
}

/// Reads one whole reply, whatever is in it.
fn read_reply<'a>(
    from: &'a mut (impl AsyncBufReadExt + Unpin + Send),
    bytes: &'a mut Vec<u8>,
) -> Pin<Box<dyn Future<Output = Option<()>> + Send + 'a>> {
    Box::pin(async move {
        let start = bytes.len();
        from.read_until(b'\n', bytes).await.ok()?;
        let line = bytes.get(start..)?.strip_suffix(b"\r\n")?.to_vec();
        let count = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
        match line[0] {
            b'$' | b'=' | b'!' if count()? >= 0 => {
                exactly(from, bytes, usize::try_from(count()?).ok()?).await?;
            }
            b'*' | b'~' | b'>' | b'%' => {
                let pairs = if line[0] == b'%' { 2 } else { 1 };
                for _ in 0..count()?.max(0) * pairs {
                    read_reply(from, bytes).await?;
                }
            }
            _ => {}
        }
        Some(())
    })
}
