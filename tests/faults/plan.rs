//! What a mesh is made of, and what its nodes are told.

use crate::{redis::Servers, service::Version};
use std::time::Duration;

/// What a mesh is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    /// A replica of each of these versions.
    pub(crate) replicas: Vec<Version>,
    pub(crate) servers: Servers,
    /// More arguments for `redis-server`, where it is one.
    pub(crate) redis: &'static [&'static str],
    /// Does each node reach Redis by a cable of its own?
    pub(crate) cables: bool,
    /// `true` if cables tell one command from the next, so that they can be cut in between.
    pub(crate) boundaries: bool,
    /// Where each node has a user of its own in Redis: what none of these users may do.
    pub(crate) users: Option<&'static [&'static str]>,
    /// The password that all nodes have and Redis asks for.
    pub(crate) password: Option<&'static str>,
    /// May nodes find out what became of a connection that broke (`CLIENT ID`, `CLIENT KILL`, `INFO`)?
    pub(crate) sees: bool,
    /// `[limits]` of all nodes.
    pub(crate) limits: &'static str,
    pub(crate) heartbeat: Duration,
    pub(crate) ttl: Duration,
    /// The deadline of calls.
    pub(crate) timeout: Duration,
    /// How long Redis may take over a command.
    pub(crate) response_timeout: Duration,
    /// How long a read waits for something to come.
    pub(crate) block: Duration,
    /// Are all calls over that a fault has met before the next one comes? For faults of which two would take a call past
    /// its deadline.
    pub(crate) one_by_one: bool,
}

impl Plan {
    pub(crate) fn of(replicas: usize) -> Plan {
        Plan::of_versions(&vec![Version::New; replicas])
    }

    pub(crate) fn of_versions(replicas: &[Version]) -> Plan {
        Plan {
            replicas: replicas.to_vec(),
            servers: Servers::One,
            redis: &[],
            cables: false,
            boundaries: false,
            users: None,
            password: None,
            sees: true,
            // Deaths that come faster than they are noticed may meet one call more than three times.
            limits: "max_deliveries = 10",
            heartbeat: Duration::from_millis(200),
            ttl: Duration::from_millis(1500),
            timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(1),
            block: Duration::from_secs(1),
            one_by_one: false,
        }
    }

    pub(crate) fn one_by_one(self) -> Plan {
        Plan { one_by_one: true, ..self }
    }

    /// With a Redis that keeps its data.
    pub(crate) fn durable(self) -> Plan {
        Plan { redis: crate::redis::DURABLE, ..self }
    }

    /// With the times of the default configuration.
    pub(crate) fn default_times(self) -> Plan {
        Plan {
            heartbeat: Duration::from_secs(2),
            ttl: Duration::from_secs(6),
            timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(2),
            block: Duration::from_secs(10),
            ..self
        }
    }

    /// The configuration of a node; `redis` is the part that says where Redis is.
    pub(crate) fn toml(&self, namespace: &str, app: &str, redis: &str) -> String {
        let password = self.password.map(|password| format!("password = \"{password}\"\n")).unwrap_or_default();
        format!(
            "namespace = \"{namespace}\"\napp = \"{app}\"\ntimeout = {}\nlinger = \"60s\"\n\
         heartbeat_interval = {}\nttl = {}\n\
         [limits]\n{}\n\
         [redis]\n{redis}response_timeout = {}\nconnect_timeout = \"2s\"\nblock = {}\n{password}",
            self.timeout.as_millis(),
            self.heartbeat.as_millis(),
            self.ttl.as_millis(),
            self.limits,
            self.response_timeout.as_millis(),
            self.block.as_millis(),
        )
    }
}
