//! A PostgreSQL or a MariaDB of one's own, for tests: empty at the start, gone at the end.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Makes the database, unless it is there, starts its server, prints its process id when it answers, and ends it as soon as
/// this program is gone: the pipe that `read` waits on closes with it. It is asked on its own socket, since another server may
/// have taken the port. PostgreSQL does not run as root.
const POSTGRES: &str = r#"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || bin=$(pg_config --bindir) || exit 1
as=
if [ "$(id -u)" = 0 ]; then chown postgres "$FOLDER"; as="setpriv --reuid=postgres --regid=postgres --clear-groups"; fi
[ -d "$FOLDER/data" ] || $as "$bin/initdb" -D "$FOLDER/data" -U rachis -A trust -E UTF8 --locale=C.UTF-8 \
  --locale-provider=icu --icu-locale=en-US --no-sync >&2 || exit 1
$as "$bin/postgres" -D "$FOLDER/data" -p "$PORT" -k "$FOLDER" -c listen_addresses=127.0.0.1 -c fsync=off \
  -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=16MB >&2 &
server=$!
for _ in $(seq 600); do
  "$bin/pg_isready" -q -h "$FOLDER" -p "$PORT" && { echo $server; break; }
  kill -0 $server 2>/dev/null || exit 1
  sleep 0.1
done
read -r word; kill -INT $server 2>/dev/null; wait
[ "$word" = keep ] || rm -rf "$FOLDER"

"#;

const MARIADB: &str = r#"
command -v mariadbd >/dev/null || PATH=$PATH:/usr/sbin
[ -d "$FOLDER/data" ] || mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db \
  --datadir="$FOLDER/data" --user="$(id -un)" >&2 || exit 1
printf '%s\n' "CREATE DATABASE IF NOT EXISTS rachis;" "CREATE USER IF NOT EXISTS rachis@'%';" \
  "GRANT ALL ON *.* TO rachis@'%';" >"$FOLDER/init.sql"
mariadbd --no-defaults --datadir="$FOLDER/data" --port="$PORT" --bind-address=127.0.0.1 --socket="$FOLDER/socket" \
  --user="$(id -un)" --init-file="$FOLDER/init.sql" --innodb-buffer-pool-size=32M --innodb-flush-log-at-trx-commit=0 \
  --character-set-server=utf8mb4 --skip-name-resolve >&2 &
server=$!
for _ in $(seq 600); do
  mariadb --no-defaults -S "$FOLDER/socket" -u rachis rachis -e 'SELECT 1' >/dev/null 2>&1 && { echo $server; break; }
  kill -0 $server 2>/dev/null || exit 1
  sleep 0.1
done
read -r word; kill $server 2>/dev/null; wait
[ "$word" = keep ] || rm -rf "$FOLDER"

"#;

/// How many bytes of a server's log an error shows.
const LOG_SHOWN: usize = 2000;

/// A server process on a free port of the loopback interface. Dropping it ends it and deletes what it kept.
#[derive(Debug)]
pub struct ThrowawayDatabase {
    script: &'static str,
    scheme: &'static str,
    name: &'static str,
    port: u16,
    folder: PathBuf,
    keeper: Option<Child>,
    pid: u32,
}

impl ThrowawayDatabase {
    /// Starts a PostgreSQL whose texts are sorted as in English, not by code point.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn postgres() -> io::Result<Self> {
        Self::start(POSTGRES, "postgres", "postgres")
    }

    /// Starts a MariaDB whose texts are compared without regard to case.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn mariadb() -> io::Result<Self> {
        Self::start(MARIADB, "mysql", "rachis")
    }

    fn start(script: &'static str, scheme: &'static str, name: &'static str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rachis-{scheme}-{}-{number}", std::process::id()));
        let mut last = None;
        // Between finding a free port and using it, someone else may take it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut database =
                ThrowawayDatabase { script, scheme, name, port, folder: folder.clone(), keeper: None, pid: 0 };
            match database.launch() {
                Ok(()) => return Ok(database),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other(format!("the server for {scheme} did not start"))))
    }

    /// Where it listens, with the user and the database.
    pub fn url(&self) -> String {
        format!("{}://rachis@127.0.0.1:{}/{}", self.scheme, self.port, self.name)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the server and keeps its data; [`ThrowawayDatabase::launch`] starts it again on the same port.
    pub fn stop(&mut self) {
        self.end(b"keep\n");
    }

    /// Freezes the server: it keeps its connections and answers nothing. Each connection of PostgreSQL is a process of its
    /// own, which is frozen as well.
    ///
    /// # Errors
    /// When the signal can not be sent.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal("STOP")?;
        // The signal is on its way until each thread has stopped; one that has not may answer still.
        while self.runs() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Is a thread of the server neither stopped nor gone? Where there is no `/proc` to tell, none is.
    fn runs(&self) -> bool {
        let threads = |pid: &String| std::fs::read_dir(format!("/proc/{pid}/task"));
        self.pids().iter().filter_map(|pid| threads(pid).ok()).flatten().flatten().any(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with(['T', 'Z', 'X']))
        })
    }

    /// Ends a freeze.
    ///
    /// # Errors
    /// When the signal can not be sent.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal("CONT")
    }

    /// Starts the server after [`ThrowawayDatabase::stop`].
    ///
    /// # Errors
    /// When it does not answer within a minute.
    pub fn launch(&mut self) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new("sh");
        command.args(["-c", self.script]).env("FOLDER", &self.folder).env("PORT", self.port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut keeper = command.spawn()?;
        let mut line = String::new();
        if let Some(output) = keeper.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        self.pid = line.trim().parse().unwrap_or(0);
        self.keeper = Some(keeper);
        if self.pid == 0 {
            let said = self.said();
            self.end(b"");
            let message = format!("the server for {} did not start: is it installed? {said}", self.scheme);
            return Err(io::Error::other(message));
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The end of the log: why a server did not start.
    fn said(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_SHOWN)..];
        format!("It said:\n{}", String::from_utf8_lossy(end).trim())
    }

    /// The keeper deletes the data unless it reads otherwise.
    fn end(&mut self, word: &[u8]) {
        if let Some(mut keeper) = self.keeper.take() {
            let _ = self.signal("CONT");
            if let Some(mut input) = keeper.stdin.take() {
                let _ = input.write_all(word);
            }
            let _ = keeper.wait();
        }
    }

    fn pids(&self) -> Vec<String> {
        let mut pids = vec![self.pid.to_string()];
        if let Ok(children) = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)) {
            pids.extend(children.split_whitespace().map(str::to_owned));
        }
        pids
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        let pids = self.pids();
        let status = Command::new("kill").arg(format!("-{name}")).args(&pids).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name} {pids:?} failed"))) }
    }
}

impl Drop for ThrowawayDatabase {
    fn drop(&mut self) {
        self.end(b"");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
