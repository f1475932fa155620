//! Sentinel: the sentinels are asked for the master at each connect.

use super::{
    first_answer::{First, first_answer},
    server::EndpointTemplate,
};
use crate::redis::connection::{
    login::{Login, Logins},
    socket::Endpoint,
    timed_out,
    tls::Certificates,
};
use parking_lot::Mutex;
use rachis_config::host::Addresses;
use redis::{Cmd, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, Value, aio::ConnectionLike};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The sentinels that watch one master.
pub(crate) struct Sentinels {
    sentinels: Vec<EndpointTemplate>,
    /// The login at the sentinels.
    logins: Arc<Logins>,
    /// The settings of the master, without its address.
    master: EndpointTemplate,
    name: String,
    /// Maps the announced address of the master to a reachable one.
    addresses: Addresses,
    /// Bounds the query to one sentinel.
    timeout: Duration,
    /// The sentinel that answered last, which is asked first.
    first: AtomicUsize,
    /// The last known address of the master.
    last: Mutex<String>,
}

impl Sentinels {
    pub(crate) fn new(
        urls: &[String],
        master: EndpointTemplate,
        name: &str,
        login: &Login,
        certificates: &Certificates,
        addresses: &Addresses,
        timeout: Duration,
    ) -> RedisResult<Self> {
        // What a URL says of login and database is about the master.
        let logins = Arc::new(Logins::new(login.clone()));
        let plain = |url: &String| {
            let info = url.as_str().into_connection_info()?.set_redis_settings(RedisConnectionInfo::default());
            EndpointTemplate::from_info(info, &logins, certificates)
        };
        Ok(Sentinels {
            sentinels: urls.iter().map(plain).collect::<RedisResult<_>>()?,
            master,
            addresses: addresses.clone(),
            name: name.to_owned(),
            timeout,
            logins,
            first: AtomicUsize::new(0),
            last: Mutex::default(),
        })
    }

    pub(super) fn relogin(&self, login: Login) -> bool {
        self.logins.change(login)
    }

    pub(super) fn auth(&self) -> Option<Cmd> {
        self.master.auth()
    }

    pub(super) fn all(&self) -> Vec<&EndpointTemplate> {
        self.sentinels.iter().chain([&self.master]).collect()
    }

    /// Returns the endpoint of the master, from the first sentinel that knows it.
    pub(crate) async fn master(&self) -> RedisResult<Endpoint> {
        let first = self.first.load(Ordering::Relaxed);
        let count = self.sentinels.len();
        let numbers = (first..first + count).map(|number| number % count);
        let questions = numbers.map(async |number| {
            let asked = tokio::time::timeout(self.timeout, self.ask(&self.sentinels[number])).await;
            asked.unwrap_or_else(|_| Err(timed_out("asking a sentinel")))
        });
        let First { answer: (host, port), number, .. } =
            first_answer(questions).await.map_err(|trouble| trouble.unwrap_or_else(|| unknown(&self.name)))?;
        let (host, port) = self.addresses.reach(&host, port);
        self.first.store((first + number) % count, Ordering::Relaxed);
        *self.last.lock() = format!("{host}:{port}");
        Ok(self.master.there(&host, port))
    }

    async fn ask(&self, sentinel: &EndpointTemplate) -> RedisResult<(String, u16)> {
        let connected = sentinel.here().ask_within(self.timeout).await;
        let mut connection = connected.inspect_err(|error| {
            if error.kind() == redis::ErrorKind::AuthenticationFailed {
                self.logins.refused();
            }
        })?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let answer: Option<(String, u16)> = question.query_async(&mut connection).await?;
        answer.ok_or_else(|| unknown(&self.name))
    }

    /// Refuses a server that is no master, since a sentinel that was cut off names an old one.
    pub(crate) async fn verify(&self, connection: &mut impl ConnectionLike) -> RedisResult<()> {
        let role: RedisResult<Vec<Value>> = redis::cmd("ROLE").query_async(connection).await;
        match role {
            Ok(parts) => match parts.first() {
                Some(Value::BulkString(role)) if role != b"master" => Err(no_master()),
                Some(Value::SimpleString(role)) if role != "master" => Err(no_master()),
                _ => Ok(()),
            },
            // An ACL may forbid the question; then a write tells.
            Err(error) if error.code() == Some("NOPERM") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the address in messages.
    pub(crate) fn address(&self) -> String {
        let sentinels = self.sentinels.iter().map(EndpointTemplate::address);
        let sentinels = sentinels.collect::<Vec<_>>().join(",");
        let last = self.last.lock();
        let last = if last.is_empty() { String::new() } else { format!(", last at {last}") };
        format!("{} of the sentinels {sentinels}{last}", self.name)
    }
}

fn unknown(name: &str) -> RedisError {
    let text = format!("no sentinel knows a master of the name {name}");
    RedisError::from(std::io::Error::new(std::io::ErrorKind::NotFound, text))
}

fn no_master() -> RedisError {
    RedisError::from(std::io::Error::other("the server that a sentinel named is no master (yet)"))
}
