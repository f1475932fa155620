//! Certificates for `rediss://` URLs.

use redis::{Client, ConnectionInfo, RedisError, RedisResult};
#[cfg(feature = "tls")]
use std::path::Path;
use std::path::PathBuf;

/// How parts of PEM files end their first line.
#[cfg(feature = "tls")]
const CERTIFICATE: &str = "CERTIFICATE-----";
#[cfg(feature = "tls")]
const KEY: &str = "PRIVATE KEY-----";

/// Files in PEM form; none of them means that the system's authorities are trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    /// Whom to trust, instead of the system's authorities.
    pub(crate) ca: Option<PathBuf>,
    /// What to show of oneself: certificate and key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

impl Certificates {
    fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }
}

/// A client that knows the certificates.
#[cfg(feature = "tls")]
pub(crate) fn client(info: ConnectionInfo, certificates: &Certificates) -> RedisResult<Client> {
    use redis::{ClientTlsConfig, TlsCertificates};
    // The process may have chosen a provider already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if certificates.is_empty() {
        return Client::open(info);
    }
    let client_tls = match &certificates.client {
        Some((certificate, key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate, CERTIFICATE)?, client_key: read(key, KEY)? })
        }
        None => None,
    };
    let root_cert = certificates.ca.as_deref().map(|ca| read(ca, CERTIFICATE)).transpose()?;
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
}

/// A client without TLS, which certificates are of no use to.
#[cfg(not(feature = "tls"))]
pub(crate) fn client(info: ConnectionInfo, certificates: &Certificates) -> RedisResult<Client> {
    if certificates.is_empty() {
        return Client::open(info);
    }
    Err(failed("certificates are configured, and this program was built without the feature `tls`".to_owned()))
}

#[cfg(feature = "tls")]
fn read(path: impl AsRef<Path>, kind: &str) -> RedisResult<Vec<u8>> {
    let path = path.as_ref();
    let text = std::fs::read(path).map_err(|error| failed(format!("{} can not be read: {error}", path.display())))?;
    // An authority without certificates would be taken, and trust nobody.
    match text.windows(kind.len()).any(|part| part == kind.as_bytes()) {
        true => Ok(text),
        false => Err(failed(format!("{} is no PEM file with a {}", path.display(), kind.trim_end_matches('-')))),
    }
}

fn failed(why: String) -> RedisError {
    RedisError::from(std::io::Error::other(why))
}
