//! The identity of a node: all that never changes after it was built.

/// The names of a node, and where it runs.
#[derive(Debug)]
pub(crate) struct Identity {
    /// A ULID.
    pub(crate) id: String,
    /// The partition key.
    pub(crate) key: String,
    pub(crate) app_name: String,
    /// `KEY/APP`.
    pub(crate) app: String,
    /// The name of the machine, for people.
    pub(crate) host: String,
    /// When it was built, in ms since 1970 by the machine's clock.
    pub(crate) started: u64,
    /// `true` if it is no part of the mesh: it looks, calls and listens.
    pub(crate) observer: bool,
}

impl Identity {
    pub(crate) fn new(key: &str, app_name: String, observer: bool) -> Self {
        Identity {
            id: ulid::Ulid::generate().to_string(),
            key: key.to_owned(),
            app: format!("{key}/{app_name}"),
            app_name,
            host: host(),
            started: unix_ms(),
            observer,
        }
    }
}

fn host() -> String {
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
