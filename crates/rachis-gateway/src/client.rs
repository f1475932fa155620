//! From which address a client calls.

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName};
use rachis_config::host::Network;
use std::net::{IpAddr, SocketAddr};

/// The addresses that a request came through, each written by the proxy that it came to: the client's own word is the
/// first, the nearest proxy's the last.
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies of `gateway.trusted_proxies`.
pub(super) struct Proxies(Vec<Network>);

impl Proxies {
    pub(super) fn new(proxies: &[String]) -> Self {
        Proxies(proxies.iter().filter_map(|proxy| Network::parse(proxy)).collect())
    }

    /// The address that a request comes from: of its connection, or the last that no trusted proxy stands at; `None` where
    /// the server does not tell the connection's.
    pub(super) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(self.beyond(peer.ip().to_canonical(), headers))
    }

    /// Goes back from the nearest hop for as long as it is trusted. What a client wrote itself comes after the first that
    /// is not, and is never reached.
    fn beyond(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_trusted = |address| self.0.iter().any(|network| network.contains(address));
        let mut nearest = peer;
        let mut hops =
            headers.get_all(FORWARDED).iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        while is_trusted(nearest)
            && let Some(hop) = hops.next().and_then(address)
        {
            nearest = hop;
        }
        nearest
    }
}

/// An address as proxies write it: with or without port, brackets, quotes and zone.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim().trim_matches('"');
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    let host = host.split('%').next()?;
    host.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|proxy| (*proxy).to_owned()).collect();
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 5)));
        let headers = forwarded.iter().map(|value| (FORWARDED, HeaderValue::from_str(value).unwrap())).collect();
        Proxies::new(&trusted).client(&extensions, &headers).unwrap().to_string()
    }

    #[test]
    fn without_trusted_proxies_the_connection_alone_counts() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["1.2.3.4"]), "192.0.2.1");
        assert_eq!(client(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(Proxies::new(&[]).client(&Extensions::new(), &HeaderMap::new()), None);
    }

    #[test]
    fn the_client_is_the_last_that_is_no_trusted_proxy_whatever_it_says_itself() {
        let trusted = &["10.0.0.0/8", "fd00::/8"];
        for (forwarded, expected) in [
            (&["1.2.3.4"][..], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4, 10.1.1.1", "10.2.2.2"], "1.2.3.4"),
            (&["10.6.6.6, 1.2.3.4, fd00::1"], "1.2.3.4"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:5678"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["\"[2001:db8::1]\""], "2001:db8::1"),
            (&["fe80::1%eth0"], "fe80::1"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, unknown"], "10.0.0.1"),
            (&["6.6.6.6, unknown, 10.1.1.1"], "10.1.1.1"),
            (&["6.6.6.6,"], "10.0.0.1"),
            (&["10.9.9.9"], "10.9.9.9"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(trusted, "10.0.0.1", forwarded), expected, "{forwarded:?}");
        }
    }
}
