//! Compressed bodies.

use super::{BROKEN_OFF, forget, too_large};
use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder};
use axum::body::BodyDataStream;
use futures_util::TryStreamExt;
use http::{HeaderMap, header::CONTENT_ENCODING};
use rachis_core::{Error, Result};
use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

/// How much longer than what it holds a compressed body may be, beside an eighth. Without a bound, one of blocks that
/// hold nothing would go on for ever.
const OVERHEAD: usize = 1024;
/// The first byte of what gzip makes.
const GZIP: u8 = 0x1f;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Coding {
    /// gzip or zlib, which are told apart by their first byte: clients take one name for the other.
    Deflate,
    Brotli,
}

impl Coding {
    /// What the headers name, or `None` for a body as it is.
    ///
    /// # Errors
    /// `UnsupportedMediaType` for any other, and for several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Coding>> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter().map(|name| String::from_utf8_lossy(name.as_bytes()));
        let name = named.next().unwrap_or_default().to_ascii_lowercase();
        match (name.as_str(), named.next()) {
            ("" | "identity", None) => Ok(None),
            ("gzip" | "deflate", None) => Ok(Some(Coding::Deflate)),
            ("br", None) => Ok(Some(Coding::Brotli)),
            _ => Err(Error::unsupported_media_type(format!(
                "Bodies of the Content-Encoding {name:?} are not read: send gzip, deflate, br, or none"
            ))),
        }
    }

    /// All that `body` holds.
    ///
    /// # Errors
    /// `PayloadTooLarge` as soon as that is more than `limit` bytes, `BadRequest` for what is not so compressed.
    pub(super) async fn read(self, body: BodyDataStream, limit: usize) -> Result<Vec<u8>> {
        let longest = limit.saturating_add(limit / 8).saturating_add(OVERHEAD) as u64;
        let body = StreamReader::new(body.map_err(io::Error::other));
        let mut source = body.take(longest);
        let mut bytes = Vec::new();
        let outcome = self.decode(&mut source, limit, &mut bytes).await;
        let spent = source.limit() == 0;
        forget(source.into_inner().into_inner().into_inner());
        match outcome {
            _ if bytes.len() > limit || spent => Err(too_large(limit)),
            // Errors of the connection are those that were made above.
            Err(error)
                if error.kind() == io::ErrorKind::Other && error.get_ref().is_some_and(|e| e.is::<axum::Error>()) =>
            {
                Err(Error::bad_request(BROKEN_OFF))
            }
            Err(_) => Err(Error::bad_request("The body is not what its Content-Encoding says")),
            Ok(()) => Ok(bytes),
        }
    }

    /// Decodes until there is more than `limit`. Several gzip bodies in a row are one, and zeros behind them are padding.
    async fn decode(
        self,
        source: &mut (impl AsyncBufRead + Unpin + Send),
        limit: usize,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        let Some(first) = next(source).await? else { return Ok(()) };
        let is_gzip = self == Coding::Deflate && first == GZIP;
        loop {
            let decoder: Box<dyn AsyncRead + Unpin + Send + '_> = match self {
                Coding::Brotli => Box::new(BrotliDecoder::new(&mut *source)),
                Coding::Deflate if is_gzip => Box::new(GzipDecoder::new(&mut *source)),
                Coding::Deflate => Box::new(ZlibDecoder::new(&mut *source)),
            };
            let room = limit.saturating_add(1).saturating_sub(bytes.len());
            decoder.take(room as u64).read_to_end(bytes).await?;
            if !is_gzip || bytes.len() > limit || matches!(next(source).await?, None | Some(0)) {
                return Ok(());
            }
        }
    }
}

/// The byte that comes next.
async fn next(source: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<u8>> {
    Ok(source.fill_buf().await?.first().copied())
}
