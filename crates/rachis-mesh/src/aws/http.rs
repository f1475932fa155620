//! One request, one answer: all that is needed to be told keys.

use rachis_core::{Error, Result};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls};

/// How long all of it may take.
const TIME: Duration = Duration::from_secs(5);
/// More than any answer with keys.
const LONGEST_ANSWER: u64 = 256 * 1024;

/// The body of the answer.
///
/// # Errors
/// `Unavailable`, with nothing of what was sent or came along.
pub(super) async fn ask(url: &str, method: &str, headers: &[(&str, String)], body: &str) -> Result<String> {
    let uri: http::Uri = url.parse().map_err(|_| Error::bad_request("The address that keys are told at is no URL"))?;
    let host = uri.host().unwrap_or_default().to_owned();
    let failed = |why: String| Error::unavailable(format!("{host} told no keys of AWS: {why}"));
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        if value.contains(['\r', '\n']) {
            return Err(failed(format!("{name} would have more than one line")));
        }
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("\r\n{body}"));
    let asked = async {
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        if secure {
            exchange(tls()?.connect(name_of(&host)?, stream).await?, &request).await
        } else {
            exchange(stream, &request).await
        }
    };
    let answer = tokio::time::timeout(TIME, asked).await.map_err(|_| failed("it takes too long".into()))?;
    read(&answer.map_err(|error| failed(error.to_string()))?).map_err(failed)
}

fn tls() -> std::io::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    // Those that can not be read are none to be trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(std::io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn name_of(host: &str) -> std::io::Result<rustls::pki_types::ServerName<'static>> {
    rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let mut limited = stream.take(LONGEST_ANSWER);
    match limited.read_to_end(&mut answer).await {
        // Some servers close without saying so first; what came is judged by itself.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && !answer.is_empty() => Ok(answer),
        outcome => outcome.map(|_| answer),
    }
}

/// The body of a good answer.
fn read(answer: &[u8]) -> std::result::Result<String, String> {
    let unreadable = || "its answer can not be read".to_owned();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").ok_or_else(unreadable)?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let code: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(unreadable)?;
    if code != 200 {
        return Err(format!("it answered with {code}"));
    }
    let body = &answer[end + 4..];
    let header = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    };
    let body = match (header("transfer-encoding"), header("content-length").map(str::parse)) {
        (Some("chunked"), _) => unchunked(body).ok_or_else(unreadable)?,
        (_, Some(Ok(length))) => body.get(..length).ok_or_else(unreadable)?.to_vec(),
        _ => body.to_vec(),
    };
    String::from_utf8(body).map_err(|_| unreadable())
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|part| part == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = line + 2;
        body.extend_from_slice(rest.get(chunk..chunk.checked_add(size)?)?);
        rest = rest.get(chunk.checked_add(size)?.checked_add(2)?..)?;
    }
}

/// Encodes a part of a URL: all but letters, digits and `-._~` as `%XX`.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_end_where_they_say() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", Ok("ab")),
            ("HTTP/1.1 200 OK\r\n\r\nabc", Ok("abc")),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", Ok("abc")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Err("its answer can not be read")),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\na",
                Err("its answer can not be read"),
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\nhush", Err("it answered with 404")),
            ("nonsense", Err("its answer can not be read")),
        ];
        for (answer, body) in cases {
            assert_eq!(read(answer.as_bytes()).as_deref().map_err(String::as_str), body, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), chunked in any::<bool>()) {
            let head = if chunked { "transfer-encoding: chunked" } else { "content-length: 7" };
            let mut answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").into_bytes();
            answer.extend(body);
            let _ = read(&answer);
        }
    }
}
