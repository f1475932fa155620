//! Which address leads to a server of Redis that announces another.

use crate::values::{addresses::Addresses, secret::is_host, value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// A list of `announced=reachable`: what sentinels or a cluster say of where a server is, and what leads there from here.
///
/// Each side is `host` or `host:port`, IPv6 in brackets. An announced host without a port means all of its ports; a
/// reachable one without a port keeps the announced one.
///
/// ```
/// use rachis::config::AddressMap;
///
/// let map = AddressMap::new(["10.0.0.5:6379=localhost:7001", "10.0.0.6=redis.example"])?;
/// assert_eq!(map.written().len(), 2);
/// assert!(AddressMap::new(["10.0.0.5"]).is_err());
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    written: Vec<String>,
    addresses: Addresses,
}

impl AddressMap {
    /// The map of those texts.
    ///
    /// # Errors
    /// One of them is not of the form `announced=reachable`.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, crate::ConfigError> {
        let written = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        AddressMap::read(written).map_err(crate::ConfigError::new)
    }

    /// The texts it was made of.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    #[doc(hidden)]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    fn read(written: Vec<String>) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for text in &written {
            let sides =
                text.split_once('=').and_then(|(announced, reachable)| Some((side(announced)?, side(reachable)?)));
            let pair = sides.ok_or_else(|| {
                format!("contains {text:?}: write announced=reachable, e.g. \"10.0.0.5:6379=localhost:7001\"")
            })?;
            pairs.push(pair);
        }
        Ok(AddressMap { written, addresses: Addresses::new(pairs) })
    }
}

/// Reads `host` or `host:port`.
fn side(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    if !is_host(text) {
        return None;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
        _ => (text, None),
    };
    Some((host.trim_matches(['[', ']']).to_owned(), port))
}

impl Serialize for AddressMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AddressMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Value::deserialize(deserializer)?;
        match value::strings(&found) {
            Some(texts) => AddressMap::read(texts).map_err(D::Error::custom),
            None => Err(value::wrong(&found, "a list of addresses such as [\"10.0.0.5:6379=localhost:7001\"]")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_with_ports_and_without_and_a_mistake_says_what_to_write() {
        for good in ["10.0.0.5:6379=localhost:7001", "redis-0 = gate", "[fd00::1]:6379=[::1]:7001", "[fd00::1]=::1"] {
            let read = AddressMap::new([good]);
            assert_eq!(read.is_ok(), !good.ends_with("=::1"), "{good}");
        }
        for bad in ["", "a", "=b", "a=", "a=b:x", "a:0=b", "a:99999=b", "redis://a=b", "a=b/1"] {
            let error = AddressMap::new([bad]).unwrap_err().to_string();
            assert!(error.contains("write announced=reachable"), "{bad}: {error}");
        }
    }
}
