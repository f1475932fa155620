//! A Redis of one's own, for development and tests: empty at the start, gone at the end.

use std::{
    io::{self, BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Starts the server and ends it as soon as this program is gone, however it went: the pipe that `read` waits on closes
/// with it. Without a server there is no line to read.
const KEEPER: &str = r#"
command -v redis-server >/dev/null || exit 1
redis-server "$@" >/dev/null 2>&1 & echo $!
read -r _; kill $! 2>/dev/null; wait; rmdir "$FOLDER" 2>/dev/null
"#;

/// How long a server may take to answer.
const START_TIME: Duration = Duration::from_secs(10);

/// A `redis-server` process on a free port of the loopback interface, without persistence. Dropping it ends it.
#[derive(Debug)]
pub struct ThrowawayRedis {
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    keeper: Option<Child>,
    pid: u32,
}

impl ThrowawayRedis {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no `redis-server` on the path, or it does not start.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with more arguments (`["--maxmemory", "10mb"]`).
    ///
    /// # Errors
    /// As for [`ThrowawayRedis::start`].
    pub fn start_with(arguments: &[&str]) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rachis-redis-{}-{number}", std::process::id()));
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut last = None;
        // Between finding a free port and using it, someone else may take it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut redis = ThrowawayRedis {
                port,
                folder: folder.clone(),
                arguments: Vec::clone(&arguments),
                keeper: None,
                pid: 0,
            };
            match redis.launch() {
                Ok(()) => return Ok(redis),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("redis-server did not start")))
    }

    /// Where it listens, `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port alone.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the server; [`ThrowawayRedis::launch`] starts it again on the same port, empty.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = self.signal("CONT");
            let _ = keeper.wait();
        }
    }

    /// Freezes the server: it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When the signal can not be sent.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal("STOP")
    }

    /// Ends a freeze.
    ///
    /// # Errors
    /// When the signal can not be sent.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal("CONT")
    }

    /// Starts the server after [`ThrowawayRedis::stop`].
    ///
    /// # Errors
    /// When it does not answer within ten seconds.
    pub fn launch(&mut self) -> io::Result<()> {
        let mut keeper = self.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(error.kind(), "there is no `sh` to start redis-server with"),
            _ => error,
        })?;
        let mut line = String::new();
        if let Some(output) = keeper.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        self.pid = line.trim().parse().unwrap_or(0);
        self.keeper = Some(keeper);
        let deadline = Instant::now() + START_TIME;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > deadline || !self.runs() {
                self.stop();
                return Err(io::Error::other("redis-server did not start: is it installed and on the PATH?"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Has the server not ended yet? Where there is no `/proc` to tell, the deadline does.
    fn runs(&self) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return self.pid != 0 && !Path::new("/proc/self").exists();
        };
        // One that ended at once stays a zombie while its keeper waits for us.
        !stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('Z'))
    }

    fn spawn(&self) -> io::Result<Child> {
        std::fs::create_dir_all(&self.folder)?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "redis-server", "--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(&self.folder).args(&self.arguments);
        command.env("FOLDER", &self.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A Ctrl-C meant for this program must not end the server before it has said goodbye to it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        let mut kill = Command::new("kill");
        let status = kill.args([&format!("-{name}"), &self.pid.to_string()]).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name} {} failed", self.pid))) }
    }
}

impl Drop for ThrowawayRedis {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
