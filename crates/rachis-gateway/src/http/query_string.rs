//! Query strings and forms as Feathers' servers read them: the rules of `qs` under Express, without its silent limits.
//!
//! Written by hand, since nothing at hand has these rules: `form_urlencoded` yields flat pairs and repairs what it
//! cannot decode, and `serde_qs` refuses sparse arrays and keys used both plain and with brackets, and keeps `__proto__`.
//! `tests/reference` compares it with `qs`.
//!
//! `qs` leaves out parameters beyond the thousandth, makes one literal key of brackets beyond the fifth, and an object of
//! a list that is too long: each of them another query than was written. Here, what exceeds a limit is an error.

mod tree;

use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use rachis_config::GatewayQuery;
use rachis_core::Error;
use serde_json::{Map, Value};
use std::collections::HashMap;
use tree::{Node, Step};

/// Which limit a text exceeds.
#[derive(Debug, PartialEq)]
pub(crate) enum Excess {
    /// More parameters than these.
    Parameters(usize),
    /// More brackets behind each other than these.
    Depth(usize),
    /// An index behind a gap in its list.
    Index(usize),
}

impl From<Excess> for Error {
    fn from(excess: Excess) -> Error {
        Error::bad_request(match excess {
            Excess::Parameters(most) => {
                format!("The query has more than {most} parameters, which is the limit `gateway.query.parameters`")
            }
            Excess::Depth(most) => {
                format!("A key of the query has more than {most} brackets, which is the limit `gateway.query.depth`")
            }
            Excess::Index(index) => format!(
                "The query has an index [{index}] that may be meant as an item of a list or as a key: from the index \
                 `gateway.query.sparse_index` on, a list has no gaps"
            ),
        })
    }
}

/// Reads `a[b]=1&c=2` as `{"a": {"b": "1"}, "c": "2"}`, with all keys in the order in which they were written.
///
/// # Errors
/// What is more, deeper or sparser than `limits` allow. Every other text has a meaning.
pub(crate) fn parse(text: &str, limits: &GatewayQuery) -> Result<Map<String, Value>, Excess> {
    if text.is_empty() {
        // Most requests; what follows would look at nothing for a long time.
        return Ok(Map::new());
    }
    let mut root = Node::empty_map();
    let mut written = IndexMap::new();
    let mut branches = Vec::new();
    for (key, leaf) in parameters(text, limits.parameters)? {
        let steps = steps(&key, limits.depth)?;
        if let Some(name) = steps.first().and_then(Step::name) {
            written.insert(name, ());
        }
        branches.push((leading_number(&key), Node::branch(steps, leaf)));
    }
    // JavaScript looks at keys that are numbers first, which shows when `1[a]=x` and `1=y` are merged.
    branches.sort_by_key(|(number, _)| (number.is_none(), *number));
    branches.into_iter().for_each(|(_, branch)| root.merge(branch));
    root.sort_by(&written);
    match root.into_json(limits.sparse_index)? {
        Value::Object(fields) => Ok(fields),
        // Nothing replaces the map at the root: a branch is always merged into it.
        _ => Ok(Map::new()),
    }
}

/// The number that a key is, if JavaScript has it before all keys that are none.
fn leading_number(key: &str) -> Option<usize> {
    tree::index(key).filter(|index| u32::try_from(*index).is_ok_and(|index| index < u32::MAX))
}

/// The decoded keys in order of their first appearance, each with all its values.
fn parameters(text: &str, most: usize) -> Result<Vec<(String, Node)>, Excess> {
    if text.bytes().filter(|byte| *byte == b'&').count() >= most {
        return Err(Excess::Parameters(most));
    }
    let text = plain_brackets(text);
    let mut values: Vec<(String, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for part in text.split('&') {
        let (key, value) = split(part);
        let key = decode(key);
        let value = decode(value);
        if key.is_empty() {
            continue;
        }
        let at = *known.entry(key.clone()).or_insert(values.len());
        match values.get_mut(at) {
            Some((_, values)) => values.push(value),
            None => values.push((key, vec![value])),
        }
    }
    Ok(values.into_iter().map(|(key, values)| (key, Node::leaf(values))).collect())
}

/// Clients encode brackets or leave them; both mean the same.
fn plain_brackets(text: &str) -> String {
    text.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]")
}

/// A key in brackets may contain `=`, so `]=` separates before a mere `=` does.
fn split(part: &str) -> (&str, &str) {
    let at = part.find("]=").map(|at| at + 1).or_else(|| part.find('='));
    at.map_or((part, ""), |at| (&part[..at], &part[at + 1..]))
}

/// `+` is a space. Text that is not well encoded throughout stays as it is, which is what JavaScript leaves of it too.
fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    if !is_well_encoded(&text) {
        return text;
    }
    let decoded = percent_decode_str(&text).decode_utf8().map(|decoded| decoded.into_owned());
    decoded.unwrap_or(text)
}

fn is_well_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        let mut is_hex = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_hex() && is_hex()
    })
}

/// Cuts `a[b][0][]` into its steps. Text between brackets is skipped, unbalanced brackets are text.
fn steps(key: &str, depth: usize) -> Result<Vec<Step>, Excess> {
    let mut brackets = Brackets { key, at: 0 }.peekable();
    let mut steps = Vec::new();
    let parent = brackets.peek().map_or(key, |(start, _)| &key[..*start]);
    if !parent.is_empty() {
        steps.push(Step::key(parent));
    }
    steps.extend(brackets.by_ref().take(depth).map(|(_, inner)| Step::bracketed(inner)));
    if brackets.next().is_some() { Err(Excess::Depth(depth)) } else { Ok(steps) }
}

/// The innermost `[...]` of a key, with where each starts and what it holds.
struct Brackets<'a> {
    key: &'a str,
    at: usize,
}

impl<'a> Iterator for Brackets<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.at;
            let close = from + self.key[from..].find(']')?;
            self.at = close + 1;
            if let Some(open) = self.key[from..close].rfind('[') {
                let start = from + open;
                return Some((start, &self.key[start + 1..close]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
