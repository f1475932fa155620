//! Sessions whose client has a websocket.

use super::{
    frames::{Broken, Frame, Frames},
    packet::{Packet, Received},
    request::Transport,
    session::{Ending, Session},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// What is written at once, at least.
const BATCH: usize = 64 << 10;
/// How long a client may take for the steps from polling to its websocket.
const UPGRADING: Duration = Duration::from_secs(10);
/// How long the last packets may take, and then the client's own end.
const LEAVING: Duration = Duration::from_secs(2);

/// Serves a session that begins with a websocket.
pub(super) async fn open(session: Arc<Session>, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return session.end(Ending::Client) };
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    let frames = Frames::new(read, session.bounds.message);
    serve(&session, frames, write).await;
}

/// Takes a session over from polling; one that is not taken over goes on as it was.
pub(super) async fn take_over(session: Arc<Session>, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return give_back(&session) };
    let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
    let mut frames = Frames::new(read, session.bounds.message);
    let taken = tokio::select! {
        taken = tokio::time::timeout(UPGRADING, probe(&session, &mut frames, &mut write)) => taken.unwrap_or(false),
        () = session.ended() => false,
    };
    if taken {
        return serve(&session, frames, write).await;
    }
    give_back(&session);
    leave(frames, write, None).await;
}

/// Answers a handshake that leads nowhere by closing the websocket.
pub(super) async fn refuse(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    leave(Frames::new(read, 0), write, None).await;
}

fn give_back(session: &Session) {
    session.way().upgrading = false;
}

/// The client shows that packets go both ways, waits until no request of it is under way, and says that it is there.
async fn probe<R, W>(session: &Session, frames: &mut Frames<R>, write: &mut W) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if next(frames).await != Some(Received::Ping("probe".to_owned())) {
        return false;
    }
    let mut answer = Vec::new();
    if put(&mut answer, OpCode::Data(Data::Text), b"3probe").is_err() || write_all(write, &answer).await.is_err() {
        return false;
    }
    if next(frames).await != Some(Received::Upgrade) {
        return false;
    }
    let mut way = session.way();
    (way.transport, way.upgrading) = (Transport::Websocket, false);
    drop(way);
    session.turned.notify_one();
    true
}

async fn next<R: AsyncRead + Unpin>(frames: &mut Frames<R>) -> Option<Received> {
    match frames.next().await {
        Ok(Frame::Text(text)) => Received::read(text),
        _ => None,
    }
}

/// Moves packets both ways until the session ends.
async fn serve<R, W>(session: &Arc<Session>, mut frames: Frames<R>, mut write: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (pong, pongs) = mpsc::channel(1);
    let reading = async {
        tokio::select! {
            ending = receive(session, &mut frames, &pong) => session.end(ending),
            () = session.ended() => {}
        }
    };
    let writing = async {
        if send(session, &mut write, pongs).await.is_err() {
            session.end(Ending::Client);
        }
    };
    tokio::join!(reading, writing);
    let code = match session.ending() {
        Some(Ending::Protocol(code)) => Some(code),
        _ => None,
    };
    leave(frames, write, code).await;
}

/// Reads until something ends it. While the client has too much under way nothing is read.
async fn receive<R>(session: &Arc<Session>, frames: &mut Frames<R>, pong: &mpsc::Sender<Vec<u8>>) -> Ending
where
    R: AsyncRead + Unpin,
{
    loop {
        let packet = match frames.next().await {
            Ok(Frame::Text(text)) => Received::read(text),
            Ok(Frame::Binary(bytes)) => Some(Received::Binary(bytes)),
            Ok(Frame::TooLarge { beginning, text, length }) => {
                let limit = session.bounds.message;
                if super::super::socket::too_large(session, &beginning, text).await {
                    tracing::debug!(socket = %session, length, limit, "a message above gateway.max_message was refused");
                    continue;
                }
                tracing::warn!(socket = %session, length, limit, "a message above gateway.max_message closes its socket");
                return Ending::Protocol(CloseCode::Size);
            }
            Ok(Frame::Ping(payload)) => {
                // Of many pings, one answer is enough.
                let _ = pong.try_send(payload);
                continue;
            }
            Ok(Frame::Pong) => continue,
            Ok(Frame::Close) => return Ending::Client,
            Err(Broken::Io(error)) => {
                tracing::trace!(socket = %session, %error, "a websocket broke off");
                return Ending::Client;
            }
            Err(Broken::Protocol(code, reason)) => {
                tracing::warn!(socket = %session, reason, limit = session.bounds.message, "a websocket is closed");
                return Ending::Protocol(code);
            }
        };
        let Some(packet) = packet else { return Ending::Protocol(CloseCode::Protocol) };
        if let Err(ending) = session.receive(packet).await {
            return ending;
        }
    }
}

/// Writes until the session ends, and then what is left.
async fn send<W>(session: &Session, write: &mut W, mut pongs: mpsc::Receiver<Vec<u8>>) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    loop {
        let mut bytes = Vec::new();
        tokio::select! {
            biased;
            packets = session.outbox.take(BATCH) => encode(&mut bytes, &packets)?,
            Some(payload) = pongs.recv() => put(&mut bytes, OpCode::Control(Control::Pong), &payload)?,
            () = session.ended() => break,
        }
        if session.has_ended() {
            return tokio::time::timeout(LEAVING, write_all(write, &bytes)).await.unwrap_or(Ok(()));
        }
        let written = tokio::select! {
            written = write_all(write, &bytes) => Some(written),
            () = ended_for(session, LEAVING) => None,
        };
        written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        session.outbox.delivered();
    }
    let mut bytes = Vec::new();
    encode(&mut bytes, &session.outbox.take_now(usize::MAX))?;
    tokio::time::timeout(LEAVING, write_all(write, &bytes)).await.unwrap_or(Ok(()))
}

/// Returns a while after the session has ended.
async fn ended_for(session: &Session, time: Duration) {
    session.ended().await;
    tokio::time::sleep(time).await;
}

/// Says goodbye, and waits a little for the client to do so, too: closing with something unread in the connection would
/// take the last packets from it.
async fn leave<R, W>(mut frames: Frames<R>, mut write: W, code: Option<CloseCode>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let payload = code.map(|code| u16::from(code).to_be_bytes());
    let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
    let goodbye = async {
        let mut bytes = Vec::new();
        put(&mut bytes, OpCode::Control(Control::Close), payload)?;
        write_all(&mut write, &bytes).await?;
        write.shutdown().await?;
        frames.drain().await;
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LEAVING, goodbye).await;
}

fn encode(bytes: &mut Vec<u8>, packets: &[Packet]) -> io::Result<()> {
    bytes.reserve(packets.iter().map(Packet::size).sum());
    packets.iter().try_for_each(|packet| match packet {
        Packet::Text(text) => put(bytes, OpCode::Data(Data::Text), text.as_bytes()),
        Packet::Binary(binary) => put(bytes, OpCode::Data(Data::Binary), binary),
    })
}

/// Adds one frame.
fn put(bytes: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    header.format(payload.len() as u64, bytes).map_err(io::Error::other)?;
    bytes.extend_from_slice(payload);
    Ok(())
}

async fn write_all(write: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    write.write_all(bytes).await?;
    write.flush().await
}
