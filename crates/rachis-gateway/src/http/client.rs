//! From which address a client calls.

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, header::FORWARDED};
use rachis_config::{self as config, ForwardedHeader, host::Network};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word for the client's address counts.
///
/// Each writes the address that a request came to it from behind those that are there: the client's own word is the first,
/// the nearest proxy's the last.
pub(crate) struct Proxies {
    networks: Vec<Network>,
    hops: usize,
    header: ForwardedHeader,
}

impl Proxies {
    pub(crate) fn new(config: &config::Gateway) -> Self {
        Proxies {
            networks: config.trusted_proxies.iter().filter_map(|proxy| Network::parse(proxy)).collect(),
            hops: config.trusted_hops,
            header: config.forwarded_header,
        }
    }

    /// The address that a request comes from: of its connection, or the last that no trusted proxy stands at; `None` where
    /// the server does not tell the connection's.
    pub(crate) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(self.beyond(peer.ip().to_canonical(), headers))
    }

    /// Goes back from the nearest hop for as long as it is trusted and says an address. What a client wrote itself comes after
    /// the first that is not, and is never reached.
    fn beyond(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let (name, read) = match self.header {
            ForwardedHeader::XForwardedFor => (X_FORWARDED_FOR, x_forwarded_for as fn(&[u8]) -> Option<IpAddr>),
            ForwardedHeader::Forwarded => (FORWARDED, forwarded_for as _),
        };
        let mut entries = headers.get_all(name).iter().rev().flat_map(|value| Backwards(Some(value.as_bytes())));
        let mut nearest = peer;
        let mut passed = 0;
        while (passed < self.hops || self.networks.iter().any(|network| network.contains(nearest)))
            && let Some(hop) = entries.next().and_then(read)
        {
            nearest = hop;
            passed += 1;
        }
        nearest
    }
}

/// The address of one entry of `X-Forwarded-For`.
fn x_forwarded_for(entry: &[u8]) -> Option<IpAddr> {
    address(std::str::from_utf8(entry).ok()?)
}

/// The entries of a list, the last one first. A comma in quotes separates nothing; quotes are paired from the end, so that one
/// that a client left open in front takes nothing away of what proxies added.
struct Backwards<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Backwards<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let list = self.0?;
        let mut quoted = false;
        let comma = list.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let entry = comma.map_or(list, |comma| &list[comma + 1..]);
        self.0 = comma.map(|comma| &list[..comma]);
        Some(entry)
    }
}

/// The address after `for=` in one element of `Forwarded`; `None` if it is unknown, hidden (`_name`) or not said, and for a
/// quote that is left open.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let element = std::str::from_utf8(element).ok().filter(|element| element.matches('"').count() % 2 == 0)?;
    // No address has a semicolon in it, so quotes can not hide where the one that is looked for begins.
    let mut values = element.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    let value = values.next().filter(|_| values.next().is_none())?;
    address(value)
}

/// An address as proxies write it: with or without port, brackets, quotes and zone.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
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

    fn config(trusted: &[&str], hops: usize, header: ForwardedHeader) -> config::Gateway {
        let trusted_proxies = trusted.iter().map(|proxy| (*proxy).to_owned()).collect();
        let defaults = config::Config::default().gateway;
        config::Gateway { trusted_proxies, trusted_hops: hops, forwarded_header: header, ..defaults }
    }

    fn found(config: &config::Gateway, peer: &str, name: HeaderName, values: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 5)));
        let headers = values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        Proxies::new(config).client(&extensions, &headers).unwrap().to_string()
    }

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        found(&config(trusted, 0, ForwardedHeader::XForwardedFor), peer, X_FORWARDED_FOR, forwarded)
    }

    #[test]
    fn without_trusted_proxies_the_connection_alone_counts() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["1.2.3.4"]), "192.0.2.1");
        assert_eq!(client(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1");
        let none = config(&[], 0, ForwardedHeader::XForwardedFor);
        assert_eq!(Proxies::new(&none).client(&Extensions::new(), &HeaderMap::new()), None);
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

    #[test]
    fn so_many_hops_are_trusted_whatever_their_addresses_and_networks_beyond_them() {
        for (hops, trusted, forwarded, expected) in [
            (0, &[][..], &["6.6.6.6, 1.2.3.4"][..], "192.0.2.1"),
            (1, &[], &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (1, &[], &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            (1, &[], &[], "192.0.2.1"),
            (2, &[], &["6.6.6.6, 1.2.3.4, 198.51.100.1"], "1.2.3.4"),
            (2, &[], &["6.6.6.6, 1.2.3.4, [2001:db8::1]:443"], "1.2.3.4"),
            // It came past one of them.
            (2, &[], &["1.2.3.4"], "1.2.3.4"),
            (3, &[], &["6.6.6.6, unknown, 198.51.100.1"], "198.51.100.1"),
            (1, &[], &["6.6.6.6, unknown"], "192.0.2.1"),
            (1, &["10.0.0.0/8"], &["6.6.6.6, 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
            (1, &["10.0.0.0/8"], &["6.6.6.6, 1.2.3.4, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
            (1, &["6.0.0.0/8"], &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ] {
            let config = config(trusted, hops, ForwardedHeader::XForwardedFor);
            let client = found(&config, "192.0.2.1", X_FORWARDED_FOR, forwarded);
            assert_eq!(client, expected, "{hops} {trusted:?} {forwarded:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_its_end_by_its_grammar() {
        for (hops, values, expected) in [
            (1, &["for=6.6.6.6, for=1.2.3.4"][..], "1.2.3.4"),
            (1, &["for=6.6.6.6", "For=1.2.3.4;proto=https;by=10.0.0.1"], "1.2.3.4"),
            (1, &["proto=https; for=\"1.2.3.4:5678\""], "1.2.3.4"),
            (1, &["for=\"[2001:db8::1]:5678\""], "2001:db8::1"),
            (1, &["for=\"[2001:db8::1]\";host=\"a,b\""], "2001:db8::1"),
            (2, &["for=6.6.6.6, for=1.2.3.4, for=198.51.100.1"], "1.2.3.4"),
            // What a client leaves open takes nothing away, and what it puts in quotes is no element.
            (1, &["for=\"6.6.6.6, for=1.2.3.4"], "1.2.3.4"),
            (1, &["host=\"x, for=1.2.3.4"], "1.2.3.4"),
            (1, &["for=1.2.3.4;host=\"x, for=6.6.6.6\""], "1.2.3.4"),
            (2, &["for=6.6.6.6;host=\", for=198.51.100.1"], "198.51.100.1"),
            (1, &["for=6.6.6.6, for=unknown"], "192.0.2.1"),
            (1, &["for=6.6.6.6, for=_hidden"], "192.0.2.1"),
            (1, &["for=6.6.6.6, for=\"_gaze:_port\""], "192.0.2.1"),
            (1, &["for=6.6.6.6, proto=https"], "192.0.2.1"),
            (1, &["for=6.6.6.6, for=1.2.3.4;for=7.7.7.7"], "192.0.2.1"),
            (1, &["for=6.6.6.6,"], "192.0.2.1"),
            (1, &["1.2.3.4"], "192.0.2.1"),
        ] {
            let config = config(&[], hops, ForwardedHeader::Forwarded);
            assert_eq!(found(&config, "192.0.2.1", FORWARDED, values), expected, "{hops} {values:?}");
        }
    }

    #[test]
    fn of_the_two_headers_only_the_chosen_one_is_read() {
        for (header, other) in
            [(ForwardedHeader::Forwarded, X_FORWARDED_FOR), (ForwardedHeader::XForwardedFor, FORWARDED)]
        {
            let config = config(&["192.0.2.1"], 1, header);
            for value in ["6.6.6.6", "for=6.6.6.6"] {
                assert_eq!(found(&config, "192.0.2.1", other.clone(), &[value]), "192.0.2.1", "{header:?}");
            }
        }
    }
}
