//! What a request says that its body is: the header `Content-Type`.

use http::{HeaderMap, header::CONTENT_TYPE};

/// A type such as `application/json`, and the charset that goes with it.
#[derive(Debug, PartialEq)]
pub(super) struct MediaType {
    /// In lower case.
    pub(super) essence: String,
    /// In lower case; empty if none is named.
    pub(super) charset: String,
}

impl MediaType {
    /// What the first such header says; `None` where there is none, or an empty one.
    pub(super) fn of(headers: &HeaderMap) -> Option<MediaType> {
        let text = String::from_utf8_lossy(headers.get(CONTENT_TYPE)?.as_bytes()).to_ascii_lowercase();
        let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
        let essence = essence.trim().to_owned();
        (!essence.is_empty()).then(|| MediaType { essence, charset: charset(parameters) })
    }

    /// Whether it is JSON: `application/json`, or anything of that structure.
    pub(super) fn is_json(&self) -> bool {
        match self.essence.split_once('/') {
            Some(("application", "json" | "csp-report")) => true,
            Some((kind, subtype)) => {
                let name = subtype.strip_suffix("+json").unwrap_or_default();
                is_token(kind) && is_token(name)
            }
            None => false,
        }
    }

    pub(super) fn is_form(&self) -> bool {
        self.essence == "application/x-www-form-urlencoded"
    }
}

/// Whether `text` is a name as types have them.
fn is_token(text: &str) -> bool {
    let names = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(names)
}

/// The first charset among `parameters`, which may stand in quotes.
fn charset(parameters: &str) -> String {
    let mut rest = parameters;
    while !rest.is_empty() {
        let (name, after) = match rest.find(['=', ';']) {
            Some(at) if rest[at..].starts_with('=') => (rest[..at].trim(), rest[at + 1..].trim_start()),
            Some(at) => {
                rest = &rest[at + 1..];
                continue;
            }
            None => break,
        };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => (after.split(';').next().unwrap_or_default().trim().to_owned(), after),
        };
        if name == "charset" {
            return value;
        }
        rest = after.split_once(';').map_or("", |(_, rest)| rest);
    }
    String::new()
}

/// The text up to the closing quote, and what is behind that.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    // Without its end it is no value.
    (String::new(), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(text: &str) -> Option<MediaType> {
        MediaType::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(text).unwrap())]))
    }

    #[test]
    fn a_charset_may_stand_anywhere_and_in_quotes() {
        for (text, charset) in [
            ("application/json", ""),
            ("application/json;", ""),
            ("application/json; charset=UTF-16", "utf-16"),
            ("application/json;a;=;b=c ;\tCharset = utf-8 ; charset=x", "utf-8"),
            ("application/json; a=\"charset=x;\\\"\"; charset=\"utf\\-8\"z;", "utf-8"),
            ("application/json; charset=\"utf-8", ""),
            ("application/json; charset", ""),
        ] {
            let expected = MediaType { essence: "application/json".into(), charset: charset.into() };
            assert_eq!(read(text), Some(expected), "{text}");
        }
        assert_eq!((read(""), read(" ; charset=x")), (None, None));
    }

    #[test]
    fn json_is_every_type_of_its_structure() {
        for json in [
            "application/json",
            " Application/JSON ",
            "application/merge-patch+json",
            "application/vnd.api+json; a=b",
            "image/x+json",
            "application/csp-report",
        ] {
            assert!(read(json).unwrap().is_json(), "{json}");
        }
        for other in [
            "application/jsonp",
            "text/json",
            "json",
            "application/+json",
            "a b/c+json",
            "application/json, application/json",
            "application/x+jsonl",
            "/x+json",
            "application/a/b+json",
        ] {
            assert!(!read(other).unwrap().is_json(), "{other}");
        }
    }
}
