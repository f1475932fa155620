//! What is wrong with a URL of Redis, told without a word of it that could be a secret.

use crate::values::secret::is_host;

const SCHEMES: [&str; 11] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    "redis+unix",
    "valkey+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
];

/// Parameters that other clients know, and what to write instead.
const FOREIGN: [(&str, &str); 12] = [
    ("ssl_cert_reqs", "set redis.ca_file to the server's certificate, or redis.tls_insecure to true"),
    ("ssl_ca_certs", "set redis.ca_file"),
    ("ssl_certfile", "set redis.cert_file"),
    ("ssl_keyfile", "set redis.key_file"),
    ("ssl", "begin the URL with rediss://"),
    ("tls", "begin the URL with rediss://"),
    ("password", "set redis.password (REDIS_PASSWORD)"),
    ("username", "set redis.username (REDIS_USERNAME)"),
    ("db", "write its number as path, as in redis://host/1"),
    ("database", "write its number as path, as in redis://host/1"),
    ("family", "leave it out: both kinds of addresses are tried"),
    ("timeout", "set redis.connect_timeout and redis.response_timeout"),
];

/// Where each part of a URL stands.
struct Parts<'a> {
    login: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Self {
        // A password may hold any of the other signs, if it was not escaped as it should be.
        let (login, text) = text.rsplit_once('@').unwrap_or(("", text));
        let (text, fragment) = text.split_once('#').map_or((text, None), |(text, rest)| (text, Some(rest)));
        let (text, query) = text.split_once('?').map_or((text, None), |(text, rest)| (text, Some(rest)));
        let (hosts, path) = text.split_once('/').unwrap_or((text, ""));
        Parts { login, hosts, path, query, fragment }
    }
}

/// Says which part of the URL is wrong, and what to write.
pub(crate) fn check(scheme: &str, rest: &str) -> Result<(), String> {
    if !SCHEMES.contains(&scheme) {
        return Err(
            "begins with a scheme that is none of Redis: write it as redis://host:6379, or rediss://host:6379 for \
                    TLS"
            .into(),
        );
    }
    let parts = Parts::read(rest);
    check_login(parts.login)?;
    check_fragment(parts.fragment)?;
    if scheme.ends_with("unix") {
        return check_query(parts.query, &["db", "user", "pass", "protocol"]);
    }
    check_query(parts.query, &["protocol"])?;
    for host in parts.hosts.split(',') {
        check_host(host)?;
    }
    // What else a path means depends on the kind.
    let database = parts.path.trim_matches('/');
    if scheme.contains('+') || database.is_empty() || database.parse::<u32>().is_ok() {
        Ok(())
    } else {
        Err("has a path that is no number of a database: write it as redis://host:6379/0".into())
    }
}

fn check_login(login: &str) -> Result<(), String> {
    let instead = "or leave the password out of the URL and give it as redis.password (REDIS_PASSWORD)";
    for (sign, escape) in [('#', "%23"), ('/', "%2F"), ('?', "%3F")] {
        if login.contains(sign) {
            return Err(format!(
                "has a {sign} in its user or password, where it would end that part of the URL: percent-encode it as \
                 {escape}, {instead}"
            ));
        }
    }
    let mut bytes = Vec::new();
    let mut left = login.as_bytes();
    while let [first, behind @ ..] = left {
        left = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let escaped = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match escaped.filter(|two| two.chars().all(|c| c.is_ascii_hexdigit())).map(|two| u8::from_str_radix(two, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                left = &behind[2..];
            }
            _ => {
                return Err(format!(
                    "has a % in its user or password that begins no escape: percent-encode it as %25, {instead}"
                ));
            }
        }
    }
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "has escapes (%) in its user or password that are no UTF-8: percent-encode each % as %25, {instead}"
        )),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if !is_host(host) {
        return Err(
            "has a host that is none: write it as redis://host:6379, an IPv6 address in brackets; a password ends \
                    with @, as in redis://:password@host:6379"
                .into(),
        );
    }
    match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((_, port)) if !port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err("has a port that is no number from 1 to 65535".into())
        }
        _ => Ok(()),
    }
}

fn check_fragment(fragment: Option<&str>) -> Result<(), String> {
    match fragment {
        None => Ok(()),
        Some("insecure") => {
            Err("ends with #insecure: set redis.ca_file to the server's certificate, or, to trust whatever \
                                 answers, redis.tls_insecure to true"
                .into())
        }
        Some(_) => Err(
            "has something behind a #, which means nothing here: leave it out; in a password it is written as %23, \
                        or the password given as redis.password (REDIS_PASSWORD)"
                .into(),
        ),
    }
}

fn check_query(query: Option<&str>, known: &[&str]) -> Result<(), String> {
    for parameter in query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        if known.contains(&name) {
            continue;
        }
        return Err(match FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
            Some((foreign, instead)) => format!("has the parameter {foreign}, which is not read: {instead}"),
            None => format!(
                "has something behind a ?, of which only {} is read: leave it out, and see section [redis] for what can be \
                 set; in a password it is written as %3F",
                known.join(", ")
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::RedisUrl;

    fn refusal(url: &str) -> String {
        RedisUrl::from(url).servers().err().unwrap_or_default()
    }

    #[test]
    fn signs_in_a_password_that_must_be_escaped_are_named_and_not_the_password() {
        for (url, sign) in [
            ("redis://:hunter2#x@h", "%23"),
            ("redis://ann:hunter2/x@h:1/2", "%2F"),
            ("rediss://ann:hunter2?x@h", "%3F"),
            ("redis://:hunter2%@h", "%25"),
            ("redis://:hunter2%zz@h", "%25"),
            ("redis://:hunter2%ff@h", "%25"),
            ("redis+cluster://:hunter2#@a,b", "%23"),
            ("redis+sentinel://:hunter2/@a,b/m", "%2F"),
        ] {
            let error = refusal(url);
            assert!(error.contains(sign) && error.contains("REDIS_PASSWORD"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
        for good in ["redis://:a%23%2F%3F%25@h", "redis://:p@ss:w@h", "redis://:p&=+,;!*$@h", "redis://ann:@h"] {
            assert_eq!(refusal(good), "", "{good}");
        }
    }

    #[test]
    fn the_part_that_is_wrong_is_named() {
        for (url, words) in [
            ("http://h", "scheme"),
            ("redis://", "host"),
            ("redis://:hunter2", "host"),
            ("redis://fd00::1:6379", "host"),
            ("redis://h:70000", "port"),
            ("redis://h:0", "port"),
            ("redis+cluster://a:1,b:70000", "port"),
            ("redis://h/hunter2", "path"),
            ("redis://h/-1", "path"),
            ("redis://h/0/1", "path"),
            ("rediss://h#insecure", "redis.tls_insecure"),
            ("rediss+cluster://h#insecure", "redis.tls_insecure"),
            ("redis://h#hunter2", "behind a #"),
            ("rediss://h?ssl_cert_reqs=none", "redis.tls_insecure"),
            ("redis://h?db=1", "redis://host/1"),
            ("redis://h?password=hunter2", "REDIS_PASSWORD"),
            ("redis://h?hunter2=1", "behind a ?"),
            ("unix:///run/redis.sock?database=1", "database"),
        ] {
            let error = refusal(url);
            assert!(error.contains(words) && !error.contains("hunter2"), "{url}: {error}");
        }
        for good in [
            "redis://h",
            "redis://[::1]:1/2",
            "rediss://h?protocol=3",
            "unix:///run/redis.sock?db=1&user=ann&pass=hunter2",
            "redis+unix:///run/redis.sock",
            "valkeys://h:1/",
        ] {
            assert_eq!(refusal(good), "", "{good}");
        }
    }
}
