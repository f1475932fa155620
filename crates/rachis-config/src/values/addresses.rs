//! Where servers can be reached that announce another address: behind NAT, in containers, through port-forwards.

/// By the address that a cluster or a sentinel tells, the one that leads there from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(Vec<(Side, Side)>);

/// Host and, where it matters, port.
type Side = (String, Option<u16>);

impl Addresses {
    /// Pairs of what is announced and what leads there. An entry without a port is for every port of that host; where what
    /// leads there has none, the port stays.
    pub fn new(pairs: Vec<(Side, Side)>) -> Self {
        Addresses(pairs)
    }

    /// What leads to the server that announces this address; the address itself where nothing else is known.
    pub fn reach(&self, host: &str, port: u16) -> (String, u16) {
        let of = |wanted: Option<u16>| self.0.iter().find(|((known, at), _)| known == host && *at == wanted);
        match of(Some(port)).or_else(|| of(None)) {
            Some((_, (there, at))) => (there.clone(), at.unwrap_or(port)),
            None => (host.to_owned(), port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_up_with_its_port_and_then_by_its_host() {
        let side = |host: &str, port: Option<u16>| (host.to_owned(), port);
        let addresses = Addresses::new(vec![
            (side("10.0.0.5", None), side("gate", None)),
            (side("10.0.0.5", Some(7001)), side("localhost", Some(17001))),
            (side("10.0.0.6", None), side("gate", Some(9000))),
        ]);
        assert_eq!(addresses.reach("10.0.0.5", 7001), ("localhost".into(), 17001));
        assert_eq!(addresses.reach("10.0.0.5", 7002), ("gate".into(), 7002));
        assert_eq!(addresses.reach("10.0.0.6", 1), ("gate".into(), 9000));
        assert_eq!(addresses.reach("10.0.0.7", 1), ("10.0.0.7".into(), 1));
    }
}
