//! Certificates for `rediss://` URLs.

use super::duplex::Socket;
use redis::{RedisError, RedisResult};
#[cfg(feature = "tls")]
use rustls::{
    DigitallySignedStruct,
    client::danger::{HandshakeSignatureValid, ServerCertVerified},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::{path::Path, sync::Arc};
use tokio::net::TcpStream;

/// Trusted authorities and the client certificate, as PEM files. The default trusts the system's authorities and shows
/// no certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    /// The trusted authorities, instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// The name in server certificates, where it differs from the host.
    pub(crate) server_name: Option<String>,
    /// Whether any certificate is accepted.
    pub(crate) insecure: bool,
}

impl Certificates {
    fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }
}

/// How to speak TLS with a server.
#[derive(Clone)]
pub(crate) struct Tls {
    #[cfg(feature = "tls")]
    config: Arc<rustls::ClientConfig>,
    #[cfg(feature = "tls")]
    server_name: Option<Arc<str>>,
}

#[cfg(feature = "tls")]
impl Tls {
    /// Reads the certificates; `None` where the server is spoken to in the open and there are none to read.
    pub(crate) fn new(certificates: &Certificates, wanted: bool) -> RedisResult<Option<Self>> {
        use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::pem::PemObject};
        if !wanted && certificates.is_empty() {
            return Ok(None);
        }
        let client = match &certificates.client {
            None => None,
            Some((certificate, key)) => {
                let chain = read::<CertificateDer<'_>>(certificate, CERTIFICATE)?;
                let text = text_of(key, KEY)?;
                let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|error| unusable(key, &error))?;
                Some((chain, secret, key))
            }
        };
        let mut roots = RootCertStore::empty();
        match &certificates.ca {
            Some(path) => {
                for authority in read::<CertificateDer<'_>>(path, CERTIFICATE)? {
                    roots.add(authority).map_err(|error| unusable(path, &error))?;
                }
            }
            None => {
                // Those that can not be read are none to be trusted.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone());
        let config = config.with_safe_default_protocol_versions().map_err(|error| failed(error.to_string()))?;
        let config = if certificates.insecure {
            config.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        } else {
            config.with_root_certificates(roots)
        };
        let config = match client {
            None => config.with_no_client_auth(),
            Some((chain, secret, key)) => {
                config.with_client_auth_cert(chain, secret).map_err(|error| unusable(key, &error))?
            }
        };
        let server_name = certificates.server_name.as_deref().map(Into::into);
        Ok(Some(Tls { config: Arc::new(config), server_name }))
    }

    /// Speaks TLS over `socket` with the server at `host`.
    pub(super) async fn speak(&self, host: &str, socket: TcpStream) -> RedisResult<Socket> {
        let host = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(format!("{host:?} is no name that a certificate could be for")))?;
        let connector = tokio_rustls::TlsConnector::from(self.config.clone());
        Ok(Box::new(connector.connect(name, socket).await?))
    }
}

#[cfg(not(feature = "tls"))]
impl Tls {
    /// Certificates, a name for them and the will to take any are of no use without TLS.
    pub(crate) fn new(certificates: &Certificates, wanted: bool) -> RedisResult<Option<Self>> {
        let configured = !certificates.is_empty() || certificates.server_name.is_some() || certificates.insecure;
        if !wanted && !configured {
            return Ok(None);
        }
        Err(failed("TLS is configured, and this program was built without the feature `tls`".to_owned()))
    }

    pub(super) async fn speak(&self, _host: &str, _socket: TcpStream) -> RedisResult<Socket> {
        Err(failed("this program was built without the feature `tls`".to_owned()))
    }
}

/// Accepts any certificate whose key the server holds.
#[cfg(feature = "tls")]
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

#[cfg(feature = "tls")]
impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How parts of PEM files end their first line.
#[cfg(feature = "tls")]
const CERTIFICATE: &str = "CERTIFICATE-----";
#[cfg(feature = "tls")]
const KEY: &str = "PRIVATE KEY-----";

#[cfg(feature = "tls")]
fn read<T: rustls::pki_types::pem::PemObject>(path: &Path, kind: &str) -> RedisResult<Vec<T>> {
    let text = text_of(path, kind)?;
    T::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| unusable(path, &error))
}

#[cfg(feature = "tls")]
fn text_of(path: &Path, kind: &str) -> RedisResult<Vec<u8>> {
    let text = std::fs::read(path).map_err(|error| failed(format!("{} can not be read: {error}", path.display())))?;
    // A file without certificates would be accepted, and no server trusted.
    if text.windows(kind.len()).any(|part| part == kind.as_bytes()) {
        Ok(text)
    } else {
        Err(failed(format!("{} is no PEM file with a {}", path.display(), kind.trim_end_matches('-'))))
    }
}

#[cfg(feature = "tls")]
fn unusable(path: &Path, error: &dyn std::fmt::Display) -> RedisError {
    failed(format!("{} can not be used: {error}", path.display()))
}

fn failed(why: String) -> RedisError {
    RedisError::from(std::io::Error::other(why))
}
