//! Requests that a proxy in front might have read otherwise.
//!
//! Hyper refuses folded headers, spaces before a colon, bare carriage returns, lengths that are no digits or differ, and a
//! `Transfer-Encoding` that does not end in `chunked`; a length beside `chunked` it leaves out of the headers. What it lets
//! pass is looked at here; what it leaves out is seen in the bytes that it reads.

use crate::http::reply;
use axum::response::Response;
use http::{
    HeaderMap, HeaderValue, Request, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    uri::Authority,
};
use rachis_core::{Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The answer to a request that has no clear meaning, after which the connection is closed. `heads` is what was seen of the
/// connection it came by.
pub(crate) fn refuse<B>(request: &Request<B>, heads: &Ambiguity) -> Option<Response> {
    let headers = request.headers();
    let checked = check_host(request.version(), headers).and_then(|()| check_encoding(headers, heads));
    let error = checked.err()?;
    let mut response = reply::error(&error);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// # Errors
/// `BadRequest` for none, since HTTP/1.1, for several, and for what names no host.
fn check_host(version: Version, headers: &HeaderMap) -> Result<()> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if names_host(host) => Ok(()),
        (Some(_), None) => Err(Error::bad_request("The header Host names no host")),
        _ => Err(Error::bad_request("A request has one header Host")),
    }
}

/// Empty is what a client says that knows no name.
fn names_host(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    bytes.is_empty() || (!bytes.contains(&b'@') && Authority::try_from(bytes).is_ok())
}

/// # Errors
/// `BadRequest` for anything but one `chunked`, and for that beside a length.
fn check_encoding(headers: &HeaderMap, heads: &Ambiguity) -> Result<()> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(encoding), None)
            if encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") && !heads.was_seen() =>
        {
            Ok(())
        }
        _ => Err(Error::bad_request(
            "A body is sent with a Content-Length, or with the one Transfer-Encoding `chunked`, in chunks that say their size",
        )),
    }
}

/// Whether a head of a connection had both a length and an encoding. Such a head is the last that hyper reads of its
/// connection, so this is said once; a request with an encoding that came right before it, without waiting for an answer, is
/// refused with it.
#[derive(Clone, Default)]
pub(crate) struct Ambiguity(Arc<AtomicBool>);

impl Ambiguity {
    fn was_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How much of a line is kept, without its spaces: more than the longest name and the longest length.
const LINE: usize = 64;

/// Follows the bytes of a connection from head to head. Where it can not, it takes all that follows for ambiguous: hyper
/// refuses what is not well formed anyway.
pub(crate) struct Scanner {
    ambiguity: Ambiguity,
    state: ScanState,
    /// The line that is being read, without spaces and its end.
    line: [u8; LINE],
    kept: usize,
    head: Head,
}

/// What the head that is being read said so far.
#[derive(Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    encoded: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ScanState {
    Head,
    /// So many bytes of a body.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Lost,
}

impl Scanner {
    pub(crate) fn new(ambiguity: Ambiguity) -> Self {
        Scanner { ambiguity, state: ScanState::Head, line: [0; LINE], kept: 0, head: Head::default() }
    }

    /// Takes in what has just been read.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                ScanState::Lost => return,
                ScanState::Body(left) => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 { ScanState::Head } else { ScanState::Body(left) };
                    rest
                }
                ScanState::Chunk(left) => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 { ScanState::ChunkEnd } else { ScanState::Chunk(left) };
                    rest
                }
                ScanState::Head | ScanState::ChunkSize | ScanState::ChunkEnd | ScanState::Trailers => {
                    self.read_line(bytes)
                }
            };
        }
    }

    /// Reads to the end of a line, or of the bytes; returns what follows.
    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        for byte in line.iter().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
            let Some(state) = self.line.get_mut(self.kept) else { break };
            *state = byte.to_ascii_lowercase();
            self.kept += 1;
        }
        if end.is_none() {
            return rest;
        }
        let kept = std::mem::take(&mut self.kept);
        self.state = self.after(kept);
        if self.state == ScanState::Lost {
            self.ambiguity.0.store(true, Ordering::Relaxed);
        }
        &rest[1..]
    }

    /// What follows the line of which so many bytes were kept.
    fn after(&mut self, kept: usize) -> ScanState {
        let line = &self.line[..kept];
        match self.state {
            ScanState::Head if !line.is_empty() => {
                self.head.read(line);
                ScanState::Head
            }
            // Empty lines before a head belong to nothing.
            ScanState::Head if !self.head.begun => ScanState::Head,
            ScanState::Head => match std::mem::take(&mut self.head) {
                Head { encoded: true, length: Some(_), .. } => ScanState::Lost,
                Head { encoded: true, length: None, .. } => ScanState::ChunkSize,
                Head { length: Some(0) | None, .. } => ScanState::Head,
                Head { length: Some(u64::MAX), .. } => ScanState::Lost,
                Head { length: Some(length), .. } => ScanState::Body(length),
            },
            ScanState::ChunkSize => match chunk_size(line) {
                Some(0) => ScanState::Trailers,
                Some(size) => ScanState::Chunk(size),
                None => ScanState::Lost,
            },
            ScanState::ChunkEnd if line.is_empty() => ScanState::ChunkSize,
            ScanState::Trailers if line.is_empty() => ScanState::Head,
            ScanState::Trailers => ScanState::Trailers,
            _ => ScanState::Lost,
        }
    }
}

impl Head {
    /// Reads a line; the first is that of the request, in which no colon follows such a name.
    fn read(&mut self, line: &[u8]) {
        self.begun = true;
        if let Some(length) = line.strip_prefix(b"content-length:") {
            // What is no number is refused by hyper.
            self.length = Some(digits(length, 10).unwrap_or(u64::MAX));
        } else if line.starts_with(b"transfer-encoding:") {
            self.encoded = true;
        }
    }
}

/// What is left of `left` bytes after these, and what follows them.
fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (left - skipped as u64, &bytes[skipped..])
}

/// The size that stands in front of a chunk, before its extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    digits(size, 16)
}

/// The number that these digits are; `None` for anything else, and for what may go on where the line was cut.
fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() < LINE - LONGEST_NAME)?;
    u64::from_str_radix(text, radix).ok().filter(|_| !text.starts_with('+'))
}

/// `transfer-encoding:`, and `content-length:`.
const LONGEST_NAME: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn status(version: Version, headers: &[(HeaderName, &'static str)]) -> u16 {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        refuse(&request, &Ambiguity::default()).map_or(200, |response| response.status().as_u16())
    }

    #[test]
    fn a_request_has_one_host() {
        for (hosts, expected) in [
            (&["a.example"][..], 200),
            (&["a.example:3030"], 200),
            (&["[::1]:3030"], 200),
            (&["under_score"], 200),
            (&[""], 200),
            (&[], 400),
            (&["a", "a"], 400),
            (&["a, b"], 400),
            (&["a b"], 400),
            (&["me@a"], 400),
            (&["a/b"], 400),
            (&["http://a"], 400),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| (HOST, *host)).collect();
            assert_eq!(status(Version::HTTP_11, &headers), expected, "{hosts:?}");
        }
        assert_eq!(status(Version::HTTP_10, &[]), 200);
        assert_eq!(status(Version::HTTP_10, &[(HOST, "a"), (HOST, "b")]), 400);
    }

    #[test]
    fn a_transfer_encoding_is_chunked_and_nothing_else() {
        for (encodings, expected) in [
            (&[][..], 200),
            (&["chunked"], 200),
            (&["Chunked "], 200),
            (&["gzip, chunked"], 400),
            (&["identity, chunked"], 400),
            (&["chunked, chunked"], 400),
            (&[",chunked"], 400),
            (&["chunked", "chunked"], 400),
            (&["identity", "chunked"], 400),
            (&[""], 400),
        ] {
            let encodings_of = encodings.iter().map(|encoding| (TRANSFER_ENCODING, *encoding));
            let headers: Vec<_> = [(HOST, "a")].into_iter().chain(encodings_of).collect();
            assert_eq!(status(Version::HTTP_11, &headers), expected, "{encodings:?}");
        }
    }

    /// Whether a head with both a length and an encoding was seen, whatever pieces the bytes come in.
    #[track_caller]
    fn is_ambiguous(bytes: &str) -> bool {
        let seen = |size: usize| {
            let ambiguity = Ambiguity::default();
            let mut scanner = Scanner::new(ambiguity.clone());
            bytes.as_bytes().chunks(size).for_each(|piece| scanner.read(piece));
            ambiguity.was_seen()
        };
        let whole = seen(bytes.len());
        for size in [1, 2, 3, 7] {
            assert_eq!(seen(size), whole, "{bytes:?} in pieces of {size}");
        }
        whole
    }

    const BOTH: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn a_length_beside_an_encoding_is_seen_in_any_head_and_spelling() {
        let sized = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n12345\r\nA\r\n\r\n34567\r\n9\r\n0\r\nx: y\r\n\r\n";
        for before in
            ["", "\r\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", sized, chunked, &format!("{sized}{chunked}{sized}\r\n")]
        {
            assert!(!is_ambiguous(&format!("{before} ")), "{before:?}");
            for head in [
                BOTH,
                "POST / HTTP/1.1\ncontent-LENGTH:5\ntransfer-ENCODING:chunked\n\n",
                "POST / HTTP/1.1\r\nContent-Length:0\r\nTransfer-Encoding:\tchunked\r\n\r\n",
                &BOTH.replace(": 5", &format!(":{}5", " ".repeat(1000))),
                &BOTH.replace(": 5", &format!(": {}5", "0".repeat(1000))),
                &BOTH.replace("Host: a", &format!("X: {}", "y".repeat(1000))),
            ] {
                assert!(is_ambiguous(&format!("{before}{head}")), "{before:?}, {head:?}");
            }
        }
    }

    #[test]
    fn what_stands_in_a_body_is_no_head() {
        let length = BOTH.len();
        let size = format!("{:X}", BOTH.len());
        for text in [
            format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{BOTH}"),
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{BOTH}\r\n0\r\n\r\n"),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n".to_owned(),
            "GET /?content-length:5 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 5\r\n\r\n".to_owned(),
        ] {
            assert!(!is_ambiguous(&text), "{text:?}");
        }
    }

    #[test]
    fn where_it_loses_its_way_all_that_follows_is_ambiguous() {
        for text in
            ["Content-Length: x", "Content-Length: 99999999999999999999999", "Transfer-Encoding: chunked\r\n\r\nx"]
        {
            assert!(is_ambiguous(&format!("POST / HTTP/1.1\r\n{text}\r\n\r\n")), "{text}");
        }
    }
}
