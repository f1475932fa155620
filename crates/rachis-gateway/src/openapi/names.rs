//! Names in a document: of components, of operations, and of paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Returns `text` as one word of letters and digits: `api/v1/todo-lists` is `ApiV1TodoLists`.
pub(super) fn pascal(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect()
}

/// Returns `text` with a `_` in place of what names of components may not have.
pub(super) fn component(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// Returns a name that is not taken: `wanted`, or `wanted` with a number.
pub(super) fn free(wanted: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&wanted) {
        return wanted;
    }
    let mut number = 2_usize;
    loop {
        let name = format!("{wanted}{number}");
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// Returns the placeholders of a service's path, in their order.
pub(super) fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix(':'))
}

/// Returns a service's path as the key of a path item: `orgs/:orgId/todos` is `/orgs/{orgId}/todos`.
pub(super) fn path_key(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let key: String = segments
        .map(|segment| match segment.strip_prefix(':') {
            Some(name) => format!("/{{{name}}}"),
            None => format!("/{}", encoded(segment)),
        })
        .collect();
    if key.is_empty() { "/".to_owned() } else { key }
}

/// Returns `text` as one segment of a path.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// Returns a path as one word.
pub(super) fn pascal_path(path: &str) -> String {
    let name = pascal(path);
    if name.is_empty() { "Root".to_owned() } else { name }
}
