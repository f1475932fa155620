//! The real Redis: a process of its own that goes by the schedule's clock, and connections that are waited for on the spot,
//! so that for everybody else a command takes no time.

use crate::{clock, resp};
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Ends the server with this program, however that ends: the pipe that `read` waits on closes with it.
const KEEPER: &str = r#"redis-server "$@" >/dev/null 2>&1 & read -r _; kill -9 $!; wait"#;

/// A Redis that has just begun, and its clock.
pub(crate) struct Server {
    keeper: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts one in `folder`, which is then its own. `preload` is the clock to load.
    pub(crate) fn start(folder: &Path, preload: &Path) -> io::Result<Server> {
        fs::create_dir_all(folder)?;
        clock::make(&Server::clock(folder))?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh", "--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(folder);
        command.arg("--unixsocket").arg(Server::socket(folder));
        command.env("LD_PRELOAD", preload).env(clock::FILE, Server::clock(folder)).env(clock::SEED, "1");
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let server = Server { keeper, folder: folder.to_owned() };
        for _ in 0..5000 {
            if UnixStream::connect(Server::socket(folder)).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::other("redis-server does not answer"))
    }

    /// Where it listens.
    pub(crate) fn socket(folder: &Path) -> PathBuf {
        folder.join("redis.sock")
    }

    /// Where its clock is shown.
    pub(crate) fn clock(folder: &Path) -> PathBuf {
        folder.join("clock")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A connection to it.
pub(crate) struct Backend {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Backend {
    pub(crate) fn connect(socket: &Path) -> io::Result<Backend> {
        Ok(Backend { stream: UnixStream::connect(socket)?, buffer: Vec::new() })
    }

    /// Runs a command, and waits for its reply.
    pub(crate) fn run<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        self.stream.write_all(&resp::pack(words)).expect("Redis takes a command");
        self.next()
    }

    /// The next reply, or message.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = resp::end_of_reply(&self.buffer, 0) {
                let rest = self.buffer.split_off(end);
                return std::mem::replace(&mut self.buffer, rest);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk).expect("Redis replies") {
                0 => panic!("Redis closed a connection"),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
