//! What kind of Redis a URL means, and the servers it names.

use crate::{RedisUrl, values::secret::is_host};

const SENTINEL_PORT: u16 = 26_379;
const CLUSTER_PORT: u16 = 6_379;
const SENTINEL_FORM: &str = "redis+sentinel://host:26379,host2:26379/name-of-the-master";
const CLUSTER_FORM: &str = "redis+cluster://host:6379,host2:6379";

/// What a URL means. The URLs inside are plain ones, `redis://` or `rediss://`, with the login.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One server.
    Standalone(String),
    /// The server that sentinels name. Each URL is that of a sentinel, with the login and the database of the master.
    Sentinel {
        /// In the order written.
        sentinels: Vec<String>,
        /// The name by which they know the server.
        master: String,
    },
    /// Servers that share the keys; each URL is that of one to begin with.
    Cluster {
        /// In the order written.
        seeds: Vec<String>,
    },
}

impl RedisUrl {
    /// What the URL means; the error says what to change, and quotes nothing of it.
    pub fn servers(&self) -> Result<RedisServers, String> {
        let text = self.expose();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("is not a URL: write it as redis://host:6379, or rediss://host:6379 for TLS".into());
        };
        let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        crate::values::url::check(scheme, rest)?;
        let is_ours = matches!(plain, "redis" | "rediss");
        match kind {
            "sentinel" if is_ours => sentinel(&Parts::read(plain, rest)),
            "cluster" if is_ours => cluster(&Parts::read(plain, rest)),
            _ if Parts::read(plain, rest).hosts.len() > 1 => {
                Err(format!("names several hosts: write it as {SENTINEL_FORM} or as {CLUSTER_FORM}"))
            }
            _ => Ok(RedisServers::Standalone(text.to_owned())),
        }
    }
}

fn sentinel(url: &Parts) -> Result<RedisServers, String> {
    url.check_hosts(SENTINEL_FORM)?;
    let (master, database) = url.path.split_once('/').unwrap_or((url.path, ""));
    if master.is_empty() || !master.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)) {
        return Err(format!("does not name the master that the sentinels watch: write it as {SENTINEL_FORM}"));
    }
    if !database.is_empty() && database.parse::<u32>().is_err() {
        return Err(format!("has a database that is no number: write it as {SENTINEL_FORM}/0"));
    }
    let sentinels = url.each_host(SENTINEL_PORT, database);
    Ok(RedisServers::Sentinel { sentinels, master: master.to_owned() })
}

fn cluster(url: &Parts) -> Result<RedisServers, String> {
    url.check_hosts(CLUSTER_FORM)?;
    if !matches!(url.path.trim_end_matches('/'), "" | "0") {
        return Err(format!("names a database, and a cluster has only one: write it as {CLUSTER_FORM}"));
    }
    Ok(RedisServers::Cluster { seeds: url.each_host(CLUSTER_PORT, "") })
}

/// `SCHEME://LOGIN@HOSTS/PATH` and what follows `?` or `#`.
struct Parts<'a> {
    scheme: &'a str,
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn read(scheme: &'a str, text: &'a str) -> Self {
        // A password may hold any of the other signs, if it was not escaped as it should be.
        let (login, text) = match text.rfind('@') {
            Some(at) => text.split_at(at + 1),
            None => ("", text),
        };
        let (address, rest) = text.find(['?', '#']).map_or((text, ""), |at| text.split_at(at));
        let (hosts, path) = address.split_once('/').unwrap_or((address, ""));
        Parts { scheme, login, hosts: hosts.split(',').collect(), path, rest }
    }

    fn check_hosts(&self, form: &str) -> Result<(), String> {
        let well = self.hosts.iter().all(|host| is_host(host));
        if well { Ok(()) } else { Err(format!("has a host that is none: write it as {form}")) }
    }

    fn each_host(&self, port: u16, database: &str) -> Vec<String> {
        let url = |host: &&str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port { String::new() } else { format!(":{port}") };
            format!("{}://{}{host}{port}/{database}{}", self.scheme, self.login, self.rest)
        };
        self.hosts.iter().map(url).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<RedisServers, String> {
        RedisUrl::from(url).servers()
    }

    #[test]
    fn a_sentinel_url_names_sentinels_and_a_master() {
        let Ok(RedisServers::Sentinel { sentinels, master }) =
            read("rediss+sentinel://ann:p@ssw@a:1,b,[::1]/my-master/2")
        else {
            panic!("not read")
        };
        let login = "rediss://ann:p@ssw@";
        assert_eq!(sentinels, [format!("{login}a:1/2"), format!("{login}b:26379/2"), format!("{login}[::1]:26379/2")]);
        assert_eq!(master, "my-master");
    }

    #[test]
    fn a_cluster_url_names_some_of_its_servers() {
        let Ok(RedisServers::Cluster { seeds }) = read("redis+cluster://:hunter2@a:7000,b/0") else {
            panic!("not read")
        };
        assert_eq!(seeds, ["redis://:hunter2@a:7000/", "redis://:hunter2@b:6379/"]);
    }

    #[test]
    fn any_other_url_is_left_to_the_client() {
        for url in ["redis://h:1/2", "rediss://ann:hunter2@h", "redis+unix:///run/redis.sock", "valkey://h"] {
            assert!(read(url) == Ok(RedisServers::Standalone(url.to_owned())), "{url}");
        }
    }

    #[test]
    fn a_wrong_form_is_explained_without_quoting_it() {
        let cases = [
            ("hunter2", "is not a URL"),
            ("redis://:hunter2@a,b", "names several hosts"),
            ("redis+sentinel://:hunter2@a:1", "does not name the master"),
            ("redis+sentinel://:hunter2@a:1/", "does not name the master"),
            ("redis+sentinel://a:1/m/hunter2", "has a database that is no number"),
            ("redis+sentinel:///mymaster", "has a host that is none"),
            ("redis+cluster://a:1,,b:2", "has a host that is none"),
            ("redis+cluster://a:hunter2", "has a host that is none"),
            ("redis+cluster://:hunter2@a:1/3", "names a database"),
        ];
        for (url, says) in cases {
            let Err(error) = read(url) else { panic!("{url} was read") };
            assert!(error.contains(says) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
