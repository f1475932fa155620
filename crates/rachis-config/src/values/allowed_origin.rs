//! Which pages may call: one entry of `gateway.cors_origins`.

use std::net::Ipv6Addr;

/// What the origin of a page is compared with. Browsers write origins in one way only: scheme and host in lower case, no
/// slash at the end, no port where it is the scheme's own. An entry is brought into the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`
    Any,
    /// `https://app.example`, `null`
    One(String),
    /// `https://*.app.example`, `http://localhost:*`
    Pattern {
        /// `https`
        scheme: String,
        /// `app.example`
        host: String,
        /// Whether a page of a subdomain is meant, of whatever depth, instead of the host itself.
        subdomains: bool,
        /// Its port.
        port: Port,
    },
}

/// The port of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Each.
    Any,
    /// `None` is the scheme's own.
    One(Option<u16>),
}

impl AllowedOrigin {
    /// Reads an entry.
    ///
    /// # Errors
    /// Why no page has such an origin, and what to write, to be read after the origin.
    pub fn parse(text: &str) -> Result<AllowedOrigin, String> {
        let text = text.trim();
        match text {
            "*" => return Ok(AllowedOrigin::Any),
            "null" => return Ok(AllowedOrigin::One(text.to_owned())),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("which has no scheme: write it as \"https://app.example\"".into());
        };
        let scheme = scheme.to_ascii_lowercase();
        let mut letters = scheme.chars();
        let is_scheme = letters.next().is_some_and(|c| c.is_ascii_lowercase())
            && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if !is_scheme {
            return Err("whose scheme is none: write it as \"https://app.example\"".into());
        }
        if scheme == "file" {
            return Err("but pages of files have the origin \"null\"".into());
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("which has a path: an origin is a scheme, a host and perhaps a port".into());
        }
        if authority.contains('@') {
            return Err("which has a user: an origin is a scheme, a host and perhaps a port".into());
        }
        let (host, port) = split_port(authority);
        let port = read_port(&scheme, port)?;
        let (subdomains, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let host = read_host(host)?;
        Ok(match port {
            Port::One(port) if !subdomains => AllowedOrigin::One(written(&scheme, &host, port)),
            port => AllowedOrigin::Pattern { scheme, host, subdomains, port },
        })
    }

    /// Whether a page of this origin, as its browser writes it, is meant.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            AllowedOrigin::Any => true,
            AllowedOrigin::One(allowed) => allowed == origin,
            AllowedOrigin::Pattern { scheme, host, subdomains, port } => {
                let Some((its_scheme, authority)) = origin.split_once("://") else { return false };
                let (its_host, its_port) = split_port(authority);
                let host_fits = if *subdomains {
                    its_host
                        .strip_suffix(host.as_str())
                        .and_then(|rest| rest.strip_suffix('.'))
                        .is_some_and(|sub| sub.split('.').all(is_label))
                } else {
                    its_host == host
                };
                its_scheme == scheme && host_fits && port_fits(*port, scheme, its_port)
            }
        }
    }
}

/// Host and port of an authority; the colons of an IPv6 address separate nothing.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn read_port(scheme: &str, port: Option<&str>) -> Result<Port, String> {
    match port {
        None => Ok(Port::One(None)),
        Some("*") => Ok(Port::Any),
        Some(port) => match port.parse::<u16>() {
            Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Port::One(Some(number).filter(|_| own_port(scheme) != Some(number))))
            }
            _ => Err("whose port is none: write a number from 1 to 65535, or * for any".into()),
        },
    }
}

/// The host in the form that browsers send.
fn read_host(host: &str) -> Result<String, String> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "whose host is no IPv6 address".to_owned())?;
        return Ok(format!("[{address}]"));
    }
    if host.contains('*') {
        return Err("but * stands for whole subdomains only (\"https://*.app.example\"), or for any port".into());
    }
    if !host.is_ascii() {
        return Err("but browsers send names in punycode: write its host as \"xn--...\"".into());
    }
    let host = host.to_ascii_lowercase();
    if host.is_empty() || !host.strip_suffix('.').unwrap_or(&host).split('.').all(is_label) {
        return Err("whose host is none: write it as \"https://app.example\"".into());
    }
    Ok(host)
}

/// Whether `text` can stand between dots.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn port_fits(allowed: Port, scheme: &str, port: Option<&str>) -> bool {
    let Ok(port) = port.map(str::parse::<u16>).transpose() else { return false };
    match allowed {
        Port::Any => port != Some(0),
        Port::One(allowed) => allowed == port && (port.is_none() || port != own_port(scheme)),
    }
}

fn written(scheme: &str, host: &str, port: Option<u16>) -> String {
    port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_brought_into_the_form_that_browsers_send() {
        for (written, sent) in [
            ("https://app.example", "https://app.example"),
            ("https://app.example/", "https://app.example"),
            (" HTTPS://App.Example ", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80/", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
            ("http://127.0.0.1:08080", "http://127.0.0.1:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("null", "null"),
        ] {
            let allowed = AllowedOrigin::parse(written).unwrap();
            assert_eq!(allowed, AllowedOrigin::One(sent.into()), "{written}");
            assert!(allowed.allows(sent));
        }
        assert!(AllowedOrigin::parse("*").unwrap().allows("null"));
    }

    #[test]
    fn what_no_page_has_is_refused_with_what_to_write() {
        for (written, why) in [
            ("app.example", "no scheme"),
            ("localhost:3000", "no scheme"),
            ("", "no scheme"),
            ("//app.example", "no scheme"),
            ("https://app.example/path", "a path"),
            ("https://app.example//", "a path"),
            ("https://app.example?a", "a path"),
            ("https://app.example#a", "a path"),
            ("https://me@app.example", "a user"),
            ("https://", "host is none"),
            ("https://:443", "host is none"),
            ("https://a b", "host is none"),
            ("https://a..b", "host is none"),
            ("https://app.example:", "port is none"),
            ("https://app.example:0", "port is none"),
            ("https://app.example:+1", "port is none"),
            ("https://app.example:65536", "port is none"),
            ("https://*", "whole subdomains"),
            ("https://app-*.example", "whole subdomains"),
            ("https://a.*.example", "whole subdomains"),
            ("*://app.example", "scheme is none"),
            ("*.app.example", "no scheme"),
            ("file:///", "\"null\""),
            ("https://bücher.example", "punycode"),
            ("http://[::g]", "IPv6"),
        ] {
            let error = AllowedOrigin::parse(written).unwrap_err();
            assert!(error.contains(why), "{written}: {error}");
        }
    }

    #[test]
    fn a_star_stands_for_subdomains_or_for_ports() {
        let allows = |pattern: &str, origin: &str| AllowedOrigin::parse(pattern).unwrap().allows(origin);
        for (pattern, origin) in [
            ("https://*.app.example", "https://a.app.example"),
            ("https://*.App.Example:443/", "https://a.b.app.example"),
            ("https://*.app.example:8443", "https://a.app.example:8443"),
            ("http://localhost:*", "http://localhost"),
            ("http://localhost:*", "http://localhost:5173"),
            ("http://[::1]:*", "http://[::1]:5173"),
            ("https://*.app.example:*", "https://a.app.example:1"),
        ] {
            assert!(allows(pattern, origin), "{pattern} {origin}");
        }
        for (pattern, origin) in [
            ("https://*.app.example", "https://app.example"),
            ("https://*.app.example", "https://.app.example"),
            ("https://*.app.example", "https://evilapp.example"),
            ("https://*.app.example", "https://evil.example/.app.example"),
            ("https://*.app.example", "https://evil.example?.app.example"),
            ("https://*.app.example", "https://evil@a.app.example"),
            ("https://*.app.example", "https://a.app.example.evil.example"),
            ("https://*.app.example", "http://a.app.example"),
            ("https://*.app.example", "https://a.app.example:8443"),
            ("https://*.app.example", "https://a.app.example:443"),
            ("https://*.app.example", "null"),
            ("http://localhost:*", "http://localhost:x"),
            ("http://localhost:*", "http://localhost:1:2"),
            ("http://localhost:*", "https://localhost:1"),
            ("http://localhost:*", "http://localhost.evil.example:1"),
        ] {
            assert!(!allows(pattern, origin), "{pattern} {origin}");
        }
    }
}
