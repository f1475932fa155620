//! What a request tells of itself beside the service, the id and the data.
//!
//! Only the query, the headers, the credentials, the idempotency key and the address of a request reach params. Whatever else a client
//! sends, it can not name its provider, its user or pretend to be another node.

use crate::http::{layers::IDEMPOTENCY_KEY, query_string};
use http::{HeaderMap, request::Parts};
use rachis_auth::parse_header;
use rachis_config::GatewayQuery;
use rachis_core::{Error, Params, Result, host::idempotency::check_key};
use std::{collections::BTreeMap, net::IpAddr};

/// All header names and values of a request, in bytes; Node.js has the same limit. Headers travel with every call.
const HEADERS: usize = 16 * 1024;
/// Header lines of a request.
const HEADER_LINES: usize = 100;

/// Returns the params of the caller: all but the query and the idempotency key.
///
/// # Errors
/// `BadRequest` for more headers than can travel with a call.
pub(crate) fn caller(parts: &Parts, ip: Option<IpAddr>) -> Result<Params> {
    let headers = headers(&parts.headers)?;
    Ok(Params {
        provider: Some("rest".into()),
        authentication: headers.get("authorization").and_then(|header| parse_header(header)),
        headers,
        ip,
        ..Params::default()
    })
}

/// All params of a request of `caller`.
///
/// # Errors
/// `BadRequest` for a query string that exceeds `limits`, and for an idempotency key that is none.
pub(crate) fn read(caller: Params, parts: &Parts, limits: &GatewayQuery) -> Result<Params> {
    Ok(Params {
        query: query_string::parse(parts.uri.query().unwrap_or_default(), limits)?.into(),
        idempotency_key: idempotency_key(&parts.headers)?,
        ..caller
    })
}

/// What the header says, which is text in quotes by the standard that is being made and goes without them almost
/// everywhere.
///
/// # Errors
/// `BadRequest` for one that is no key, and for several.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::bad_request("A request has one Idempotency-Key"));
    }
    let text = value.to_str().unwrap_or_default();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    check_key(key)?;
    Ok(Some(key.to_owned()))
}

/// The headers by lower-case name; repeated ones are joined, those that are no UTF-8 are left out.
pub(crate) fn headers(headers: &HeaderMap) -> Result<BTreeMap<String, String>> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS || headers.len() > HEADER_LINES {
        return Err(Error::bad_request(format!(
            "Too many headers: a request may have {HEADER_LINES} of them with {HEADERS} bytes together"
        )));
    }
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else { continue };
        read.entry(name.as_str().to_owned())
            .and_modify(|there| {
                there.push_str(", ");
                there.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn repeated_headers_are_joined_and_unreadable_ones_left_out() {
        let mut map = HeaderMap::new();
        map.append("X-Many", HeaderValue::from_static("a"));
        map.append("x-many", HeaderValue::from_static("b"));
        map.append("x-odd", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        map.append("x-text", HeaderValue::from_bytes("é".as_bytes()).unwrap());
        let read = headers(&map).unwrap();
        assert_eq!(read, BTreeMap::from([("x-many".into(), "a, b".into()), ("x-text".into(), "é".into())]));
    }

    #[test]
    fn an_idempotency_key_may_stand_in_quotes_and_has_to_be_one() {
        let read = |values: &[&[u8]]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            idempotency_key(&map)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"order-17"]), Ok(Some("order-17".into())));
        assert_eq!(read(&[b"\"order-17\""]), Ok(Some("order-17".into())));
        for bad in [&[&b""[..]][..], &[b"\"\""], &[b"a b"], &[b"\xff"], &[b"a", b"a"], &["é".as_bytes()]] {
            assert_eq!(read(bad).unwrap_err().code(), 400, "{bad:?}");
        }
    }

    #[test]
    fn floods_of_headers_are_refused() {
        let mut many = HeaderMap::new();
        for _ in 0..=HEADER_LINES {
            many.append("a", HeaderValue::from_static("b"));
        }
        let mut big = HeaderMap::new();
        big.append("a", HeaderValue::from_str(&"b".repeat(HEADERS)).unwrap());
        for map in [many, big] {
            assert_eq!(headers(&map).unwrap_err().code(), 400);
        }
    }
}
