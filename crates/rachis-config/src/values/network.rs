//! A network of addresses: one entry of `gateway.trusted_proxies`.

use std::net::IpAddr;

/// All addresses that begin with the same bits. An IPv4 address is looked at as the IPv6 address it is mapped to, which is
/// how a socket for both sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    mask: u128,
}

impl Network {
    /// `10.0.0.0/8`, or one address.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (width, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = match bits {
            None => width,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= width)?
            }
            Some(_) => return None,
        };
        let mask = u128::MAX.checked_shl(128 - (before + bits)).unwrap_or(0);
        Some(Network { first: mapped(address) & mask, mask })
    }

    /// Returns `true` if `address` is in it, be it an IPv4 one that IPv6 maps.
    pub fn contains(&self, address: IpAddr) -> bool {
        mapped(address) & self.mask == self.first
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_with_its_bits() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", true),
            ("::1", "::1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            (" 127.0.0.1 ", "127.0.0.1", true),
        ] {
            let network_of = Network::parse(network).unwrap();
            assert_eq!(network_of.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "localhost",
            "[::1]",
            "10.0.0.1:80",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
