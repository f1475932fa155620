//! One GET over HTTP, with bounds.

use http::{Request, StatusCode, Uri};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use std::{future::poll_fn, pin::Pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// How long all of it may take.
const TIME: Duration = Duration::from_secs(5);
/// More than any set of keys.
const LONGEST: usize = 256 * 1024;

/// The text at an address. Redirects are not followed.
///
/// # Errors
/// Why there is none, with the host's name.
pub(super) async fn get(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
    let host = uri.host().unwrap_or_default().to_owned();
    let asked = tokio::time::timeout(TIME, ask(&uri, host.trim_matches(['[', ']'])));
    let answer = asked.await.unwrap_or_else(|_| Err(format!("no answer within {} s", TIME.as_secs())));
    answer.map_err(|why| format!("{host}: {why}"))
}

async fn ask(uri: &Uri, host: &str) -> Result<String, String> {
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    if secure { exchange(uri, tls(host, stream).await?).await } else { exchange(uri, stream).await }
}

#[cfg(feature = "tls")]
async fn tls(host: &str, stream: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
    let mut roots = RootCertStore::empty();
    // Those that can not be read are none to be trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
async fn tls(_: &str, _: TcpStream) -> Result<TcpStream, String> {
    Err("this program was built without the feature `tls`".into())
}

async fn exchange(uri: &Uri, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<String, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let running = tokio::spawn(connection);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header("host", authority).header("accept", "application/json");
    let request = request.body(String::new()).map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        match answer.status() {
            StatusCode::OK => read(answer.into_body()).await,
            other => Err(format!("it answered with {}", other.as_u16())),
        }
    };
    let answer = answer.await;
    running.abort();
    answer
}

async fn read(mut body: Incoming) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await {
        if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > LONGEST {
            return Err(format!("its answer has more than {LONGEST} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "its answer is no text".into())
}
